//! A broker that is stopped (SIGSTOP) in the middle of something, as a hypervisor stops a machine: the others go on.
//! The stopped one is a process of its own, this very test binary; it says where it is, so nothing is left to chance.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use bailiwick::{
    audit::{Log, Tasks},
    config::{Database, DatabaseUrl},
    model::{Timestamp, Verdict},
    store::{
        self,
        policy_text::{TextKind, keep_policy_text},
    },
};
use sqlx::PgPool;

use crate::support::{
    TestDb,
    audit::{decision, entries, log, stopped},
    database, eventually,
    server::signal,
};

#[tokio::test]
async fn a_broker_that_is_stopped_while_it_appends_stops_nobody() {
    let db = database().await;
    let (mine, _tasks) = log(&db.pool).await;
    let mut other = Other::start(&db, "append");
    other.says("ready");
    for n in 0..20 {
        // Stopped wherever it happens to be after the next receipt.
        other.says("receipt");
        other.stop();
        for k in 0..5 {
            mine.append(decision(n * 10 + k, Verdict::Deny)).await.map(drop).unwrap();
        }
        other.goes_on();
    }
    other.says("receipt");
    other.stop();
    assert_sound(&db).await;
}

#[tokio::test]
async fn a_broker_that_is_stopped_while_the_database_appends_for_it_stops_nobody() {
    let db = database().await;
    let (mine, _tasks) = log(&db.pool).await;
    let mut other = Other::start(&db, "append");
    other.says("ready");
    let mut held = db.owner.begin().await.unwrap();
    sqlx::query("lock table head in share mode").execute(&mut *held).await.unwrap();
    eventually(async || {
        let query = "select count(*) from pg_locks where relation = 'head'::regclass and not granted";
        let (waiting,): (i64,) = sqlx::query_as(query).fetch_one(&db.owner).await.unwrap();
        (waiting > 0).then_some(())
    })
    .await;
    other.stop();
    held.rollback().await.unwrap();
    for n in 0..10 {
        mine.append(decision(n, Verdict::Deny)).await.map(drop).unwrap();
    }
    assert_sound(&db).await;
    other.goes_on();
    other.says("receipt");
}

#[tokio::test]
async fn a_broker_that_is_stopped_inside_its_change_stops_others_only_until_the_database_ends_its_transaction() {
    let db = database().await;
    let pool = product_pool(&db.broker_url).await;
    let (mine, _tasks) = log(&pool).await;
    let mut other = Other::start(&db, "change");
    other.says("inside");
    other.stop();
    // Whatever is not about the same row goes on at once.
    mine.append(decision(1, Verdict::Deny)).await.map(drop).unwrap();
    change(&mine, "another").await;
    eventually(async || {
        let query = "select count(*) from pg_stat_activity
                      where state = 'idle in transaction' and datname = current_database()";
        let (open,): (i64,) = sqlx::query_as(query).fetch_one(&db.owner).await.unwrap();
        (open == 1).then_some(())
    })
    .await;
    // The same row is free as soon as the database has lost its patience, before whoever waits for it loses theirs.
    change(&mine, "the same").await;
    other.goes_on();
    other.says("undone");
    let texts: (i64,) = sqlx::query_as("select count(*) from policy_text").fetch_one(&db.owner).await.unwrap();
    assert_eq!((texts.0, entries(&db.pool).await.len()), (2, 3), "its change was undone");
    assert_sound(&db).await;
}

/// The other broker, when this binary is started as one.
#[allow(clippy::disallowed_methods, reason = "a test that is its own other process is told so by its environment")]
#[tokio::test]
#[ignore = "no test of its own: the tests beside it start it as another process"]
async fn the_broker_that_is_stopped() {
    let (url, work) = (std::env::var(URL).unwrap(), std::env::var(WORK).unwrap());
    // Whoever only appends has connections without limits: what it held when it is stopped, nobody would take from it, and the
    // others would wait in vain.
    let pool = if work == "append" { PgPool::connect(&url).await.unwrap() } else { product_pool(&url).await };
    let (log, _tasks): (Log, Tasks) = log(&pool).await;
    println!("ready");
    match work.as_str() {
        "append" => loop {
            let receipt = log.append(stopped()).await;
            println!("receipt {receipt:?}");
        },
        _ => {
            let changed = log.append_within::<()>(|db| {
                Box::pin(async move {
                    keep_policy_text(&mut *db, TextKind::Policies, "the same", Timestamp::from_micros(5)).await?;
                    println!("inside");
                    loop {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        sqlx::query("select 1").execute(&mut *db).await?;
                    }
                })
            });
            println!("undone {:?}", changed.await.err());
        }
    }
}

/// A change to one row, by name.
async fn change(log: &Log, row: &'static str) {
    let changing = log.append_within(move |db| {
        Box::pin(async move {
            keep_policy_text(db, TextKind::Policies, row, Timestamp::from_micros(5)).await?;
            Ok(((), vec![stopped()]))
        })
    });
    changing.await.map(drop).unwrap();
}

/// Connections as the product makes them, with its limits.
async fn product_pool(url: &str) -> PgPool {
    let url = DatabaseUrl::Plain(url.to_owned());
    let settings = Database { url: url.clone(), acquire: Duration::from_secs(30), connections: 4, auditor_url: None };
    store::connect_with(&url, &settings).await.unwrap()
}

/// No gap, and every entry reads back.
async fn assert_sound(db: &TestDb) {
    let (size,): (i64,) = sqlx::query_as("select max(size) from head").fetch_one(&db.owner).await.unwrap();
    assert_eq!(entries(&db.pool).await.len() as i64, size);
}

const URL: &str = "BAILIWICK_TEST_STOPPED_URL";

const WORK: &str = "BAILIWICK_TEST_STOPPED_WORK";

/// Another broker, in a process of its own.
struct Other {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Other {
    fn start(db: &TestDb, work: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "audit_paused::the_broker_that_is_stopped", "--ignored", "--nocapture"])
            .env(URL, &db.broker_url)
            .env(WORK, work)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines }
    }

    /// Waits until it says so.
    fn says(&mut self, word: &str) {
        let mut line = String::new();
        while !line.contains(word) {
            line.clear();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the other broker ended");
        }
    }

    fn stop(&self) {
        signal("STOP", &[self.process.id()]);
    }

    fn goes_on(&self) {
        signal("CONT", &[self.process.id()]);
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
