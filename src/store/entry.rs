//! The entries of the audit log: added in batches through `extend_log`, read by leaf index.
//! Rows carry leaf bytes and derived columns; what they mean is the audit room's to say.

use sqlx::{Arguments as _, FromRow as _, PgConnection, PgExecutor, error::BoxDynError, postgres::PgArguments};
use uuid::Uuid;

use super::{
    StoreFault,
    column::Column,
    expect_rows,
    head::{Step, StepRow, read_step},
    natural, stored,
};
use crate::model::{BatchId, BrokerId, RequestId, Timestamp};

/// A batch that is to extend the log, if its head still is what it was built on. What is said of tiles runs in parallel.
#[derive(Clone, Debug)]
pub struct Batch<'e> {
    /// The epoch that it was built on.
    pub epoch: u64,
    /// The size that it was built on.
    pub size: u64,
    /// Its id.
    pub id: BatchId,
    /// Who writes it.
    pub broker: BrokerId,
    /// When, for all of its entries.
    pub recorded_at: Timestamp,
    /// The root after it.
    pub root: [u8; 32],
    /// The right edge after it.
    pub edge: Vec<u8>,
    /// Its leaf hashes, one after the other.
    pub hashes: Vec<u8>,
    /// Its entries.
    pub rows: Vec<Row<'e>>,
    /// The levels of the tiles that it completes.
    pub tile_levels: Vec<i16>,
    /// Their places.
    pub tile_indexes: Vec<i64>,
    /// Their hashes.
    pub tile_hashes: Vec<Vec<u8>>,
}

/// An entry of a batch: its leaf bytes, and what each column has.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "each is a column")]
pub struct Row<'e> {
    pub leaf: &'e [u8],
    pub happened_at: Timestamp,
    pub kind: &'static str,
    pub request: Option<Uuid>,
    pub person: Option<Uuid>,
    pub login: Option<Uuid>,
    pub credential: Option<Uuid>,
    pub verdict: Option<&'static str>,
    pub target: Option<&'e str>,
}

/// Makes room for entries of the month of `moment` and of the next.
pub async fn ensure_partitions(db: impl PgExecutor<'_>, moment: Timestamp) -> Result<(), StoreFault> {
    sqlx::query("select ensure_partitions($1)").bind(moment.to_datetime()).execute(db).await?;
    Ok(())
}

/// Extends the log, and returns nothing. Otherwise nothing was written, and the answer is what came after the head that
/// the batch was built on, oldest first: maybe this very batch, if it was there already; or the newest head, if nothing
/// came after it.
pub async fn extend_log(db: impl PgExecutor<'_>, batch: &Batch<'_>) -> Result<Vec<Step>, StoreFault> {
    let query = sqlx::query_with(
        "select epoch, size, origin, root, edge, batch, recorded_at, parent_size, hashes
           from extend_log($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
        arguments(batch)?,
    );
    let rows = query.fetch_all(db).await?;
    rows.iter().map(|row| read_step(StepRow::from_row(row)?)).collect()
}

/// Leaves a batch to be appended when this transaction commits; a COMMIT that comes too late fails with 40001. Returns
/// the transaction's id, by which its fate can be asked for.
pub async fn stage_batch(db: &mut PgConnection, batch: &Batch<'_>) -> Result<String, StoreFault> {
    let query = sqlx::query_with(
        "insert into staged_batch (expected_epoch, expected_size, batch, broker, recorded_at, root, edge, hashes,
                                   leaves, moments, kinds, requests, persons, logins, credentials, verdicts, targets,
                                   tile_levels, tile_indexes, tile_hashes)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
        arguments(batch)?,
    );
    let done = query.execute(&mut *db).await?;
    expect_rows("a batch is staged", 1, done.rows_affected())?;
    let (id,): (String,) = sqlx::query_as("select pg_current_xact_id()::text").fetch_one(db).await?;
    Ok(id)
}

/// Whether the transaction is known to have been rolled back. False: it committed, or may still.
pub async fn was_rolled_back(db: impl PgExecutor<'_>, transaction: &str) -> Result<bool, StoreFault> {
    let (fate,): (Option<String>,) =
        sqlx::query_as("select pg_xact_status($1::xid8)").bind(transaction).fetch_one(db).await?;
    Ok(fate.as_deref() == Some("aborted"))
}

/// The index of the last entry and the size of the newest head, as of one instant.
pub async fn extent(db: impl PgExecutor<'_>) -> Result<(Option<u64>, Option<u64>), StoreFault> {
    let (last, size): (Option<i64>, Option<i64>) = sqlx::query_as(
        "select (select max(leaf_index) from entry),
                (select size from head order by epoch desc, size desc limit 1)",
    )
    .fetch_one(db)
    .await?;
    Ok((last.map(natural).transpose()?, size.map(natural).transpose()?))
}

/// How many of the places `from..to` have an entry.
pub async fn count_within(db: impl PgExecutor<'_>, from: u64, to: u64) -> Result<u64, StoreFault> {
    let (count,): (i64,) =
        sqlx::query_as("select count(distinct leaf_index) from entry where leaf_index >= $1 and leaf_index < $2")
            .bind(stored(from))
            .bind(stored(to))
            .fetch_one(db)
            .await?;
    natural(count)
}

/// The leaf bytes of the first `limit` entries from `from` on, oldest first.
pub async fn following(db: impl PgExecutor<'_>, from: u64, limit: u32) -> Result<Vec<(u64, Vec<u8>)>, StoreFault> {
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "select leaf_index, leaf
           from entry
          where leaf_index >= $1
          order by leaf_index
          limit $2",
    )
    .bind(stored(from))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|(index, leaf)| Ok((natural(index)?, leaf))).collect()
}

/// The leaf bytes of these entries, in order; those that are not there are left out.
pub async fn leaves(db: impl PgExecutor<'_>, indexes: &[u64]) -> Result<Vec<(u64, Vec<u8>)>, StoreFault> {
    let rows: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("select leaf_index, leaf from entry where leaf_index = any($1) order by leaf_index")
            .bind(indexes.iter().copied().map(stored).collect::<Vec<_>>())
            .fetch_all(db)
            .await?;
    rows.into_iter().map(|(index, leaf)| Ok((natural(index)?, leaf))).collect()
}

/// The places of the entries of a request, in order.
pub async fn of_request(db: impl PgExecutor<'_>, request: RequestId) -> Result<Vec<u64>, StoreFault> {
    let rows: Vec<(i64,)> = sqlx::query_as("select leaf_index from entry where request = $1 order by leaf_index")
        .bind(request.uuid())
        .fetch_all(db)
        .await?;
    rows.into_iter().map(|(index,)| natural(index)).collect()
}

/// The leaf bytes of what `broker` left open, from `open_from` on, oldest first: its decisions that allowed something and never
/// heard what became of it, and the beginnings of its streams that have no end.
pub async fn left_open(
    db: impl PgExecutor<'_>,
    broker: BrokerId,
    open_from: u64,
    limit: u32,
) -> Result<Vec<Vec<u8>>, StoreFault> {
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "(select d.leaf_index, d.leaf
            from entry d
           where d.broker = $1
             and d.leaf_index >= $2
             and d.kind = 'decision'
             and d.verdict = 'allow'
             and d.request is not null
             and not exists (select
                               from entry c
                              where c.request = d.request
                                and c.leaf_index > d.leaf_index
                                and c.kind in ('outcome', 'not-forwarded', 'unknown-outcome'))
           order by d.leaf_index
           limit $3)
          union all
         (select s.leaf_index, s.leaf
            from entry s
           where s.broker = $1
             and s.leaf_index >= $2
             and s.kind = 'stream-opened'
             and s.request is not null
             and not exists (select
                               from entry c
                              where c.request = s.request
                                and c.leaf_index > s.leaf_index
                                and c.kind = 'stream-closed')
           order by s.leaf_index
           limit $3)
          order by leaf_index
          limit $3",
    )
    .bind(broker.uuid())
    .bind(stored(open_from))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|(_, leaf)| leaf).collect())
}

/// What both ways of adding a batch are given, written where it is sent from: the columns one after the other, each from
/// all rows.
fn arguments(batch: &Batch<'_>) -> Result<PgArguments, StoreFault> {
    let mut arguments = PgArguments::default();
    let leaves: usize = batch.rows.iter().map(|row| row.leaf.len() + ROOM_FOR_COLUMNS).sum();
    arguments.reserve(20, leaves + batch.hashes.len() + ROOM_FOR_THE_REST);
    fill(&mut arguments, batch).map_err(sqlx::Error::Encode)?;
    Ok(arguments)
}

fn fill(arguments: &mut PgArguments, batch: &Batch<'_>) -> Result<(), BoxDynError> {
    let rows = &batch.rows;
    arguments.add(stored(batch.epoch))?;
    arguments.add(stored(batch.size))?;
    arguments.add(batch.id.uuid())?;
    arguments.add(batch.broker.uuid())?;
    arguments.add(batch.recorded_at.to_datetime())?;
    arguments.add(batch.root.as_slice())?;
    arguments.add(batch.edge.as_slice())?;
    arguments.add(batch.hashes.as_slice())?;
    arguments.add(Column::new(rows, |row| Some(row.leaf)))?;
    arguments.add(Column::new(rows, |row| Some(row.happened_at)))?;
    arguments.add(Column::new(rows, |row| Some(row.kind)))?;
    arguments.add(Column::new(rows, |row| row.request))?;
    arguments.add(Column::new(rows, |row| row.person))?;
    arguments.add(Column::new(rows, |row| row.login))?;
    arguments.add(Column::new(rows, |row| row.credential))?;
    arguments.add(Column::new(rows, |row| row.verdict))?;
    arguments.add(Column::new(rows, |row| row.target))?;
    arguments.add(batch.tile_levels.as_slice())?;
    arguments.add(batch.tile_indexes.as_slice())?;
    arguments.add(batch.tile_hashes.as_slice())
}

/// What the columns beside a leaf take, at most of the time: more room is found if they take more.
const ROOM_FOR_COLUMNS: usize = 256;

/// What everything but rows and hashes takes, a tile or two among it.
const ROOM_FOR_THE_REST: usize = 32 << 10;
