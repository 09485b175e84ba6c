//! What a broker that died or stopped left open: those who live say what became of it, once.

use std::time::Duration;

use bailiwick::{
    audit::Event,
    model::{RequestId, StreamId, Verdict},
};
use sqlx::PgPool;
use uuid::Uuid;

use crate::support::{
    audit::{caller, decision, entries, kinds, log, of_request, outcome, request},
    database, eventually,
};

#[tokio::test]
async fn what_a_dead_broker_left_open_is_closed_once_by_those_who_live() {
    let db = database().await;
    let (dead, tasks) = log(&db.pool).await;
    for n in 0..4 {
        drop(dead.append(decision(n, if n == 3 { Verdict::Deny } else { Verdict::Allow })).await.unwrap());
    }
    dead.note(outcome(1));
    let [ended, left_open] = [StreamId::from_uuid(Uuid::from_u128(1)), StreamId::from_uuid(Uuid::from_u128(2))];
    dead.note(of_request(1, Event::StreamOpened { stream: ended }));
    dead.note(of_request(1, Event::StreamClosed { stream: ended, cause: "its caller ended it".into() }));
    dead.note(of_request(2, Event::StreamOpened { stream: left_open }));
    eventually(async || (kinds(&db.pool).await.len() == 8).then_some(())).await;
    drop(tasks);

    let (one, _one) = log(&db.pool).await;
    let (two, _two) = log(&db.pool).await;
    drop(one.append(decision(20, Verdict::Allow)).await.unwrap());
    eventually(async || {
        let (left,): (i64,) =
            sqlx::query_as("select count(*) from broker where swept_at is null").fetch_one(&db.owner).await.unwrap();
        (left == 2).then_some(())
    })
    .await;
    let unknown: Vec<_> = entries(&db.pool)
        .await
        .into_iter()
        .filter(|entry| entry.event == Event::UnknownOutcome { of: dead.broker() })
        .collect();
    assert_eq!(unknown.iter().map(|entry| entry.request).collect::<Vec<_>>(), [Some(request(0)), Some(request(2))]);
    assert_eq!(unknown[0].caller, Some(caller()));
    assert_eq!(ends_of_streams(&db.pool).await, [(Some(request(1)), ended), (Some(request(2)), left_open)]);
    assert!(two.alive() && one.alive());
}

#[tokio::test]
async fn a_stream_of_a_dead_broker_is_closed_even_if_its_requests_outcome_came_first() {
    let db = database().await;
    let (dead, tasks) = log(&db.pool).await;
    drop(dead.append(decision(0, Verdict::Allow)).await.unwrap());
    let stream = StreamId::from_uuid(Uuid::from_u128(1));
    dead.note(of_request(0, Event::StreamOpened { stream }));
    dead.note(outcome(0));
    eventually(async || (kinds(&db.pool).await.len() == 3).then_some(())).await;
    // It says where the search is to begin.
    let beat = "select open_from from broker";
    eventually(async || (sqlx::query_scalar::<_, i64>(beat).fetch_one(&db.owner).await.unwrap() == 1).then_some(()))
        .await;
    drop(tasks);
    let (_heir, _tasks) = log(&db.pool).await;
    let ends = eventually(async || Some(ends_of_streams(&db.pool).await).filter(|ends| !ends.is_empty())).await;
    assert_eq!(ends, [(Some(request(0)), stream)]);
    let last = entries(&db.pool).await.pop().unwrap();
    assert_eq!(last.event, Event::StreamClosed { stream, cause: "its broker says nothing any more".into() });
}

#[tokio::test]
async fn a_broker_that_stopped_in_good_order_leaves_nothing_to_clear_up() {
    let db = database().await;
    let (first, tasks) = log(&db.pool).await;
    drop(first.append(decision(1, Verdict::Allow)).await.unwrap());
    first.note(outcome(1));
    tasks.stop(Duration::from_secs(20)).await;
    let (_second, _tasks) = log(&db.pool).await;
    eventually(async || {
        let (swept,): (i64,) = sqlx::query_as("select count(*) from broker where swept_at is not null")
            .fetch_one(&db.owner)
            .await
            .unwrap();
        (swept == 1).then_some(())
    })
    .await;
    assert_eq!(kinds(&db.pool).await, ["decision", "outcome"]);
}

/// Which streams of which requests the log says have closed, in its order.
async fn ends_of_streams(pool: &PgPool) -> Vec<(Option<RequestId>, StreamId)> {
    let ends = entries(pool).await.into_iter().filter_map(|entry| match entry.event {
        Event::StreamClosed { stream, .. } => Some((entry.request, stream)),
        _ => None,
    });
    ends.collect()
}
