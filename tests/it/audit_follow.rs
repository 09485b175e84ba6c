//! `bailiwick audit tail -f` over a database that goes away: nothing twice, nothing lost, and a place to go on from.

#![allow(unused_must_use, reason = "these tests append for the sake of the entry, and no receipt permits anything")]

use std::process::Stdio;

use bailiwick::model::Verdict;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::support::{
    SOON, TestDb,
    audit::{decision, log},
    database, eventually,
    ledger::{Said, cli, filled, keep_key, tamper},
};

#[tokio::test]
async fn a_follower_whose_connection_is_cut_goes_on_where_it_was() {
    let db = database().await;
    let (log, _tasks) = log(&db.pool).await;
    log.append(decision(0, Verdict::Deny)).await.unwrap();
    let mut tail = tokio::process::Command::new(env!("CARGO_BIN_EXE_bailiwick"))
        .args(["audit", "tail", "-f", "-o", "json", "--verdict", "deny", "--database", &db.auditor_url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut remarks = BufReader::new(tail.stderr.take().unwrap()).lines();
    let mut next = async || -> u64 {
        let line = tokio::time::timeout(SOON, lines.next_line()).await.expect("a line comes").unwrap().unwrap();
        serde_json::from_str::<Value>(&line).unwrap()["leaf_index"].as_u64().unwrap()
    };
    assert_eq!(next().await, 0);
    for round in 0..2 {
        let cut = "select pg_terminate_backend(pid) from pg_stat_activity
                    where application_name = 'bailiwick audit' and datname = current_database()";
        eventually(async || {
            let cut: Vec<(bool,)> = sqlx::query_as(cut).fetch_all(&db.owner).await.unwrap();
            (!cut.is_empty()).then_some(())
        })
        .await;
        for n in 1..4 {
            log.append(decision(round * 3 + n, Verdict::Deny)).await.unwrap();
        }
        for n in 1..4 {
            assert_eq!(next().await, round * 3 + n, "each once, in order");
        }
    }
    tail.kill().await.unwrap();
    let mut said = Vec::new();
    while let Ok(Some(line)) = remarks.next_line().await {
        said.push(line);
    }
    let times = |what: &str| said.iter().filter(|line| line.contains(what)).count();
    assert_eq!((times("Trying to reach"), times("going on with entry")), (2, 2), "{said:?}");
    // What is told of the reading is where it begins, each time; how many entries it came to is not known.
    let readings: Vec<(String, String, Option<i64>)> =
        sqlx::query_as("select command, search, entries from reading order by staged_at")
            .fetch_all(&db.owner)
            .await
            .unwrap();
    let follow = |search: &str| ("follow".to_owned(), search.to_owned(), None);
    assert_eq!(readings[0], follow("verdict=deny"), "from the first entry on");
    assert!(
        readings.len() == 3 && readings[1..].iter().all(|one| one.1.starts_with("verdict=deny&after=")),
        "{readings:?}"
    );
}

#[tokio::test]
async fn tail_goes_on_after_an_entry_that_is_named() {
    let db = signed().await;
    let indexes = |said: &Said| -> Vec<u64> {
        said.out
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["leaf_index"].as_u64().unwrap())
            .collect()
    };
    let said = typed("tail --after 5 -o json", &db).await;
    assert_eq!((said.code, indexes(&said)), (0, vec![6, 7, 8]), "{said:?}");
    let said = typed("tail --after 8 -o json", &db).await;
    assert_eq!((said.code, indexes(&said)), (0, vec![]), "{said:?}");
    let said = typed("tail --after 9", &db).await;
    assert!(said.code == 2 && said.err.contains("the log has 9 entries and not 10"), "{said:?}");
    assert_eq!(typed("tail --after 5 -n 3", &db).await.code, 2, "both say where to begin");
    tamper(&db, "delete from entry where leaf_index in (7, 8)").await;
    let said = typed("tail --after 5 -o json", &db).await;
    assert_eq!((said.code, indexes(&said)), (1, vec![6]), "{said:?}");
    assert!(said.err.contains("entries 7, 8 are missing"), "the last ones are missed as well: {said:?}");
}

#[tokio::test]
async fn none_is_none_and_what_is_not_there_is_said_not_to_be() {
    let db = signed().await;
    for line in ["search -n 0", "tail -n 0", "search -n 0 -o json"] {
        let said = typed(line, &db).await;
        assert_eq!((said.code, said.out.as_str()), (0, ""), "{line}: {said:?}");
    }
    assert!(typed("search -n 0", &db).await.err.contains("0 of 9 entries"));
    let before: (i64,) = sqlx::query_as("select count(*) from reading").fetch_one(&db.owner).await.unwrap();
    for line in ["bundle --leaf 9", "bundle --leaf 3 --leaf 4-99999"] {
        let said = typed(line, &db).await;
        assert!(
            said.code == 2 && said.err.contains("the log has no entry ") && said.err.contains("9 entries"),
            "{said:?}"
        );
    }
    let after: (i64,) = sqlx::query_as("select count(*) from reading").fetch_one(&db.owner).await.unwrap();
    assert_eq!(before, after, "nothing was read");
}

/// Nine entries, and the key that signed them.
async fn signed() -> TestDb {
    let db = filled(9).await;
    keep_key(&db, &crate::support::audit::signer(), "active").await;
    db
}

async fn typed(line: &str, db: &TestDb) -> Said {
    let arguments: Vec<&str> = ["audit"].into_iter().chain(line.split(' ')).collect();
    cli(&[arguments.as_slice(), &["--database", &db.auditor_url]].concat()).await
}
