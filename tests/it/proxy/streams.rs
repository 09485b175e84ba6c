//! Connections that become streams, and streams that are cut.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use bailiwick::{
    audit::{ClosedBy, Event},
    store::{feed::RevokedKind, revocation::revoke},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
};

use super::{
    doors::{ORIGIN, Wiki},
    web::ALL,
    wire::{Recorder, answers, exchange, find, read_until, reply, status},
};

const ASK: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Agrees, then says back what it hears.
async fn echo() -> Recorder {
    Recorder::scripted(|_, mut wire| async move {
        reply(&mut wire, AGREED).await;
        let mut buffer = [0; 1024];
        while let Ok(n @ 1..) = wire.read(&mut buffer).await {
            wire.write_all(&buffer[..n]).await.unwrap();
        }
    })
    .await
}

fn own() -> String {
    format!("{ASK}Origin: {ORIGIN}\r\n")
}

#[tokio::test]
async fn a_web_socket_is_carried_both_ways_and_counted() {
    let upstream = echo().await;
    let wiki = Wiki::at(upstream.address, ALL).await;
    let mut stream = wiki.open("GET /socket", &own()).await;
    let head = read_until(&mut stream, "\r\n\r\n").await;
    assert_eq!(status(&head), 101, "{head}");
    assert!(head.to_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    stream.write_all(b"ping").await.unwrap();
    read_until(&mut stream, "ping").await;
    let seen = upstream.seen().pop().unwrap();
    assert_eq!((seen.values("upgrade"), seen.values("connection")), (vec!["websocket"], vec!["Upgrade"]));
    assert_eq!(seen.values("bailiwick-user"), ["corp/alice"]);
    assert_eq!(seen.values("host"), ["wiki.test"]);
    drop(stream);
    let request = seen.values("bailiwick-request")[0].parse().unwrap();
    let entry = wiki.court.entry(request, |event| matches!(event, Event::Outcome { .. })).await;
    let Event::Outcome { status, received, sent, closed_by, .. } = entry.event else { unreachable!() };
    assert_eq!((status, received, sent, closed_by), (Some(101), 4, 4, ClosedBy::Caller));
    wiki.court.entry(request, |event| matches!(event, Event::StreamOpened { .. })).await;
}

#[tokio::test]
async fn a_stream_passes_no_byte_before_its_start_is_in_the_log() {
    start_comes_first(Duration::ZERO).await;
}

#[tokio::test]
async fn nor_does_one_that_is_agreed_to_late() {
    start_comes_first(Duration::from_millis(700)).await;
}

/// However long the upstream takes to agree.
async fn start_comes_first(late: Duration) {
    let (asked, agree) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let has_agreed = Arc::new(AtomicBool::new(false));
    let upstream = Recorder::scripted({
        let (asked, agree, has_agreed) = (Arc::clone(&asked), Arc::clone(&agree), Arc::clone(&has_agreed));
        move |_, mut wire| {
            let (asked, agree, has_agreed) = (Arc::clone(&asked), Arc::clone(&agree), Arc::clone(&has_agreed));
            async move {
                asked.notify_one();
                agree.notified().await;
                tokio::time::sleep(late).await;
                has_agreed.store(true, SeqCst);
                reply(&mut wire, AGREED).await;
                let _ = wire.read(&mut [0]).await;
            }
        }
    })
    .await;
    let wiki = Wiki::at(upstream.address, ALL).await;
    let mut stream = wiki.open("GET /socket", &own()).await;
    asked.notified().await;
    let head = wiki.court.db.hold_the_head().await;
    agree.notify_one();
    tokio::select! {
        early = read_until(&mut stream, "\r\n\r\n") => panic!("{early}"),
        () = wiki.court.db.wait_for_the_head() => {}
    }
    assert!(has_agreed.load(SeqCst), "it was noted before it began, and nobody waits for that");
    head.rollback().await.unwrap();
    assert_eq!(status(&read_until(&mut stream, "\r\n\r\n").await), 101);
    let request = upstream.seen().pop().unwrap().values("bailiwick-request")[0].parse().unwrap();
    let entries = wiki.court.entries(request).await;
    assert!(entries.iter().any(|entry| matches!(entry.event, Event::StreamOpened { .. })), "{entries:?}");
}

#[tokio::test]
async fn another_sites_page_opens_no_stream() {
    let upstream = echo().await;
    let wiki = Wiki::at(upstream.address, ALL).await;
    for origin in [
        "",
        "Origin: null\r\n",
        "Origin: http://evil.test\r\n",
        "Origin: http://wiki.test.evil.test\r\n",
        "Origin: https://wiki.test\r\n",
    ] {
        let request = wiki.request("GET /socket", &format!("{ASK}{origin}"), "");
        assert_eq!(status(&exchange(wiki.front, &request).await), 403, "{origin}");
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn an_upgrade_that_the_upstream_declines_is_an_ordinary_answer() {
    for answer in ["200 OK", "403 Forbidden", "302 Found"] {
        let upstream = Recorder::scripted(move |_, mut wire| async move {
            reply(
                &mut wire,
                &format!("HTTP/1.1 {answer}\r\nLocation: http://evil.test/\r\nContent-Length: 2\r\n\r\nno"),
            )
            .await;
            let mut more = Vec::new();
            let _ = wire.read_to_end(&mut more).await;
            assert_eq!(more, b"", "nothing is said after the request");
        })
        .await;
        let wiki = Wiki::at(upstream.address, ALL).await;
        let early = wiki.request("GET /smuggled", "", "");
        let got = exchange(wiki.front, &format!("{}{early}", wiki.request("GET /socket", &own(), ""))).await;
        assert_eq!((status(&got), answers(&got)), (answer[..3].parse().unwrap(), 1), "{got}");
        assert!(got.ends_with("no"), "{got}");
        assert_eq!(upstream.seen().len(), 1);
    }
}

#[tokio::test]
async fn an_upgrade_with_a_body_reaches_no_app() {
    let upstream = Recorder::scripted(|_, mut wire| async move { reply(&mut wire, AGREED).await }).await;
    let wiki = Wiki::at(upstream.address, ALL).await;
    let chunked = format!("{}Transfer-Encoding: chunked\r\n", own());
    let chunks = "5\r\nhello\r\n0\r\n\r\n";
    for asked in
        [wiki.request("GET /socket", &own(), "hello"), format!("{}{chunks}", wiki.request("GET /socket", &chunked, ""))]
    {
        let got = exchange(wiki.front, &asked).await;
        assert_eq!((status(&got), upstream.seen().len()), (400, 0), "{got}");
    }
}

#[tokio::test]
async fn what_is_said_before_the_upstream_agreed_waits() {
    let upstream = Recorder::scripted(|arrived, mut wire| async move {
        assert!(arrived.body.is_empty(), "{arrived:?}");
        let mut byte = [0; 1];
        let early = tokio::time::timeout(Duration::from_millis(300), wire.read(&mut byte)).await;
        assert!(early.is_err(), "a byte before the 101");
        reply(&mut wire, AGREED).await;
        let heard = read_until(&mut wire, "early").await;
        reply(&mut wire, &format!("heard {heard}")).await;
    })
    .await;
    let wiki = Wiki::at(upstream.address, ALL).await;
    let mut stream = wiki.open("GET /socket", &own()).await;
    stream.write_all(b"early").await.unwrap();
    let got = read_until(&mut stream, "heard early").await;
    assert_eq!(status(&got), 101);
}

#[tokio::test]
async fn other_protocols_are_not_spoken() {
    let upstream = Recorder::start().await;
    let wiki = Wiki::at(upstream.address, ALL).await;
    for to in ["h2c", "SPDY/3.1", "TLS/1.2", "websocket, h2c"] {
        let fields = format!(
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {to}\r\nHTTP2-Settings: AA\r\nOrigin: {ORIGIN}\r\n"
        );
        let got = exchange(wiki.front, &wiki.request("GET /", &fields, "")).await;
        assert_eq!(status(&got), 200, "{got}");
        let seen = upstream.seen().pop().unwrap();
        assert!(seen.values("upgrade").is_empty() && seen.values("http2-settings").is_empty(), "{}", seen.head);
    }
}

#[tokio::test]
async fn streams_are_cut_when_their_login_ends() {
    let upstream = Recorder::scripted(|arrived, mut wire| async move {
        if arrived.line().contains("/socket") {
            reply(&mut wire, AGREED).await;
        } else {
            reply(&mut wire, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
        }
        let mut rest = Vec::new();
        let _ = wire.read_to_end(&mut rest).await;
    })
    .await;
    let wiki = Wiki::at(upstream.address, ALL).await;
    let mut socket = wiki.open("GET /socket", &own()).await;
    read_until(&mut socket, "\r\n\r\n").await;
    let mut events = wiki.open("GET /events", "").await;
    read_until(&mut events, "first").await;
    crate::support::eventually(async || (wiki.court.streams.count() == 2).then_some(())).await;
    let mut db = wiki.court.db.pool.acquire().await.unwrap();
    let now = bailiwick::model::Clock::now(wiki.court.clock.as_ref());
    revoke(&mut db, RevokedKind::Login, wiki.caller.login.uuid(), "test", now).await.unwrap();
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest).await;
    let _ = events.read_to_end(&mut rest).await;
    assert!(find(&rest, b"0\r\n\r\n").is_none(), "a stream that was cut does not look complete");
    for seen in upstream.seen() {
        let request = seen.values("bailiwick-request")[0].parse().unwrap();
        let entry = wiki.court.entry(request, |event| matches!(event, Event::Outcome { .. })).await;
        assert!(matches!(entry.event, Event::Outcome { closed_by: ClosedBy::Revocation, .. }), "{entry:?}");
    }
}
