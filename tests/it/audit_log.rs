//! The log over a real Postgres with fsync on: receipts, order, several brokers, changes with their entries.

#![allow(unused_must_use, reason = "these tests append for the sake of the entry, and no receipt permits anything")]

use std::{sync::Arc, time::Duration};

use bailiwick::{
    audit::{ChangeFault, LogFault, Unrecorded, tile::Tree, tree::leaf_hash},
    model::{BrokerId, FrozenClock, SystemClock, SystemEntropy, Timestamp, Verdict},
    store::{self, StoreFault, entry, head},
};
use sqlx::PgPool;

use crate::support::{
    audit::{caller, decision, entries, kinds, limits, log, log_at, signed_by, signer, signers, stopped},
    database, eventually,
};

#[tokio::test]
async fn a_receipt_names_an_entry_that_is_there() {
    let db = database().await;
    let (log, _tasks) = log(&db.pool).await;
    for n in 0..5 {
        let receipt = log.append(decision(n, Verdict::Allow)).await.unwrap();
        assert_eq!((receipt.epoch(), receipt.leaf_index()), (0, n));
        let entries = entries(&db.pool).await;
        assert_eq!(entries.len() as u64, n + 1);
        assert_eq!(entries[n as usize].recorded_at, receipt.recorded_at());
        assert_eq!(entries[n as usize].caller, Some(caller()));
    }
    assert!(log.alive());
    folds_to_its_head(&db.pool).await;
}

#[tokio::test]
async fn a_hundred_at_once_are_recorded_in_order_without_a_gap() {
    let db = database().await;
    let (log, _tasks) = log(&db.pool).await;
    let waiting: Vec<_> = (0..700)
        .map(|n| {
            let log = log.clone();
            tokio::spawn(async move { (n, log.append(decision(n, Verdict::Deny)).await.unwrap()) })
        })
        .collect();
    let mut receipts = Vec::new();
    for task in waiting {
        receipts.push(task.await.unwrap());
    }
    let entries = entries(&db.pool).await;
    for (n, receipt) in &receipts {
        assert_eq!(entries[receipt.leaf_index() as usize].request, decision(*n, Verdict::Deny).request);
    }
    let (batches,): (i64,) = sqlx::query_as("select count(*) from head").fetch_one(&db.pool).await.unwrap();
    assert!(batches < 350, "{batches} batches for 700 entries: they were not grouped");
    assert_eq!(store::tile::tiles(&db.pool, 0, 0, 9).await.unwrap().len(), 2);
    folds_to_its_head(&db.pool).await;
}

#[tokio::test]
async fn two_brokers_on_one_database_interleave_without_a_gap() {
    let db = database().await;
    let others = db.another_pool("bailiwick_broker");
    let (one, _tasks) = log(&db.pool).await;
    let (two, _others) = log(&others).await;
    let write = |log: bailiwick::audit::Log, from: u64| async move {
        for n in from..from + 150 {
            let (a, b) = tokio::join!(
                log.append(decision(2 * n, Verdict::Deny)),
                log.append(decision(2 * n + 1, Verdict::Deny))
            );
            assert!(a.is_ok() && b.is_ok(), "{a:?} {b:?}");
        }
    };
    tokio::join!(write(one.clone(), 0), write(two.clone(), 1_000));
    let entries = entries(&db.pool).await;
    assert_eq!(entries.len(), 600);
    assert!(entries.windows(2).all(|pair| pair[0].recorded_at <= pair[1].recorded_at));
    assert!(entries.iter().any(|entry| entry.broker == one.broker()));
    assert!(entries.iter().any(|entry| entry.broker == two.broker()));
    folds_to_its_head(&db.pool).await;
}

#[tokio::test]
async fn a_log_is_taken_up_where_it_was_left() {
    let db = database().await;
    for start in [0, 300, 600] {
        let (log, tasks) = log(&db.pool).await;
        for n in start..start + 300 {
            log.note(decision(n, Verdict::Deny));
        }
        tasks.stop(Duration::from_secs(20)).await;
        assert_eq!(log.append(stopped()).await.unwrap_err(), Unrecorded::Down);
    }
    assert_eq!(entries(&db.pool).await.len(), 900);
    folds_to_its_head(&db.pool).await;
}

#[tokio::test]
async fn a_change_and_its_entry_are_both_there_or_neither() {
    let db = database().await;
    let (log, _tasks) = log(&db.pool).await;
    let (value, receipt) = log
        .append_within(|db| Box::pin(async move { Ok((mark(db, "kept").await?, vec![stopped(), stopped()])) }))
        .await
        .unwrap();
    assert_eq!((value, receipt.leaf_index()), (1, 0));

    let failed: Result<((), _), _> = log
        .append_within(|db| {
            Box::pin(async move {
                mark(db, "failed").await?;
                Err(StoreFault::Malformed { what: "this test" })
            })
        })
        .await;
    assert!(matches!(failed, Err(ChangeFault::Store(StoreFault::Malformed { .. }))));
    let silent = log.append_within(|db| Box::pin(async move { Ok((mark(db, "silent").await?, vec![])) })).await;
    assert!(matches!(silent, Err(ChangeFault::Unneeded)));

    assert_eq!(marks(&db.pool).await, ["kept"]);
    assert_eq!(kinds(&db.pool).await, ["broker-stopped"; 2]);
    assert_eq!(log.append(stopped()).await.unwrap().leaf_index(), 2);
    folds_to_its_head(&db.pool).await;
}

#[tokio::test]
async fn changes_are_tried_again_when_another_broker_is_faster() {
    let db = database().await;
    let others = db.another_pool("bailiwick_broker");
    let (one, _tasks) = log(&db.pool).await;
    let (two, _others) = log(&others).await;
    // Tries of the first let the second write meanwhile, three times at most.
    let tries = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let (_, receipt) = one
        .append_within({
            let (two, tries) = (two.clone(), Arc::clone(&tries));
            move |db| {
                let (two, tries) = (two.clone(), Arc::clone(&tries));
                Box::pin(async move {
                    if tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 3 {
                        two.append(stopped()).await.unwrap();
                    }
                    Ok((mark(db, "once").await?, vec![stopped()]))
                })
            }
        })
        .await
        .unwrap();
    assert_eq!(marks(&db.pool).await, ["once"]);
    let tries = u64::from(tries.load(std::sync::atomic::Ordering::SeqCst));
    assert!(tries > 1, "the first try was too late");
    assert_eq!(receipt.leaf_index(), tries.min(3));
    folds_to_its_head(&db.pool).await;
}

#[tokio::test]
async fn many_changes_and_entries_of_two_brokers_at_once_all_arrive() {
    let db = database().await;
    let others = db.another_pool("bailiwick_broker");
    let (one, _tasks) = log(&db.pool).await;
    let (two, _others) = log(&others).await;
    let mut all = tokio::task::JoinSet::new();
    for log in [one, two] {
        for n in 0..12 {
            let log = log.clone();
            all.spawn(async move {
                let name = format!("{}-{n}", log.broker());
                log.append(decision(n, Verdict::Deny)).await.unwrap();
                let change = log.append_within(move |db| {
                    let name = name.clone();
                    Box::pin(async move { Ok((mark(db, &name).await?, vec![stopped()])) })
                });
                change.await.unwrap();
            });
        }
    }
    all.join_all().await;
    assert_eq!(marks(&db.pool).await.len(), 24);
    assert_eq!(entries(&db.pool).await.len(), 48);
    folds_to_its_head(&db.pool).await;
}

#[tokio::test]
async fn a_clock_that_goes_back_does_not_reorder_the_log() {
    let db = database().await;
    let noon = Timestamp::from_micros(1_767_268_800_000_000);
    let (early, _early) =
        log_at(&db.pool, Arc::new(FrozenClock::at(noon.minus(Duration::from_secs(3_600)))), limits()).await;
    let (late, _late) = log_at(&db.pool, Arc::new(FrozenClock::at(noon)), limits()).await;
    for _ in 0..3 {
        assert_eq!(late.append(stopped()).await.unwrap().recorded_at(), noon);
        assert_eq!(early.append(stopped()).await.unwrap().recorded_at(), noon, "never before the batch before");
    }
    folds_to_its_head(&db.pool).await;
}

#[tokio::test]
async fn a_clock_that_leaps_into_another_year_finds_room_for_its_entries() {
    let db = database().await;
    let clock = Arc::new(FrozenClock::at(Timestamp::from_micros(1_767_268_800_000_000)));
    let (log, _tasks) = log_at(&db.pool, clock.clone(), limits()).await;
    for _ in 0..3 {
        clock.advance(Duration::from_secs(200 * 24 * 3_600));
        assert_eq!(log.append(stopped()).await.unwrap().recorded_at(), bailiwick::model::Clock::now(&*clock));
    }
    folds_to_its_head(&db.pool).await;
}

#[tokio::test]
async fn a_head_is_signed_within_a_second_of_its_commit() {
    let db = database().await;
    let (log, _tasks) = log(&db.pool).await;
    let mut quickest = Duration::MAX;
    for n in 0..5 {
        let receipt = log.append(decision(n, Verdict::Deny)).await.unwrap();
        let start = tokio::time::Instant::now();
        let note = eventually(async || {
            let newest = store::checkpoint::newest(&db.pool).await.unwrap()?;
            (newest.size == receipt.leaf_index() + 1).then_some(newest.note)
        })
        .await;
        quickest = quickest.min(start.elapsed());
        let stated = signer().verifier().open(&note).unwrap();
        assert_eq!(stated.root, head::newest(&db.pool).await.unwrap().root);
    }
    // The machine may be busy, but not each time.
    assert!(quickest < Duration::from_secs(1), "it took {quickest:?}");
    eventually(async || (log.health().signed == 5).then_some(())).await;
}

#[tokio::test]
async fn another_log_and_a_role_that_may_not_write_are_refused() {
    let db = database().await;
    let (_log, _tasks) = log(&db.pool).await;
    let other =
        bailiwick::audit::checkpoint::CheckpointSigner::from_seed("other/audit", uuid::Uuid::nil(), &[1; 32]).unwrap();
    let open = |pool: PgPool, signer| {
        let broker = BrokerId::random(&SystemEntropy);
        bailiwick::audit::Log::open(
            pool,
            signed_by(signer),
            broker,
            Arc::new(SystemClock),
            Arc::new(SystemEntropy),
            limits(),
        )
    };
    assert!(matches!(open(db.pool.clone(), other).await, Err(LogFault::Origin { .. })));
    let auditor = db.another_pool("bailiwick_auditor");
    assert!(matches!(open(auditor, signer()).await, Err(LogFault::Store(_))));
}

#[tokio::test]
async fn a_database_that_forgets_commits_is_refused() {
    let db = database().await;
    let forgetful = sqlx::postgres::PgPoolOptions::new()
        .connect_with(
            db.broker_url.parse::<sqlx::postgres::PgConnectOptions>().unwrap().options([("synchronous_commit", "off")]),
        )
        .await
        .unwrap();
    let broker = BrokerId::random(&SystemEntropy);
    let opened = bailiwick::audit::Log::open(
        forgetful,
        signers(),
        broker,
        Arc::new(SystemClock),
        Arc::new(SystemEntropy),
        limits(),
    )
    .await;
    assert!(matches!(opened, Err(LogFault::Store(StoreFault::NotDurable { setting: "synchronous_commit" }))));
}

#[tokio::test]
async fn the_broker_can_add_to_the_log_and_do_nothing_else() {
    let db = database().await;
    let (log, _tasks) = log(&db.pool).await;
    log.append(stopped()).await.unwrap();
    let forbidden = [
        "update entry set kind = 'x'",
        "delete from entry",
        "truncate entry",
        "insert into entry select * from entry",
        "update head set size = 5",
        "delete from head",
        "insert into head select * from head",
        "update tile set level = 1",
        "insert into tile values (0, 0, '')",
        "update checkpoint set size = 1",
        "delete from checkpoint",
        "select * from staged_batch",
        "drop table entry",
        "alter table entry add column x int",
        "select append_staged_batch()",
    ];
    for statement in forbidden {
        let fault = sqlx::query(statement).execute(&db.pool).await.unwrap_err();
        let sqlx::Error::Database(fault) = fault else { panic!("{statement}: {fault}") };
        assert!(["42501", "0A000"].contains(&fault.code().unwrap().as_ref()), "{statement}: {fault}");
    }
}

/// Folds all leaves and compares with the newest head.
async fn folds_to_its_head(pool: &PgPool) {
    let (mut tree, mut complete) = (Tree::default(), Vec::new());
    for (_, leaf) in entry::following(pool, 0, 100_000).await.unwrap() {
        tree.append(leaf_hash(&leaf), &mut complete);
    }
    let newest = head::newest(pool).await.unwrap();
    assert_eq!((newest.size, newest.root), (tree.size(), tree.root()));
    for tile in complete {
        let stored = store::tile::tiles(pool, tile.level, tile.index, tile.index + 1).await.unwrap();
        assert_eq!(stored, [(tile.index, tile.hashes.concat())]);
    }
}

/// A change that can be seen: a row of a table that the broker may write.
async fn mark(db: &mut sqlx::PgConnection, name: &str) -> Result<u64, StoreFault> {
    let done = sqlx::query("insert into policy_text values (sha256(convert_to($1, 'UTF8')), 'policies', $1, now())")
        .bind(name)
        .execute(db)
        .await?;
    Ok(done.rows_affected())
}

async fn marks(pool: &PgPool) -> Vec<String> {
    let rows: Vec<(String,)> =
        sqlx::query_as("select body from policy_text order by body").fetch_all(pool).await.unwrap();
    rows.into_iter().map(|(name,)| name).collect()
}
