//! Whether Postgres keeps what it acknowledges. Asked of every connection that a broker makes, and again while it runs: a
//! reload can switch `fsync` off under live connections, and a primary that takes over may be set up otherwise.

use sqlx::{PgConnection, PgExecutor};

use super::StoreFault;

/// Refuses a session whose commits a power cut could take away again, and keeps it as durable as it is: a reload does not
/// change it any more.
pub async fn expect_durable(db: &mut PgConnection) -> Result<(), StoreFault> {
    let (fsync, commit): (String, String) = sqlx::query_as(
        "select current_setting('fsync'),
                set_config('synchronous_commit', current_setting('synchronous_commit'), false)",
    )
    .fetch_one(db)
    .await?;
    refuse_off(&fsync, &commit)
}

/// Whether the next session would be refused by now, though this one is not.
pub async fn expect_still_durable(db: impl PgExecutor<'_>) -> Result<(), StoreFault> {
    let (fsync, commit): (String, String) = sqlx::query_as(
        "select current_setting('fsync'), reset_val
           from pg_settings
          where name = 'synchronous_commit'",
    )
    .fetch_one(db)
    .await?;
    refuse_off(&fsync, &commit)
}

/// The setting of `synchronous_commit` that does without the standbys that Postgres was told to wait for, if it is one.
pub async fn spares_standbys(db: impl PgExecutor<'_>) -> Result<Option<String>, StoreFault> {
    let found: Option<(String,)> = sqlx::query_as(
        "select current_setting('synchronous_commit')
          where current_setting('synchronous_standby_names') <> ''
            and current_setting('synchronous_commit') in ('local', 'remote_write')",
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(|(commit,)| commit))
}

fn refuse_off(fsync: &str, commit: &str) -> Result<(), StoreFault> {
    match (fsync, commit) {
        ("off", _) => Err(StoreFault::NotDurable { setting: "fsync" }),
        (_, "off") => Err(StoreFault::NotDurable { setting: "synchronous_commit" }),
        _ => Ok(()),
    }
}
