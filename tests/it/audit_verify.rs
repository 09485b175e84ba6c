//! What verification says of a sound log, read as the auditor's role. What it says of one that its database's superuser
//! has changed is in `audit_drills`.

#![allow(unused_must_use, reason = "these tests append for the sake of the entry, and no receipt permits anything")]

use std::{future::ready, sync::Arc, time::Duration};

use bailiwick::{
    audit::{
        Draft, Event,
        verify::{Anchors, Report, Trust, database as verify},
    },
    model::{FrozenClock, PolicyVersion, Timestamp, Verdict},
    store,
};

use crate::support::{
    TestDb,
    audit::{decision, limits, log, log_at, signer},
    database, eventually,
    ledger::{fill, filled, tamper},
};

#[tokio::test]
async fn a_sound_log_is_sound() {
    let db = filled(600).await;
    let report = verified(&db, &anchors()).await;
    assert!(report.is_sound(), "{:?}", report.broken);
    assert_eq!((report.size, report.entries, report.missing, report.trust), (600, 600, 0, Trust::Given));
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
    eventually(async || store::checkpoint::newest(&db.owner).await.unwrap()).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_checkpoint_of_what_came_meanwhile_is_compared() {
    let db = filled(560).await;
    let (log, tasks) = log(&db.pool).await;
    fill(&log, 40).await;
    eventually(async || (log.health().signed == 600).then_some(())).await;
    tasks.stop(Duration::from_secs(10)).await;
    let kept = store::checkpoint::newest(&db.owner).await.unwrap().unwrap().note;
    let aside = "create table entries as select * from entry where leaf_index >= 560;
                 create table checkpoints as select * from checkpoint where size > 560;
                 create table heads as select * from head where size > 560;
                 delete from entry where leaf_index >= 560;
                 delete from checkpoint where size > 560;
                 delete from head where size > 560";
    let back = "insert into entry select * from entries; insert into checkpoint select * from checkpoints;
                insert into head select * from heads; drop table entries, checkpoints, heads";
    let runtime = tokio::runtime::Handle::current();
    for (note, does_continue) in [(kept, true), (signer().sign(0, 600, [9; 32]), false)] {
        tamper(&db, aside).await;
        let (mut is_back, mut connection) = (false, db.owner.acquire().await.unwrap());
        let anchors = Anchors { checkpoints: vec![note], ..anchors() };
        let report = verify(&mut connection, ready(Vec::new()), &anchors, |_, _| {
            if !std::mem::replace(&mut is_back, true) {
                tokio::task::block_in_place(|| runtime.block_on(tamper(&db, back)));
            }
        })
        .await
        .unwrap();
        assert!(is_back && report.size == 560, "{} entries", report.size);
        assert_eq!(report.is_sound(), does_continue, "{:?}", report.broken);
        assert!(does_continue || report.broken.unwrap().to_string().contains("does not continue them"));
    }
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

#[tokio::test]
async fn what_no_checkpoint_covers_is_told_of_and_not_for_longer_than_a_minute() {
    let db = database().await;
    let clock = Arc::new(FrozenClock::at(Timestamp::from_micros(1_767_996_000_000_000)));
    let (log, tasks) = log_at(&db.pool, clock.clone(), limits()).await;
    for size in [5, 10, 15] {
        clock.advance(Duration::from_secs(120));
        for n in 0..5 {
            log.append(decision(n, Verdict::Deny)).await.unwrap();
        }
        eventually(async || (log.health().signed == size).then_some(())).await;
    }
    tasks.stop(Duration::from_secs(10)).await;
    let published = store::checkpoint::newest(&db.owner).await.unwrap().unwrap().note;
    let published = Anchors { published: vec![published], ..anchors() };
    let sound = verified(&db, &anchors()).await;
    assert!(sound.is_sound() && (sound.signed, sound.unsigned) == (15, Some(0)), "{sound:?}");
    for (kept, told) in [
        (10, None),
        (5, Some("one of the entries 5 to 14: no good checkpoint covers them, though the log went on for 120 seconds")),
        (0, Some("one of the entries 0 to 14: no good checkpoint covers any entry")),
    ] {
        tamper(&db, &format!("delete from checkpoint where size > {kept}")).await;
        let report = verified(&db, &anchors()).await;
        assert_eq!((report.signed, report.unsigned), (kept, Some(15 - kept)));
        let found = report.broken.map(|broken| broken.to_string());
        assert!(found.as_deref().unwrap_or_default().starts_with(told.unwrap_or_default()), "{found:?}");
        assert_eq!(found.is_some(), told.is_some(), "{found:?}");
        // Others than those that were published are not needed for proof; that they are gone is a finding all the same.
        let beside = verified(&db, &published).await;
        let found = beside.broken.map(|broken| broken.to_string());
        let told = match kept {
            10 => None,
            5 => Some(
                "one of the entries 5 to 14: no stored checkpoint covers them, though the log went on for 120 seconds",
            ),
            _ => Some(
                "one of the entries 0 to 14: no stored checkpoint covers them, though the log went on for 240 seconds",
            ),
        };
        assert_eq!((beside.signed, found.is_some()), (15, told.is_some()), "{found:?}");
        assert!(found.as_deref().unwrap_or_default().starts_with(told.unwrap_or_default()), "{found:?}");
    }
}

#[tokio::test]
async fn a_broken_log_is_good_up_to_the_entry_before_and_nothing_is_said_of_what_was_not_read() {
    let db = database().await;
    let start = Timestamp::from_micros(1_767_996_000_000_000);
    let clock = Arc::new(FrozenClock::at(start));
    let (log, tasks) = log_at(&db.pool, clock.clone(), limits()).await;
    for n in 0..5 {
        log.append(decision(n, Verdict::Deny)).await.unwrap();
        clock.advance(Duration::from_secs(1));
    }
    eventually(async || (log.health().signed == 5).then_some(())).await;
    tasks.stop(Duration::from_secs(10)).await;
    let sound = verified(&db, &anchors()).await;
    assert_eq!((sound.recorded_at, sound.unsigned), (Some(start.plus(Duration::from_secs(4))), Some(0)));
    for (how, good, at) in [
        ("update entry set leaf = set_byte(leaf, 40, get_byte(leaf, 40) # 1) where leaf_index = 3", 3, Some(2)),
        ("delete from entry where leaf_index = 2", 2, Some(1)),
        ("update entry set leaf = set_byte(leaf, 40, get_byte(leaf, 40) # 1) where leaf_index = 0", 0, None),
    ] {
        tamper(&db, how).await;
        let report = verified(&db, &anchors()).await;
        assert_eq!(report.recorded_at, at.map(|second| start.plus(Duration::from_secs(second))), "{how}");
        assert_eq!((report.entries, report.unsigned), (good, None), "{how}");
    }
}

#[tokio::test]
async fn what_the_log_itself_says_was_never_recorded_is_counted() {
    let db = filled(3).await;
    let (log, tasks) = log(&db.pool).await;
    for lost in [3, 1] {
        let (from, until) = (Timestamp::from_micros(1), Timestamp::from_micros(2));
        let event = Event::Gap { lost, from, until, why: "the log could not be written".into() };
        log.append(Draft { caller: None, event, happened_at: until, request: None }).await.unwrap();
    }
    tasks.stop(Duration::from_secs(10)).await;
    let report = verified(&db, &anchors()).await;
    assert!(report.is_sound(), "{:?}", report.broken);
    assert_eq!((report.missing, report.gaps, report.lost), (0, 2, 4));
}

#[tokio::test]
async fn an_entry_that_tells_of_an_archive_that_was_never_made_hides_nothing() {
    let db = database().await;
    let (log, tasks) = log(&db.pool).await;
    for n in 0..9 {
        log.append(decision(n, Verdict::Deny)).await.unwrap();
    }
    let event = Event::Archived { from: 0, until: 5, file: "none".into(), sha256: "00".repeat(32) };
    let happened_at = Timestamp::from_micros(6);
    log.append(Draft { caller: None, event, happened_at, request: None }).await.unwrap();
    tasks.stop(Duration::from_secs(10)).await;
    tamper(&db, "delete from entry where leaf_index < 5").await;
    let told = "entry 9: it says that the entries 0 to 4 were archived, and the table `archive` does not";
    assert_eq!(verified(&db, &anchors()).await.broken.unwrap().to_string(), told);
}

#[tokio::test]
async fn a_text_that_was_put_in_force_is_there() {
    let db = database().await;
    let (log, tasks) = log(&db.pool).await;
    let hash = hex::encode([7; 32]);
    let policy = PolicyVersion { entities: "none".into(), policies: hash.clone(), schema: "none".into() };
    let event = Event::PolicyLoaded { policy, rules: 1, before: None };
    log.append(Draft { caller: None, event, happened_at: Timestamp::from_micros(6), request: None }).await.unwrap();
    tasks.stop(Duration::from_secs(10)).await;
    let told = format!("the table `policy_text`: the text of policies {hash} is missing, which an entry puts in force");
    assert_eq!(verified(&db, &anchors()).await.broken.unwrap().to_string(), told);
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
