//! A host as browsers name it, with the port where it is not the scheme's own.
//! Always lower case and never an address, so that it can be compared byte for byte.

use std::{fmt, str::FromStr};

/// `wiki.example.com` or `wiki.demo.localhost:8080`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PublicHost {
    name: String,
    port: Option<u16>,
}

/// Why a text is not a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a host name: lower-case labels of letters, digits and inner dashes, joined by dots, and a port if needed")]
pub struct HostFault;

impl PublicHost {
    /// The host's name, without a port.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port, where it is not the scheme's own.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }
}

impl FromStr for PublicHost {
    type Err = HostFault;

    fn from_str(text: &str) -> Result<Self, HostFault> {
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok().filter(|&port| port != 0).ok_or(HostFault)?)),
            None => (text, None),
        };
        if !is_host_name(name) {
            return Err(HostFault);
        }
        Ok(Self { name: name.to_owned(), port })
    }
}

impl fmt::Display for PublicHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Whether `name` is a host name (RFC 1123, section 2.1) in lower case and not an address.
pub(super) fn is_host_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    let is_number = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    name.len() <= 253 && name.split('.').all(is_label) && !name.rsplit('.').next().is_some_and(is_number)
}

/// Whether browsers and the broker treat `name` as this machine: `localhost` and everything below it (RFC 6761,
/// section 6.3).
pub(super) fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_lower_case_and_no_address() {
        for good in ["wiki.example.com", "a", "wiki.demo.localhost:8080", "1a.example"] {
            assert_eq!(good.parse::<PublicHost>().unwrap().to_string(), good);
        }
        for bad in
            ["", "Wiki.example", "a..b", "a.", "127.0.0.1", "[::1]", "a:0", "a:x", "a b", "-a", "a/b", "ä.example"]
        {
            assert!(bad.parse::<PublicHost>().is_err(), "{bad:?} was taken for a host");
        }
    }

    #[test]
    fn only_localhost_and_names_below_it_are_this_machine() {
        assert!(is_localhost("localhost") && is_localhost("auth.demo.localhost"));
        assert!(!is_localhost("notlocalhost") && !is_localhost("localhost.example"));
    }
}
