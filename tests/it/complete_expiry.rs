//! What runs out is cleared away, and what ends by itself is in the log as if somebody had ended it.

use std::{sync::Arc, time::Duration};

use bailiwick::{
    audit::Event,
    config,
    identity::{Invitations, Maintenance, maintenance::Cleared},
    model::{CeremonyId, Clock as _, FrozenClock, SystemEntropy, Timestamp},
    store::{
        ceremony::{self, Purpose},
        command_line_grant, handover, login, maintenance, session,
    },
};

use crate::support::{
    audit::{entries, limits, log_at},
    database,
    rows::{self, NOON, half_login, whole_login},
};

const HOUR: Duration = Duration::from_secs(60 * 60);

#[tokio::test]
async fn a_login_past_a_limit_ends_with_its_entry_and_its_cause() {
    let db = database().await;
    let clock = Arc::new(FrozenClock::at(NOON));
    let (log, _tasks) = log_at(&db.pool, clock.clone(), limits()).await;
    let config::Login { idle, absolute, .. } = rows::limits();
    let maintenance = Maintenance::new(db.pool.clone(), log, clock.clone(), idle);
    let (idler, busy) = (whole_login(&db.pool, "idler").await, whole_login(&db.pool, "busy").await);
    let round = async || maintenance.round().await.unwrap();

    move_to(&clock, NOON.plus(idle).minus(Duration::from_secs(1)));
    login::touch(&db.pool, busy.login, clock.now(), clock.now()).await.unwrap();
    assert_eq!(round().await, Some(Cleared::default()), "nobody is past a limit yet");
    move_to(&clock, NOON.plus(idle));
    assert_eq!(round().await, Some(Cleared { rows: 0, logins: 1 }));
    assert_eq!(round().await, Some(Cleared::default()), "it ends once");
    move_to(&clock, NOON.plus(absolute));
    login::touch(&db.pool, busy.login, clock.now(), clock.now()).await.unwrap();
    assert_eq!(round().await, Some(Cleared { rows: 0, logins: 1 }), "used to the last, and over all the same");

    let ended = entries(&db.pool).await.into_iter().map(|entry| match entry.event {
        Event::LoginEnded { login, owner, cause } => (login, owner.subject, cause),
        other => panic!("{other:?}"),
    });
    let expected =
        [(idler.login, "idler".to_owned(), "idle".to_owned()), (busy.login, "busy".to_owned(), "expired".to_owned())];
    assert_eq!(ended.collect::<Vec<_>>(), expected);
    let row = login::login(&db.pool, idler.login).await.unwrap().unwrap();
    assert_eq!((row.ended_at, row.end_cause.as_deref()), (Some(NOON.plus(idle)), Some("idle")));
    let (revoked,): (i64,) = sqlx::query_as("select count(*) from revocation where kind = 'login' and position > 0")
        .fetch_one(&db.owner)
        .await
        .unwrap();
    assert_eq!(revoked, 2, "every broker hears of it");
}

#[tokio::test]
async fn sessions_ceremonies_and_codes_go_when_they_have_expired_and_not_before() {
    let db = database().await;
    let clock = Arc::new(FrozenClock::at(NOON));
    let (log, _tasks) = log_at(&db.pool, clock.clone(), limits()).await;
    let maintenance = Maintenance::new(db.pool.clone(), log, clock.clone(), 24 * HOUR);
    let caller = half_login(&db.pool, "ada").await;
    let app = "wiki".parse().unwrap();
    for (nth, expires_at) in (0_u8..).zip([NOON.plus(HOUR), NOON.plus(2 * HOUR)]) {
        let (hash, bag) = (vec![nth], serde_json::json!({}));
        assert!(session::insert(&db.pool, &hash, None, &bag, NOON, expires_at).await.unwrap());
        let id = CeremonyId::random(&SystemEntropy);
        ceremony::insert(&db.pool, id, None, Purpose::SignIn, &bag, NOON, expires_at).await.unwrap();
        handover::insert(&db.pool, &hash, &hash, caller.login, &app, "/", expires_at).await.unwrap();
        command_line_grant::insert(&db.pool, &hash, "challenge", caller.login, expires_at).await.unwrap();
    }
    let left = async || {
        let count = "select (select count(*) from session) + (select count(*) from ceremony)
                          + (select count(*) from handover) + (select count(*) from command_line_grant)";
        let (left,): (i64,) = sqlx::query_as(count).fetch_one(&db.owner).await.unwrap();
        left
    };
    assert_eq!((maintenance.round().await.unwrap(), left().await), (Some(Cleared::default()), 8));
    move_to(&clock, NOON.plus(HOUR));
    assert_eq!((maintenance.round().await.unwrap(), left().await), (Some(Cleared { rows: 4, logins: 0 }), 4));

    // Another broker is at it.
    let mut held = db.pool.begin().await.unwrap();
    assert!(maintenance::try_lock(&mut *held).await.unwrap());
    move_to(&clock, NOON.plus(2 * HOUR));
    assert_eq!((maintenance.round().await.unwrap(), left().await), (None, 4));
    held.rollback().await.unwrap();
    assert_eq!((maintenance.round().await.unwrap(), left().await), (Some(Cleared { rows: 4, logins: 0 }), 0));
}

#[tokio::test]
async fn an_invitation_says_whether_another_one_stood() {
    let db = database().await;
    let clock = Arc::new(FrozenClock::at(NOON));
    let (log, _tasks) = log_at(&db.pool, clock.clone(), limits()).await;
    let invitations = Invitations::new(log, clock.clone(), Arc::new(SystemEntropy));
    let person = rows::identity("ada");
    let first = invitations.invite_as_operator(&person, "Ada").await.unwrap();
    move_to(&clock, NOON.plus(HOUR));
    invitations.invite_as_operator(&person, "Ada").await.unwrap();
    let before = entries(&db.pool).await.into_iter().map(|entry| match entry.event {
        Event::Invited { before, .. } => before,
        other => panic!("{other:?}"),
    });
    assert_eq!(before.collect::<Vec<_>>(), [None, Some(first)]);
}

fn move_to(clock: &FrozenClock, at: Timestamp) {
    clock.advance(at.since(clock.now()));
}
