//! What is no longer there, or no longer what it was: archived if the log itself says so, otherwise named as missing or
//! damaged, whatever is looked for and whether it was indexed. Real logs, and their owner's hand on them.

use std::{sync::Arc, time::Duration};

use bailiwick::{
    audit::{
        Draft, Event, Log, Tasks,
        search::{Found, Search, find, find_from, tally},
    },
    model::{FrozenClock, Timestamp, Verdict},
};
use sqlx::PgConnection;

use crate::support::{
    TestDb,
    audit::{decision, limits, log, log_at},
    database, eventually,
    ledger::{fill, tamper},
};

/// 2026-01-10.
const START: Timestamp = Timestamp::from_micros(1_767_996_000_000_000);

/// Entries in each of two months: with what says that the first was archived, two blocks and a bit.
const MONTH: u64 = 1_100;

/// January and February, both full of refusals, and an entry by which January was archived.
async fn two_months() -> (TestDb, Log, Tasks) {
    let (db, clock) = (database().await, Arc::new(FrozenClock::at(START)));
    let (log, tasks) = log_at(&db.pool, clock.clone(), limits()).await;
    for month in 0..2 {
        let mut writing = tokio::task::JoinSet::new();
        for nth in 0..MONTH {
            let log = log.clone();
            let draft = decision(MONTH * month + nth, Verdict::Deny);
            writing.spawn(async move { log.append(draft).await.map(drop) });
        }
        assert!(writing.join_all().await.iter().all(Result::is_ok));
        clock.advance(Duration::from_secs(30 * 24 * 60 * 60));
    }
    archived(&log, MONTH).await;
    eventually(async || {
        let mut auditor = db.pool.acquire().await.unwrap();
        (newest(&mut auditor, "").await.indexed_to == 2_048).then_some(())
    })
    .await;
    (db, log, tasks)
}

async fn archived(log: &Log, until: u64) {
    let event = Event::Archived { from: 0, until, file: "january.jsonl".into(), sha256: "00".repeat(32) };
    let draft = Draft { caller: None, event, happened_at: START, request: None };
    let _receipt = log.append(draft).await.unwrap();
}

async fn newest(db: &mut PgConnection, query: &str) -> Found {
    find(db, &Search::parse(query).unwrap(), None, 5_000, |_| true).await.unwrap()
}

/// What is archived, missing and damaged: the same from either end, and page by page.
async fn gone(db: &mut PgConnection, query: &str) -> (u64, Vec<u64>, Vec<u64>) {
    let found = newest(db, query).await;
    assert_eq!(found.next, None);
    let sorted = |mut named: Vec<u64>| {
        named.sort_unstable();
        named
    };
    let said = (found.bodiless, sorted(found.losses.missing.first), sorted(found.losses.damaged.first));
    let search = Search::parse(query).unwrap();
    for page in [5_000, 300] {
        let (mut from, mut again) = (Some(0), (0, Vec::new(), Vec::new()));
        while let Some(start) = from {
            let found = find_from(&mut *db, &search, start, page, |_| true).await.unwrap();
            again.0 += found.bodiless;
            again.1.extend(found.losses.missing.first);
            again.2.extend(found.losses.damaged.first);
            from = found.next;
        }
        assert_eq!((again.0, sorted(again.1), sorted(again.2)), said, "oldest first, {page} at once");
    }
    said
}

#[tokio::test]
async fn what_the_log_says_it_archived_is_counted_and_any_other_hole_is_named() {
    let (db, _log, _tasks) = two_months().await;
    tamper(&db, "drop table entry_2026_01").await;
    let mut auditor = db.another_pool("bailiwick_auditor").acquire().await.unwrap();
    for query in ["verdict=deny", "what=decision", ""] {
        assert_eq!(gone(&mut auditor, query).await, (MONTH, vec![], vec![]), "{query}");
    }
    assert!(newest(&mut auditor, "verdict=allow").await.losses.is_empty());
    let denied = tally(&mut auditor, &Search::parse("verdict=deny").unwrap()).await.unwrap();
    assert_eq!(denied.count, 2 * MONTH, "they did happen");

    // One indexed and one that is not: removed, broken, and turned into another that can be read.
    tamper(&db, "delete from entry where leaf_index in (1500, 2100)").await;
    tamper(&db, "update entry set leaf = '\\x01ff' where leaf_index in (1502, 2102)").await;
    let allow =
        "update entry set leaf = convert_to(replace(convert_from(leaf, 'utf8'), '\"deny\"', '\"allow\"'), 'utf8')
                  where leaf_index = 1504";
    tamper(&db, allow).await;
    let damaged = vec![1502, 1504, 2102];
    assert_eq!(gone(&mut auditor, "verdict=deny").await, (MONTH, vec![1500, 2100], damaged));
    assert_eq!(gone(&mut auditor, "what=decision").await, (MONTH, vec![1500, 2100], vec![1502, 2102]));
    assert_eq!(gone(&mut auditor, "").await, (MONTH, vec![1500, 2100], vec![]), "broken ones are shown as they are");
    let all = newest(&mut auditor, "").await;
    assert_eq!(all.entries.iter().filter(|(_, leaf)| leaf == b"\x01\xff").count(), 2);

    // The column leads to it, and its bytes name another request.
    let other =
        "update entry set request = (select request from entry where leaf_index = 1510) where leaf_index = 1511";
    tamper(&db, other).await;
    let sql = "select request::text from entry where leaf_index = 1510";
    let request: String = sqlx::query_scalar(sql).fetch_one(&db.owner).await.unwrap();
    assert_eq!(gone(&mut auditor, &format!("request={request}")).await, (0, vec![], vec![1511]));
}

#[tokio::test]
async fn entries_count_as_archived_only_by_an_entry_that_is_in_the_tree() {
    let db = database().await;
    let (log, _tasks) = log(&db.pool).await;
    fill(&log, 300).await;
    tamper(&db, "delete from entry where leaf_index < 5").await;
    let mut auditor = db.another_pool("bailiwick_auditor").acquire().await.unwrap();
    assert_eq!(gone(&mut auditor, "").await, (0, vec![0, 1, 2, 3, 4], vec![]));

    // A row of the table of archives and an entry, both made by the owner.
    let row = "insert into archive (part, from_index, until_index, file, sha256, archived_at, dropped_at)
               values ('entry_2026_01', 0, 5, 'a', sha256(''), now(), now())";
    tamper(&db, row).await;
    archived(&log, 5).await;
    tamper(&db, "create table kept as select * from entry where leaf_index >= 299").await;
    let forged = "update entry set kind = 'archived', leaf = (select leaf from kept where leaf_index = 300)
                   where leaf_index = 299";
    tamper(&db, forged).await;
    tamper(&db, "delete from entry where leaf_index = 300").await;
    assert_eq!(gone(&mut auditor, "").await, (0, vec![0, 1, 2, 3, 4, 300], vec![]), "the tree has another entry there");

    tamper(&db, "delete from entry where leaf_index = 299").await;
    tamper(&db, "insert into entry select * from kept").await;
    assert_eq!(gone(&mut auditor, "").await, (5, vec![], vec![]));
    tamper(&db, "delete from entry where leaf_index in (5, 7)").await;
    assert_eq!(gone(&mut auditor, "").await, (5, vec![5, 7], vec![]), "no further than that entry says");
    let denied = newest(&mut auditor, "verdict=deny").await;
    assert!(denied.bodiless == 0 && denied.hint.unwrap().contains("were never indexed"));
    let few = find(&mut auditor, &Search::parse("verdict=deny").unwrap(), None, 5, |_| true).await.unwrap();
    assert_eq!((few.entries.len(), few.hint), (5, None), "nobody has looked that far");
}
