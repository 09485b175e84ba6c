//! Which brokers run, and which have stopped saying so.

use sqlx::{PgExecutor, Row as _};
use uuid::Uuid;

use super::{StoreFault, expect_rows, natural, stored};
use crate::model::{BrokerId, Timestamp};

/// A broker that another may have to clear up after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerRow {
    /// Which.
    pub id: BrokerId,
    /// When it last said that it runs, by its own clock.
    pub seen_at: Timestamp,
    /// Whether it stopped in good order.
    pub is_stopped: bool,
}

/// Says that a broker runs.
pub async fn insert(db: impl PgExecutor<'_>, id: BrokerId, open_from: u64, now: Timestamp) -> Result<(), StoreFault> {
    let done = sqlx::query("insert into broker (id, started_at, seen_at, open_from) values ($1, $2, $2, $3)")
        .bind(id.uuid())
        .bind(now.to_datetime())
        .bind(stored(open_from))
        .execute(db)
        .await?;
    expect_rows("a broker starts", 1, done.rows_affected())
}

/// Says that a broker still runs, and that nothing that it has open lies before `open_from`. One that was
/// swept by mistake, because it was paused, is to be swept again once it is silent.
pub async fn beat(db: impl PgExecutor<'_>, id: BrokerId, open_from: u64, now: Timestamp) -> Result<(), StoreFault> {
    let done = sqlx::query("update broker set seen_at = $2, open_from = $3, swept_at = null where id = $1")
        .bind(id.uuid())
        .bind(now.to_datetime())
        .bind(stored(open_from))
        .execute(db)
        .await?;
    expect_rows("a broker's heartbeat", 1, done.rows_affected())
}

/// Says that a broker stopped in good order.
pub async fn stop(db: impl PgExecutor<'_>, id: BrokerId, open_from: u64, now: Timestamp) -> Result<(), StoreFault> {
    let done = sqlx::query("update broker set seen_at = $2, stopped_at = $2, open_from = $3 where id = $1")
        .bind(id.uuid())
        .bind(now.to_datetime())
        .bind(stored(open_from))
        .execute(db)
        .await?;
    expect_rows("a broker stops", 1, done.rows_affected())
}

/// The brokers other than `me` that nobody has cleared up after.
pub async fn unswept(db: impl PgExecutor<'_>, me: BrokerId) -> Result<Vec<BrokerRow>, StoreFault> {
    let rows = sqlx::query(
        "select id, seen_at, stopped_at is not null
           from broker
          where id <> $1 and swept_at is null
          order by started_at",
    )
    .bind(me.uuid())
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(BrokerRow {
                id: BrokerId::from_uuid(row.try_get::<Uuid, _>(0)?),
                seen_at: row.try_get(1)?,
                is_stopped: row.try_get(2)?,
            })
        })
        .collect()
}

/// Takes the right to clear up after `of` for this transaction, if it has said nothing since `seen_at` and nobody else
/// has cleared up. Returns where to begin.
pub async fn lock_silent(db: impl PgExecutor<'_>, of: BrokerId, seen_at: Timestamp) -> Result<Option<u64>, StoreFault> {
    let row: Option<(i64,)> = sqlx::query_as(
        "select open_from from broker where id = $1 and seen_at = $2 and swept_at is null for no key update",
    )
    .bind(of.uuid())
    .bind(seen_at.to_datetime())
    .fetch_optional(db)
    .await?;
    row.map(|(open_from,)| natural(open_from)).transpose()
}

/// Says that nothing is left to clear up after `of`.
pub async fn set_swept(db: impl PgExecutor<'_>, of: BrokerId, now: Timestamp) -> Result<(), StoreFault> {
    let done = sqlx::query("update broker set swept_at = $2 where id = $1 and swept_at is null")
        .bind(of.uuid())
        .bind(now.to_datetime())
        .execute(db)
        .await?;
    expect_rows("a broker is swept", 1, done.rows_affected())
}
