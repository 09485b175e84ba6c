//! What verification says of a sound log, and of one that its own database's superuser has changed.
//! Every drill names exactly what is wrong and where. Reads as the auditor's role.

#![allow(unused_must_use, reason = "these tests append for the sake of the entry, and no receipt permits anything")]

use std::time::Duration;

use bailiwick::{
    audit::{
        checkpoint::CheckpointSigner,
        tile::Tree,
        tree::leaf_hash,
        verify::{Anchors, Place, Report, Trust, database as verify},
    },
    model::Verdict,
    store::{self, entry},
};
use uuid::Uuid;

use crate::support::{
    TestDb,
    audit::{ORIGIN, decision, log, signer},
    database,
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
    for _ in 0..20 {
        let report = verified(&db, &anchors()).await;
        assert!(report.is_sound(), "{:?}", report.broken);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    tasks.stop(Duration::from_secs(10)).await;
    writing.await.unwrap();
}

#[tokio::test]
async fn one_flipped_byte_names_its_entry() {
    for (size, index) in [(300, 0), (300, 137), (300, 299)] {
        let db = filled(size).await;
        for at in [0, 40, 200] {
            let flip = format!(
                "update entry set leaf = set_byte(leaf, {at}, get_byte(leaf, {at}) # 1) where leaf_index = {index}"
            );
            tamper(&db, &flip).await;
            let report = verified(&db, &anchors()).await;
            names_leaf(&report, index, "bytes were changed");
            assert_eq!(report.entries.max(index), report.entries, "what came before it is good");
            tamper(&db, &flip).await;
        }
        assert!(verified(&db, &anchors()).await.is_sound(), "flipped back");
    }
}

#[tokio::test]
async fn each_edited_column_is_named() {
    let db = filled(20).await;
    let edits = [
        ("happened_at", "happened_at + interval '1 microsecond'"),
        ("kind", "'outcome'"),
        ("broker", "gen_random_uuid()"),
        ("request", "null"),
        ("person", "gen_random_uuid()"),
        ("login", "null"),
        ("credential", "gen_random_uuid()"),
        ("verdict", "'allow'"),
        ("target", "target || ' '"),
        ("recorded_at", "recorded_at - interval '1 second'"),
    ];
    for (column, value) in edits {
        sqlx::raw_sql("create table if not exists kept as table entry").execute(&db.owner).await.unwrap();
        tamper(&db, &format!("update entry set {column} = {value} where leaf_index = 7")).await;
        names_leaf(&verified(&db, &anchors()).await, 7, &format!("`{column}`"));
        tamper(&db, "truncate entry; insert into entry table kept").await;
    }
    assert!(verified(&db, &anchors()).await.is_sound());
}

#[tokio::test]
async fn a_dropped_an_added_and_a_swapped_entry_are_named() {
    let db = filled(300).await;
    let drills = [
        ("delete from entry where leaf_index = 120", 120, "missing"),
        ("delete from entry where leaf_index = 299", 299, "missing"),
        (
            "update entry set leaf_index = case leaf_index when 5 then 9 else 5 end where leaf_index in (5, 9)",
            5,
            "bytes",
        ),
    ];
    for (drill, index, what) in drills {
        tamper(&db, "create table if not exists kept as table entry").await;
        tamper(&db, drill).await;
        let report = verified(&db, &anchors()).await;
        names_leaf(&report, index, what);
        assert_eq!(report.gaps, u64::from(what == "missing"));
        tamper(&db, "truncate entry; insert into entry table kept").await;
    }
    let again =
        "insert into entry select leaf_index, recorded_at + interval '1 second', leaf, happened_at, kind, broker,
                 request, person, login, credential, verdict, target from entry where leaf_index = 44";
    tamper(&db, again).await;
    names_leaf(&verified(&db, &anchors()).await, 44, "twice");
    tamper(&db, "truncate entry; insert into entry table kept").await;

    let beyond = "insert into entry select 300, recorded_at, leaf, happened_at, kind, broker, request, person, login,
                  credential, verdict, target from entry where leaf_index = 299";
    tamper(&db, beyond).await;
    names_leaf(&verified(&db, &anchors()).await, 300, "beyond the head");
}

#[tokio::test]
async fn a_truncated_tail_is_missed_by_whoever_kept_a_checkpoint() {
    let db = filled(300).await;
    let kept = store::checkpoint::newest(&db.owner).await.unwrap().unwrap();
    assert_eq!(kept.size, 300);
    tamper(&db, "delete from entry where leaf_index >= (select max(size) from head where size <= 250)").await;
    tamper(&db, "delete from head where size > 250").await;
    let stored = verified(&db, &anchors()).await;
    assert!(
        matches!(&stored.broken, Some(broken) if broken.what.contains("the end of the log is missing")),
        "{stored:?}"
    );

    tamper(&db, "delete from checkpoint where size > 250; delete from tile").await;
    let size = store::head::newest(&db.owner).await.unwrap().size;
    assert!(verified(&db, &anchors()).await.is_sound(), "by itself a shorter log looks sound");
    let report = verified(&db, &Anchors { checkpoints: vec![kept.note], ..anchors() }).await;
    assert_eq!(report.broken.map(|broken| broken.place), Some(Place::Leaves { from: size, to: 300 }));
}

#[tokio::test]
async fn a_rewritten_entry_with_its_head_is_found_through_what_was_left() {
    // The entry, the list of its head and that head's root and edge are rewritten; its tile is not.
    let db = filled(300).await;
    tamper(&db, "delete from checkpoint where size < 300").await;
    rewrite(&db, 100, Reach::ItsHead).await;
    names_leaf(&verified(&db, &anchors()).await, 100, "a later head remembers");

    // The tile as well: later heads still differ, and say in which part of the tree.
    let db = filled(300).await;
    rewrite(&db, 100, Reach::ItsHead).await;
    tamper(&db, "delete from checkpoint").await;
    rewrite_tiles(&db).await;
    let report = verified(&db, &anchors()).await;
    let Some(Place::Leaves { from, to }) = report.broken.as_ref().map(|broken| broken.place.clone()) else {
        panic!("{:?}", report.broken)
    };
    assert!((from..to).contains(&100) && to <= 256, "{from}..{to}");
}

#[tokio::test]
async fn a_log_rewritten_as_a_whole_contradicts_its_checkpoint() {
    let db = filled(300).await;
    let kept = store::checkpoint::newest(&db.owner).await.unwrap().unwrap().note;
    rewrite(&db, 100, Reach::AllHeads).await;
    rewrite_tiles(&db).await;
    tamper(&db, "delete from checkpoint").await;
    assert!(verified(&db, &anchors()).await.is_sound(), "nothing inside the database can tell");
    let report = verified(&db, &Anchors { checkpoints: vec![kept], ..anchors() }).await;
    let broken = report.broken.unwrap();
    assert_eq!(broken.place, Place::Leaves { from: 0, to: 300 });
    assert!(broken.what.contains("not those that were signed"), "{broken}");

    // Signed again with another key, which only someone without the right key takes for good.
    let head = store::head::newest(&db.owner).await.unwrap();
    let thief = CheckpointSigner::from_seed(ORIGIN, Uuid::from_u128(8), &[8; 32]).unwrap();
    let forged = store::checkpoint::Checkpoint {
        epoch: 0,
        size: 300,
        key: thief.key(),
        root: head.root.to_vec(),
        note: thief.sign(0, 300, head.root),
        signed_at: head.recorded_at,
    };
    store::checkpoint::insert(&db.owner, &forged).await.unwrap();
    let keys = vec![thief.verifier().clone()];
    assert!(verified(&db, &Anchors { keys, ..Anchors::default() }).await.is_sound());
    let report = verified(&db, &anchors()).await;
    let broken = report.broken.unwrap();
    assert_eq!(broken.place, Place::Checkpoint { size: 300 });
    assert!(broken.what.contains("not signed by"), "{broken}");
}

#[tokio::test]
async fn edited_heads_tiles_and_checkpoints_are_named() {
    let db = filled(300).await;
    let kept = "create table kept_head as table head; create table kept_tile as table tile;
                create table kept_checkpoint as table checkpoint";
    tamper(&db, kept).await;
    let restore = "truncate head, tile, checkpoint; insert into head table kept_head; insert into tile table kept_tile;
                   insert into checkpoint table kept_checkpoint";
    let last = "where size = (select max(size) from head)";
    let drills = [
        (format!("update head set root = sha256('x') {last}"), Place::Head { size: 300 }),
        (format!("update head set recorded_at = recorded_at - interval '1 hour' {last}"), Place::Head { size: 300 }),
        (format!("update head set origin = 'another' {last}"), Place::Head { size: 300 }),
        (
            format!("update head set hashes = set_byte(hashes, 0, get_byte(hashes, 0) # 1) {last}"),
            Place::Head { size: 300 },
        ),
        (format!("update head set edge = set_byte(edge, 0, get_byte(edge, 0) # 1) {last}"), Place::Head { size: 300 }),
        (
            "delete from head where size = (select min(size) from head where size > 0)".into(),
            Place::Head { size: second(&db).await },
        ),
        (
            "update tile set hashes = set_byte(hashes, 77, get_byte(hashes, 77) # 1)".into(),
            Place::Tile { level: 0, index: 0 },
        ),
        ("delete from tile".into(), Place::Tile { level: 0, index: 0 }),
        ("update checkpoint set note = replace(note, '/audit', '/adit')".into(), Place::Checkpoint { size: 300 }),
        ("update checkpoint set root = sha256('x') where size = 300".into(), Place::Checkpoint { size: 300 }),
    ];
    tamper(&db, "delete from checkpoint where size < 300; truncate kept_checkpoint; insert into kept_checkpoint table checkpoint").await;
    for (drill, place) in drills {
        tamper(&db, &drill).await;
        let report = verified(&db, &anchors()).await;
        assert_eq!(report.broken.as_ref().map(|broken| &broken.place), Some(&place), "{drill}: {:?}", report.broken);
        tamper(&db, restore).await;
    }
    assert!(verified(&db, &anchors()).await.is_sound());
}

fn anchors() -> Anchors {
    Anchors { keys: vec![signer().verifier().clone()], ..Anchors::default() }
}

async fn verified(db: &TestDb, anchors: &Anchors) -> Report {
    let auditor = db.another_pool("bailiwick_auditor");
    let mut connection = auditor.acquire().await.unwrap();
    let report = verify(&mut connection, anchors, |_, _| {}).await.unwrap();
    drop(connection);
    auditor.close().await;
    report
}

fn names_leaf(report: &Report, index: u64, what: &str) {
    let broken = report.broken.as_ref().unwrap_or_else(|| panic!("it is taken for sound, at {index}: {what}"));
    assert_eq!(broken.place, Place::Leaf { index }, "{broken}");
    assert!(broken.what.contains(what), "{broken}");
}

async fn second(db: &TestDb) -> u64 {
    let query = "select size from head where size > 0 order by size offset 1 limit 1";
    let (size,): (i64,) = sqlx::query_as(query).fetch_one(&db.owner).await.unwrap();
    size as u64
}

enum Reach {
    ItsHead,
    AllHeads,
}

/// Rewrites an entry as someone would who knows the format: canonical bytes, right columns, right hashes.
async fn rewrite(db: &TestDb, index: u64, reach: Reach) {
    let rows = entry::following(&db.owner, index, 1).await.unwrap();
    let mut forged = bailiwick::audit::Entry::from_leaf(&rows[0].1).unwrap();
    let Some(caller) = &mut forged.caller else { panic!("a decision has a caller") };
    caller.identity.subject = "somebody-else".into();
    let leaf = forged.leaf().unwrap();
    sqlx::query("update entry set leaf = $2 where leaf_index = $1")
        .bind(index as i64)
        .bind(leaf)
        .execute(&db.owner)
        .await
        .unwrap();
    let mut tree = Tree::default();
    let leaves = entry::following(&db.owner, 0, 100_000).await.unwrap();
    for step in store::head::steps_past(&db.owner, 0, 100_000).await.unwrap() {
        let start = step.parent_size.unwrap();
        let batch = &leaves[start as usize..step.head.size as usize];
        let hashes: Vec<_> = batch.iter().map(|(_, leaf)| leaf_hash(leaf)).collect();
        hashes.iter().for_each(|hash| tree.append(*hash, &mut Vec::new()));
        let is_its_own = start <= index && index < step.head.size;
        if is_its_own || index < step.head.size && matches!(reach, Reach::AllHeads) {
            sqlx::query("update head set root = $2, edge = $3, hashes = $4 where size = $1")
                .bind(step.head.size as i64)
                .bind(tree.root().as_slice())
                .bind(tree.edge().to_bytes())
                .bind(hashes.concat())
                .execute(&db.owner)
                .await
                .unwrap();
        }
    }
}

async fn rewrite_tiles(db: &TestDb) {
    let (mut tree, mut complete) = (Tree::default(), Vec::new());
    for (_, leaf) in entry::following(&db.owner, 0, 100_000).await.unwrap() {
        tree.append(leaf_hash(&leaf), &mut complete);
    }
    for tile in complete {
        sqlx::query("update tile set hashes = $3 where level = $1 and tile_index = $2")
            .bind(i16::from(tile.level))
            .bind(tile.index as i64)
            .bind(tile.hashes.concat())
            .execute(&db.owner)
            .await
            .unwrap();
    }
}
