//! What has ended reaches every broker, and every stream that hangs on it.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bailiwick::{
    access::Standing,
    audit::{ClosedBy, Event},
    model::{Caller, Clock, FrozenClock, Method, Timestamp},
    store::{feed::RevokedKind, revocation::revoke},
    streams::{Cause, StreamGuard, Streams, Watched},
};
use uuid::Uuid;

use crate::support::{
    SOON,
    audit::stopped,
    court::{Court, web},
    eventually,
    rows::{NOON, limits},
};

const READ: &str = r#"@id("read") permit (principal, action == Action::"GET", resource in App::"wiki");"#;

async fn standing(court: &Court, caller: &Caller) -> Arc<Standing> {
    court.gate.ask(caller, court.request(), web(Method::Get, "/events")).await.unwrap().standing()
}

async fn stream(court: &Court, caller: &Caller) -> StreamGuard {
    let standing = standing(court, caller).await;
    court.streams.enter(standing, court.request())
}

async fn end(court: &Court, kind: RevokedKind, target: Uuid) {
    revoke(&mut court.db.pool.acquire().await.unwrap(), kind, target, "an administrator ended it", NOON).await.unwrap();
}

async fn within(patience: Duration, guard: &StreamGuard) -> Option<Cause> {
    tokio::select! {
        cause = guard.closed() => Some(cause),
        () = tokio::time::sleep(patience) => None,
    }
}

#[tokio::test]
async fn a_login_that_ends_elsewhere_closes_its_stream_within_a_second_and_no_other() {
    let here = Court::under(READ).await;
    let there = here.another().await;
    let (alice, bob) = (here.caller("alice").await, here.caller("bob").await);
    let (hers, his) = (stream(&here, &alice).await, stream(&here, &bob).await);
    assert_eq!(here.streams.count(), 2);
    let mut quickest = Duration::MAX;
    for n in 0..5 {
        let another = here.caller(&format!("another-{n}")).await;
        let stream = stream(&here, &another).await;
        let began = Instant::now();
        end(&there, RevokedKind::Login, another.login.uuid()).await;
        stream.closed().await;
        quickest = quickest.min(began.elapsed());
    }
    // The machine may be busy, but not each time.
    assert!(quickest < Duration::from_secs(1), "it took {quickest:?}");
    end(&there, RevokedKind::Login, alice.login.uuid()).await;
    let cause = hers.closed().await;
    assert_eq!(cause.to_string(), "the login has ended: an administrator ended it");
    assert_eq!((cause.closed_by(), hers.cause()), (ClosedBy::Revocation, Some(cause.clone())));
    assert_eq!(his.cause(), None);
    drop(hers);
    assert_eq!(here.streams.count(), 1);
}

#[tokio::test]
async fn opening_and_closing_are_in_the_log() {
    let court = Court::under(READ).await;
    let alice = court.caller("alice").await;
    let (standing, request) = (standing(&court, &alice).await, court.request());
    let guard = court.streams.enter(standing, request);
    end(&court, RevokedKind::Person, alice.person.uuid()).await;
    guard.closed().await;
    let entry = court.entry(request, |event| matches!(event, Event::StreamClosed { .. })).await;
    let cause = "the person's access has ended: an administrator ended it".to_owned();
    assert_eq!(entry.event, Event::StreamClosed { stream: guard.id(), cause });
    court.entry(request, |event| *event == Event::StreamOpened { stream: guard.id() }).await;
}

#[tokio::test]
async fn a_stream_that_its_caller_leaves_is_closed_in_the_log_once() {
    let court = Court::under(READ).await;
    let alice = court.caller("alice").await;
    let (hers, request) = (standing(&court, &alice).await, court.request());
    let guard = court.streams.enter(hers, request);
    let id = guard.id();
    drop(guard);
    let left = court.entry(request, |event| matches!(event, Event::StreamClosed { .. })).await;
    let cause = "its caller or its upstream ended it".to_owned();
    assert_eq!(left.event, Event::StreamClosed { stream: id, cause });

    // One that the broker closed is not closed again when it leaves.
    let (hers, request) = (standing(&court, &alice).await, court.request());
    let guard = court.streams.enter(hers, request);
    end(&court, RevokedKind::Person, alice.person.uuid()).await;
    guard.closed().await;
    drop(guard);
    drop(court.log.append(stopped()).await.unwrap());
    let kinds: Vec<_> = court.entries(request).await.iter().map(|entry| entry.event.kind()).collect();
    assert_eq!(kinds, ["stream-opened", "stream-closed"]);
}

#[tokio::test]
async fn a_stream_that_enters_after_its_login_ended_is_closed_at_once() {
    let court = Court::under(READ).await;
    let alice = court.caller("alice").await;
    let standing = standing(&court, &alice).await;
    end(&court, RevokedKind::Login, alice.login.uuid()).await;
    eventually(async || court.feed.recent(alice.login.uuid())).await;
    assert!(matches!(court.streams.enter(standing, court.request()).cause(), Some(Cause::Ended { .. })));
}

#[tokio::test]
async fn rules_that_no_longer_allow_it_close_a_stream() {
    let court = Court::under(READ).await;
    let alice = court.caller("alice").await;
    let guard = stream(&court, &alice).await;
    court.rewrite(&format!(
        "{READ}\n@id(\"more\") permit (principal, action == Action::\"POST\", resource in App::\"wiki\");"
    ));
    court.live.changed().changed().await.unwrap();
    court.rewrite(r#"@id("none") forbid (principal, action, resource);"#);
    assert_eq!(guard.closed().await, Cause::RuleChanged);
    let rules = court.live.rules();
    assert_eq!((rules.count(), rules.texts().policies.contains("none")), (1, true));
}

#[tokio::test]
async fn a_login_that_reaches_a_time_limit_closes_its_streams() {
    let court = Court::under(READ).await;
    let guard = stream(&court, &court.caller("alice").await).await;
    court.clock.advance(limits().idle + Duration::from_secs(1));
    assert_eq!(guard.closed().await, Cause::Expired);
}

#[tokio::test]
async fn without_the_database_all_streams_are_closed() {
    let court = Court::under(READ).await;
    let guard = stream(&court, &court.caller("alice").await).await;
    assert_eq!(within(Duration::ZERO, &guard).await, None);
    court.db.cut_off().await;
    let cause = guard.closed().await;
    assert!(matches!(cause, Cause::FeedStale | Cause::LogDead), "{cause}");
    court.db.restore().await;
}

#[tokio::test]
async fn a_broker_that_stops_waits_for_its_streams_to_leave_but_not_for_ever() {
    let court = Court::under(READ).await;
    let alice = court.caller("alice").await;
    let (leaves, stays) = (stream(&court, &alice).await, stream(&court, &alice).await);
    tokio::spawn(async move {
        assert_eq!(leaves.closed().await, Cause::Stopping);
        drop(leaves);
    });
    let stays = tokio::spawn(async move {
        let _stays = stays;
        pending::<()>().await;
    });
    court.streams.drain(Duration::from_millis(200)).await;
    assert_eq!(court.streams.count(), 1);
    stays.abort();
    court.streams.drain(Duration::from_secs(30)).await;
    assert_eq!(court.streams.count(), 0);
}

#[tokio::test]
async fn without_the_watch_over_what_expires_every_stream_closes_and_the_broker_is_told() {
    let court = Court::under(READ).await;
    let alice = court.caller("alice").await;
    let clock = Arc::new(Breaking { clock: Arc::clone(&court.clock), breaks: AtomicBool::new(false) });
    let (feed, gate, log) = (court.feed.clone(), court.gate.clone(), court.log.clone());
    let watched = Watched { feed, gate, log, pool: court.db.pool.clone(), idle: limits().idle };
    let (streams, watch) = Streams::open(watched, clock.clone(), court.entropy.clone());
    let guard = streams.enter(standing(&court, &alice).await, court.request());
    assert_eq!(guard.cause(), None);
    // Nobody but the watch over what expires asks for the time of a stream that merely goes on.
    clock.breaks.store(true, Ordering::SeqCst);
    assert_eq!(within(SOON, &guard).await, Some(Cause::Stopping));
    assert!(watch.await.is_ok(), "whoever stops the broker when it ends sees it end");
}

/// A clock at which whoever asks next breaks down.
struct Breaking {
    clock: Arc<FrozenClock>,
    breaks: AtomicBool,
}

impl Clock for Breaking {
    fn now(&self) -> Timestamp {
        assert!(!self.breaks.swap(false, Ordering::SeqCst), "the clock is broken");
        self.clock.now()
    }
}
