//! `[listener]`: the ports, whom to believe about client addresses, and how long a peer may take.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;

use super::{
    SecretFile,
    document::Node,
    reader::Section,
    value::{address, duration, filled, list},
};

/// How the broker is reached.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Plain HTTP; loopback only.
    pub http: Option<SocketAddr>,
    /// HTTPS.
    pub https: Option<SocketAddr>,
    /// The server certificate chain, PEM; present whenever a TLS port is.
    pub certificate_file: Option<PathBuf>,
    /// Its key, PEM.
    pub key_file: Option<SecretFile>,
    /// Metrics and health; a loopback address, since nobody has to sign in there.
    pub status: SocketAddr,
    /// Peers whose word about the client's address is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether those peers begin with a PROXY header.
    pub proxy_protocol: ProxyProtocol,
    /// The longest that a request's header may take to arrive.
    pub header_timeout: Duration,
    /// The longest that a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// The longest that a connection may lie idle between requests.
    pub idle_timeout: Duration,
    /// The longest pause inside a request's body.
    pub body_timeout: Duration,
}

impl Listener {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let files = section.files();
        let http = section.optional("http", loopback);
        let https = section.optional("https", address);
        let certificate_file = section.optional("certificate_file", |node| files.file(node));
        let key_file = section.optional("key_file", |node| files.secret(node));
        let status = section.or("status", r#""127.0.0.1:9090""#, address);
        let trusted_proxies = section.or("trusted_proxies", "[]", list(network));
        let proxy_protocol = section.or("proxy_protocol", r#""off""#, proxy_protocol);
        let header_timeout = section.or("header_timeout", r#""10s""#, duration);
        let handshake_timeout = section.or("handshake_timeout", r#""10s""#, duration);
        let idle_timeout = section.or("idle_timeout", r#""60s""#, duration);
        let body_timeout = section.or("body_timeout", r#""30s""#, duration);
        Some(Self {
            http,
            https,
            certificate_file,
            key_file,
            status: status?,
            trusted_proxies: trusted_proxies?,
            proxy_protocol: proxy_protocol?,
            header_timeout: header_timeout?,
            handshake_timeout: handshake_timeout?,
            idle_timeout: idle_timeout?,
            body_timeout: body_timeout?,
        })
    }
}

/// Whether trusted peers announce the client's address before the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// They do not; X-Forwarded-For is read.
    Off,
    /// They must: PROXY protocol version 2.
    V2,
}

/// Plain HTTP carries cookies that open everything, so it never leaves the machine.
fn loopback(node: &Node) -> Result<SocketAddr, String> {
    let address = address(node)?;
    if address.ip().is_loopback() { Ok(address) } else { Err("plain HTTP is for loopback addresses only".to_owned()) }
}

/// An address, or a network that is less than everybody.
fn network(node: &Node) -> Result<IpNet, String> {
    let text = filled(node)?;
    let network = text.parse().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
    match network {
        Err(_) => Err(format!("`{text}` is not an address or network, such as `10.0.0.7` or `10.0.0.0/24`")),
        Ok(network) if network.prefix_len() == 0 => Err(format!("`{text}` would trust everybody")),
        Ok(network) => Ok(network),
    }
}

fn proxy_protocol(node: &Node) -> Result<ProxyProtocol, String> {
    match filled(node)?.as_str() {
        "off" => Ok(ProxyProtocol::Off),
        "v2" => Ok(ProxyProtocol::V2),
        other => Err(format!("`{other}` is neither `off` nor `v2`")),
    }
}
