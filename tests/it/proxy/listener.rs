//! What the listener lets in: one clear request at a time, for one host of ours.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bailiwick::listener::{HostTable, Limits, Listener, Options, Peer, ProxyProtocol, Service, Trust, Turning, full};
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};
use tokio_util::sync::CancellationToken;

use super::wire::{SOON, answers, exchange, read_until, status};

/// A listener on loopback whose one service says what it got: method, path, client address and body.
struct Front {
    address: SocketAddr,
    got: UnboundedReceiver<String>,
    /// What was turned away: check and target.
    turned: UnboundedReceiver<(&'static str, String)>,
    stop: CancellationToken,
}

async fn front(limits: Limits, trust: Trust) -> Front {
    let (said, got) = unbounded_channel();
    let service = Service::from_fn(move |peer: Peer, request: Request<_>| {
        let said = said.clone();
        async move {
            let (parts, body): (http::request::Parts, bailiwick::listener::RequestBody) = request.into_parts();
            let line = format!("{} {} {}", parts.method, parts.uri.path(), peer.address);
            if parts.uri.path() == "/unread" {
                said.send(line).unwrap();
                return Response::builder().status(403).body(full("no")).unwrap();
            }
            match body.collect().await {
                Ok(body) => said.send(format!("{line} {:?}", body.to_bytes())).unwrap(),
                Err(_) => said.send("broken".to_owned()).unwrap(),
            }
            Response::new(full("ok"))
        }
    });
    let mut table = HostTable::default();
    table.insert("app.test", service).unwrap();
    let options = Options { http: Some("127.0.0.1:0".parse().unwrap()), https: vec![], limits, trust };
    let (tell, turned) = unbounded_channel();
    let turning: Turning = Arc::new(move |away| drop(tell.send((away.check, away.target.to_owned()))));
    let listener = Listener::bind(&options, None, table, turning).await.unwrap();
    let address = listener.addresses()[0];
    let stop = CancellationToken::new();
    tokio::spawn(listener.serve(stop.clone()));
    Front { address, got, turned, stop }
}

impl Front {
    /// The next thing that was turned away, which has happened already.
    async fn away(&mut self) -> (&'static str, String) {
        tokio::time::timeout(SOON, self.turned.recv()).await.expect("it is told of").expect("the listener lives")
    }
}

async fn plain() -> Front {
    front(Limits::default(), Trust::default()).await
}

#[tokio::test]
async fn what_is_framed_in_doubt_reaches_no_service() {
    let mut front = plain().await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n";
    for head in [
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding:\u{b}chunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer_Encoding: chunked\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length:\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content_Length: 5\r\n",
        "Expect: 200-ok\r\n",
        " Folded: line\r\n",
        "Name\0: x\r\n",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: app.test\r\n{head}\r\n{smuggled}");
        let answer = exchange(front.address, &request).await;
        assert!([400, 417].contains(&status(&answer)), "{head:?}: {answer}");
        assert_eq!(answers(&answer), 1, "{head:?}: {answer}");
        assert!(front.got.try_recv().is_err(), "{head:?} reached the service");
        assert_eq!(front.away().await.0, "framing", "{head:?}");
    }
}

#[tokio::test]
async fn a_length_beside_a_transfer_coding_ends_the_connection_after_it() {
    let mut front = plain().await;
    for head in
        ["Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"]
    {
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n";
        let answer =
            exchange(front.address, &format!("POST / HTTP/1.1\r\nHost: app.test\r\n{head}\r\n0\r\n\r\n{smuggled}"))
                .await;
        assert_eq!(answers(&answer), 1, "{answer}");
        let got = front.got.recv().await.unwrap();
        assert!(!got.contains("smuggled"), "{got}");
        assert!(front.got.try_recv().is_err());
    }
}

#[tokio::test]
async fn chunks_that_are_none_break_the_request_off() {
    let mut front = plain().await;
    for chunk in [
        "zz\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5\r\nhelloXX0\r\n\r\n",
        "fffffffffffffffff\r\n",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
        let mut stream = TcpStream::connect(front.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(front.got.recv().await.unwrap(), "broken", "{chunk:?}");
    }
}

#[tokio::test]
async fn methods_and_targets_that_are_not_ours_are_refused_before_routing() {
    let mut front = plain().await;
    for (line, expected) in [
        ("CONNECT app.test:443 HTTP/1.1", 405),
        ("TRACE / HTTP/1.1", 405),
        ("TRACK / HTTP/1.1", 405),
        ("GET admin HTTP/1.1", 400),
        ("OPTIONS * HTTP/1.1", 400),
        ("GET http://evil.test/ HTTP/1.1", 400),
        ("GET http://user@app.test/ HTTP/1.1", 400),
    ] {
        let answer = exchange(front.address, &format!("{line}\r\nHost: app.test\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(status(&answer), expected, "{line}: {answer}");
        let host = if line.contains("evil") { "unknown host" } else { "app.test" };
        let check = if expected == 400 { "framing" } else { "method" };
        let (told, target) = front.away().await;
        assert_eq!(told, check, "{line}");
        // What no parser reads, and a target that names nobody, is for nobody.
        assert!(target == host || target == "unknown host", "{line}: {target}");
    }
    for (host, expected) in [
        ("Host: other.test\r\n", 421),
        ("Host: app.test.\r\n", 400),
        ("Host: app.test\r\nHost: app.test\r\n", 400),
        ("Host: user@app.test\r\n", 400),
        ("Host: app.test/x\r\n", 400),
        ("", 400),
        ("Host:\r\n", 400),
    ] {
        let answer = exchange(front.address, &format!("GET / HTTP/1.1\r\n{host}Connection: close\r\n\r\n")).await;
        assert_eq!(status(&answer), expected, "{host:?}: {answer}");
        let (told, target) = front.away().await;
        assert_eq!(told, if expected == 421 { "host" } else { "framing" }, "{host:?}");
        assert!(target == "unknown host" || host.matches("app.test").count() == 2, "{host:?}: {target}");
    }
    assert!(front.got.try_recv().is_err(), "something reached the service");
}

#[tokio::test]
async fn a_body_that_nobody_read_is_not_the_next_request() {
    let mut front = plain().await;
    let inner = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n";
    let length = inner.len();
    let answer = exchange(
        front.address,
        &format!("POST /unread HTTP/1.1\r\nHost: app.test\r\nContent-Length: {length}\r\n\r\n{inner}"),
    )
    .await;
    assert_eq!((status(&answer), answers(&answer)), (403, 1), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    let answer = exchange(
        front.address,
        &format!("POST /unread HTTP/1.1\r\nHost: app.test\r\nContent-Length: 100000\r\n\r\n{inner}"),
    )
    .await;
    assert_eq!((status(&answer), answers(&answer)), (403, 1), "{answer}");
    while let Ok(got) = front.got.try_recv() {
        assert!(!got.contains("smuggled"), "{got}");
    }
}

#[tokio::test]
async fn what_was_said_too_early_on_a_stream_that_was_not_to_be_is_not_a_request() {
    let mut front = plain().await;
    let early = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n";
    let upgrade = "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let answer = exchange(front.address, &format!("{upgrade}{early}")).await;
    assert_eq!((status(&answer), answers(&answer)), (200, 1), "{answer}");
    assert!(front.got.recv().await.unwrap().starts_with("GET / "));
    assert!(front.got.try_recv().is_err());
}

#[tokio::test]
async fn whoever_dawdles_is_hung_up_on() {
    let quick = Duration::from_secs(1);
    let limits = Limits { header: quick, idle: quick, body: quick, ..Limits::default() };
    let mut front = front(limits, Trust::default()).await;
    for half in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: app", "PRI * HTTP/2"] {
        assert_eq!(exchange(front.address, half).await, "", "{half:?}");
        assert_eq!(front.away().await.0, "time", "{half:?}");
    }
    let answer = exchange(front.address, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 9\r\n\r\nhalf").await;
    assert_eq!(front.got.recv().await.unwrap(), "broken");
    assert_eq!(answers(&answer), 1);
    let answer = exchange(front.address, "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
    assert_eq!(status(&answer), 200, "an idle connection is closed in its time");
}

#[tokio::test]
async fn addresses_are_taken_from_listed_proxies_only() {
    let request = |field: &str| format!("GET / HTTP/1.1\r\nHost: app.test\r\n{field}Connection: close\r\n\r\n");
    let mut unlisted = plain().await;
    exchange(unlisted.address, &request("X-Forwarded-For: 203.0.113.9\r\n")).await;
    assert!(unlisted.got.recv().await.unwrap().contains(" 127.0.0.1 "));

    let trust = Trust { proxies: vec!["127.0.0.0/8".parse().unwrap()], proxy_protocol: ProxyProtocol::Off };
    let mut listed = front(Limits::default(), trust.clone()).await;
    exchange(listed.address, &request("X-Forwarded-For: 198.51.100.1, 203.0.113.9\r\n")).await;
    assert!(listed.got.recv().await.unwrap().contains(" 203.0.113.9 "));
    let answer = exchange(listed.address, &request("X-Forwarded-For: a\r\n")).await;
    assert_eq!((status(&answer), listed.away().await), (400, ("proxy", "app.test".to_owned())));

    let trust = Trust { proxy_protocol: ProxyProtocol::V2, ..trust };
    let mut proxied = front(Limits::default(), trust).await;
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    header.extend([203, 0, 113, 7, 10, 0, 0, 1, 0, 80, 1, 187]);
    let mut stream = TcpStream::connect(proxied.address).await.unwrap();
    stream.write_all(&header).await.unwrap();
    stream.write_all(request("").as_bytes()).await.unwrap();
    assert!(proxied.got.recv().await.unwrap().contains(" 203.0.113.7 "));
    assert_eq!(exchange(proxied.address, &request("")).await, "", "a listed peer must begin with the header");
    assert_eq!(proxied.away().await.0, "proxy");
}

#[tokio::test]
async fn open_requests_finish_when_the_broker_stops() {
    let mut front = plain().await;
    let mut stream = TcpStream::connect(front.address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\n\r\nha").await.unwrap();
    stream.flush().await.unwrap();
    let mut other = TcpStream::connect(front.address).await.unwrap();
    other.write_all(b"GET /other HTTP/1.1\r\nHost: app.test\r\n\r\n").await.unwrap();
    assert!(front.got.recv().await.unwrap().contains("/other"));
    read_until(&mut other, "ok").await;
    front.stop.cancel();
    stream.write_all(b"lf").await.unwrap();
    let answer = read_until(&mut stream, "ok").await;
    assert_eq!(status(&answer), 200);
    assert!(front.got.recv().await.unwrap().contains("half"));
}
