//! Where a request really comes from. Only listed proxies are believed, and only as far as their list reaches.
//! INVARIANT: whatever an unlisted peer says about addresses is ignored; whatever a listed one garbles is refused.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

/// Whose word about addresses counts.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The proxies in front of the broker.
    pub proxies: Vec<IpNet>,
    /// Whether they speak the PROXY protocol.
    pub proxy_protocol: ProxyProtocol,
}

/// Whether listed peers begin a connection with a PROXY header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Nobody does.
    #[default]
    Off,
    /// Every listed peer does, in version 2.
    V2,
}

/// `X-Forwarded-For` from a listed proxy that is not a list of addresses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Garbled;

impl Trust {
    /// Whether `address` is a listed proxy.
    pub fn lists(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.proxies.iter().any(|net| net.contains(&address))
    }

    /// Whether a connection from `address` must begin with a PROXY header.
    pub(super) fn expects_header(&self, address: IpAddr) -> bool {
        self.proxy_protocol == ProxyProtocol::V2 && self.lists(address)
    }

    /// The client's address: the rightmost in `X-Forwarded-For` that is not a listed proxy, if `remote` is one.
    pub(super) fn client(&self, remote: IpAddr, headers: &HeaderMap) -> Result<IpAddr, Garbled> {
        let mut client = remote.to_canonical();
        if !self.lists(client) {
            return Ok(client);
        }
        let lines = headers.get_all("x-forwarded-for").into_iter().collect::<Vec<_>>();
        for line in lines.into_iter().rev() {
            for item in line.to_str().map_err(|_| Garbled)?.rsplit(',') {
                client = address(item.trim())?;
                if !self.lists(client) {
                    return Ok(client);
                }
            }
        }
        Ok(client)
    }
}

/// An address, with or without a port: both forms are in use.
fn address(item: &str) -> Result<IpAddr, Garbled> {
    let bare = item.strip_prefix('[').and_then(|item| item.strip_suffix(']')).unwrap_or(item);
    let parsed = bare.parse::<IpAddr>().or_else(|_| item.parse::<SocketAddr>().map(|at| at.ip()));
    parsed.map(|address| address.to_canonical()).map_err(|_| Garbled)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(remote: &str, lines: &[&'static str]) -> Result<String, Garbled> {
        let trust = Trust { proxies: vec!["10.0.0.0/8".parse().unwrap()], proxy_protocol: ProxyProtocol::Off };
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", HeaderValue::from_static(line));
        }
        trust.client(remote.parse().unwrap(), &headers).map(|address| address.to_string())
    }

    #[test]
    fn only_listed_proxies_are_believed() {
        let is = |address: &str| Ok(address.to_owned());
        assert_eq!(client("192.0.2.1", &["203.0.113.9"]), is("192.0.2.1"));
        assert_eq!(client("192.0.2.1", &["garbage"]), is("192.0.2.1"));
        assert_eq!(client("10.0.0.1", &[]), is("10.0.0.1"));
        assert_eq!(client("10.0.0.1", &["203.0.113.9"]), is("203.0.113.9"));
        assert_eq!(client("10.0.0.1", &["198.51.100.1, 203.0.113.9, 10.0.0.2"]), is("203.0.113.9"));
        assert_eq!(client("10.0.0.1", &["198.51.100.1", "203.0.113.9"]), is("203.0.113.9"));
        assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), is("10.0.0.3"));
        assert_eq!(client("::ffff:10.0.0.1", &["203.0.113.9:443"]), is("203.0.113.9"));
        assert_eq!(client("10.0.0.1", &["[2001:db8::1]:443"]), is("2001:db8::1"));
        assert_eq!(client("10.0.0.1", &["[2001:db8::1]"]), is("2001:db8::1"));
    }

    #[test]
    fn garbage_from_a_listed_proxy_is_refused() {
        for line in
            ["a", "", "unknown", "203.0.113.9,", "203.0.113.9 10.0.0.2", "203.0.113.256", "203.0.113.9, ,10.0.0.2"]
        {
            assert_eq!(client("10.0.0.1", &[line]), Err(Garbled), "{line:?}");
        }
    }
}
