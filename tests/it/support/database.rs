//! A database of its own for each test, copied from one that was migrated once.
//! Also breaks it on purpose: `cut_off` makes the database unreachable, `restore` brings it back.

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{
    Connection, Executor, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::OnceCell;

use super::{cluster::Cluster, eventually};

/// One test's database.
#[allow(dead_code, reason = "each test file takes what it needs")]
pub struct TestDb {
    /// As the broker's role: what the product runs with.
    pub pool: PgPool,
    /// As the superuser: for arranging, and for tampering.
    pub owner: PgPool,
    /// The URL behind `pool`.
    pub broker_url: String,
    /// For the auditor's role, which reads.
    pub auditor_url: String,
    /// The URL behind `owner`.
    pub owner_url: String,
    name: String,
}

/// A fresh, migrated database.
pub async fn database() -> TestDb {
    static TEMPLATE: OnceCell<()> = OnceCell::const_new();
    TEMPLATE.get_or_init(make_template).await;
    copied_from("base").await
}

async fn copied_from(template: &str) -> TestDb {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("t{}", COUNT.fetch_add(1, Ordering::SeqCst));
    administer(format!("create database {name} template {template}")).await;
    let url = |role: &str| Cluster::running().url(role, &name);
    let (broker_url, auditor_url, owner_url) = (url("bailiwick_broker"), url("bailiwick_auditor"), url("postgres"));
    TestDb { pool: pool(&broker_url), owner: pool(&owner_url), broker_url, auditor_url, owner_url, name }
}

#[allow(dead_code, reason = "each test file takes what it needs")]
impl TestDb {
    /// A pool of its own for `role`, as another process would have.
    pub fn another_pool(&self, role: &str) -> PgPool {
        pool(&Cluster::running().url(role, &self.name))
    }

    /// Another database that holds what this one holds now.
    pub async fn copy(&self) -> Self {
        self.end_connections().await;
        copied_from(&self.name).await
    }

    /// Drops it and makes it anew, with nothing in it.
    pub async fn make_anew(&self) {
        administer(format!("drop database {} with (force)", self.name)).await;
        administer(format!("create database {}", self.name)).await;
    }

    /// The directory of the server's socket.
    pub fn socket(&self) -> &std::path::Path {
        &Cluster::running().socket
    }

    /// Lets everyone read the head and nobody extend it.
    pub async fn hold_the_head(&self) -> sqlx::Transaction<'static, sqlx::Postgres> {
        let mut held = self.owner.begin().await.unwrap();
        held.execute("lock table head in share mode").await.unwrap();
        held
    }

    /// Until someone waits for it.
    pub async fn wait_for_the_head(&self) {
        eventually(async || {
            let query = "select count(*) from pg_locks where relation = 'head'::regclass and not granted";
            let (waiting,): (i64,) = sqlx::query_as(query).fetch_one(&self.owner).await.unwrap();
            (waiting > 0).then_some(())
        })
        .await;
    }

    /// Ends every connection to this database and lets no new one in.
    pub async fn cut_off(&self) {
        administer(format!("alter database {} allow_connections false", self.name)).await;
        self.end_connections().await;
    }

    /// Lets connections in again.
    pub async fn restore(&self) {
        administer(format!("alter database {} allow_connections true", self.name)).await;
    }

    /// Ends every connection to this database, and waits until they have; new ones are welcome.
    pub async fn end_connections(&self) {
        let end = "select pg_terminate_backend(pid, 60000) from pg_stat_activity where datname = '";
        administer(format!("{end}{}'", self.name)).await;
    }
}

fn pool(url: &str) -> PgPool {
    let options: PgConnectOptions = url.parse().expect("a URL of our own making");
    PgPoolOptions::new().max_connections(8).connect_lazy_with(options)
}

async fn make_template() {
    tokio::task::spawn_blocking(Cluster::running).await.expect("the server starts");
    administer("create database base".to_owned()).await;
    let owner = pool(&Cluster::running().url("postgres", "base"));
    bailiwick::store::migrate(&owner).await.expect("the migrations run");
    owner.close().await;
    for role in ["owner", "broker", "auditor", "maintenance"] {
        administer(format!("alter role bailiwick_{role} login")).await;
    }
}

/// Runs one statement as the superuser, outside the test's database.
async fn administer(statement: String) {
    let url = Cluster::running().url("postgres", "postgres");
    let mut connection = PgConnection::connect(&url).await.expect("the superuser can connect");
    connection.execute(sqlx::AssertSqlSafe(statement)).await.expect("the statement runs");
    connection.close().await.expect("the connection closes");
}
