//! Sinks that fail: away for long, slow, refusing one entry or all of them, sending elsewhere.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::http::StatusCode;
use bailiwick::{
    config::{BatchFormat, Collector, OnReject},
    shipping::collector::Pace,
};

use super::{Endpoint, cursor, fill, http, pace, ship, skipped, to, until_failing, until_shipped};
use crate::support::{database, eventually};

#[tokio::test]
async fn an_outage_loses_nothing() {
    let db = database().await;
    let is_up = Arc::new(AtomicBool::new(false));
    let tries = Arc::new(AtomicUsize::new(0));
    let (up, counted) = (Arc::clone(&is_up), Arc::clone(&tries));
    let endpoint = Endpoint::start(BatchFormat::Ndjson, move |_| {
        counted.fetch_add(1, SeqCst);
        let status = if up.load(SeqCst) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        Box::pin(async move { status })
    })
    .await;
    let collectors = ship(&db.pool, to(http(&endpoint.url, BatchFormat::Ndjson)), pace()).await;
    fill(&db.pool, 100).await;
    let fault = until_failing(&db.pool).await.fault.unwrap();
    assert!(fault.contains("503"), "{fault}");
    fill(&db.pool, 100).await;
    eventually(async || (tries.load(SeqCst) > 5).then_some(())).await;
    let figures = collectors.figures();
    assert!(figures.is_failing && figures.failures > 4 && figures.next == 0, "{figures:?}");
    is_up.store(true, SeqCst);
    assert_eq!(until_shipped(&db.pool, 200).await.fault, None);
    assert_eq!(endpoint.taken(), (0..200).collect::<Vec<_>>());
    let figures = eventually(async || Some(collectors.figures()).filter(|it| it.lag == 0)).await;
    assert!(!figures.is_failing && figures.shipped == 200, "{figures:?}");
}

#[tokio::test]
async fn a_sink_that_is_slow_for_many_gets_fewer_at_once() {
    let db = database().await;
    fill(&db.pool, 40).await;
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&sizes);
    let endpoint = Endpoint::start(BatchFormat::Ndjson, move |batch| {
        seen.lock().unwrap().push(batch.len());
        Box::pin(async move {
            if batch.len() > 4 {
                std::future::pending::<()>().await;
            }
            StatusCode::OK
        })
    })
    .await;
    let quick = Pace { send: Duration::from_secs(1), ..pace() };
    let collector = Collector { batch: 500, ..to(http(&endpoint.url, BatchFormat::Ndjson)) };
    let _collectors = ship(&db.pool, collector, quick).await;
    let fault = until_failing(&db.pool).await.fault.unwrap();
    assert!(fault.contains("it took longer than 1s, with 40 entries at once"), "{fault}");
    until_shipped(&db.pool, 40).await;
    endpoint.assert_complete(40);
    assert_eq!(sizes.lock().unwrap()[..4], [40, 20, 10, 5], "what was sent is halved, whatever might have been");
}

#[tokio::test]
async fn an_entry_that_is_refused_holds_the_others_back_until_somebody_acts() {
    let db = database().await;
    fill(&db.pool, 50).await;
    let is_healed = Arc::new(AtomicBool::new(false));
    let healed = Arc::clone(&is_healed);
    let endpoint = Endpoint::start(BatchFormat::JsonArray, move |batch| {
        let is_bad = batch.contains(&17) && !healed.load(SeqCst);
        Box::pin(async move { if is_bad { StatusCode::BAD_REQUEST } else { StatusCode::OK } })
    })
    .await;
    let collectors = ship(&db.pool, to(http(&endpoint.url, BatchFormat::JsonArray)), pace()).await;
    let fault = eventually(async || cursor(&db.pool).await?.fault).await;
    assert!(fault.contains("refuses entry 17 (decision): HTTP 400"), "{fault}");
    assert_eq!(cursor(&db.pool).await.unwrap().next_leaf, 17);
    assert_eq!(endpoint.taken(), (0..17).collect::<Vec<_>>());
    assert!(collectors.figures().rejected > 0);
    is_healed.store(true, SeqCst);
    until_shipped(&db.pool, 50).await;
    assert_eq!(endpoint.taken(), (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_entry_that_is_refused_is_left_out_and_recorded_where_that_is_wanted() {
    let db = database().await;
    fill(&db.pool, 50).await;
    let endpoint = Endpoint::start(BatchFormat::JsonArray, |batch| {
        let is_bad = batch.contains(&17) || batch.contains(&18);
        Box::pin(async move { if is_bad { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK } })
    })
    .await;
    let wanted = Collector { on_reject: OnReject::Skip, ..to(http(&endpoint.url, BatchFormat::JsonArray)) };
    let _collectors = ship(&db.pool, wanted, pace()).await;
    let cursor = until_shipped(&db.pool, 52).await;
    assert_eq!((cursor.shipped, cursor.skipped), (50, 2));
    assert_eq!(endpoint.taken(), (0..52).filter(|n| ![17, 18].contains(n)).collect::<Vec<_>>());
    let skips: Vec<(i64, String)> =
        sqlx::query_as("select from_leaf, why from collector_skip order by 1").fetch_all(&db.owner).await.unwrap();
    assert_eq!(skips.iter().map(|(leaf, _)| *leaf).collect::<Vec<_>>(), [17, 18]);
    assert!(skips[0].1.contains("it refuses entry 17 (decision): HTTP 422"), "{skips:?}");
    let told = skipped(&db.pool).await;
    assert_eq!(told, [(17, 18, skips[0].1.clone()), (18, 19, skips[1].1.clone())], "the log says so");
}

#[tokio::test]
async fn what_the_log_cannot_tell_of_is_not_left_out() {
    let db = database().await;
    fill(&db.pool, 50).await;
    // The database takes every entry but the one that says so.
    let deaf = "create function deaf() returns trigger language plpgsql as
                    $$ begin raise exception 'it is not written'; end $$;
                create trigger deaf before insert on entry for each row
                    when (new.kind = 'collector-skipped') execute function deaf()";
    sqlx::raw_sql(deaf).execute(&db.owner).await.unwrap();
    let endpoint = Endpoint::start(BatchFormat::Ndjson, |batch| {
        let is_bad = batch.contains(&17);
        Box::pin(async move { if is_bad { StatusCode::BAD_REQUEST } else { StatusCode::OK } })
    })
    .await;
    let wanted = Collector { on_reject: OnReject::Skip, ..to(http(&endpoint.url, BatchFormat::Ndjson)) };
    let collectors = ship(&db.pool, wanted, pace()).await;
    eventually(async || (collectors.figures().rejected > 2).then_some(())).await;
    let stands = cursor(&db.pool).await.unwrap();
    assert_eq!((stands.next_leaf, stands.skipped), (17, 0));
    let (rows,): (i64,) = sqlx::query_as("select count(*) from collector_skip").fetch_one(&db.owner).await.unwrap();
    assert_eq!((rows, endpoint.taken()), (0, (0..17).collect()));
    sqlx::raw_sql("drop trigger deaf on entry").execute(&db.owner).await.unwrap();
    until_shipped(&db.pool, 51).await;
    assert_eq!(endpoint.taken(), (0..51).filter(|n| *n != 17).collect::<Vec<_>>());
    assert_eq!(skipped(&db.pool).await.len(), 1);
}

#[tokio::test]
async fn a_sink_that_refuses_everything_is_not_fed_into_the_void() {
    let db = database().await;
    fill(&db.pool, 50).await;
    let endpoint = Endpoint::start(BatchFormat::Ndjson, |_| Box::pin(async { StatusCode::BAD_REQUEST })).await;
    let wanted = Collector { on_reject: OnReject::Skip, ..to(http(&endpoint.url, BatchFormat::Ndjson)) };
    let collectors = ship(&db.pool, wanted, pace()).await;
    until_failing(&db.pool).await;
    eventually(async || (collectors.figures().failures > 5).then_some(())).await;
    let cursor = cursor(&db.pool).await.unwrap();
    assert_eq!((cursor.next_leaf, cursor.skipped, cursor.shipped), (10, 10, 0));
}

#[tokio::test]
async fn what_is_sent_elsewhere_or_unauthorized_stays_here() {
    for status in [StatusCode::TEMPORARY_REDIRECT, StatusCode::FOUND, StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND] {
        let db = database().await;
        fill(&db.pool, 3).await;
        let endpoint = Endpoint::start(BatchFormat::Ndjson, move |_| Box::pin(async move { status })).await;
        let wanted = Collector { on_reject: OnReject::Skip, ..to(http(&endpoint.url, BatchFormat::Ndjson)) };
        let _collectors = ship(&db.pool, wanted, pace()).await;
        let fault = until_failing(&db.pool).await.fault.unwrap();
        assert!(fault.contains(status.as_str()), "{fault}");
        assert_eq!(cursor(&db.pool).await.unwrap().next_leaf, 0);
    }
}

#[tokio::test]
async fn what_the_database_never_heard_of_comes_again() {
    let db = Arc::new(database().await);
    fill(&db.pool, 60).await;
    let (is_first, cut) = (Arc::new(AtomicBool::new(true)), Arc::clone(&db));
    let endpoint = Endpoint::start(BatchFormat::Ndjson, move |batch| {
        let (is_first, db) = (Arc::clone(&is_first), Arc::clone(&cut));
        Box::pin(async move {
            // Taken, and then the database is gone before the cursor could move.
            if batch.contains(&40) && is_first.swap(false, SeqCst) {
                db.cut_off().await;
            }
            StatusCode::OK
        })
    })
    .await;
    let _collectors = ship(&db.pool, to(http(&endpoint.url, BatchFormat::Ndjson)), pace()).await;
    eventually(async || endpoint.taken().contains(&40).then_some(())).await;
    db.restore().await;
    until_shipped(&db.pool, 60).await;
    endpoint.assert_complete(60);
    assert!(endpoint.taken().iter().filter(|index| **index == 40).count() > 1, "at least once, here twice");
}
