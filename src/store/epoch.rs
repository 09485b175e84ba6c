//! The epochs of the log: where one begins, and beginning another. Added through `begin_epoch` alone.
//! Leaves to the audit room whether an epoch may begin, and what its first entry says.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::{StoreFault, natural, stored};
use crate::model::{BatchId, BrokerId, Timestamp};

/// An epoch that is to begin, if the log's head still is what it was.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// Its number.
    pub epoch: u64,
    /// The epoch of the head before it.
    pub after: u64,
    /// The size of that head.
    pub size: u64,
    /// The batch of its first entry.
    pub batch: BatchId,
    /// Who writes it.
    pub broker: BrokerId,
    /// When.
    pub recorded_at: Timestamp,
    /// The root with the entry.
    pub root: [u8; 32],
    /// The right edge with the entry.
    pub edge: Vec<u8>,
    /// The hash of the entry.
    pub hash: [u8; 32],
    /// Its bytes.
    pub leaf: Vec<u8>,
    /// `happened_at`
    pub moment: Timestamp,
    /// `kind`
    pub kind: &'static str,
    /// The levels, places and hashes of the tiles that it completes.
    pub tiles: Vec<(u8, u64, Vec<u8>)>,
}

/// Where an epoch began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Began {
    /// Its number.
    pub epoch: u64,
    /// How many entries there were before it.
    pub size: u64,
    /// The hash of its first entry.
    pub hash: Vec<u8>,
    /// The bytes of its first entry, unless they are archived.
    pub leaf: Option<Vec<u8>>,
}

/// Begins an epoch. False: the head is another by now, and nothing was written.
pub async fn begin(db: impl PgExecutor<'_>, new: &Beginning) -> Result<bool, StoreFault> {
    let levels: Vec<i16> = new.tiles.iter().map(|(level, ..)| i16::from(*level)).collect();
    let indexes: Vec<i64> = new.tiles.iter().map(|(_, index, _)| stored(*index)).collect();
    let hashes: Vec<&[u8]> = new.tiles.iter().map(|(.., hashes)| hashes.as_slice()).collect();
    let (begun,): (bool,) =
        sqlx::query_as("select begin_epoch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)")
            .bind(stored(new.epoch))
            .bind(stored(new.after))
            .bind(stored(new.size))
            .bind(new.batch.uuid())
            .bind(new.broker.uuid())
            .bind(new.recorded_at.to_datetime())
            .bind(new.root.as_slice())
            .bind(&new.edge)
            .bind(new.hash.as_slice())
            .bind(&new.leaf)
            .bind(new.moment.to_datetime())
            .bind(new.kind)
            .bind(levels)
            .bind(indexes)
            .bind(hashes)
            .fetch_one(db)
            .await?;
    Ok(begun)
}

/// Epoch, parent size, leaf hashes, and the first leaf.
type BeganRow = (i64, i64, Vec<u8>, Option<Vec<u8>>);

/// The first epoch after `epoch`, if there is one.
pub async fn after(db: impl PgExecutor<'_>, epoch: u64) -> Result<Option<Began>, StoreFault> {
    let row: Option<BeganRow> = sqlx::query_as(
        "select h.epoch, h.parent_size, h.hashes, e.leaf
           from head h
                left join entry e on e.leaf_index = h.parent_size and e.recorded_at = h.recorded_at
          where h.epoch > $1
          order by h.epoch, h.size
          limit 1",
    )
    .bind(stored(epoch))
    .fetch_optional(db)
    .await?;
    row.map(|(epoch, size, hashes, leaf)| {
        let hash = hashes.get(..32).unwrap_or_default().to_vec();
        Ok(Began { epoch: natural(epoch)?, size: natural(size)?, hash, leaf })
    })
    .transpose()
}

/// The newest checkpoint of an epoch that `key` signed, as its note.
pub async fn newest_note(db: impl PgExecutor<'_>, epoch: u64, key: Uuid) -> Result<Option<String>, StoreFault> {
    let row: Option<(String,)> = sqlx::query_as(
        "select note
               from checkpoint
              where epoch = $1
                and key = $2
                and split_part(note, E'\n', 2) = size::text
              order by size desc
              limit 1",
    )
    .bind(stored(epoch))
    .bind(key)
    .fetch_optional(db)
    .await?;
    Ok(row.map(|(note,)| note))
}
