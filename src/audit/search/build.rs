//! Builds the index behind the log, a complete block at a time, each once. Any broker may; a lock that ends with the
//! transaction lets one at a time, and a broker that dies or is paused holds it no longer than Postgres lets it be idle.

use std::{sync::Arc, time::Duration};

use sqlx::{Connection as _, PgConnection, Postgres, Transaction};
use tokio::{task::spawn_blocking, time::sleep};

use super::{
    bits::BLOCK,
    block::index,
    lately::{Lately, Recent},
};
use crate::{
    audit::shared::Shared,
    model::Timestamp,
    store::{
        self, StoreFault, entry,
        search::{self, NewBlock},
    },
};

/// What one turn did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// So many blocks were indexed; there may be more.
    Indexed(u64),
    /// Every complete block is indexed.
    Complete,
    /// Another broker is at it.
    Taken,
}

/// Indexes up to `most` of the complete blocks that come next, in one transaction.
pub async fn take_turn(db: &mut PgConnection, most: u64) -> Result<Turn, StoreFault> {
    take_turn_knowing(&Lately::default(), db.begin().await?, most).await
}

/// The same, reading only those leaves that were not kept `lately`.
async fn take_turn_knowing(
    lately: &Lately,
    mut transaction: Transaction<'_, Postgres>,
    most: u64,
) -> Result<Turn, StoreFault> {
    if !search::take_turn(&mut *transaction).await? {
        return Ok(Turn::Taken);
    }
    let extent = search::extent(&mut *transaction).await?;
    let until = (extent.size / BLOCK).min(extent.blocks.saturating_add(most));
    if extent.blocks >= until {
        return Ok(Turn::Complete);
    }
    for block in extent.blocks..until {
        let leaves = (block * BLOCK, (block + 1) * BLOCK);
        let new = derive_knowing(lately.take(extent.epoch, leaves), &mut transaction, block).await?;
        search::insert(&mut transaction, &new).await?;
    }
    transaction.commit().await?;
    Ok(Turn::Indexed(until - extent.blocks))
}

/// What the index has to hold about `block`, from the leaves.
pub(super) async fn derive(db: &mut PgConnection, block: u64) -> Result<NewBlock, StoreFault> {
    derive_knowing(Vec::new(), db, block).await
}

async fn derive_knowing(known: Vec<Recent>, db: &mut PgConnection, block: u64) -> Result<NewBlock, StoreFault> {
    let before = match block.checked_sub(1) {
        Some(before) => search::blocks_at(&mut *db, &[before]).await?.first().map(|row| row.last_recorded_at),
        None => None,
    };
    let leaves = unknown(&known, db, (block * BLOCK, (block + 1) * BLOCK)).await?;
    let before = before.unwrap_or(Timestamp::from_micros(0));
    let indexing = spawn_blocking(move || index(block, known, &leaves, before));
    indexing.await.map_err(|_| StoreFault::Malformed { what: "a block of the log" })
}

/// Those of the leaves `from..until` that are not `known`.
async fn unknown(
    known: &[Recent],
    db: &mut PgConnection,
    (from, until): (u64, u64),
) -> Result<Vec<(u64, Vec<u8>)>, StoreFault> {
    let missing = missing(known, from, until);
    match missing.len() as u64 {
        0 => Ok(Vec::new()),
        BLOCK => search::leaves_between(db, from, until).await,
        _ => entry::leaves(db, &missing).await,
    }
}

/// Which of the leaves `from..until` are not `known`, which is in order.
fn missing(known: &[Recent], from: u64, until: u64) -> Vec<u64> {
    let mut known = known.iter().map(|recent| recent.leaf_index).peekable();
    (from..until).filter(|leaf| known.next_if_eq(leaf).is_none()).collect()
}

/// Follows the log. Runs until it is dropped.
pub(in crate::audit) async fn follow(shared: Arc<Shared>) {
    let mut head = shared.head.subscribe();
    let mut complete = 0;
    loop {
        let size = head.borrow_and_update().size;
        if size / BLOCK <= complete {
            if head.changed().await.is_err() {
                return;
            }
            continue;
        }
        match turn(&shared).await {
            Ok(Turn::Indexed(_)) => {}
            Ok(Turn::Complete) => complete = size / BLOCK,
            Ok(Turn::Taken) => sleep(PAUSE).await,
            Err(fault) => {
                tracing::warn!(%fault, "the search index will be tried again");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn turn(shared: &Shared) -> Result<Turn, StoreFault> {
    take_turn_knowing(&shared.lately, store::begin(&shared.pool).await?, AT_ONCE).await
}

/// Few, so that a turn is a short transaction.
const AT_ONCE: u64 = 4;

/// Before another try.
const PAUSE: Duration = Duration::from_secs(1);
