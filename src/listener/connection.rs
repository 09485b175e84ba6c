//! One connection, from its first byte to its last: PROXY header, TLS, requests, and a watch over its patience.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::{
    body::{Body as _, Incoming},
    service::service_fn,
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::LazyConfigAcceptor;
use tokio_util::sync::CancellationToken;

use super::{
    HostTable, Limits, Peer, RequestBody, ResponseBody, ServerNames, Trust, Turning,
    activity::{Activity, Busy},
    admit::{Handshake, Turned, admit, named_host},
    body::{Guarded, Timed, full},
    proxy_protocol,
    talk::{Speaks, Talk},
    tls::Named,
    turned::{Away, GARBLED, NO_PROXY_HEADER, of_handshake},
};

/// What all connections share.
pub(super) struct Shared {
    pub(super) limits: Limits,
    pub(super) trust: Trust,
    pub(super) table: HostTable,
    pub(super) names: Option<Arc<ArcSwap<ServerNames>>>,
    pub(super) turning: Turning,
    pub(super) stopping: CancellationToken,
}

/// Which kind of port a connection came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    Plain,
    Tls,
}

/// Serves a connection until it ends. Whatever goes wrong ends it; there is nobody to tell.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream, remote: SocketAddr, port: Port) {
    // Small writes must leave at once: a watch event, a keystroke.
    let _ = stream.set_nodelay(true);
    // A caller that vanished without a word must not keep a stream open for ever.
    let _ = SockRef::from(&stream).set_tcp_keepalive(&keep_alive());
    let limit = shared.limits.handshake;
    if let Err(fault) = handshake_and_serve(shared, stream, remote.ip(), port, limit).await {
        tracing::debug!(%remote, %fault, "a connection ended before its first request");
    }
}

/// Asks after 30 s of silence, and gives up after a minute more.
pub(crate) fn keep_alive() -> TcpKeepalive {
    TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10)).with_retries(6)
}

async fn handshake_and_serve(
    shared: Arc<Shared>,
    mut stream: TcpStream,
    mut remote: IpAddr,
    port: Port,
    limit: Duration,
) -> io::Result<()> {
    let until = Instant::now() + limit;
    if shared.trust.expects_header(remote) {
        let header = match tokio::time::timeout_at(until, proxy_protocol::read(&mut stream)).await {
            Ok(Ok(header)) => header,
            Ok(Err(fault)) if fault.kind() != io::ErrorKind::InvalidData => return Err(fault),
            wrong => {
                shared.tell(NO_PROXY_HEADER, None, remote);
                return wrong?.map(|_| ());
            }
        };
        remote = header.unwrap_or(remote);
    }
    match (port, &shared.names) {
        (Port::Plain, _) => {
            let peer = Peer { address: remote, certificate: None, server_name: None, secure: false };
            requests(shared, stream, peer, None, Speaks::Either).await;
        }
        (Port::Tls, None) => {}
        (Port::Tls, Some(names)) => {
            let names = names.load_full();
            let mut asked_for = None;
            let handshake = async {
                let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
                asked_for = start.client_hello().server_name().map(str::to_ascii_lowercase);
                let (config, named) = names.choose(asked_for.as_deref());
                start.into_stream(config).await.map(|stream| (stream, named))
            };
            let shaken = tokio::time::timeout_at(until, handshake).await;
            let (stream, named) = match shaken.map_err(io::Error::from).and_then(|shaken| shaken) {
                Ok(shaken) => shaken,
                Err(fault) => {
                    if let Some(away) = of_handshake(&fault) {
                        shared.tell(away, asked_for.as_deref(), remote);
                    }
                    return Err(fault);
                }
            };
            let (_, session) = stream.get_ref();
            let speaks = if session.alpn_protocol() == Some(b"h2") { Speaks::Two } else { Speaks::One };
            let peer = Peer {
                address: remote,
                certificate: session.peer_certificates().and_then(<[_]>::first).cloned().map(Arc::new),
                server_name: session.server_name().map(|name| name.to_ascii_lowercase().into()),
                secure: true,
            };
            requests(shared, stream, peer, Some(named), speaks).await;
        }
    }
    Ok(())
}

async fn requests<S>(shared: Arc<Shared>, stream: S, peer: Peer, named: Option<Named>, speaks: Speaks)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Activity::new();
    let (address, host) = (peer.address, peer.server_name.clone());
    let talk = Talk { shared: &shared, activity: Arc::clone(&activity), speaks, address, host };
    let service = service_fn({
        let shared = Arc::clone(&shared);
        move |request: Request<Incoming>| {
            let busy = activity.begin();
            let (shared, peer) = (Arc::clone(&shared), peer.clone());
            async move {
                // A body can outlast its answer.
                let more = (!request.body().is_end_stream()).then(|| busy.again());
                let response = answer(&shared, peer, named, (request, more)).await;
                Ok::<_, Infallible>(response.map(|body| Guarded::new(body, busy)))
            }
        }
    });
    talk.over(stream, service).await;
}

/// Answers one request: turns it away, or hands it to its service with its [`Peer`].
async fn answer(
    shared: &Shared,
    mut peer: Peer,
    named: Option<Named>,
    (request, busy): (Request<Incoming>, Option<Busy>),
) -> Response<ResponseBody> {
    let version = request.version();
    let wants_upgrade = request.headers().contains_key(header::UPGRADE);
    let finished = Arc::new(AtomicBool::new(false));
    let handshake = named.map(|named| Handshake { name: peer.server_name.as_deref(), named });
    let service = admit(&request, handshake, &shared.limits, &shared.table);
    let address = shared.trust.client(peer.address, request.headers());
    let tell = |away| {
        let from = *address.as_ref().unwrap_or(&peer.address);
        shared.tell(away, named_host(&request, &shared.table).as_deref(), from);
    };
    let mut response = match (service, &address) {
        (Ok(service), Ok(address)) => {
            peer.address = *address;
            let timed = |body| Timed::new(body, shared.limits.body, Arc::clone(&finished));
            service.answer(peer, request.map(|body| RequestBody::new(timed(body), busy))).await
        }
        (Err(turned), _) => {
            tell(Away { check: turned.check(), why: turned.1 });
            turn_away(turned)
        }
        (_, Err(_)) => {
            tell(GARBLED);
            turn_away(Turned(StatusCode::BAD_REQUEST, GARBLED.why))
        }
    };
    // What is left of the body, or was said too early on a stream that was not to be, is not the next request.
    let dangling = wants_upgrade || !finished.load(Ordering::Acquire) || shared.stopping.is_cancelled();
    if version < Version::HTTP_2 && dangling && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn turn_away(Turned(status, why): Turned) -> Response<ResponseBody> {
    let mut response = Response::new(full(format!("{why}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    }
    response
}
