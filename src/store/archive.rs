//! The months of the log as tables: how large they are, which were archived, and dropping one. Dropping is the owner's
//! alone, and the database itself refuses to drop what was not archived whole.

use sqlx::{PgConnection, PgExecutor};
use time::{Date, Month, OffsetDateTime, Time};

use super::{StoreFault, expect_rows, natural, stored};
use crate::model::Timestamp;

/// A month of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The table.
    pub name: String,
    /// When the month began.
    pub begins_at: Timestamp,
    /// When it is over: no entry of it was recorded then or later.
    pub ends_at: Timestamp,
    /// What it takes on disk, with its indexes, in bytes.
    pub bytes: u64,
}

/// A month that was archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// The table that it was.
    pub part: String,
    /// Its first entry.
    pub from: u64,
    /// The first entry after it.
    pub until: u64,
    /// The archive's file name.
    pub file: String,
    /// SHA-256 of the archive.
    pub sha256: [u8; 32],
    /// Whether the table is gone.
    pub is_dropped: bool,
}

/// The months that are tables, oldest first.
pub async fn parts(db: impl PgExecutor<'_>) -> Result<Vec<Part>, StoreFault> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "select c.relname::text, pg_total_relation_size(c.oid)
           from pg_inherits i
                join pg_class c on c.oid = i.inhrelid
          where i.inhparent = 'public.entry'::regclass
          order by c.relname",
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|(name, bytes)| {
            let (begins_at, ends_at) = month(&name).ok_or(StoreFault::Malformed { what: "a month of the log" })?;
            Ok(Part { name, begins_at, ends_at, bytes: natural(bytes)? })
        })
        .collect()
}

/// How large the whole database is, in bytes.
pub async fn database_size(db: impl PgExecutor<'_>) -> Result<u64, StoreFault> {
    let (bytes,): (i64,) = sqlx::query_as("select pg_database_size(current_database())").fetch_one(db).await?;
    natural(bytes)
}

/// The first and the last entry recorded in a span of time, and how many there are.
pub async fn extent(
    db: impl PgExecutor<'_>,
    begins_at: Timestamp,
    ends_at: Timestamp,
) -> Result<Option<(u64, u64, u64)>, StoreFault> {
    let (first, last, count): (Option<i64>, Option<i64>, i64) = sqlx::query_as(
        "select min(leaf_index), max(leaf_index), count(*)
           from entry
          where recorded_at >= $1 and recorded_at < $2",
    )
    .bind(begins_at.to_datetime())
    .bind(ends_at.to_datetime())
    .fetch_one(db)
    .await?;
    match (first, last) {
        (Some(first), Some(last)) => Ok(Some((natural(first)?, natural(last)?, natural(count)?))),
        _ => Ok(None),
    }
}

/// The first entry whose body is still there.
pub async fn first_entry(db: impl PgExecutor<'_>) -> Result<Option<u64>, StoreFault> {
    let (first,): (Option<i64>,) = sqlx::query_as("select min(leaf_index) from entry").fetch_one(db).await?;
    first.map(natural).transpose()
}

/// The leaf bytes of the newest entry of a kind.
pub async fn newest_of_kind(db: impl PgExecutor<'_>, kind: &str) -> Result<Option<Vec<u8>>, StoreFault> {
    let row: Option<(Vec<u8>,)> =
        sqlx::query_as("select leaf from entry where kind = $1 order by leaf_index desc limit 1")
            .bind(kind)
            .fetch_optional(db)
            .await?;
    Ok(row.map(|(leaf,)| leaf))
}

/// The newest entry of a kind from the leaf `from` on: index and leaf bytes.
pub async fn newest_of_kind_from(
    db: impl PgExecutor<'_>,
    kind: &str,
    from: u64,
) -> Result<Option<(u64, Vec<u8>)>, StoreFault> {
    let row: Option<(i64, Vec<u8>)> = sqlx::query_as(
        "select leaf_index, leaf
           from entry
          where kind = $1
            and leaf_index >= $2
          order by leaf_index desc
          limit 1",
    )
    .bind(kind)
    .bind(stored(from))
    .fetch_optional(db)
    .await?;
    row.map(|(index, leaf)| Ok((natural(index)?, leaf))).transpose()
}

/// The entries among the first `size` that say who signs, or that the log's past was cut: index and leaf bytes, those
/// whose months were dropped as well.
pub async fn succession(db: impl PgExecutor<'_>, size: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreFault> {
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "select leaf_index, leaf
           from entry
          where kind in ('key-rotated', 'epoch-began')
            and leaf_index < $1
          union
         select leaf_index, leaf
           from succession
          where leaf_index < $1
          order by leaf_index",
    )
    .bind(stored(size))
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|(index, leaf)| Ok((natural(index)?, leaf))).collect()
}

/// What was archived, in the order of the log.
pub async fn archived(db: impl PgExecutor<'_>) -> Result<Vec<Archived>, StoreFault> {
    type Row = (String, i64, i64, String, Vec<u8>, bool);
    let rows: Vec<Row> = sqlx::query_as(
        "select part, from_index, until_index, file, sha256, dropped_at is not null from archive order by from_index",
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|(part, from, until, file, sha256, is_dropped)| {
            let sha256 = sha256.try_into().map_err(|_| StoreFault::Malformed { what: "archive.sha256" })?;
            Ok(Archived { part, from: natural(from)?, until: natural(until)?, file, sha256, is_dropped })
        })
        .collect()
}

/// Notes that a month was archived.
pub async fn insert(db: impl PgExecutor<'_>, new: &Archived, now: Timestamp) -> Result<(), StoreFault> {
    let done = sqlx::query(
        "insert into archive (part, from_index, until_index, file, sha256, archived_at) values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&new.part)
    .bind(stored(new.from))
    .bind(stored(new.until))
    .bind(&new.file)
    .bind(new.sha256.as_slice())
    .bind(now.to_datetime())
    .execute(db)
    .await?;
    expect_rows("a month is archived", 1, done.rows_affected())
}

/// Drops a month that was archived, in a transaction of its own. Waits for readers for a moment only, since whoever
/// writes would wait behind it.
pub async fn drop_part(db: &mut PgConnection, part: &str, now: Timestamp) -> Result<(), StoreFault> {
    let mut transaction = sqlx::Connection::begin(db).await?;
    sqlx::query("select set_config('lock_timeout', '1s', true)").execute(&mut *transaction).await?;
    sqlx::query("select drop_archived($1, $2)").bind(part).bind(now.to_datetime()).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// The month that `entry_2026_11` stands for.
fn month(name: &str) -> Option<(Timestamp, Timestamp)> {
    let (year, month) = name.strip_prefix("entry_")?.split_once('_')?;
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    let year: i32 = year.parse().ok()?;
    let first = |year, month| {
        let date = Date::from_calendar_date(year, month, 1).ok()?;
        Some(Timestamp::from_datetime(OffsetDateTime::new_utc(date, Time::MIDNIGHT)))
    };
    let next_year = if month == Month::December { year + 1 } else { year };
    Some((first(year, month)?, first(next_year, month.next())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_read_from_its_tables_name() {
        let of = |name| month(name).map(|(from, until)| format!("{from} {until}"));
        assert_eq!(of("entry_2026_11").as_deref(), Some("2026-11-01T00:00:00Z 2026-12-01T00:00:00Z"));
        assert_eq!(of("entry_2026_12").as_deref(), Some("2026-12-01T00:00:00Z 2027-01-01T00:00:00Z"));
        for other in ["entry_2026", "entry_2026_13", "entry_x_1", "archive"] {
            assert_eq!(month(other), None, "{other}");
        }
    }
}
