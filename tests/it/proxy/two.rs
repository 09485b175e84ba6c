//! HTTP/2 at the front door: the same rules, whatever the version.

use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use http_body_util::{BodyExt, Empty, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Bytes, Frame, Incoming},
    client::conn::http2::{SendRequest, handshake},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::{
    doors::{COOKIE, ORIGIN, Wiki},
    web::ALL,
    wire::Recorder,
};

type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

async fn connect(wiki: &Wiki) -> SendRequest<Body> {
    let stream = TcpStream::connect(wiki.front).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(uri: &str) -> Request<Body> {
    let mut request = Request::new(Empty::new().boxed_unsync());
    *request.uri_mut() = uri.parse().unwrap();
    *request.version_mut() = Version::HTTP_2;
    for cookie in ["theirs=1".to_owned(), format!("__Host-bailiwick-app={COOKIE}"), "more=2".to_owned()] {
        request.headers_mut().append("cookie", HeaderValue::try_from(cookie).unwrap());
    }
    request
}

async fn ask(sender: &mut SendRequest<Body>, request: Request<Body>) -> Option<Response<Incoming>> {
    sender.ready().await.ok()?;
    sender.send_request(request).await.ok()
}

#[tokio::test]
async fn the_same_rules_hold_on_http_2() {
    let upstream = Recorder::start().await;
    let wiki = Wiki::at(upstream.address, ALL).await;
    let mut sender = connect(&wiki).await;
    let answer = ask(&mut sender, request("http://wiki.test/page?q=1")).await.unwrap();
    assert_eq!(answer.status(), 200);
    let seen = upstream.seen().pop().unwrap();
    assert_eq!((seen.line(), seen.values("cookie")), ("GET /page?q=1 HTTP/1.1", vec!["theirs=1; more=2"]));
    assert_eq!(seen.values("bailiwick-user"), ["corp/alice"]);

    let with_host = |host: &'static str| {
        let mut request = request("http://wiki.test/");
        request.headers_mut().insert("host", HeaderValue::from_static(host));
        request
    };
    let method = |method: &str, uri: &str| {
        let mut request = request(uri);
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        request
    };
    for (request, expected) in [
        (request("http://other.test/"), 421),
        (with_host("other.test"), 400),
        (request("http://wiki.test/a/../admin"), 400),
        (request("http://wiki.test/a%2fadmin"), 400),
        (method("TRACE", "http://wiki.test/"), 405),
        (method("FOO", "http://wiki.test/"), 405),
    ] {
        let asked = format!("{} {}", request.method(), request.uri());
        let answer = ask(&mut sender, request).await.unwrap();
        assert_eq!(answer.status(), expected, "{asked}");
    }
    let mut sender = connect(&wiki).await;
    let answer = ask(&mut sender, method("CONNECT", "wiki.test:80")).await;
    assert!(answer.is_none_or(|answer| answer.status() == 405));
    assert_eq!(upstream.seen().len(), 1, "{:?}", upstream.seen());
}

#[tokio::test]
async fn trailers_go_no_further() {
    let upstream = Recorder::start().await;
    let wiki = Wiki::at(upstream.address, ALL).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("bailiwick-user", HeaderValue::from_static("admin"));
    let frames = [Frame::data(Bytes::from_static(b"body")), Frame::trailers(trailers)];
    let mut request = request("http://wiki.test/post");
    *request.method_mut() = Method::POST;
    request.headers_mut().insert("origin", HeaderValue::from_static(ORIGIN));
    *request.body_mut() = StreamBody::new(Frames(frames.into_iter())).boxed_unsync();
    let answer = ask(&mut connect(&wiki).await, request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let seen = upstream.seen().pop().unwrap();
    assert_eq!(String::from_utf8_lossy(&seen.body), "4\r\nbody\r\n0\r\n\r\n");
    assert_eq!(seen.values("bailiwick-user"), ["corp/alice"]);
}

struct Frames<I>(I);

impl<I: Iterator<Item = Frame<Bytes>> + Unpin> futures_core::Stream for Frames<I> {
    type Item = Result<Frame<Bytes>, std::convert::Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(self.0.next().map(Ok))
    }
}
