//! The search index: blocks of leaves, and for each term the places in a block that carry it. Inserted once per block.
//! What a term or a bit means is the audit room's to say; here they are numbers and bytes.

use sqlx::{Arguments as _, PgConnection, PgExecutor, error::BoxDynError, postgres::PgArguments};
use uuid::Uuid;

use super::{StoreFault, column::Column, expect_rows, natural, stored};
use crate::model::Timestamp;

/// How far the log and its index go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The epoch of the log.
    pub epoch: u64,
    /// How many leaves the log has.
    pub size: u64,
    /// How many blocks are indexed, from the first on.
    pub blocks: u64,
    /// The first leaf whose body is still there; the size, if none is.
    pub oldest: u64,
}

/// A block that is to be indexed. `terms` and `bits` run in parallel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBlock {
    /// Which.
    pub block: u64,
    /// When its first leaf was recorded.
    pub first_recorded_at: Timestamp,
    /// When its last leaf was recorded.
    pub last_recorded_at: Timestamp,
    /// How many of its leaves had a body.
    pub leaves: i16,
    /// The leaves that let something pass.
    pub allowed: Vec<u8>,
    /// The leaves that refused something.
    pub denied: Vec<u8>,
    /// When each leaf was recorded.
    pub moments: Vec<u8>,
    /// The terms.
    pub terms: Vec<i64>,
    /// The leaves that carry each.
    pub bits: Vec<Vec<u8>>,
}

/// A block without its postings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRow {
    /// Which.
    pub block: u64,
    /// When its first leaf was recorded.
    pub first_recorded_at: Timestamp,
    /// When its last leaf was recorded.
    pub last_recorded_at: Timestamp,
    /// The leaves that let something pass.
    pub allowed: Vec<u8>,
    /// The leaves that refused something.
    pub denied: Vec<u8>,
}

/// The leaves of a block that carry a term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    /// The term.
    pub term: i64,
    /// The block.
    pub block: u64,
    /// The leaves.
    pub bits: Vec<u8>,
}

/// Which way to walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The newest first.
    NewestFirst,
    /// The oldest first.
    OldestFirst,
}

/// How far the log and its index go, as of one instant.
pub async fn extent(db: impl PgExecutor<'_>) -> Result<Extent, StoreFault> {
    let (epoch, size, blocks, oldest): (Option<i64>, Option<i64>, i64, Option<i64>) = sqlx::query_as(
        "select head.epoch, head.size,
                (select coalesce(max(block) + 1, 0) from search_block),
                (select min(leaf_index) from entry)
           from (select) as one
           left join (select epoch, size from head order by epoch desc, size desc limit 1) as head on true",
    )
    .fetch_one(db)
    .await?;
    let (epoch, size) = (natural(epoch.unwrap_or(0))?, natural(size.unwrap_or(0))?);
    Ok(Extent { epoch, size, blocks: natural(blocks)?, oldest: oldest.map_or(Ok(size), natural)? })
}

/// Takes the right to index until this transaction ends. False: somebody else has it.
pub async fn take_turn(db: impl PgExecutor<'_>) -> Result<bool, StoreFault> {
    let (taken,): (bool,) =
        sqlx::query_as("select pg_try_advisory_xact_lock(hashtext('bailiwick.search'))").fetch_one(db).await?;
    Ok(taken)
}

/// Adds a block with its postings, in the caller's transaction.
pub async fn insert(db: &mut PgConnection, new: &NewBlock) -> Result<(), StoreFault> {
    let done = sqlx::query(
        "insert into search_block (block, first_recorded_at, last_recorded_at, leaves, postings, allowed, denied,
                                   moments)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(stored(new.block))
    .bind(new.first_recorded_at.to_datetime())
    .bind(new.last_recorded_at.to_datetime())
    .bind(new.leaves)
    .bind(i32::try_from(new.terms.len()).unwrap_or(i32::MAX))
    .bind(&new.allowed)
    .bind(&new.denied)
    .bind(&new.moments)
    .execute(&mut *db)
    .await?;
    expect_rows("a block is indexed", 1, done.rows_affected())?;
    let done = sqlx::query_with(
        "insert into posting (term, block, bits)
         select p.term, $1, p.bits
           from unnest($2::bigint[], $3::bytea[]) as p (term, bits)",
        arguments(new).map_err(sqlx::Error::Encode)?,
    )
    .execute(db)
    .await?;
    expect_rows("a block's terms are indexed", new.terms.len() as u64, done.rows_affected())
}

/// A block and its postings, in one piece of memory from the start: they are many.
fn arguments(new: &NewBlock) -> Result<PgArguments, BoxDynError> {
    let mut arguments = PgArguments::default();
    let bytes: usize = new.bits.iter().map(|bits| bits.len() + size_of::<i64>() + 2 * size_of::<i32>()).sum();
    arguments.reserve(3, bytes + 128);
    arguments.add(stored(new.block))?;
    arguments.add(Column::new(&new.terms, |term| Some(*term)))?;
    arguments.add(Column::new(&new.bits, |bits| Some(bits.as_slice())))?;
    Ok(arguments)
}

/// The first block with a leaf that was recorded at `moment` or later.
pub async fn block_reaching(db: impl PgExecutor<'_>, moment: Timestamp) -> Result<Option<u64>, StoreFault> {
    let found: Option<(i64,)> = sqlx::query_as(
        "select block
           from search_block
          where last_recorded_at >= $1
          order by last_recorded_at, block
          limit 1",
    )
    .bind(moment.to_datetime())
    .fetch_optional(db)
    .await?;
    found.map(|(block,)| natural(block)).transpose()
}

/// In how many of the blocks `from..until` each of `terms` occurs, counted up to `most`.
pub async fn frequencies(
    db: impl PgExecutor<'_>,
    terms: &[i64],
    (from, until): (u64, u64),
    most: i64,
) -> Result<Vec<(i64, i64)>, StoreFault> {
    let rows = sqlx::query_as(
        "select t.term,
                (select count(*)
                   from (select
                           from posting p
                          where p.term = t.term
                            and p.block >= $2
                            and p.block < $3
                          limit $4) as seen)
           from unnest($1::bigint[]) as t (term)",
    )
    .bind(terms)
    .bind(stored(from))
    .bind(stored(until))
    .bind(most)
    .fetch_all(db)
    .await?;
    Ok(rows)
}

/// The postings of `term` in the first `limit` of the blocks `from..until` that have it, in `order`.
pub async fn postings(
    db: impl PgExecutor<'_>,
    term: i64,
    (from, until): (u64, u64),
    order: Order,
    limit: i64,
) -> Result<Vec<Posting>, StoreFault> {
    let statement = match order {
        Order::NewestFirst => {
            "select term, block, bits
               from posting
              where term = $1
                and block >= $2
                and block < $3
              order by block desc
              limit $4"
        }
        Order::OldestFirst => {
            "select term, block, bits
               from posting
              where term = $1
                and block >= $2
                and block < $3
              order by block
              limit $4"
        }
    };
    let query = sqlx::query_as(statement).bind(term).bind(stored(from)).bind(stored(until)).bind(limit);
    read(query.fetch_all(db).await?)
}

/// The postings of `terms` in `blocks`.
pub async fn postings_in(db: impl PgExecutor<'_>, terms: &[i64], blocks: &[u64]) -> Result<Vec<Posting>, StoreFault> {
    let blocks: Vec<i64> = blocks.iter().copied().map(stored).collect();
    let query = sqlx::query_as(
        "select term, block, bits
           from posting
          where term = any($1)
            and block = any($2)",
    );
    read(query.bind(terms).bind(blocks).fetch_all(db).await?)
}

type PostingRow = (i64, i64, Vec<u8>);

fn read(rows: Vec<PostingRow>) -> Result<Vec<Posting>, StoreFault> {
    rows.into_iter().map(|(term, block, bits)| Ok(Posting { term, block: natural(block)?, bits })).collect()
}

/// Those of `blocks` that are indexed, in no order.
pub async fn blocks_at(db: impl PgExecutor<'_>, blocks: &[u64]) -> Result<Vec<BlockRow>, StoreFault> {
    type Row = (i64, Timestamp, Timestamp, Vec<u8>, Vec<u8>);
    let blocks: Vec<i64> = blocks.iter().copied().map(stored).collect();
    let rows: Vec<Row> = sqlx::query_as(
        "select block, first_recorded_at, last_recorded_at, allowed, denied
           from search_block
          where block = any($1)",
    )
    .bind(blocks)
    .fetch_all(db)
    .await?;
    let row = |(block, first, last, allowed, denied)| {
        Ok(BlockRow { block: natural(block)?, first_recorded_at: first, last_recorded_at: last, allowed, denied })
    };
    rows.into_iter().map(row).collect()
}

/// When the leaves of `block` were recorded, as they were indexed.
pub async fn moments(db: impl PgExecutor<'_>, block: u64) -> Result<Option<Vec<u8>>, StoreFault> {
    let row: Option<(Vec<u8>,)> = sqlx::query_as("select moments from search_block where block = $1")
        .bind(stored(block))
        .fetch_optional(db)
        .await?;
    Ok(row.map(|(moments,)| moments))
}

/// The leaf bytes at `indexes`, all of which lie in the indexed blocks `first` to `last`; in no order.
pub async fn leaves_at(
    db: impl PgExecutor<'_>,
    indexes: &[u64],
    (first, last): (u64, u64),
) -> Result<Vec<(u64, Vec<u8>)>, StoreFault> {
    let indexes: Vec<i64> = indexes.iter().copied().map(stored).collect();
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "select leaf_index, leaf
           from entry
          where leaf_index = any($1)
            and recorded_at >= (select first_recorded_at from search_block where block = $2)
            and recorded_at <= (select last_recorded_at  from search_block where block = $3)",
    )
    .bind(indexes)
    .bind(stored(first))
    .bind(stored(last))
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|(index, leaf)| Ok((natural(index)?, leaf))).collect()
}

/// The leaf bytes of the leaves `from..until` that have a body, oldest first.
pub async fn leaves_between(db: impl PgExecutor<'_>, from: u64, until: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreFault> {
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "select leaf_index, leaf
           from entry
          where leaf_index >= $1
            and leaf_index < $2
          order by leaf_index",
    )
    .bind(stored(from))
    .bind(stored(until))
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|(index, leaf)| Ok((natural(index)?, leaf))).collect()
}

/// The leaf bytes of what belongs to `requests`, by the index of requests; in order.
pub async fn leaves_of_requests(
    db: impl PgExecutor<'_>,
    requests: &[Uuid],
    limit: i64,
) -> Result<Vec<(u64, Vec<u8>)>, StoreFault> {
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "select leaf_index, leaf
           from entry
          where request = any($1)
          order by leaf_index
          limit $2",
    )
    .bind(requests)
    .bind(limit)
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|(index, leaf)| Ok((natural(index)?, leaf))).collect()
}

/// The leaf bytes of the decisions about `requests`, by the index of requests.
pub async fn decisions_of(db: impl PgExecutor<'_>, requests: &[Uuid]) -> Result<Vec<Vec<u8>>, StoreFault> {
    let rows: Vec<(Vec<u8>,)> = sqlx::query_as(
        "select leaf
           from entry
          where request = any($1)
            and kind = 'decision'
          order by leaf_index desc",
    )
    .bind(requests)
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|(leaf,)| leaf).collect())
}
