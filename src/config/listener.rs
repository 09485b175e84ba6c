//! `[listener]`: the ports, whom to believe about client addresses, and how long a peer may take.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;

use super::SecretFile;

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
    /// Metrics and health; loopback unless said otherwise.
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

/// Whether trusted peers announce the client's address before the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// They do not; X-Forwarded-For is read.
    Off,
    /// They must: PROXY protocol version 2.
    V2,
}
