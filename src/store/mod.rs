//! Postgres. The only room that writes SQL: one noun per file, one free function per question.
//!
//! Functions take a connection, so that the caller owns the transaction, and check how many rows a write changed.
//! Decides nothing. INVARIANT: the broker does not run under a role that could change or remove what was recorded.

use std::{str::FromStr as _, time::Duration};

use secrecy::ExposeSecret as _;
use sqlx::{
    ConnectOptions as _, PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tracing::Instrument as _;

use crate::config::{Database, DatabaseUrl, SecretFault};

pub mod account;
pub mod app_session;
pub mod archive;
pub mod broker;
pub mod ceremony;
pub mod checkpoint;
pub mod collector;
mod column;
pub mod command_line_grant;
pub mod credential;
mod durable;
pub mod entry;
pub mod entry_page;
pub mod epoch;
pub mod export_manifest;
pub mod feed;
pub mod handover;
pub mod head;
pub mod invitation;
pub mod key;
pub mod login;
pub mod maintenance;
pub mod migration;
mod moment;
pub mod passkey;
pub mod person;
pub mod policy_text;
mod power;
pub mod reading;
pub mod revocation;
pub mod saved_search;
pub mod search;
pub mod session;
pub mod shape;
pub mod tile;

pub use durable::{expect_durable, expect_still_durable, spares_standbys};
pub use migration::{migrate, pending as pending_migrations};
pub use power::refuse_power_over_the_log;

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    /// Postgres is away, or refused a statement.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The migrations could not be run.
    #[error("the database could not be migrated: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The URL could not be read.
    #[error("the database's URL could not be read: {0}")]
    Secret(#[from] SecretFault),
    /// The URL is not one. It may hold a password, so it is not repeated.
    #[error("the database's URL is not a Postgres URL")]
    Url,
    /// A write changed another number of rows than it must.
    #[error("{what}: {found} rows changed instead of {expected}")]
    Rows {
        /// The write.
        what: &'static str,
        /// How many it must change.
        expected: u64,
        /// How many it changed.
        found: u64,
    },
    /// A row holds what no binary of ours writes there.
    #[error("{what} in the database is malformed")]
    Malformed {
        /// Which row or column.
        what: &'static str,
    },
    /// Postgres would acknowledge what a power cut takes away again.
    #[error("Postgres runs with `{setting}` off, so it cannot keep an audit log: switch it on")]
    NotDurable {
        /// Which setting.
        setting: &'static str,
    },
    /// The role could rewrite history.
    #[error("this database role must not serve: {0}")]
    TooMuchPower(String),
}

impl StoreFault {
    /// Whether the transaction lost a race (SQLSTATE class 40) and may simply be tried again.
    pub fn is_conflict(&self) -> bool {
        let Self::Database(sqlx::Error::Database(fault)) = self else { return false };
        fault.code().is_some_and(|code| code.starts_with("40"))
    }

    /// Whether it is a row that could be had and is not one that a binary of ours writes.
    pub const fn is_of_the_rows(&self) -> bool {
        use sqlx::Error::{ColumnDecode, ColumnIndexOutOfBounds, ColumnNotFound, Decode, TypeNotFound};
        matches!(
            self,
            Self::Malformed { .. }
                | Self::Database(
                    ColumnDecode { .. }
                        | ColumnIndexOutOfBounds { .. }
                        | ColumnNotFound(_)
                        | Decode(_)
                        | TypeNotFound { .. }
                )
        )
    }

    /// The name of the constraint that a write ran against, if that is what stopped it.
    pub fn constraint(&self) -> Option<&str> {
        let Self::Database(sqlx::Error::Database(fault)) = self else { return None };
        fault.constraint()
    }
}

/// Refuses a write that changed another number of rows than `expected`.
pub fn expect_rows(what: &'static str, expected: u64, found: u64) -> Result<(), StoreFault> {
    if found == expected { Ok(()) } else { Err(StoreFault::Rows { what, expected, found }) }
}

/// A count or place from a column that holds no negative numbers.
fn natural(column: i64) -> Result<u64, StoreFault> {
    u64::try_from(column).map_err(|_| StoreFault::Malformed { what: "a count" })
}

/// A count or place, to be bound.
fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Begins a transaction. May be given up at any moment. While a connection is waited for, nobody waits any more. The driver gives back one
/// on which BEGIN was sent and not answered as if nothing had been begun, and what the next one writes over it would be
/// acknowledged and never committed: so BEGIN is sent by a task of its own, which undoes it where nobody wants it any more.
pub async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, StoreFault> {
    let connection = pool.acquire().await?;
    let begun = tokio::spawn(Transaction::begin(connection, None).in_current_span()).await;
    Ok(begun.map_err(|_| sqlx::Error::WorkerCrashed)??)
}

/// Connects for serving, and refuses a role that could change or remove what was recorded.
pub async fn connect(settings: &Database) -> Result<PgPool, StoreFault> {
    let pool = connect_with(&settings.url, settings).await?;
    refuse_power_over_the_log(&pool).await?;
    Ok(pool)
}

/// Connects for recording: as [`connect`] does, and refuses every connection, now and later, that would not keep what it
/// acknowledges.
pub async fn connect_durably(settings: &Database) -> Result<PgPool, StoreFault> {
    // A pool does not say why a connection was refused; one that is asked beforehand does.
    let asked = connect(settings).await?;
    expect_durable(&mut *asked.acquire().await?).await?;
    asked.close().await;
    let refused = |fault: StoreFault| sqlx::Error::Configuration(fault.to_string().into());
    let pool = pool_options(settings)
        .after_connect(move |db, _| Box::pin(async move { expect_durable(db).await.map_err(refused) }))
        .connect_lazy_with(options(&settings.url)?);
    Ok(pool)
}

/// Connects with another URL than the broker's own, as an owner that migrates or an auditor; the role is not checked.
pub async fn connect_with(url: &DatabaseUrl, settings: &Database) -> Result<PgPool, StoreFault> {
    Ok(pool_options(settings).connect_with(options(url)?).await?)
}

fn pool_options(settings: &Database) -> PgPoolOptions {
    PgPoolOptions::new().max_connections(settings.connections).acquire_timeout(settings.acquire)
}

/// Reads the URL again, so that connections made from now on use a rotated password.
pub fn take_up_new_url(pool: &PgPool, settings: &Database) -> Result<(), StoreFault> {
    pool.set_connect_options(options(&settings.url)?);
    Ok(())
}

/// Whether the URL is there and one of Postgres. Nobody is asked.
pub fn check_url(url: &DatabaseUrl) -> Result<(), StoreFault> {
    options(url).map(drop)
}

fn options(url: &DatabaseUrl) -> Result<PgConnectOptions, StoreFault> {
    let url = url.read()?;
    let options = PgConnectOptions::from_str(url.expose_secret()).map_err(|_| StoreFault::Url)?;
    // A broker that is stopped in the middle of a change loses its transaction before those who wait for the same row
    // lose their patience.
    Ok(options
        .application_name("bailiwick")
        .log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(1))
        .log_statements(tracing::log::LevelFilter::Trace)
        .options([
            ("statement_timeout", "10s"),
            ("lock_timeout", "8s"),
            ("idle_in_transaction_session_timeout", "4s"),
            ("timezone", "UTC"),
        ]))
}
