//! The feed of what has ended, and the texts that decisions name: the statements behind them, on a real Postgres.

use bailiwick::store::{
    feed::{Feed, RevokedKind, STALE_AFTER},
    policy_text::{TextKind, keep_policy_text, unchecked_text},
    revocation::{News, newest_position, news_after, revoke},
};
use sqlx::Connection as _;
use uuid::Uuid;

use crate::support::{database, eventually, rows::NOON};

#[tokio::test]
async fn the_feed_tells_every_broker_in_order_and_from_its_beginning_on() {
    let db = database().await;
    let mut connection = db.pool.acquire().await.unwrap();
    let [old, first, second] = [1, 2, 3].map(Uuid::from_u128);
    revoke(&mut connection, RevokedKind::Person, old, "long ago", NOON).await.unwrap();
    let feeds = [
        Feed::open(db.pool.clone()).await.unwrap().0,
        Feed::open(db.another_pool("bailiwick_broker")).await.unwrap().0,
    ];
    let mut news = feeds.each_ref().map(Feed::subscribe);
    revoke(&mut connection, RevokedKind::Login, first, "signed out", NOON).await.unwrap();
    revoke(&mut connection, RevokedKind::Credential, second, "lost", NOON).await.unwrap();
    for (feed, news) in feeds.iter().zip(&mut news) {
        let heard = [news.recv().await.unwrap(), news.recv().await.unwrap()];
        assert_eq!(
            heard.each_ref().map(|revoked| (revoked.kind, revoked.target, revoked.cause.as_str())),
            [(RevokedKind::Login, first, "signed out"), (RevokedKind::Credential, second, "lost"),]
        );
        assert_eq!(heard[1].position.0, heard[0].position.0 + 1);
        assert_eq!(feed.recent(second), Some(heard[1].clone()));
        assert_eq!(feed.recent(old), None);
        eventually(async || (feed.freshness() == Ok(heard[1].position)).then_some(())).await;
    }
}

#[tokio::test]
async fn what_is_undone_was_never_told() {
    let db = database().await;
    let mut connection = db.pool.acquire().await.unwrap();
    let before = newest_position(&mut connection).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    revoke(&mut transaction, RevokedKind::AppSession, Uuid::from_u128(1), "undone", NOON).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(news_after(&mut connection, before).await.unwrap(), []);
    revoke(&mut connection, RevokedKind::AppSession, Uuid::from_u128(2), "done", NOON).await.unwrap();
    let told = news_after(&mut connection, before).await.unwrap();
    let [News::Ended(told)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((told.target, told.position), (Uuid::from_u128(2), newest_position(&mut connection).await.unwrap()));
}

#[tokio::test]
async fn a_feed_that_cannot_be_read_is_stale_after_three_seconds_and_catches_up_later() {
    let db = database().await;
    let (feed, _) = Feed::open(db.pool.clone()).await.unwrap();
    let mut news = feed.subscribe();
    db.cut_off().await;
    let stale = eventually(async || feed.freshness().err()).await;
    assert!(stale.0 >= STALE_AFTER, "{stale}");
    db.restore().await;
    let target = Uuid::from_u128(3);
    let mut connection = eventually(async || db.owner.acquire().await.ok()).await;
    revoke(&mut connection, RevokedKind::Login, target, "while nobody looked", NOON).await.unwrap();
    assert_eq!(news.recv().await.unwrap().target, target);
    eventually(async || feed.freshness().ok()).await;
}

#[tokio::test]
async fn a_text_is_kept_once_under_its_hash() {
    let db = database().await;
    let mut connection = db.pool.acquire().await.unwrap();
    for _ in 0..2 {
        keep_policy_text(&mut connection, TextKind::Policies, "permit (…);", NOON).await.unwrap();
    }
    let hash = hex::decode("a523db3dc39793d10f43cb62e99f86582172daa54be4240740f036291b029569");
    let hash = hash.unwrap().try_into().unwrap();
    let kept = unchecked_text(&mut connection, TextKind::Policies, &hash).await.unwrap();
    assert_eq!(kept.as_deref(), Some("permit (…);"));
    assert_eq!(unchecked_text(&mut connection, TextKind::Entities, &hash).await.unwrap(), None);
}
