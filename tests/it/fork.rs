//! The database is not what was published: restored from an older copy, cut, or another history. Nobody is let in until
//! somebody has accepted that by name, and then the log goes on as another epoch.

#![allow(unused_must_use, reason = "these tests append for the sake of the entry, and no receipt permits anything")]

use std::{future::ready, sync::Arc, time::Duration};

use bailiwick::{
    audit::{
        Event, Log, LogFault, Signed, State,
        fork::{AcceptFault, Acceptance, accept},
        published::Published,
        tree::leaf_hash,
        verify::{Anchors, Report, database as verify},
    },
    model::{BatchId, BrokerId, SystemClock, SystemEntropy, Timestamp, Verdict},
    store::{self, epoch::Beginning},
};
use sqlx::{AssertSqlSafe, Executor as _};

use crate::support::{
    TestDb,
    audit::{ORIGIN, decision, entries, limits, log, signer, signers},
    database, eventually,
};

#[tokio::test]
async fn a_database_that_was_set_back_is_refused_until_somebody_accepts_it() {
    let db = filled(300).await;
    let published = newest(&db).await;
    compare(&db, &published).await.unwrap();
    set_back(&db, 200).await;
    let fault = compare(&db, &published).await.unwrap_err();
    let LogFault::Forked(fork) = &fault else { panic!("{fault}") };
    assert!(fork.size <= 200 && fork.size > 190);
    let told = fault.to_string();
    for part in [&format!("{} entries of epoch 0", fork.size), "300 entries of epoch 0", "accept-fork"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(told.contains(&hex::encode(fork.root)) && told.contains(&hex::encode(published.checkpoint.root)), "{told}");

    let began = accepted(&db, &published).await.unwrap();
    assert_eq!((began.epoch, began.size), (1, fork.size + 1));
    assert_eq!(signer().verifier().open(&began.note).unwrap().origin, format!("{ORIGIN}/epoch-1"));
    assert!(compare(&db, &published).await.is_ok(), "what was published is known to be lost");
    assert!(matches!(accepted(&db, &published).await, Err(AcceptFault::Nothing)));
    let all = entries(&db.owner).await;
    let Event::EpochBegan { epoch, size, published_size, by, why, .. } = &all[fork.size as usize].event else {
        panic!("{:?}", all.last())
    };
    assert_eq!((*epoch, *size, *published_size), (1, fork.size, 300));
    assert_eq!((by.as_str(), why.as_str()), ("Ada Lovelace", "the disk is gone"));

    let (log, tasks) = log(&db.pool).await;
    log.append(decision(1, Verdict::Deny)).await.unwrap();
    assert_eq!((log.health().epoch, log.health().size), (1, fork.size + 2));
    tasks.stop(Duration::from_secs(10)).await;
    let second = newest(&db).await;
    assert_eq!(second.epoch, 1);
    compare(&db, &second).await.unwrap();
    let report = verified(&db, &[published.note.clone(), second.note.clone()]).await;
    assert!(report.is_sound(), "{:?}", report.broken);
    assert_eq!((report.cuts[0].by.as_str(), report.cuts[0].published), ("Ada Lovelace", 300));
    // Set back once more, to before the epoch: its own checkpoint is what was published now.
    set_back(&db, 100).await;
    assert!(matches!(compare(&db, &second).await, Err(LogFault::Forked(_))));
    assert_eq!(accepted(&db, &second).await.unwrap().epoch, 2);
    compare(&db, &second).await.unwrap();
}

#[tokio::test]
async fn another_history_of_the_same_size_is_found() {
    let (db, other) = (filled(30).await, filled(30).await);
    let published = newest(&other).await;
    let fault = compare(&db, &published).await.unwrap_err();
    assert!(matches!(&fault, LogFault::Forked(fork) if fork.size == 30), "{fault}");
    let kept = std::slice::from_ref(&published.note);
    assert!(verified(&db, kept).await.broken.is_some());
    accepted(&db, &published).await.unwrap();
    compare(&db, &published).await.unwrap();
    assert!(verified(&db, kept).await.is_sound());
    let (db, other) = (filled(40).await, filled(30).await);
    let fault = compare(&db, &newest(&other).await).await.unwrap_err();
    assert!(matches!(&fault, LogFault::Forked(fork) if fork.size == 40), "a longer one too: {fault}");
}

#[tokio::test]
async fn an_empty_database_is_behind_whatever_was_published() {
    let (db, other) = (database().await, filled(3).await);
    let published = newest(&other).await;
    assert!(matches!(compare(&db, &published).await, Err(LogFault::Forked(_))));
    assert_eq!(accepted(&db, &published).await.unwrap().size, 1);
    compare(&db, &published).await.unwrap();
}

#[tokio::test]
async fn an_epoch_that_our_key_did_not_sign_is_no_epoch() {
    let db = filled(30).await;
    let published = newest(&db).await;
    set_back(&db, 20).await;
    // The database's owner can write an entry that says somebody accepted it, but cannot sign.
    let head = store::head::newest(&db.owner).await.unwrap();
    let edge = bailiwick::audit::tree::Edge::from_bytes(head.size, &head.edge).unwrap();
    let leaf = forged(&published, head.size);
    let (mut after, hash) = (edge, leaf_hash(&leaf));
    after.append(hash);
    let beginning = Beginning {
        epoch: 1,
        after: 0,
        size: head.size,
        batch: BatchId::random(&SystemEntropy),
        broker: BrokerId::random(&SystemEntropy),
        recorded_at: Timestamp::from_micros(i64::from(u32::MAX) * 1_000_000),
        root: after.root(),
        edge: after.to_bytes(),
        hash,
        leaf,
        moment: Timestamp::from_micros(6),
        kind: "epoch-began",
        tiles: Vec::new(),
    };
    store::entry::ensure_partitions(&db.owner, beginning.recorded_at).await.unwrap();
    assert!(store::epoch::begin(&db.owner, &beginning).await.unwrap());
    assert!(matches!(compare(&db, &published).await, Err(LogFault::Broken(_))), "and nobody signs it");
    let thief =
        bailiwick::audit::checkpoint::CheckpointSigner::from_seed(ORIGIN, uuid::Uuid::from_u128(7), &[8; 32]).unwrap();
    let size = head.size + 1;
    let note = thief.sign(1, size, after.root());
    let row = store::checkpoint::Checkpoint {
        epoch: 1,
        size,
        key: thief.key(),
        root: after.root().to_vec(),
        note,
        signed_at: Timestamp::from_micros(7),
    };
    store::checkpoint::insert(&db.owner, &row).await.unwrap();
    assert!(verified(&db, std::slice::from_ref(&published.note)).await.broken.is_some());
    assert!(matches!(compare(&db, &published).await, Err(LogFault::Broken(_))));
    let opened = accepted(&db, &published).await;
    assert!(matches!(opened, Ok(signed) if signed.epoch == 2), "the forged epoch is cut off like any other fork");
}

#[tokio::test]
async fn what_was_only_partly_removed_is_not_gone_on_from() {
    let db = filled(30).await;
    let published = newest(&db).await;
    db.owner.execute("delete from head where size > 20").await.unwrap();
    assert!(matches!(accepted(&db, &published).await, Err(AcceptFault::Leftover("entries"))));
}

#[tokio::test]
async fn a_running_broker_notices_refuses_and_goes_on_once_it_is_accepted() {
    let db = database().await;
    let (log, _tasks) = log(&db.pool).await;
    fill(&log, 30).await;
    eventually(async || (log.health().signed == 30).then_some(())).await;
    let published = newest(&db).await;
    set_back(&db, 20).await;
    let broken = async || matches!(log.health().state, State::Broken(_)).then_some(());
    eventually(broken).await;
    assert!(log.append(decision(1, Verdict::Allow)).await.is_err());
    accepted(&db, &published).await.unwrap();
    eventually(async || log.alive().then_some(())).await;
    log.append(decision(2, Verdict::Allow)).await.unwrap();
    assert_eq!(log.health().epoch, 1);
    eventually(async || (newest(&db).await.checkpoint.size == log.health().size).then_some(())).await;
}

#[tokio::test]
async fn an_old_broker_cannot_add_to_the_epoch_that_has_ended() {
    let db = filled(30).await;
    let published = newest(&db).await;
    set_back(&db, 20).await;
    let began = accepted(&db, &published).await.unwrap();
    let size = began.size - 1;
    let insert = format!(
        "insert into head select 0, size + 1, size, origin, root, edge, substr(hashes, 1, 32), gen_random_uuid(), broker, recorded_at
           from head where epoch = 0 and size = {size}"
    );
    assert!(db.owner.execute(AssertSqlSafe(insert)).await.is_err(), "two heads continue the same tree");
}

/// An entry that says that somebody accepted the fork.
fn forged(published: &Published, size: u64) -> Vec<u8> {
    let event = Event::EpochBegan {
        epoch: 1,
        size,
        root: String::new(),
        published_size: published.checkpoint.size,
        published_root: hex::encode(published.checkpoint.root),
        by: "nobody".into(),
        why: "".into(),
        key: None,
        lost: None,
    };
    let entry = bailiwick::audit::Entry {
        broker: BrokerId::random(&SystemEntropy),
        caller: None,
        event,
        happened_at: Timestamp::from_micros(6),
        recorded_at: Timestamp::from_micros(i64::from(u32::MAX) * 1_000_000),
        request: None,
        salt: bailiwick::audit::entry::Salt([7; 16]),
    };
    entry.leaf().unwrap()
}

async fn compare(db: &TestDb, published: &Published) -> Result<(), LogFault> {
    let (signers, broker) = (signers(), BrokerId::random(&SystemEntropy));
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let opened = Log::open_after(Some(published), db.pool.clone(), signers, broker, clock, entropy, limits()).await;
    // It stops in good order, or what it was about to sign would arrive after what the test does next.
    let (_log, tasks) = opened?;
    tasks.stop(Duration::from_secs(30)).await;
    Ok(())
}

async fn accepted(db: &TestDb, published: &Published) -> Result<Signed, AcceptFault> {
    let signers = signers();
    let acceptance = Acceptance {
        published,
        signers: &signers,
        by: "Ada Lovelace",
        why: "the disk is gone",
        clock: &SystemClock,
        entropy: &SystemEntropy,
    };
    accept(&mut db.pool.acquire().await.unwrap(), &acceptance).await
}

async fn verified(db: &TestDb, kept: &[String]) -> Report {
    let anchors = Anchors { keys: vec![signer().verifier().clone()], checkpoints: kept.to_vec(), ..Anchors::default() };
    verify(&mut db.owner.acquire().await.unwrap(), ready(Vec::new()), &anchors, |_, _| {}).await.unwrap()
}

async fn filled(size: u64) -> TestDb {
    let db = database().await;
    let (log, tasks) = log(&db.pool).await;
    fill(&log, size).await;
    eventually(async || (log.health().signed == size).then_some(())).await;
    tasks.stop(Duration::from_secs(20)).await;
    db
}

async fn fill(log: &Log, size: u64) {
    for n in 0..size {
        log.append(decision(n, Verdict::Deny)).await.unwrap();
    }
}

async fn newest(db: &TestDb) -> Published {
    let note = store::checkpoint::newest(&db.owner).await.unwrap().unwrap().note;
    Published::open(&note, ORIGIN, &[signer().verifier().clone()]).unwrap()
}

/// As a copy of the database restores it that was made when the log had about so many entries.
pub async fn set_back(db: &TestDb, size: u64) {
    let to = format!("(select max(size) from head where size <= {size})");
    for statement in [
        format!("delete from entry where leaf_index >= {to}"),
        format!("delete from tile where (tile_index + 1) * 256 ^ (level + 1) > {to}"),
        format!("delete from checkpoint where size > {to}"),
        format!("delete from head where size > {to}"),
    ] {
        db.owner.execute(AssertSqlSafe(statement)).await.unwrap();
    }
}
