//! What verification says of a sound log, read as the auditor's role. What it says of one that its database's superuser
//! has changed is in `audit_drills`.

#![allow(unused_must_use, reason = "these tests append for the sake of the entry, and no receipt permits anything")]

use std::{future::ready, time::Duration};

use bailiwick::{
    audit::verify::{Anchors, Report, Trust, database as verify},
    model::Verdict,
    store,
};

use crate::support::{
    TestDb,
    audit::{decision, log, signer},
    database, eventually,
    ledger::{filled, tamper},
};

#[tokio::test]
async fn a_sound_log_is_sound() {
    let db = filled(600).await;
    let report = verified(&db, &anchors()).await;
    assert!(report.is_sound(), "{:?}", report.broken);
    assert_eq!((report.size, report.entries, report.gaps, report.trust), (600, 600, 0, Trust::Given));
    assert!(report.checkpoints >= 1);
    assert_eq!(report.signed, 600);
    let untrusting = verified(&db, &Anchors::default()).await;
    assert_eq!(untrusting.trust, Trust::Stored);
    assert!(matches!(untrusting.broken, Some(broken) if broken.what.contains("no key")), "none is stored in this test");
}

#[tokio::test]
async fn an_empty_log_is_sound() {
    let db = database().await;
    let (_log, _tasks) = log(&db.pool).await;
    let report = verified(&db, &anchors()).await;
    assert!(report.is_sound() && report.size == 0);
}

#[tokio::test]
async fn a_log_that_grows_meanwhile_is_sound() {
    let db = database().await;
    let (log, tasks) = log(&db.pool).await;
    let writing = tokio::spawn(async move {
        for n in 0.. {
            if log.append(decision(n, Verdict::Deny)).await.is_err() {
                return;
            }
        }
    });
    let mut seen = 0;
    for _ in 0..20 {
        let report = verified(&db, &anchors()).await;
        assert!(report.is_sound(), "{:?}", report.broken);
        seen = report.size;
        eventually(async || (store::head::newest(&db.owner).await.unwrap().size > seen).then_some(())).await;
    }
    assert!(seen > 0, "it never grew");
    tasks.stop(Duration::from_secs(10)).await;
    writing.await.unwrap();
}

#[tokio::test]
async fn a_server_that_lags_behind_is_not_read() {
    let db = filled(600).await;
    let behind = db.copy().await;
    tamper(&behind, "delete from entry where leaf_index >= 258; delete from head where size > 258").await;
    let lagging = behind.another_pool("bailiwick_auditor");
    let more = ready(vec![lagging.acquire().await.unwrap().detach()]);
    let mut connection = db.owner.acquire().await.unwrap();
    let report = verify(&mut connection, more, &anchors(), |_, _| {}).await.unwrap();
    assert!(report.is_sound() && report.entries == 600, "{:?}", report.broken);
}

#[tokio::test]
async fn further_connections_are_opened_only_for_entries_that_are_there() {
    let db = database().await;
    let (_log, _tasks) = log(&db.pool).await;
    let mut connection = db.owner.acquire().await.unwrap();
    let more = async { panic!("there is nothing to read") };
    assert!(verify(&mut connection, more, &anchors(), |_, _| {}).await.unwrap().is_sound());
}

fn anchors() -> Anchors {
    Anchors { keys: vec![signer().verifier().clone()], ..Anchors::default() }
}

async fn verified(db: &TestDb, anchors: &Anchors) -> Report {
    let auditor = db.another_pool("bailiwick_auditor");
    let mut connection = auditor.acquire().await.unwrap();
    let mut more = Vec::new();
    for _ in 0..2 {
        more.push(auditor.acquire().await.unwrap().detach());
    }
    let report = verify(&mut connection, ready(more), anchors, |_, _| {}).await.unwrap();
    drop(connection);
    auditor.close().await;
    report
}
