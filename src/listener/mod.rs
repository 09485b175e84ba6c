//! The front door: accepts connections, ends TLS, finds out where a request comes from and which service it is for.
//!
//! Promises: no request reaches a service unless its framing, its authority and its origin are beyond doubt; every
//! wait has a limit. Leaves who the caller is, and everything that they may do, to the service. An attacker controls
//! every byte that arrives here.

mod accept;
mod activity;
mod address;
mod admit;
mod body;
mod connection;
mod gather;
mod host;
mod proxy_protocol;
mod rarely;
mod status;
mod talk;
mod tls;
mod turned;

use std::{net::IpAddr, net::SocketAddr, sync::Arc, time::Duration};

use rustls_pki_types::CertificateDer;

use crate::audit::Refused;

pub use accept::Listener;
pub use address::{ProxyProtocol, Trust};
pub use body::{BodyFault, BoxError, RequestBody, ResponseBody, empty, full};
pub(crate) use connection::keep_alive;
pub use host::{HostTable, Service, canonical_host};
pub use status::{Readiness, StatusListener};
pub use tls::{ServerKey, ServerNames, TlsFault, server_config};

/// Where a request came from: every service is told with every request. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The client's address, after listed proxies.
    pub address: IpAddr,
    /// The client certificate, when one was asked for, given and verified against the broker's authority.
    pub certificate: Option<Arc<CertificateDer<'static>>>,
    /// The server name of the TLS handshake, in lower case.
    pub server_name: Option<Arc<str>>,
    /// Whether the connection is TLS.
    pub secure: bool,
}

/// Where the listener tells of what it turns away.
pub type Turning = Arc<dyn Fn(Refused<'_>) + Send + Sync>;

/// What to listen on, and how patiently.
#[derive(Clone, Debug)]
pub struct Options {
    /// Plain HTTP: loopback only.
    pub http: Option<SocketAddr>,
    /// TLS: the main port and any port that a cluster has of its own. All serve the same names.
    pub https: Vec<SocketAddr>,
    /// Limits of time and number.
    pub limits: Limits,
    /// Whose word about addresses counts.
    pub trust: Trust,
}

/// Limits of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For the PROXY header and the TLS handshake together.
    pub handshake: Duration,
    /// For a request's head, from its first byte, and for the first request to come at all.
    pub header: Duration,
    /// For a connection without a request.
    pub idle: Duration,
    /// For the next piece of a request's body.
    pub body: Duration,
    /// For open requests when the broker stops.
    pub drain: Duration,
    /// Connections at once, all ports together.
    pub connections: usize,
    /// Header fields in a request.
    pub header_fields: usize,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// Streams at once on one HTTP/2 connection.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            body: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            connections: 4096,
            header_fields: 64,
            header_bytes: 32 * 1024,
            streams: 100,
        }
    }
}

/// Why the listener cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ListenerFault {
    /// Plain HTTP anywhere but on loopback would carry cookies in the clear.
    #[error("plain HTTP is allowed on loopback addresses only, not on {0}")]
    NotLoopback(SocketAddr),
    /// The port cannot be had.
    #[error("cannot listen on {at}: {source}")]
    Bind {
        /// Which.
        at: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A host stands in the table twice.
    #[error("the host {0} is given to two services")]
    DuplicateHost(String),
    /// Something that is not a host name.
    #[error("{0:?} is not a host name")]
    NotAHost(String),
}
