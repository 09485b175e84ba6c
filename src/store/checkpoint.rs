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

type Row = (i64, i64, Uuid, Vec<u8>, String, Timestamp);

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

/// The newest checkpoint. A row that claims another place than its note states is none: whoever owns the database may
/// have moved it.
pub async fn newest(db: impl PgExecutor<'_>) -> Result<Option<Checkpoint>, StoreFault> {
    let row: Option<Row> = sqlx::query_as(
        "select epoch, size, key, root, note, signed_at
           from checkpoint
          where split_part(note, E'\n', 1) like case epoch when 0 then '%' else '%/epoch-' || epoch end
            and split_part(note, E'\n', 2) = size::text
          order by epoch desc, size desc, signed_at desc
          limit 1",
    )
    .fetch_optional(db)
    .await?;
    row.map(read).transpose()
}

/// A statement that knows every epoch with a checkpoint, each found by the index, as `known`.
macro_rules! by_epoch {
    ($statement:literal) => {
        concat!(
            "with recursive known (epoch) as (
                       select min(epoch) from checkpoint where epoch >= 0
                        union all
                       select (select min(c.epoch) from checkpoint c where c.epoch > k.epoch) from known k where k.epoch is not null)
             ",
            $statement
        )
    };
}

/// The checkpoint of exactly `size` leaves, the newest if several keys signed; of those that state it.
pub async fn at(db: impl PgExecutor<'_>, size: u64) -> Result<Option<Checkpoint>, StoreFault> {
    let row: Option<Row> = sqlx::query_as(by_epoch!(
        "select c.epoch, c.size, c.key, c.root, c.note, c.signed_at
           from known k
                join checkpoint c on c.epoch = k.epoch and c.size = $1
          where split_part(c.note, E'\n', 1) like case c.epoch when 0 then '%' else '%/epoch-' || c.epoch end
            and split_part(c.note, E'\n', 2) = c.size::text
          order by c.epoch desc, c.signed_at desc
          limit 1"
    ))
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

/// The first checkpoint that covers the leaf `index`: of the first few of each epoch one by one of `keys`, or else any.
pub async fn covering(db: impl PgExecutor<'_>, index: u64, keys: &[Uuid]) -> Result<Option<Checkpoint>, StoreFault> {
    let row: Option<Row> = sqlx::query_as(by_epoch!(
        "select c.epoch, c.size, c.key, c.root, c.note, c.signed_at
           from known k
                cross join lateral (
                    select *
                      from checkpoint f
                     where f.epoch = k.epoch
                       and f.size > $1
                     order by f.size
                     limit 64) c
          order by c.key = any ($2) desc, c.size, c.epoch
          limit 1"
    ))
    .bind(stored(index))
    .bind(keys)
    .fetch_optional(db)
    .await?;
    row.map(read).transpose()
}

/// Whether there is one of no entries.
pub async fn any_of_nothing(db: impl PgExecutor<'_>) -> Result<bool, StoreFault> {
    Ok(sqlx::query_scalar("select exists (select from checkpoint where size <= 0)").fetch_one(db).await?)
}

fn read((epoch, size, key, root, note, signed_at): Row) -> Result<Checkpoint, StoreFault> {
    let (epoch, size) = (natural(epoch)?, natural(size)?);
    Ok(Checkpoint { epoch, size, key, root, note, signed_at })
}
