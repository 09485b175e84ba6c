//! Callers that are remembered: found again without a look, and never for longer than their rows say the same.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use bailiwick::{
    identity::{Callers, NotPresented},
    model::{AppName, AppSessionId, AssuranceLevel, Caller, Clock as _, FrozenClock, SystemEntropy, Timestamp},
    store::{
        app_session,
        feed::{Feed, RevokedKind},
        login, revocation,
    },
};
use sqlx::Connection as _;

use crate::support::{
    TestDb, database, eventually,
    rows::{HOME, NOON, clock, limits, whole_login},
};

/// A broker's memory on a database that others share.
struct Remembering {
    callers: Callers,
    feed: Feed,
    clock: Arc<FrozenClock>,
}

impl Remembering {
    async fn on(db: &TestDb) -> Self {
        let pool = db.another_pool("bailiwick_broker");
        let (feed, _) = Feed::open_within(pool.clone(), crate::support::audit::STALE_AFTER).await.unwrap();
        let clock = clock();
        let callers = Callers::new(pool, clock.clone(), limits(), None).remembering(feed.clone());
        Self { callers, feed, clock }
    }

    async fn ask(&self, cookie: &str) -> Result<Caller, NotPresented> {
        self.callers.from_app_cookie(cookie, &wiki(), HOME).await.map(|caller| caller.to_value())
    }

    /// Until what was committed so far is known here.
    async fn has_heard(&self, db: &TestDb) {
        let mut connection = db.owner.acquire().await.unwrap();
        let newest = revocation::newest_position(&mut connection).await.unwrap();
        eventually(async || self.feed.freshness().ok().filter(|position| *position >= newest)).await;
    }
}

fn wiki() -> AppName {
    "wiki".parse().unwrap()
}

async fn app_session(db: &TestDb, caller: &Caller, cookie: &str) -> AppSessionId {
    let id = AppSessionId::random(&SystemEntropy);
    let hash = digest(&SHA256, cookie.as_bytes());
    app_session::insert(&db.pool, id, hash.as_ref(), caller.login, &wiki(), NOON).await.unwrap();
    id
}

/// Ends a login as a broker does.
async fn end(db: &TestDb, caller: &Caller, at: Timestamp) {
    let mut connection = db.pool.acquire().await.unwrap();
    let mut change = connection.begin().await.unwrap();
    assert!(login::end(&mut *change, caller.login, "test", at).await.unwrap());
    revocation::revoke(&mut change, RevokedKind::Login, caller.login.uuid(), "test", at).await.unwrap();
    change.commit().await.unwrap();
}

#[tokio::test]
async fn whoever_was_found_is_found_again_without_a_look_at_their_rows() {
    let db = database().await;
    let broker = Remembering::on(&db).await;
    let alice = whole_login(&db.pool, "alice").await;
    app_session(&db, &alice, "a").await;
    // Or the making of the login would be news, and the rows be looked up once more.
    broker.has_heard(&db).await;
    let found = broker.ask("a").await.unwrap();
    // As if nobody had been told: only then is it seen that nobody looked.
    for statement in [
        "alter table login disable trigger all",
        "update login set groups = '{admins}'",
        "alter table login enable trigger all",
    ] {
        sqlx::query(statement).execute(&db.owner).await.unwrap();
    }
    assert_eq!(broker.ask("a").await.unwrap(), found);
    let elsewhere = broker.callers.from_app_cookie("a", &wiki(), "192.0.2.9".parse().unwrap()).await.unwrap();
    assert_eq!(elsewhere.address.to_string(), "192.0.2.9", "where they come from is new each time");
    let other = broker.callers.from_app_cookie("a", &"other".parse().unwrap(), HOME).await;
    assert!(matches!(other, Err(NotPresented::WrongScope)), "{other:?}");
    assert!(matches!(broker.callers.from_token("a", HOME).await, Err(NotPresented::Unknown)), "a cookie is no token");
    broker.clock.advance(Duration::from_secs(60));
    assert_eq!(broker.ask("a").await.unwrap().groups, ["admins"], "once a minute they are looked up in any case");
}

#[tokio::test]
async fn what_is_ended_anywhere_is_refused_at_the_next_request_after_the_feed_tells() {
    let db = database().await;
    let (one, other) = (Remembering::on(&db).await, Remembering::on(&db).await);
    let (alice, bob, carol) = (
        whole_login(&db.pool, "alice").await,
        whole_login(&db.pool, "bob").await,
        whole_login(&db.pool, "carol").await,
    );
    app_session(&db, &alice, "a").await;
    let of_bob = app_session(&db, &bob, "b").await;
    app_session(&db, &carol, "c").await;
    for broker in [&one, &other] {
        for cookie in ["a", "b", "c"] {
            broker.ask(cookie).await.unwrap();
        }
    }
    end(&db, &alice, NOON).await;
    app_session::end(&db.pool, of_bob, NOON).await.unwrap();
    one.callers.catch_up().await;
    assert!(matches!(one.ask("a").await, Err(NotPresented::Ended)), "whoever asked for it sees it at once");
    other.has_heard(&db).await;
    for broker in [&one, &other] {
        assert!(matches!(broker.ask("a").await, Err(NotPresented::Ended)));
        assert!(matches!(broker.ask("b").await, Err(NotPresented::Revoked)));
        broker.ask("c").await.unwrap();
    }
    sqlx::query("update login set ended_at = now(), end_cause = 'by hand' where ended_at is null")
        .execute(&db.owner)
        .await
        .unwrap();
    other.has_heard(&db).await;
    assert!(matches!(other.ask("c").await, Err(NotPresented::Ended)), "the database itself tells");
}

#[tokio::test]
async fn a_passkey_shown_again_and_a_new_name_are_seen_at_once() {
    let db = database().await;
    let broker = Remembering::on(&db).await;
    let alice = whole_login(&db.pool, "alice").await;
    app_session(&db, &alice, "a").await;
    let before = broker.ask("a").await.unwrap();
    let later = NOON.plus(Duration::from_secs(30));
    broker.clock.advance(Duration::from_secs(30));
    assert!(login::assure(&db.pool, alice.login, later).await.unwrap());
    broker.callers.catch_up().await;
    let after = broker.ask("a").await.unwrap();
    assert_eq!((before.assurance.at, after.assurance.at), (NOON, later));
    sqlx::query("update person set name = 'Alice the Second'").execute(&db.owner).await.unwrap();
    broker.has_heard(&db).await;
    assert_eq!(broker.ask("a").await.unwrap().identity.name, "Alice the Second");
}

#[tokio::test]
async fn limits_of_time_are_kept_without_a_look() {
    let db = database().await;
    let broker = Remembering::on(&db).await;
    let alice = whole_login(&db.pool, "alice").await;
    app_session(&db, &alice, "a").await;
    sqlx::query("update login set expires_at = $1")
        .bind(NOON.plus(Duration::from_secs(20)).to_datetime())
        .execute(&db.owner)
        .await
        .unwrap();
    broker.has_heard(&db).await;
    broker.ask("a").await.unwrap();
    broker.clock.advance(Duration::from_secs(19));
    broker.ask("a").await.unwrap();
    broker.clock.advance(Duration::from_secs(1));
    assert!(matches!(broker.ask("a").await, Err(NotPresented::Expired)));
    assert!(broker.clock.now() > alice.assurance.at && alice.assurance.level == AssuranceLevel::Passkey);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_memory_that_is_filled_while_a_login_ends_does_not_outlive_it() {
    let db = database().await;
    let broker = Arc::new(Remembering::on(&db).await);
    for round in 0..25 {
        let alice = whole_login(&db.pool, &format!("alice{round}")).await;
        let cookie = format!("a{round}");
        app_session(&db, &alice, &cookie).await;
        let over = Arc::new(AtomicBool::new(false));
        let asking: Vec<_> = (0..6)
            .map(|_| {
                let (broker, over, cookie) = (Arc::clone(&broker), Arc::clone(&over), cookie.clone());
                tokio::spawn(async move {
                    while !over.load(Ordering::SeqCst) {
                        let _ = broker.ask(&cookie).await;
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        // Each new name is forgotten and found anew, so that somebody is always about to be put away.
        for name in 0..4 {
            let rename = sqlx::query("update person set name = $1 where id = $2").bind(format!("{name}"));
            rename.bind(alice.person.uuid()).execute(&db.owner).await.unwrap();
        }
        end(&db, &alice, NOON).await;
        broker.has_heard(&db).await;
        for _ in 0..50 {
            let after = broker.ask(&cookie).await;
            assert!(matches!(after, Err(NotPresented::Ended)), "round {round}: {after:?}");
        }
        over.store(true, Ordering::SeqCst);
        for task in asking {
            task.await.unwrap();
        }
    }
}

#[tokio::test]
async fn rows_that_were_read_before_a_login_ended_do_not_hold_however_late_they_are_put_away() {
    let db = database().await;
    let broker = Remembering::on(&db).await;
    let alice = whole_login(&db.pool, "alice").await;
    let bob = whole_login(&db.pool, "bob").await;
    broker.has_heard(&db).await;
    let noted = broker.feed.note().unwrap();
    assert!(broker.feed.holds(&noted, &[alice.login.uuid()]));
    end(&db, &alice, NOON).await;
    broker.has_heard(&db).await;
    assert!(!broker.feed.holds(&noted, &[bob.login.uuid(), alice.login.uuid()]));
    assert!(broker.feed.holds(&noted, &[bob.login.uuid()]), "nothing has happened to bob");
    assert!(broker.feed.holds(&broker.feed.note().unwrap(), &[alice.login.uuid()]), "what is read now shows it");
    db.cut_off().await;
    eventually(async || broker.feed.freshness().err()).await;
    assert!(!broker.feed.holds(&noted, &[bob.login.uuid()]), "a stale feed holds nothing");
    assert!(broker.feed.note().is_err());
}
