//! The one HTTP client that calls strangers: the provider's metadata, keys and tokens.
//!
//! It follows no redirects, takes no more than 1 MiB and 5 seconds for everything together, speaks https only (plain
//! http where both the URL and the address that is dialled are loopback), and reads no proxy variables. What a peer
//! controls here: all that comes back. Knows nothing of what it carries.

mod why;

use std::{
    collections::HashMap,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use tokio::net::TcpStream;

pub use why::why;

/// The client. Clones share connections.
#[derive(Clone)]
pub struct Outbound {
    client: Client<HttpsConnector<Dialler>, Full<Bytes>>,
    plain: Plain,
    limits: Limits,
}

/// Where the client may go, and whom it trusts there.
#[derive(Clone, Debug, Default)]
pub struct Route {
    /// Certificate authorities to trust besides the public ones, PEM.
    pub ca_file: Option<PathBuf>,
    /// Hosts to find at an address, instead of asking DNS; the port is the address's.
    pub resolve: HashMap<String, SocketAddr>,
    /// Whether plain http will do.
    pub plain: Plain,
}

/// Whether plain http will do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plain {
    /// Never.
    #[default]
    Never,
    /// Where the peer is this machine.
    Loopback,
}

/// Why there is no answer. Says nothing of what was sent.
#[derive(Debug, thiserror::Error)]
pub enum OutboundFault {
    /// The authorities to trust could not be read.
    #[error("{}: {why}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The TLS library refused the configuration.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The URL is neither https nor plain http to this machine.
    #[error("refused to call {0}: only https is allowed")]
    Scheme(String),
    /// The peer could not be reached, or did not speak HTTP.
    #[error("{host} did not answer: {why}")]
    Unreachable {
        /// The host.
        host: String,
        /// Why.
        why: String,
    },
    /// The answer took too long.
    #[error("{host} took too long to answer (longer than {limit:?})")]
    TooSlow {
        /// Who.
        host: String,
        /// What was too long.
        limit: Duration,
    },
    /// The answer was too long.
    #[error("{0} answered too much")]
    TooMuch(String),
}

#[derive(Clone, Copy)]
struct Limits {
    time: Duration,
    bytes: usize,
}

const LIMITS: Limits = Limits { time: Duration::from_secs(5), bytes: 1024 * 1024 };
const MOST_IDLE: Duration = Duration::from_secs(30);
const MOST_HEADER: usize = 64 * 1024;

impl Outbound {
    /// A client for `route`.
    pub fn new(route: Route) -> Result<Self, OutboundFault> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = &route.ca_file {
            add_authorities(&mut roots, path)?;
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let dialler = Dialler { resolve: Arc::new(route.resolve) };
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(dialler);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(MOST_IDLE)
            .http1_max_buf_size(MOST_HEADER)
            .http2_max_header_list_size(MOST_HEADER as u32)
            .build(connector);
        Ok(Self { client, plain: route.plain, limits: LIMITS })
    }

    /// Sends the request and reads the whole answer, whatever its status; a redirect is an answer like any other.
    pub async fn fetch(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, OutboundFault> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        self.check_scheme(request.uri(), &host)?;
        match tokio::time::timeout(self.limits.time, self.fetch_unhurried(request, &host)).await {
            Ok(answer) => answer,
            Err(_) => Err(OutboundFault::TooSlow { host, limit: self.limits.time }),
        }
    }

    async fn fetch_unhurried(&self, request: Request<Vec<u8>>, host: &str) -> Result<Response<Vec<u8>>, OutboundFault> {
        let unreachable = |why: String| OutboundFault::Unreachable { host: host.to_owned(), why };
        let request = request.map(|body| Full::new(Bytes::from(body)));
        let response = self.client.request(request).await.map_err(|fault| unreachable(why(&fault)))?;
        let (head, body) = response.into_parts();
        match Limited::new(body, self.limits.bytes).collect().await {
            Ok(body) => Ok(Response::from_parts(head, body.to_bytes().to_vec())),
            Err(fault) if fault.is::<LengthLimitError>() => Err(OutboundFault::TooMuch(host.to_owned())),
            Err(fault) => Err(unreachable(why(&*fault))),
        }
    }

    /// The dialler checks once more that what a loopback name leads to is loopback.
    fn check_scheme(&self, uri: &Uri, host: &str) -> Result<(), OutboundFault> {
        match uri.scheme_str() {
            Some("https") => Ok(()),
            Some("http") if self.plain == Plain::Loopback && is_loopback_name(host) => Ok(()),
            _ => Err(OutboundFault::Scheme(host.to_owned())),
        }
    }
}

/// Opens connections: to the address that was given for a host, otherwise where DNS says.
#[derive(Clone)]
struct Dialler {
    resolve: Arc<HashMap<String, SocketAddr>>,
}

impl tower::Service<Uri> for Dialler {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialler = self.clone();
        Box::pin(async move { dialler.dial(&uri).await.map(TokioIo::new) })
    }
}

impl Dialler {
    async fn dial(&self, uri: &Uri) -> io::Result<TcpStream> {
        let is_plain = uri.scheme_str() != Some("https");
        let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
        for address in self.addresses(uri, is_plain).await? {
            if is_plain && !address.ip().is_loopback() {
                last = io::Error::new(io::ErrorKind::PermissionDenied, "plain http is for this machine only");
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }

    async fn addresses(&self, uri: &Uri, is_plain: bool) -> io::Result<Vec<SocketAddr>> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        if let Some(&address) = self.resolve.get(host) {
            return Ok(vec![address]);
        }
        let port = uri.port_u16().unwrap_or(if is_plain { 80 } else { 443 });
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

fn add_authorities(roots: &mut RootCertStore, path: &Path) -> Result<(), OutboundFault> {
    let fault = |why: String| OutboundFault::Authorities { path: path.to_owned(), why };
    let certificates = CertificateDer::pem_file_iter(path).map_err(|why| fault(why.to_string()))?;
    let mut count = 0_usize;
    for certificate in certificates {
        let certificate = certificate.map_err(|why| fault(why.to_string()))?;
        roots.add(certificate).map_err(|why| fault(why.to_string()))?;
        count += 1;
    }
    if count == 0 { Err(fault("no certificate in it".to_owned())) } else { Ok(()) }
}

fn is_loopback_name(host: &str) -> bool {
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// A peer that answers every connection with `answer` and then keeps it open.
    async fn peer(answer: Vec<u8>) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    let _ = stream.read(&mut request).await;
                    let _ = stream.write_all(&answer).await;
                    let _ = stream.read(&mut request).await;
                });
            }
        });
        address
    }

    fn client(plain: Plain, resolve: &[(&str, SocketAddr)]) -> Outbound {
        let resolve = resolve.iter().map(|&(host, address)| (host.to_owned(), address)).collect();
        Outbound::new(Route { ca_file: None, resolve, plain }).unwrap()
    }

    fn get(url: &str) -> Request<Vec<u8>> {
        Request::get(url).body(Vec::new()).unwrap()
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let at =
            peer(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
        let answer = client(Plain::Loopback, &[]).fetch(get(&format!("http://{at}/"))).await.unwrap();
        assert_eq!(answer.status(), 302);
    }

    #[tokio::test]
    async fn a_host_is_found_where_the_route_says_at_the_port_it_says() {
        let at = peer(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".to_vec()).await;
        let client = client(Plain::Loopback, &[("idp.demo.localhost", at)]);
        let answer = client.fetch(get("http://idp.demo.localhost:1/keys")).await.unwrap();
        assert_eq!(answer.body(), b"hi");
    }

    #[tokio::test]
    async fn plain_http_stays_on_this_machine() {
        let elsewhere: SocketAddr = "192.0.2.1:80".parse().unwrap();
        let local = client(Plain::Loopback, &[("lie.localhost", elsewhere)]);
        assert!(matches!(local.fetch(get("http://example.com/")).await, Err(OutboundFault::Scheme(_))));
        assert!(matches!(local.fetch(get("http://lie.localhost/")).await, Err(OutboundFault::Unreachable { .. })));
        let strict = client(Plain::Never, &[]);
        assert!(matches!(strict.fetch(get("http://127.0.0.1/")).await, Err(OutboundFault::Scheme(_))));
    }

    #[tokio::test]
    async fn an_endless_body_is_cut_off() {
        let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        answer.resize(answer.len() + 1024 * 1024 + 1, b'x');
        let at = peer(answer).await;
        let answer = client(Plain::Loopback, &[]).fetch(get(&format!("http://{at}/"))).await;
        assert!(matches!(answer, Err(OutboundFault::TooMuch(_))), "{answer:?}");
    }

    #[tokio::test]
    async fn a_peer_that_never_finishes_is_given_up() {
        let at = peer(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nand then".to_vec()).await;
        let mut client = client(Plain::Loopback, &[]);
        client.limits.time = Duration::from_millis(50);
        let answer = client.fetch(get(&format!("http://{at}/"))).await;
        assert!(matches!(answer, Err(OutboundFault::TooSlow { .. })), "{answer:?}");
    }

    #[test]
    fn authorities_that_cannot_be_read_are_a_fault() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let route = Route { ca_file: Some(file.path().to_owned()), ..Route::default() };
        assert!(matches!(Outbound::new(route), Err(OutboundFault::Authorities { .. })));
    }
}
