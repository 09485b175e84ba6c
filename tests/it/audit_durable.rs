//! A Postgres that is told, while a broker runs, to acknowledge what it may forget: no receipt is handed out any more, the
//! reason is said, and the broker goes on by itself once Postgres keeps its word again.

use std::{path::Path, time::Duration};

use bailiwick::{
    audit::{Log, State, Unrecorded},
    config::{Database, DatabaseUrl},
    store::{self, StoreFault},
};
use sqlx::PgPool;
use tokio::sync::Mutex;

use crate::support::{
    audit::{log_at, patience, stopped},
    eventually,
    server::Server,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_broker_does_not_go_on_without_durability() {
    let server = Server::start(Path::new("/var/tmp"), &["shared_buffers=32MB"]).await;
    server.migrate().await;
    let pool = store::connect_durably(&settings(&server)).await.unwrap();
    let (log, _tasks) = log_at(&pool, std::sync::Arc::new(bailiwick::model::SystemClock), patience()).await;
    for setting in ["synchronous_commit", "fsync"] {
        drop(log.append(stopped()).await.unwrap());
        alter(&server, &format!("set {setting} = off")).await;
        eventually(async || is_down_for(&log, setting).then_some(())).await;
        assert_eq!(log.append(stopped()).await.err(), Some(Unrecorded::Down));
        let said = log.readiness().unwrap_err();
        assert!(said.contains("would lose") && !said.contains(setting), "{said}");
        alter(&server, &format!("reset {setting}")).await;
        eventually(async || log.alive().then_some(())).await;
    }
    drop(log.append(stopped()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_stays_as_durable_as_it_was_made_and_none_is_made_that_is_not() {
    let server = Server::start(Path::new("/var/tmp"), &["shared_buffers=32MB"]).await;
    server.migrate().await;
    let pool = store::connect_durably(&settings(&server)).await.unwrap();
    let made_before = Mutex::new(pool.acquire().await.unwrap());
    alter(&server, "set synchronous_commit = off").await;
    eventually(async || store::expect_still_durable(&mut **made_before.lock().await).await.err()).await;
    let asked = sqlx::query_as("select current_setting('synchronous_commit')");
    let (commit,): (String,) = asked.fetch_one(&mut **made_before.lock().await).await.unwrap();
    assert_eq!(commit, "on");
    assert!(pool.acquire().await.is_err(), "one that was made since");
    let refused = store::connect_durably(&settings(&server)).await.err();
    assert!(matches!(refused, Some(StoreFault::NotDurable { setting: "synchronous_commit" })), "{refused:?}");
    // Whoever only reads is not concerned.
    let auditor: PgPool = store::connect_with(&settings(&server).url, &settings(&server)).await.unwrap();
    store::head::is_there(&auditor).await.unwrap();
}

async fn alter(server: &Server, what: &str) {
    server.execute("postgres", &format!("alter system {what}")).await;
    server.execute("postgres", "select pg_reload_conf()").await;
}

fn is_down_for(log: &Log, setting: &str) -> bool {
    matches!(log.health().state, State::Volatile(why) if why.contains(&format!("`{setting}` off")))
}

fn settings(server: &Server) -> Database {
    Database {
        url: DatabaseUrl::Plain(server.url("bailiwick_broker", "bailiwick")),
        acquire: Duration::from_secs(2),
        connections: 4,
        auditor_url: None,
    }
}
