//! How far the log's entries have got to each collector, who ships them, and which were left out.
//! Every write names the fence that its broker was given: one that lost the row meanwhile changes nothing.

use sqlx::{FromRow, PgConnection, PgExecutor, Row as _, postgres::PgRow};
use uuid::Uuid;

use super::{StoreFault, expect_rows, natural, stored};
use crate::model::{BrokerId, Timestamp};

/// A cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorRow {
    /// The collector.
    pub name: String,
    /// The epoch of the newest entry that it took.
    pub epoch: u64,
    /// The leaf that goes next.
    pub next_leaf: u64,
    /// The broker that ships to it, or did last and did not say that it stopped.
    pub holder: Option<Uuid>,
    /// Until when that broker may, unless it renews.
    pub held_until: Option<Timestamp>,
    /// How many entries it took.
    pub shipped: u64,
    /// How many it did not get.
    pub skipped: u64,
    /// When it last took some.
    pub advanced_at: Option<Timestamp>,
    /// When it failed; none since it took some.
    pub failed_at: Option<Timestamp>,
    /// Why it failed.
    pub fault: Option<String>,
}

impl FromRow<'_, PgRow> for CursorRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let count = |name: &str| Ok::<_, sqlx::Error>(u64::try_from(row.try_get::<i64, _>(name)?).unwrap_or_default());
        let moment = |name: &str| row.try_get::<Option<Timestamp>, _>(name);
        Ok(Self {
            name: row.try_get("name")?,
            epoch: count("epoch")?,
            next_leaf: count("next_leaf")?,
            holder: row.try_get("holder")?,
            held_until: moment("held_until")?,
            shipped: count("shipped")?,
            skipped: count("skipped")?,
            advanced_at: moment("advanced_at")?,
            failed_at: moment("failed_at")?,
            fault: row.try_get("fault")?,
        })
    }
}

impl CursorRow {
    /// Whether a broker ships to it.
    pub fn is_held(&self, now: Timestamp) -> bool {
        self.held_until.is_some_and(|until| until >= now)
    }

    /// How many entries of a log of `size` it has not taken.
    pub fn owed(&self, size: u64) -> u64 {
        size.saturating_sub(self.next_leaf)
    }
}

/// The right to ship to a collector, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// What every write must name.
    pub fence: i64,
    /// The leaf that goes next.
    pub next_leaf: u64,
}

/// What a collector has taken, or what was left out of it.
#[derive(Clone, Copy, Debug)]
pub struct Advance {
    /// Where the cursor stands.
    pub from: u64,
    /// Where it goes.
    pub until: u64,
    /// The epoch of the last of these entries.
    pub epoch: u64,
    /// How many were taken.
    pub shipped: u64,
    /// How many were not.
    pub skipped: u64,
}

/// Makes a cursor for a collector that has none, to begin at `next_leaf`.
pub async fn ensure(db: impl PgExecutor<'_>, name: &str, next_leaf: u64, now: Timestamp) -> Result<(), StoreFault> {
    sqlx::query(
        "insert into collector_cursor (name, epoch, next_leaf, created_at) values ($1, 0, $2, $3) on conflict do nothing",
    )
    .bind(name)
    .bind(stored(next_leaf))
    .bind(now.to_datetime())
    .execute(db)
    .await?;
    Ok(())
}

/// Takes the right to ship to `name` until then, unless another broker has it.
pub async fn take(
    db: impl PgExecutor<'_>,
    name: &str,
    holder: BrokerId,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<Hold>, StoreFault> {
    let row: Option<(i64, i64)> = sqlx::query_as(
        "update collector_cursor
            set holder = $2, held_until = $4, fence = fence + 1
          where name = $1 and (holder is null or holder = $2 or held_until < $3)
         returning fence, next_leaf",
    )
    .bind(name)
    .bind(holder.uuid())
    .bind(now.to_datetime())
    .bind(until.to_datetime())
    .fetch_optional(db)
    .await?;
    row.map(|(fence, next_leaf)| Ok(Hold { fence, next_leaf: natural(next_leaf)? })).transpose()
}

/// Keeps the right for longer. False: it is another's by now.
pub async fn keep(db: impl PgExecutor<'_>, name: &str, fence: i64, until: Timestamp) -> Result<bool, StoreFault> {
    let done = sqlx::query("update collector_cursor set held_until = $3 where name = $1 and fence = $2")
        .bind(name)
        .bind(fence)
        .bind(until.to_datetime())
        .execute(db)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives the right back, so that another broker need not wait.
pub async fn release(db: impl PgExecutor<'_>, name: &str, fence: i64) -> Result<(), StoreFault> {
    sqlx::query("update collector_cursor set holder = null, held_until = null where name = $1 and fence = $2")
        .bind(name)
        .bind(fence)
        .execute(db)
        .await?;
    Ok(())
}

/// Moves the cursor on. False: the row is another's by now, and nothing was changed.
pub async fn advance(
    db: impl PgExecutor<'_>,
    name: &str,
    fence: i64,
    by: Advance,
    now: Timestamp,
) -> Result<bool, StoreFault> {
    let done = sqlx::query(
        "update collector_cursor
            set next_leaf = $4, epoch = $5, shipped = shipped + $6, skipped = skipped + $7, advanced_at = $8,
                failed_at = null, fault = null
          where name = $1 and fence = $2 and next_leaf = $3 and $4 > $3",
    )
    .bind(name)
    .bind(fence)
    .bind(stored(by.from))
    .bind(stored(by.until))
    .bind(stored(by.epoch))
    .bind(stored(by.shipped))
    .bind(stored(by.skipped))
    .bind(now.to_datetime())
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Says why the collector takes nothing. False: the row is another's by now.
pub async fn fail(
    db: impl PgExecutor<'_>,
    name: &str,
    fence: i64,
    fault: &str,
    now: Timestamp,
) -> Result<bool, StoreFault> {
    let done = sqlx::query("update collector_cursor set failed_at = $3, fault = $4 where name = $1 and fence = $2")
        .bind(name)
        .bind(fence)
        .bind(now.to_datetime())
        .bind(fault)
        .execute(db)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Moves the cursor past entries that the collector did not get, and records which and why: both, or neither.
/// False: the row is another's by now, and nothing was changed.
pub async fn skip(
    db: &mut PgConnection,
    name: &str,
    fence: i64,
    by: Advance,
    why: &str,
    now: Timestamp,
) -> Result<bool, StoreFault> {
    let mut transaction = sqlx::Connection::begin(db).await?;
    if !advance(&mut *transaction, name, fence, by, now).await? {
        return Ok(false);
    }
    let done = sqlx::query(
        "insert into collector_skip (collector, epoch, from_leaf, until_leaf, why, at) values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(name)
    .bind(stored(by.epoch))
    .bind(stored(by.from))
    .bind(stored(by.until))
    .bind(why)
    .bind(now.to_datetime())
    .execute(&mut *transaction)
    .await?;
    expect_rows("what was skipped is recorded", 1, done.rows_affected())?;
    transaction.commit().await?;
    Ok(true)
}

/// Every cursor, by name.
pub async fn list(db: impl PgExecutor<'_>) -> Result<Vec<CursorRow>, StoreFault> {
    let rows = sqlx::query_as(
        "select name, epoch, next_leaf, holder, held_until, shipped, skipped, advanced_at, failed_at, fault
           from collector_cursor
          order by name",
    )
    .fetch_all(db)
    .await?;
    Ok(rows)
}

/// Removes the cursor of `name`, which only the database's owner may, and returns the leaf that would have gone next. None:
/// there is no such cursor, or a broker ships to it.
pub async fn forget(db: impl PgExecutor<'_>, name: &str, now: Timestamp) -> Result<Option<u64>, StoreFault> {
    let row: Option<(i64,)> = sqlx::query_as(
        "delete from collector_cursor where name = $1 and (held_until is null or held_until < $2) returning next_leaf",
    )
    .bind(name)
    .bind(now.to_datetime())
    .fetch_optional(db)
    .await?;
    row.map(|(next_leaf,)| natural(next_leaf)).transpose()
}

/// The first leaf that one of the collectors `names` has not taken; none when there are no collectors. Entries from
/// there on must stay in the database: what has no cursor yet is owed everything.
pub async fn shipped_to(db: impl PgExecutor<'_>, names: &[String]) -> Result<Option<u64>, StoreFault> {
    let (least,): (Option<i64>,) = sqlx::query_as(
        "select min(coalesce(c.next_leaf, 0))
           from unnest($1) as n (name)
           left join collector_cursor c on c.name = n.name",
    )
    .bind(names)
    .fetch_one(db)
    .await?;
    least.map(natural).transpose()
}

/// The size at which each epoch ended, or has got to, oldest first.
pub async fn epochs(db: impl PgExecutor<'_>) -> Result<Vec<(u64, u64)>, StoreFault> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "with recursive known (epoch) as (
                   select min(epoch) from head where epoch >= 0
                    union all
                   select (select min(h.epoch) from head h where h.epoch > k.epoch) from known k where k.epoch is not null)
         select k.epoch, h.size
           from known k
          cross join lateral (select size from head where head.epoch = k.epoch order by size desc limit 1) h
          order by k.epoch",
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|(epoch, size)| Ok((natural(epoch)?, natural(size)?))).collect()
}
