//! Signed heads, as the notes that they are published in.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::{StoreFault, natural, stored};
use crate::model::Timestamp;

/// A signed head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which life of the log.
    pub epoch: u64,
    /// How many leaves it covers.
    pub size: u64,
    /// The row of the key that signed it.
    pub key: Uuid,
    /// The root that it states.
    pub root: Vec<u8>,
    /// The signed note (C2SP signed-note).
    pub note: String,
    /// When it was signed.
    pub signed_at: Timestamp,
}

type Row = (i64, i64, Uuid, Vec<u8>, String, time::OffsetDateTime);

/// Keeps a checkpoint; one that is there already stays. Another broker with the same key may have been faster.
pub async fn insert(db: impl PgExecutor<'_>, new: &Checkpoint) -> Result<(), StoreFault> {
    sqlx::query(
        "insert into checkpoint (epoch, size, key, root, note, signed_at)
         values ($1, $2, $3, $4, $5, $6)
         on conflict do nothing",
    )
    .bind(stored(new.epoch))
    .bind(stored(new.size))
    .bind(new.key)
    .bind(&new.root)
    .bind(&new.note)
    .bind(new.signed_at.to_datetime())
    .execute(db)
    .await?;
    Ok(())
}

/// The newest checkpoint.
pub async fn newest(db: impl PgExecutor<'_>) -> Result<Option<Checkpoint>, StoreFault> {
    let row: Option<Row> = sqlx::query_as(
        "select epoch, size, key, root, note, signed_at
           from checkpoint
          order by epoch desc, size desc, signed_at desc
          limit 1",
    )
    .fetch_optional(db)
    .await?;
    row.map(read).transpose()
}

/// The checkpoint of exactly `size` leaves, the newest if several keys signed.
pub async fn at(db: impl PgExecutor<'_>, size: u64) -> Result<Option<Checkpoint>, StoreFault> {
    let row: Option<Row> = sqlx::query_as(
        "select epoch, size, key, root, note, signed_at
           from checkpoint
          where epoch in (select generate_series(0, (select max(epoch) from checkpoint)))
            and size = $1
          order by epoch desc, signed_at desc
          limit 1",
    )
    .bind(stored(size))
    .fetch_optional(db)
    .await?;
    row.map(read).transpose()
}

/// The first `limit` checkpoints past (`size`, `key`), by size and key.
pub async fn past(
    db: impl PgExecutor<'_>,
    (size, key): (u64, Uuid),
    limit: u32,
) -> Result<Vec<Checkpoint>, StoreFault> {
    let rows: Vec<Row> = sqlx::query_as(
        "select epoch, size, key, root, note, signed_at
           from checkpoint
          where (size, key) > ($1, $2)
          order by size, key
          limit $3",
    )
    .bind(stored(size))
    .bind(key)
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.into_iter().map(read).collect()
}

fn read((epoch, size, key, root, note, signed_at): Row) -> Result<Checkpoint, StoreFault> {
    let (epoch, size) = (natural(epoch)?, natural(size)?);
    Ok(Checkpoint { epoch, size, key, root, note, signed_at: Timestamp::from_datetime(signed_at) })
}
