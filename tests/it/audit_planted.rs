//! The database's owner adds a batch of his own by the very function that brokers add theirs with. Every byte and hash of
//! it fits; but no broker made it, so none builds on it and none signs it.

#![allow(unused_must_use, reason = "these tests append for the sake of the entry, and no receipt permits anything")]

use std::{sync::Arc, time::Duration};

use bailiwick::{
    audit::{
        Entry, Event, Log, LogFault, State, Unrecorded,
        entry::Salt,
        fork::{Acceptance, accept, look},
        published::Published,
        tree::{Edge, leaf_hash},
    },
    model::{BatchId, BrokerId, SystemClock, SystemEntropy, Timestamp, Verdict},
    store::{
        self,
        entry::{Batch, Row, extend_log},
    },
};

use crate::support::{
    TestDb,
    audit::{ORIGIN, decision, entries, limits, log, signer, signers},
    database, eventually,
};

#[tokio::test]
async fn a_batch_that_no_broker_made_is_neither_followed_nor_signed() {
    let db = database().await;
    let (first, tasks) = log(&db.pool).await;
    first.append(decision(1, Verdict::Allow)).await.unwrap();
    eventually(async || (first.health().signed == 1).then_some(())).await;

    plant(&db).await;
    eventually(async || (!first.alive()).then_some(())).await;
    let State::Broken(what) = first.health().state else { panic!("{:?}", first.health()) };
    assert!(what.contains("the batch up to 2 entries was made by no broker of this log"), "{what}");
    assert_eq!(first.append(decision(2, Verdict::Allow)).await.unwrap_err(), Unrecorded::Broken);
    tasks.stop(Duration::from_secs(10)).await;
    assert_eq!(store::checkpoint::newest(&db.owner).await.unwrap().unwrap().size, 1, "nobody vouches for it");
}

#[tokio::test]
async fn a_batch_that_was_added_while_nobody_looked_is_found_at_the_start_until_somebody_accepts_it() {
    let db = database().await;
    let (first, tasks) = log(&db.pool).await;
    first.append(decision(1, Verdict::Allow)).await.unwrap();
    tasks.stop(Duration::from_secs(10)).await;
    let note = store::checkpoint::newest(&db.owner).await.unwrap().unwrap().note;
    plant(&db).await;
    plant(&db).await;
    assert!(opening(&db).await.unwrap_err().to_string().contains("made by no broker of this log"));

    let published = Published::open(&note, ORIGIN, &[signer().verifier().clone()]).unwrap();
    let (signers, size) = (signers(), entries(&db.owner).await.len() as u64);
    let mut looking = db.owner.acquire().await.unwrap();
    let fork = look(&mut looking, &published, &signers).await.unwrap().unwrap();
    assert!(fork.continues && !fork.is_ours, "nothing that was published is given up by it");
    drop(looking);
    let acceptance = Acceptance {
        published: &published,
        signers: &signers,
        by: "Ada Lovelace",
        why: "a colleague tried something",
        clock: &SystemClock,
        entropy: &SystemEntropy,
    };
    let mut connection = db.owner.acquire().await.unwrap();
    let began = accept(&mut connection, &acceptance).await.unwrap();
    assert_eq!((began.epoch, began.size), (1, size + 1));
    opening(&db).await.unwrap();
}

/// What a broker does that starts.
async fn opening(db: &TestDb) -> Result<(), LogFault> {
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let broker = BrokerId::random(&SystemEntropy);
    let (log, tasks) = Log::open(db.pool.clone(), signers(), broker, clock, entropy, limits()).await?;
    log.append(decision(3, Verdict::Deny)).await.unwrap();
    tasks.stop(Duration::from_secs(10)).await;
    Ok(())
}

/// Adds an entry that says what nobody did.
async fn plant(db: &TestDb) {
    let event = Event::Archived { from: 0, until: 1, file: "nowhere.jsonl".into(), sha256: "00".repeat(32) };
    plant_event(db, event).await;
}

/// The same, of any kind.
pub async fn plant_event(db: &TestDb, event: Event) {
    let head = store::head::newest(&db.owner).await.unwrap();
    let recorded_at = head.recorded_at.plus(Duration::from_micros(1));
    let broker = BrokerId::random(&SystemEntropy);
    let kind = event.kind();
    let leaf = planted(broker, recorded_at, event);
    let (mut edge, hash) = (Edge::from_bytes(head.size, &head.edge).unwrap(), leaf_hash(&leaf));
    edge.append(hash);
    let row = Row {
        leaf: &leaf,
        happened_at: recorded_at,
        kind,
        request: None,
        person: None,
        login: None,
        credential: None,
        verdict: None,
        target: None,
    };
    let batch = Batch {
        epoch: head.epoch,
        size: head.size,
        id: BatchId::random(&SystemEntropy),
        broker,
        recorded_at,
        root: edge.root(),
        edge: edge.to_bytes(),
        hashes: hash.to_vec(),
        rows: vec![row],
        tile_levels: Vec::new(),
        tile_indexes: Vec::new(),
        tile_hashes: Vec::new(),
    };
    assert!(extend_log(&db.owner, &batch).await.unwrap().is_empty(), "the database takes it");
}

fn planted(broker: BrokerId, at: Timestamp, event: Event) -> Vec<u8> {
    let entry =
        Entry { broker, caller: None, event, happened_at: at, recorded_at: at, request: None, salt: Salt([7; 16]) };
    entry.leaf().unwrap()
}
