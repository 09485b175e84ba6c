//! Connections to an app, kept open: one request after the other, and never a byte of one for another.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bailiwick::{
    audit::{ClosedBy, Event},
    model::{Clock as _, RequestId},
    store::{feed::RevokedKind, revocation::revoke},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
    time::timeout,
};

use super::{
    doors::{ORIGIN, Wiki},
    web::ALL,
    wire::{Arrived, Recorder, SOON, answering_at_once, read_request, read_until, reply, status},
};
use crate::support::eventually;

/// An answer after which the connection stays open.
const KEPT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[tokio::test]
async fn one_connection_carries_one_request_after_the_other() {
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let upstream = Recorder::scripted(move |_, mut wire| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            reply(&mut wire, KEPT).await;
            while read_request(&mut wire).await.is_some() {
                reply(&mut wire, KEPT).await;
            }
        }
    })
    .await;
    let wiki = Wiki::at(upstream.address, ALL).await;
    for _ in 0..3 {
        assert_eq!(status(&wiki.ask("GET /", "", "").await), 200);
        let posted = wiki.ask("POST /", &format!("Origin: {ORIGIN}\r\n"), "a body").await;
        assert_eq!(status(&posted), 200);
    }
    assert_eq!(opened.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_it_waited_is_replaced_unseen() {
    let closed = Arc::new(Notify::new());
    let tell = Arc::clone(&closed);
    let upstream = Recorder::scripted(move |_, mut wire| {
        let tell = Arc::clone(&tell);
        async move {
            reply(&mut wire, KEPT).await;
            wire.shutdown().await.unwrap();
            drop(wire);
            tell.notify_one();
        }
    })
    .await;
    let wiki = Wiki::at(upstream.address, ALL).await;
    for number in 1..=3 {
        let answer = wiki.ask("POST /", &format!("Origin: {ORIGIN}\r\n"), "a body").await;
        assert_eq!(status(&answer), 200, "{answer}");
        closed.notified().await;
        assert_eq!(upstream.seen().len(), number, "each arrives once");
        assert_eq!(upstream.seen()[number - 1].body, b"a body");
    }
}

#[tokio::test]
async fn what_an_upstream_says_unasked_answers_nobody() {
    let said = Arc::new(Notify::new());
    let tell = Arc::clone(&said);
    let upstream = Recorder::scripted(move |_, mut wire| {
        let tell = Arc::clone(&tell);
        async move {
            reply(&mut wire, KEPT).await;
            // Asked for by nobody, and meant for whoever asks next.
            reply(&mut wire, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").await;
            tell.notify_one();
            let _ = read_request(&mut wire).await;
        }
    })
    .await;
    let wiki = Wiki::at(upstream.address, ALL).await;
    for _ in 0..3 {
        let answer = wiki.ask("GET /", "", "").await;
        assert!(answer.ends_with("hello"), "{answer}");
        said.notified().await;
    }
}

#[tokio::test]
async fn a_request_that_may_have_arrived_is_not_sent_again() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let upstream = Recorder::scripted(move |first, mut wire| {
        let tell = tell.clone();
        async move {
            tell.send(first.line().to_owned()).unwrap();
            reply(&mut wire, KEPT).await;
            if let Some(second) = read_request(&mut wire).await {
                tell.send(second.line().to_owned()).unwrap();
            }
        }
    })
    .await;
    let wiki = Wiki::at(upstream.address, ALL).await;
    assert_eq!(status(&wiki.ask("GET /first", "", "").await), 200);
    assert_eq!(status(&wiki.ask("GET /second", "", "").await), 502);
    assert_eq!(status(&wiki.ask("GET /third", "", "").await), 200);
    let arrived: Vec<_> = std::iter::from_fn(|| told.try_recv().ok()).collect();
    assert_eq!(arrived, ["GET /first HTTP/1.1", "GET /second HTTP/1.1", "GET /third HTTP/1.1"]);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_broken_off_and_its_connection_gone() {
    let upstream = Recorder::scripted(|_, mut wire| async move {
        reply(&mut wire, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
    })
    .await;
    let wiki = Wiki::at(upstream.address, ALL).await;
    for number in 1..=2 {
        let answer = wiki.ask("GET /", "", "").await;
        assert!(answer.ends_with("hello"), "{answer}");
        let request = upstream.seen()[number - 1].values("bailiwick-request")[0].parse().unwrap();
        let entry = wiki.court.entry(request, |event| matches!(event, Event::Outcome { .. })).await;
        let Event::Outcome { sent, closed_by, .. } = entry.event else { unreachable!() };
        assert_eq!((sent, closed_by), (5, ClosedBy::UpstreamFault));
        assert_eq!(upstream.seen().len(), number);
    }
}

#[tokio::test]
async fn a_body_that_is_still_coming_belongs_to_no_other_request() {
    // Answers as soon as it has read the head, and never reads on.
    let (tell, mut told) = mpsc::unbounded_channel();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut wire = stream;
                let head = read_until(&mut wire, "\r\n\r\n").await;
                tell.send(head.lines().next().unwrap_or_default().to_owned()).unwrap();
                wire.write_all(KEPT.as_bytes()).await.unwrap();
                std::future::pending::<()>().await;
            });
        }
    });
    let wiki = Wiki::at(address, ALL).await;
    let mut stream = wiki.open("POST /slow", &format!("Origin: {ORIGIN}\r\nContent-Length: 50\r\n")).await;
    stream.write_all(b"GET /smuggled HTTP/1.1\r\n").await.unwrap();
    read_until(&mut stream, "hello").await;
    assert_eq!(status(&wiki.ask("GET /other", "", "").await), 200);
    let arrived: Vec<_> = std::iter::from_fn(|| told.try_recv().ok()).collect();
    assert_eq!(arrived, ["POST /slow HTTP/1.1", "GET /other HTTP/1.1"], "each on a connection of its own");
}

#[tokio::test]
async fn a_connection_that_its_upstream_has_closed_is_not_kept() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let upstream = Recorder::scripted(move |_, mut wire| {
        let tell = tell.clone();
        async move {
            reply(&mut wire, KEPT).await;
            wire.shutdown().await.unwrap();
            let more = read_request(&mut wire).await;
            tell.send(more.is_some()).unwrap();
        }
    })
    .await;
    let wiki = Wiki::at(upstream.address, ALL).await;
    assert_eq!(status(&wiki.ask("GET /", "", "").await), 200);
    let wait = Duration::from_secs(60);
    let asked_more = tokio::time::timeout(wait, told.recv()).await.expect("the connection is closed");
    assert_eq!(asked_more, Some(false));
}

#[tokio::test]
async fn whoever_reads_nothing_before_all_was_sent_can_send_all_of_it() {
    const MUCH: usize = 32 << 20;
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    // Answers while the request is still coming, and ends its answer only when it has all of it.
    tokio::spawn(async move {
        let (mut wire, _) = socket.accept().await.unwrap();
        let head = read_until(&mut wire, "\r\n\r\n").await;
        let (mut from, mut to) = wire.into_split();
        let answering = tokio::spawn(async move {
            to.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", MUCH + 7).as_bytes()).await.unwrap();
            to.write_all(&vec![b'a'; MUCH]).await.unwrap();
            to
        });
        let mut left = MUCH - (head.len() - head.find("\r\n\r\n").unwrap() - 4);
        let mut piece = vec![0; 1 << 16];
        while left > 0 {
            left -= from.read(&mut piece).await.unwrap();
        }
        answering.await.unwrap().write_all(b"the end").await.unwrap();
    });
    let wiki = Wiki::at(address, ALL).await;
    let mut stream = wiki.open("POST /both", &format!("Origin: {ORIGIN}\r\nContent-Length: {MUCH}\r\n")).await;
    let sent = timeout(SOON, stream.write_all(&vec![b'x'; MUCH])).await;
    sent.expect("the broker takes all of the body though its caller reads nothing").unwrap();
    read_until(&mut stream, "the end").await;
}

#[tokio::test]
async fn a_body_that_outlasts_its_answer_is_counted_to_its_end() {
    let (address, told) = answering_at_once(None).await;
    let wiki = Wiki::at(address, ALL).await;
    let mut stream = answered_early(&wiki, 12).await;
    stream.write_all(b"all ").await.unwrap();
    stream.write_all(b"the rest").await.unwrap();
    let arrived = told.await.unwrap();
    assert_eq!(String::from_utf8_lossy(&arrived.body), "all the rest");
    let entry = wiki.court.entry(arrived.request(), |event| matches!(event, Event::Outcome { .. })).await;
    let Event::Outcome { received, sent, closed_by, .. } = entry.event else { unreachable!() };
    assert_eq!((received, sent, closed_by), (12, 5, ClosedBy::Upstream));
}

#[tokio::test]
async fn a_body_that_its_caller_breaks_off_after_the_answer_is_not_called_complete() {
    let (address, told) = answering_at_once(None).await;
    let wiki = Wiki::at(address, ALL).await;
    let mut stream = answered_early(&wiki, 1000).await;
    stream.write_all(b"before").await.unwrap();
    drop(stream);
    let arrived = told.await.unwrap();
    assert_eq!(arrived.body, b"before");
    let entry = wiki.court.entry(arrived.request(), |event| matches!(event, Event::Outcome { .. })).await;
    let Event::Outcome { received, closed_by, .. } = entry.event else { unreachable!() };
    assert_eq!((received, closed_by), (6, ClosedBy::Caller));
}

#[tokio::test]
async fn a_body_that_outlasts_its_answer_ends_with_its_login() {
    let (address, told) = answering_at_once(None).await;
    let wiki = Wiki::at(address, ALL).await;
    let mut stream = answered_early(&wiki, 1000).await;
    stream.write_all(b"before").await.unwrap();
    eventually(async || (wiki.court.streams.count() == 1).then_some(())).await;
    let mut db = wiki.court.db.pool.acquire().await.unwrap();
    revoke(&mut db, RevokedKind::Login, wiki.caller.login.uuid(), "test", wiki.court.clock.now()).await.unwrap();
    let arrived = timeout(SOON, told).await.expect("the upstream sees the end").unwrap();
    assert_eq!(arrived.body, b"before");
    let entry = wiki.court.entry(arrived.request(), |event| matches!(event, Event::Outcome { .. })).await;
    let Event::Outcome { received, closed_by, .. } = entry.event else { unreachable!() };
    assert_eq!((received, closed_by), (6, ClosedBy::Revocation));
}

#[tokio::test]
async fn a_body_of_which_an_app_that_has_answered_takes_nothing_is_given_up() {
    let (address, mut told) = never_reading().await;
    let wiki = Wiki::waiting(Duration::from_secs(1), address, ALL).await;
    // First more than there is room for on the way, then what all has left the caller but not the broker.
    let (room, _) = given_up(&wiki, &mut told, 1 << 30).await;
    let length = room - KEPT_BY_HYPER / 2;
    let (received, taken) = given_up(&wiki, &mut told, length).await;
    assert_eq!(received, length);
    assert!(taken < length, "the rest never left the broker");
}

/// As much of a body as hyper keeps that cannot leave.
const KEPT_BY_HYPER: u64 = 400_000;

/// Sends a body of so many bytes to an app that never reads it: how many left the caller, and how many the broker.
async fn given_up(wiki: &Wiki, told: &mut mpsc::UnboundedReceiver<Unread>, length: u64) -> (u64, u64) {
    let mut stream = answered_early(wiki, length).await;
    let sending = tokio::spawn(async move {
        let piece = vec![b'x'; 1 << 16];
        let mut left = length;
        while left > 0 {
            let next = left.min(1 << 16);
            let Ok(()) = stream.write_all(&piece[..next as usize]).await else { return };
            left -= next;
        }
        std::future::pending::<()>().await;
    });
    let Unread { request, mut wire } = told.recv().await.unwrap();
    let entry = wiki.court.entry(request, |event| matches!(event, Event::Outcome { .. })).await;
    let Event::Outcome { received, sent, closed_by, .. } = entry.event else { unreachable!() };
    assert_eq!((sent, closed_by), (5, ClosedBy::Timeout));
    let mut taken = Vec::new();
    let ended = timeout(SOON, wire.read_to_end(&mut taken)).await;
    let _ = ended.expect("the connection is closed");
    sending.abort();
    (received, taken.len() as u64)
}

/// A request of which only the head was read.
struct Unread {
    request: RequestId,
    wire: TcpStream,
}

/// An app that has said all when it has read a request's head, and reads nothing more.
async fn never_reading() -> (SocketAddr, mpsc::UnboundedReceiver<Unread>) {
    let (tell, told) = mpsc::unbounded_channel();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut wire, _)) = socket.accept().await {
            let head = read_until(&mut wire, "\r\n\r\n").await;
            wire.write_all(KEPT.as_bytes()).await.unwrap();
            let request = Arrived { head, body: Vec::new() }.request();
            tell.send(Unread { request, wire }).unwrap();
        }
    });
    (address, told)
}

/// A request that has its whole answer, and whose body of so many bytes is still to come.
async fn answered_early(wiki: &Wiki, length: u64) -> TcpStream {
    let fields = format!("Origin: {ORIGIN}\r\nContent-Length: {length}\r\n");
    let mut stream = wiki.open("POST /early", &fields).await;
    read_until(&mut stream, "hello").await;
    stream
}
