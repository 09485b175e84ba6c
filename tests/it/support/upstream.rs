//! A protected web app for the whole-broker tests: says whom it sees, counts what reaches it, streams events, and
//! echoes over a WebSocket. Plain hyper, so that nothing of ours stands between the broker and what it asserts.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Frame, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The running app. Ends with the test's runtime.
#[derive(Clone)]
pub struct Upstream {
    /// Where it is.
    pub address: SocketAddr,
    reached: Arc<AtomicUsize>,
}

impl Upstream {
    /// Starts on a port of the kernel's choosing.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Self { address: listener.local_addr().unwrap(), reached: Arc::default() };
        let reached = Arc::clone(&upstream.reached);
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let reached = Arc::clone(&reached);
                let service = service_fn(move |request| {
                    reached.fetch_add(1, Ordering::SeqCst);
                    answer(request)
                });
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection.with_upgrades());
            }
        });
        upstream
    }

    /// How many requests have reached it.
    pub fn reached(&self) -> usize {
        self.reached.load(Ordering::SeqCst)
    }
}

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

async fn answer(request: Request<Incoming>) -> Result<Answer, Infallible> {
    Ok(match request.uri().path() {
        "/events" => events(),
        "/ws" => web_socket(request),
        path => page(path, &request),
    })
}

fn page(path: &str, request: &Request<Incoming>) -> Answer {
    let seen = |name: &str| request.headers().get(name).map_or("nobody", |value| value.to_str().unwrap_or("?"));
    let page = format!(
        "<!doctype html><title>App</title><h1>The app at {path}</h1><p>It sees {}.</p>",
        seen("bailiwick-user")
    );
    let response = Response::builder().header(header::CONTENT_TYPE, "text/html; charset=utf-8");
    response.body(Full::from(page).boxed_unsync()).unwrap()
}

/// One event at once, then one each second, without end.
fn events() -> Answer {
    let ticks = tokio_stream_of_ticks();
    Response::builder().header(header::CONTENT_TYPE, "text/event-stream").body(ticks).unwrap()
}

fn tokio_stream_of_ticks() -> UnsyncBoxBody<Bytes, Infallible> {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
    tokio::spawn(async move {
        while sender.send(Ok(Frame::data(Bytes::from_static(b"data: tick\n\n")))).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let frames = futures_of(receiver);
    StreamBody::new(frames).boxed_unsync()
}

fn futures_of<T>(receiver: tokio::sync::mpsc::Receiver<T>) -> impl futures_core::Stream<Item = T> {
    struct Received<T>(tokio::sync::mpsc::Receiver<T>);
    impl<T> futures_core::Stream for Received<T> {
        type Item = T;

        fn poll_next(
            mut self: std::pin::Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<T>> {
            self.0.poll_recv(context)
        }
    }
    Received(receiver)
}

/// Accepts (RFC 6455, section 4.2.2) and sends back every byte as it came; the test's client does not mask.
fn web_socket(request: Request<Incoming>) -> Answer {
    let key = request.headers().get("sec-websocket-key").map(|key| key.as_bytes().to_vec()).unwrap_or_default();
    let joined = [key.as_slice(), b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &joined);
    tokio::spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            let (mut from, mut to) = tokio::io::split(TokioIo::new(upgraded));
            let _ = tokio::io::copy(&mut from, &mut to).await;
        }
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header("sec-websocket-accept", STANDARD.encode(digest.as_ref()))
        .body(Full::default().boxed_unsync())
        .unwrap()
}
