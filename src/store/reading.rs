//! Readings of the log on the command line: staged by whoever reads, taken by a broker that records them.
//! INVARIANT: a reading is taken in the transaction that appends its entry, so it is in the log once, whoever takes it.

use sqlx::{FromRow, PgConnection, PgExecutor, Row as _, postgres::PgRow};

use super::{StoreFault, natural, stored};
use crate::model::{ReadingId, Timestamp};

/// What somebody says who is about to read, or has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// Its id: the same for the beginning and the end of one reading.
    pub id: ReadingId,
    /// By which command.
    pub command: &'static str,
    /// Which entries, as in a page's address.
    pub search: String,
    /// How many; none when that is not known yet.
    pub entries: Option<u64>,
    /// SHA-256 of the manifest, in hex, of a reading that has ended.
    pub manifest: Option<String>,
    /// What the program calls itself.
    pub client: String,
}

/// A reading that is not in the log yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its id.
    pub id: ReadingId,
    /// The account of the database, as the server knows it.
    pub account: String,
    /// Where it came from, as the server knows it; none for a socket in the file system.
    pub address: Option<String>,
    /// What the program calls itself.
    pub client: String,
    /// By which command.
    pub command: String,
    /// Which entries, as in a page's address.
    pub search: String,
    /// How many.
    pub entries: Option<u64>,
    /// SHA-256 of the manifest, in hex.
    pub manifest: Option<String>,
    /// When it was staged, by the server's clock.
    pub staged_at: Timestamp,
}

impl FromRow<'_, PgRow> for Pending {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let entries: Option<i64> = row.try_get("entries")?;
        Ok(Self {
            id: ReadingId::from_uuid(row.try_get("id")?),
            account: row.try_get("account")?,
            address: row.try_get("address")?,
            client: row.try_get("client")?,
            command: row.try_get("command")?,
            search: row.try_get("search")?,
            entries: entries.map(natural).transpose().map_err(|fault| sqlx::Error::Decode(fault.into()))?,
            manifest: row.try_get("manifest")?,
            staged_at: row.try_get("staged_at")?,
        })
    }
}

/// Says that somebody is about to read. Saying the same again changes nothing.
pub async fn stage(db: impl PgExecutor<'_>, staged: &Staged) -> Result<(), StoreFault> {
    sqlx::query("select stage_reading($1, $2, $3, $4, $5, $6)")
        .bind(staged.id.uuid())
        .bind(staged.command)
        .bind(&staged.search)
        .bind(staged.entries.map(stored))
        .bind(&staged.manifest)
        .bind(&staged.client)
        .execute(db)
        .await?;
    Ok(())
}

/// Whether any reading waits to be recorded.
pub async fn is_waiting(db: impl PgExecutor<'_>) -> Result<bool, StoreFault> {
    let waits = sqlx::query_scalar("select exists (select from reading where recorded_at is null)");
    Ok(waits.fetch_one(db).await?)
}

/// Takes the oldest readings that are not in the log yet, at most `limit`; those that another broker has in hand are left
/// to it.
pub async fn take(db: &mut PgConnection, limit: u32, now: Timestamp) -> Result<Vec<Pending>, StoreFault> {
    let rows: Vec<Pending> = sqlx::query_as(
        "with oldest as (
             select id, is_end
               from reading
              where recorded_at is null
              order by staged_at
              limit $1
                for update skip locked
         )
         update reading r
            set recorded_at = $2
           from oldest o
          where (r.id, r.is_end) = (o.id, o.is_end)
         returning r.id, r.account, r.address, r.client, r.command, r.search, r.entries, r.manifest, r.staged_at",
    )
    .bind(i64::from(limit))
    .bind(now.to_datetime())
    .fetch_all(db)
    .await?;
    let mut rows = rows;
    rows.sort_by_key(|row| row.staged_at);
    Ok(rows)
}
