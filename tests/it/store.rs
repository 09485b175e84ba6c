//! What the store promises before any noun: which accounts may serve, what is pending, how sessions are set up.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use bailiwick::{
    config::{Database, DatabaseUrl},
    store::{self, StoreFault},
};
use sqlx::{AssertSqlSafe, Executor as _, PgPool};
use tokio::runtime::Handle;

use crate::support::{TestDb, database};

fn settings(url: &str) -> Database {
    let url = DatabaseUrl::Plain(url.to_owned());
    Database { url, acquire: Duration::from_secs(30), connections: 4, auditor_url: None }
}

/// Roles belong to the whole server, so each test makes its own, and drops it.
async fn with_role<T>(db: &TestDb, name: &str, grants: &[&str], ask: impl AsyncFnOnce(String) -> T) -> T {
    execute(&db.owner, &format!("create role {name} login noinherit")).await;
    for grant in grants {
        execute(&db.owner, &format!("grant {grant} to {name}")).await;
    }
    let answer = ask(db.broker_url.replace("bailiwick_broker", name)).await;
    execute(&db.owner, &format!("drop owned by {name}; drop role {name}")).await;
    answer
}

async fn execute(pool: &PgPool, statement: &str) {
    pool.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
}

async fn refusal(url: String) -> String {
    match store::connect(&settings(&url)).await {
        Err(StoreFault::TooMuchPower(why)) => why,
        other => panic!("{url} was not refused: {other:?}"),
    }
}

#[tokio::test]
async fn the_brokers_role_may_serve() {
    let db = database().await;
    store::connect(&settings(&db.broker_url)).await.unwrap();
}

#[tokio::test]
async fn an_account_that_is_granted_the_brokers_role_may_serve() {
    let db = database().await;
    let served = with_role(&db, "serves", &["bailiwick_broker"], async |url| store::connect(&settings(&url)).await);
    served.await.unwrap();
}

#[tokio::test]
async fn an_account_that_could_change_the_log_is_refused() {
    let db = database().await;
    assert_eq!(refusal(db.owner_url.clone()).await, "`postgres` is a superuser");
    let owner = db.broker_url.replace("bailiwick_broker", "bailiwick_owner");
    assert_eq!(refusal(owner).await, "`bailiwick_owner` is a member of bailiwick_owner");
    for (name, grant, expected) in [
        // Without inheritance, so that only `set role` would show it.
        ("becomes_owner", "bailiwick_owner", "`becomes_owner` is a member of bailiwick_owner"),
        ("updates", "update on entry", "`updates` could change or remove rows of entry"),
        ("deletes", "delete on head", "`deletes` could change or remove rows of head"),
        ("truncates", "truncate on checkpoint", "`truncates` could change or remove rows of checkpoint"),
        ("edits", "update (target) on entry", "`edits` could change or remove rows of entry"),
    ] {
        assert_eq!(with_role(&db, name, &[grant], refusal).await, expected);
    }
}

#[tokio::test]
async fn an_account_that_could_change_one_partition_is_refused() {
    let db = database().await;
    execute(&db.owner, "select ensure_partitions('2026-03-01T00:00:00Z')").await;
    let why = with_role(&db, "trims", &["delete on entry_2026_03"], refusal).await;
    assert_eq!(why, "`trims` could change or remove rows of entry_2026_03");
}

#[tokio::test]
async fn what_is_pending_is_known_before_and_after_the_migrations() {
    let db = database().await;
    assert!(store::pending_migrations(&db.pool).await.unwrap().is_empty());

    execute(&db.owner, "drop table _sqlx_migrations").await;
    let pending = store::pending_migrations(&db.pool).await.unwrap();
    assert_eq!(pending.first().map(String::as_str), Some("0001_role"));
}

#[tokio::test]
async fn a_migration_that_was_changed_afterwards_is_a_fault() {
    let db = database().await;
    execute(&db.owner, "update _sqlx_migrations set checksum = 'x' where version = 2").await;
    assert!(matches!(store::pending_migrations(&db.pool).await, Err(StoreFault::Migration(_))));
    assert!(matches!(store::migrate(&db.owner).await, Err(StoreFault::Migration(_))));
}

#[tokio::test]
async fn a_binary_that_is_older_than_the_schema_goes_on() {
    let db = database().await;
    execute(
        &db.owner,
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'of the future', true, 'x', 0)",
    )
    .await;
    assert!(store::pending_migrations(&db.pool).await.unwrap().is_empty());
    store::migrate(&db.owner).await.unwrap();
}

#[tokio::test]
async fn two_binaries_may_migrate_at_once() {
    let db = database().await;
    let (one, two) = tokio::join!(store::migrate(&db.owner), store::migrate(&db.owner));
    one.unwrap();
    two.unwrap();
}

#[tokio::test]
async fn no_statement_and_no_lock_waits_for_ever() {
    let db = database().await;
    let pool = store::connect(&settings(&db.broker_url)).await.unwrap();
    for setting in ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"] {
        let (value,): (String,) =
            sqlx::query_as("select current_setting($1)").bind(setting).fetch_one(&pool).await.unwrap();
        assert_ne!(value, "0", "{setting}");
    }
}

#[tokio::test]
async fn a_password_in_a_bad_url_is_not_repeated() {
    let fault = store::connect(&settings("postgres://me:hunter2@[bad/x")).await.unwrap_err();
    assert!(!format!("{fault} {fault:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_beginning_that_is_given_up_leaves_nothing_begun_on_a_connection() {
    let db = database().await;
    execute(&db.owner, "create table written (n bigint); grant insert on written to bailiwick_broker").await;
    // Whoever comes next has the connection of whoever gave up.
    let pool = of_one_connection(&db).await;
    for polls in 1..20 {
        given_up_after(polls, store::begin(&pool)).await;
        sqlx::query("insert into written values ($1)").bind(polls).execute(&pool).await.unwrap();
        let (there,): (i64,) = sqlx::query_as("select count(*) from written").fetch_one(&db.owner).await.unwrap();
        assert_eq!(there, polls, "what was acknowledged is committed");
    }
}

#[tokio::test]
async fn a_beginning_that_is_given_up_waits_for_no_connection() {
    let db = database().await;
    let pool = of_one_connection(&db).await;
    let _held = pool.acquire().await.unwrap();
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    given_up_after(1, store::begin(&pool)).await;
    assert_eq!(tasks(), before, "nothing goes on waiting in its place");
}

async fn of_one_connection(db: &TestDb) -> PgPool {
    let settings = Database { connections: 1, ..settings(&db.broker_url) };
    store::connect_with(&DatabaseUrl::Plain(db.broker_url.clone()), &settings).await.unwrap()
}

/// Waits for so many steps of `work`, and then for no more.
async fn given_up_after<T>(polls: i64, work: impl Future<Output = T>) {
    let (mut work, mut left) = (pin!(work), polls);
    poll_fn(|context| {
        left -= 1;
        if work.as_mut().poll(context).is_ready() || left <= 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
