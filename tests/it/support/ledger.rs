//! Databases with a log in them, and what their owner might do to it.

use std::time::Duration;

use bailiwick::{
    audit::{Log, checkpoint::CheckpointSigner},
    model::Verdict,
};
use sqlx::{AssertSqlSafe, Executor};

use super::{
    TestDb,
    audit::{decision, log},
    database, eventually,
};

/// A database with a log of `size` entries in batches of several sizes, signed, its broker gone.
pub async fn filled(size: u64) -> TestDb {
    let db = database().await;
    let (log, tasks) = log(&db.pool).await;
    fill(&log, size).await;
    eventually(async || (log.health().signed == size).then_some(())).await;
    tasks.stop(Duration::from_secs(20)).await;
    db
}

/// Appends `size` entries in batches of one to seven.
pub async fn fill(log: &Log, size: u64) {
    let mut written = 0;
    while written < size {
        let many = (1 + written % 7).min(size - written);
        let mut waiting = tokio::task::JoinSet::new();
        for n in written..written + many {
            let log = log.clone();
            waiting.spawn(async move { log.append(decision(n, Verdict::Deny)).await.map(drop) });
        }
        assert!(waiting.join_all().await.iter().all(Result::is_ok));
        written += many;
    }
}

/// What a superuser does to the database.
pub async fn tamper(db: &TestDb, statement: &str) {
    db.owner.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
}

/// Puts the public half of `key` where the broker keeps its own.
pub async fn keep_key(db: &TestDb, key: &CheckpointSigner, state: &str) {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let verifier = key.verifier().to_string();
    let public = BASE64_STANDARD.decode(verifier.splitn(3, '+').nth(2).unwrap()).unwrap();
    let insert = format!(
        "insert into key (id, purpose, state, public, wrapped, created_at)
         values ('{}', 'checkpoint', '{state}', '\\x{}', '', now())",
        key.key(),
        hex::encode(&public[1..])
    );
    sqlx::raw_sql(AssertSqlSafe(insert)).execute(&db.owner).await.unwrap();
}

/// What a command printed, and its exit code.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// `bailiwick` with these arguments: the real binary.
pub async fn cli(arguments: &[&str]) -> Said {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_bailiwick"));
    let output = command.args(arguments).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}
