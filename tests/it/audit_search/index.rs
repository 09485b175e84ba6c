//! The index itself: built once, by one at a time, behind what the log appends, and checked against it.

use bailiwick::{
    audit::{
        Log,
        search::{Search, Turn, activity, check_block, check_index, find, take_turn},
    },
    model::{Timestamp, Verdict},
};

use super::{all, past};
use crate::support::{
    TestDb,
    audit::{decision, log},
    database, eventually,
    history::START,
};

#[tokio::test]
async fn whoever_checks_a_block_finds_what_was_done_to_it() {
    let db = past(2).await;
    let mut auditor = db.another_pool("bailiwick_auditor").acquire().await.unwrap();
    assert_eq!(
        (check_block(&mut auditor, 0).await.unwrap(), check_block(&mut auditor, 1).await.unwrap()),
        (None, None)
    );
    assert!(check_block(&mut auditor, 2).await.unwrap().unwrap().contains("not indexed"));
    let whole = check_index(&mut auditor, |_, _| {}).await.unwrap();
    assert_eq!((whole.blocks, whole.checked, whole.broken), (3, 2, None));
    for (tamper, said) in [
        ("delete from posting where block = 1 and term = (select min(term) from posting where block = 1)", "term"),
        (
            "update posting set bits = '\\x0001' where block = 0 and term = (select max(term) from posting where block = 0)",
            "term",
        ),
    ] {
        sqlx::query(tamper).execute(&db.owner).await.unwrap();
        let block = u64::from(tamper.contains("block = 1"));
        assert!(check_block(&mut auditor, block).await.unwrap().unwrap().contains(said));
    }
    sqlx::query("update search_block set denied = '' where block = 1").execute(&db.owner).await.unwrap();
    assert!(check_block(&mut auditor, 1).await.unwrap().unwrap().contains("block"));
    sqlx::query("insert into search_block select 99, first_recorded_at, last_recorded_at, leaves, postings, allowed, denied, moments
                   from search_block where block = 1").execute(&db.owner).await.unwrap();
    let whole = check_index(&mut auditor, |_, _| {}).await.unwrap();
    assert_eq!(whole.broken.as_deref(), Some("it has 100 blocks, and the log 3"));
}

#[tokio::test]
async fn several_at_once_index_each_block_once_and_nobody_can_change_it_after() {
    let db = past(0).await;
    let mut turns = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let pool = db.another_pool("bailiwick_broker");
        turns.spawn(async move {
            let mut db = pool.acquire().await.unwrap();
            loop {
                match take_turn(&mut db, 1).await.unwrap() {
                    Turn::Complete => return,
                    Turn::Indexed(_) | Turn::Taken => tokio::task::yield_now().await,
                }
            }
        });
    }
    turns.join_all().await;
    let mut broker = db.pool.acquire().await.unwrap();
    for block in 0..3 {
        assert_eq!(check_block(&mut broker, block).await.unwrap(), None, "block {block}");
    }
    for forbidden in ["delete from posting", "update search_block set block = block + 1", "truncate posting"] {
        assert!(sqlx::query(forbidden).execute(&db.pool).await.is_err(), "{forbidden}");
    }
}

#[tokio::test]
#[allow(unused_must_use, reason = "appended for the sake of the entry; no receipt permits anything")]
async fn a_log_indexes_itself_behind_what_it_appends() {
    let db = database().await;
    let (log, tasks) = log(&db.pool).await;
    let waiting = (0..1_030).map(|n| {
        let log = log.clone();
        tokio::spawn(async move {
            log.append(decision(n, Verdict::Allow)).await.unwrap();
        })
    });
    for appended in waiting.collect::<Vec<_>>() {
        appended.await.unwrap();
    }
    let mut auditor = db.another_pool("bailiwick_auditor").acquire().await.unwrap();
    eventually(async || {
        let mut db = db.pool.acquire().await.unwrap();
        let found = find(&mut db, &Search::default(), None, 1, |_| true).await.unwrap();
        (found.indexed_to == 1024).then_some(())
    })
    .await;
    let found = all(&mut auditor, &Search::parse("text=page+1027").unwrap(), 5).await;
    assert_eq!(found.len(), 1);
    assert_eq!(all(&mut auditor, &Search::parse("where=wiki").unwrap(), 400).await.len(), 1_030);
    assert_eq!(check_block(&mut auditor, 0).await.unwrap(), None);
    drop(tasks);
}

#[tokio::test]
async fn a_chart_over_no_entries_is_empty_and_a_log_without_entries_has_none() {
    let db = database().await;
    let mut broker = db.pool.acquire().await.unwrap();
    assert_eq!(take_turn(&mut broker, 4).await.unwrap(), Turn::Complete);
    assert!(find(&mut broker, &Search::default(), None, 50, |_| true).await.unwrap().entries.is_empty());
    assert!(activity(&mut broker, &Search::default(), 48).await.unwrap().buckets.is_empty());
    let asked = Search {
        from: Some(Timestamp::from_micros(START)),
        until: Some(Timestamp::from_micros(START + 48)),
        ..Search::default()
    };
    let chart = activity(&mut broker, &asked, 48).await.unwrap();
    assert_eq!((chart.buckets.len(), chart.is_exact), (48, true));
}

/// All that is stored about the first `blocks` blocks.
async fn index_of(db: &TestDb, blocks: i64) -> Vec<String> {
    let rows = "select row(b.*)::text from search_block b where block < $1
                union all
                select row(p.*)::text from posting p where block < $1
                order by 1";
    sqlx::query_scalar(rows).bind(blocks).fetch_all(&db.owner).await.unwrap()
}

/// What is stored when every leaf has to be read.
async fn index_by_reading(db: &TestDb, blocks: u64) -> Vec<String> {
    sqlx::raw_sql("truncate posting, search_block").execute(&db.owner).await.unwrap();
    let mut broker = db.another_pool("bailiwick_broker").acquire().await.unwrap();
    assert_eq!(take_turn(&mut broker, blocks).await.unwrap(), Turn::Indexed(blocks));
    index_of(db, blocks as i64).await
}

/// Nobody waits for these, so it does not matter how long they take.
fn note(log: &Log, numbers: std::ops::Range<u64>) {
    for n in numbers {
        log.note(decision(n, if n % 5 == 0 { Verdict::Deny } else { Verdict::Allow }));
    }
}

async fn is_indexed(db: &TestDb, blocks: i64) {
    let count = "select count(*) from search_block";
    eventually(async || {
        let (found,): (i64,) = sqlx::query_as(count).fetch_one(&db.owner).await.unwrap();
        (found == blocks).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_a_broker_appended_itself_it_does_not_read_back_to_index_it() {
    let db = database().await;
    let (log, tasks) = log(&db.pool).await;
    sqlx::raw_sql(
        "revoke select on entry from bailiwick_broker;
         grant select (leaf_index, recorded_at, broker, kind, request, verdict) on entry to bailiwick_broker",
    )
    .execute(&db.owner)
    .await
    .unwrap();
    note(&log, 0..2_100);
    is_indexed(&db, 2).await;
    drop(tasks);
    let known = index_of(&db, 2).await;
    sqlx::raw_sql("grant select on entry to bailiwick_broker").execute(&db.owner).await.unwrap();
    assert!(known == index_by_reading(&db, 2).await, "the index says something else than the leaves");
}

#[tokio::test]
async fn what_several_brokers_appended_is_indexed_as_if_all_of_it_were_read() {
    let db = database().await;
    let (one, one_tasks) = log(&db.pool).await;
    let (other, other_tasks) = log(&db.another_pool("bailiwick_broker")).await;
    for n in 0..16 {
        note(&one, n * 200..n * 200 + 100);
        note(&other, n * 200 + 100..n * 200 + 200);
        tokio::task::yield_now().await;
    }
    is_indexed(&db, 3).await;
    drop((one_tasks, other_tasks));
    let known = index_of(&db, 3).await;
    assert!(known == index_by_reading(&db, 3).await, "the index says something else than the leaves");
}
