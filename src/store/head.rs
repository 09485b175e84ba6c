//! The head of the log's tree: a row for each batch, the newest one in force. Added through `extend_log` alone.
//! Leaves to the audit room what a head means and whether it continues what was seen before.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::{StoreFault, natural, stored};
use crate::model::{BatchId, Timestamp};

/// A head, without its batch's hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Which life of the log.
    pub epoch: u64,
    /// How many leaves.
    pub size: u64,
    /// The name of the log.
    pub origin: String,
    /// The root of the tree.
    pub root: [u8; 32],
    /// Its right edge.
    pub edge: Vec<u8>,
    /// The batch that made it.
    pub batch: BatchId,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// What a batch added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The head that it made.
    pub head: Head,
    /// The size before it; none for the empty tree, which nothing came before.
    pub parent_size: Option<u64>,
    /// The leaf hashes of the batch, one after the other.
    pub hashes: Vec<u8>,
}

type HeadRow = (i64, i64, String, Vec<u8>, Vec<u8>, Uuid, Timestamp);
pub(super) type StepRow = (i64, i64, String, Vec<u8>, Vec<u8>, Uuid, Timestamp, i64, Vec<u8>);

/// Founds the log with an empty tree, unless there is one. Returns the name in force.
pub async fn begin_log(
    db: impl PgExecutor<'_>,
    origin: &str,
    batch: BatchId,
    now: Timestamp,
) -> Result<String, StoreFault> {
    let (found,): (String,) = sqlx::query_as("select begin_log($1, $2, $3)")
        .bind(origin)
        .bind(batch.uuid())
        .bind(now.to_datetime())
        .fetch_one(db)
        .await?;
    Ok(found)
}

/// Whether the log has any entry, archived ones among them.
pub async fn has_entries(db: impl PgExecutor<'_>) -> Result<bool, StoreFault> {
    Ok(sqlx::query_scalar("select exists (select from head where size > 0)").fetch_one(db).await?)
}

/// Whether a broker has begun the log.
pub async fn is_there(db: impl PgExecutor<'_>) -> Result<bool, StoreFault> {
    Ok(sqlx::query_scalar("select exists (select from head)").fetch_one(db).await?)
}

/// The heads that follow none: that of the empty log, and what somebody may have put beside it.
pub async fn founding(db: impl PgExecutor<'_>) -> Result<Vec<Step>, StoreFault> {
    let rows: Vec<StepRow> = sqlx::query_as(
        "select epoch, size, origin, root, edge, batch, recorded_at, parent_size, hashes
           from head
          where parent_size < 0
          order by parent_size
          limit 2",
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(read_step).collect()
}

/// The newest head.
pub async fn newest(db: impl PgExecutor<'_>) -> Result<Head, StoreFault> {
    let row: Option<HeadRow> = sqlx::query_as(
        "select epoch, size, origin, root, edge, batch, recorded_at
           from head
          order by epoch desc, size desc
          limit 1",
    )
    .fetch_optional(db)
    .await?;
    read_head(row.ok_or(StoreFault::Malformed { what: "the head of the audit log" })?)
}

/// The batch that extended the tree of `parent_size` leaves, if one has.
pub async fn batch_after(db: impl PgExecutor<'_>, epoch: u64, parent_size: u64) -> Result<Option<BatchId>, StoreFault> {
    let row: Option<(Uuid,)> = sqlx::query_as("select batch from head where epoch = $1 and parent_size = $2")
        .bind(stored(epoch))
        .bind(stored(parent_size))
        .fetch_optional(db)
        .await?;
    Ok(row.map(|(batch,)| BatchId::from_uuid(batch)))
}

/// The first `limit` batches past `size`, in order.
pub async fn steps_past(db: impl PgExecutor<'_>, size: u64, limit: u32) -> Result<Vec<Step>, StoreFault> {
    let rows: Vec<StepRow> = sqlx::query_as(
        "select epoch, size, origin, root, edge, batch, recorded_at, parent_size, hashes
           from head
          where size > $1
            and parent_size >= coalesce((select max(parent_size) from head where parent_size between 0 and $1), -1)
          order by parent_size
          limit $2",
    )
    .bind(stored(size))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.into_iter().map(read_step).collect()
}

/// The hashes of the leaves `from..to` as the heads list them, in pieces, in order.
pub async fn leaf_hashes(db: impl PgExecutor<'_>, from: u64, to: u64) -> Result<Vec<Vec<u8>>, StoreFault> {
    let rows: Vec<(Vec<u8>,)> = sqlx::query_as(
        "select substr(h.hashes,
                       (32 * (greatest(h.parent_size, $1) - h.parent_size) + 1)::int,
                       (32 * (least(h.size, $2) - greatest(h.parent_size, $1)))::int)
           from head h
          where h.parent_size < $2
            and h.parent_size >= coalesce((select max(p.parent_size) from head p where p.parent_size between 0 and $1), 0)
            and h.size > $1
          order by h.parent_size",
    )
    .bind(stored(from))
    .bind(stored(to))
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|(hashes,)| hashes).collect())
}

fn read_head((epoch, size, origin, root, edge, batch, recorded_at): HeadRow) -> Result<Head, StoreFault> {
    Ok(Head {
        epoch: natural(epoch)?,
        size: natural(size)?,
        origin,
        root: root.try_into().map_err(|_| StoreFault::Malformed { what: "the root of a head" })?,
        edge,
        batch: BatchId::from_uuid(batch),
        recorded_at,
    })
}

pub(super) fn read_step(
    (epoch, size, origin, root, edge, batch, at, parent_size, hashes): StepRow,
) -> Result<Step, StoreFault> {
    let head = read_head((epoch, size, origin, root, edge, batch, at))?;
    Ok(Step { head, parent_size: u64::try_from(parent_size).ok(), hashes })
}
