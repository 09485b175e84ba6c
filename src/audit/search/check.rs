//! Compares what is stored about a block with what its leaves say. The index is no evidence, but a reviewer who trusts it
//! to be complete may want to know that it is.

use serde::Serialize;
use sqlx::PgConnection;

use super::{bits::BLOCK, build::derive};
use crate::store::{
    StoreFault,
    search::{self, Extent},
};

/// What checking the whole index came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckedIndex {
    /// How many complete blocks the log has. What is not indexed yet is read one by one.
    pub blocks: u64,
    /// How many blocks of the index say what their entries say.
    pub checked: u64,
    /// How many could not be compared, because entries of theirs are archived.
    pub archived: u64,
    /// The first thing that is wrong.
    pub broken: Option<String>,
}

/// Checks every block, up to the first that is wrong. `progress` hears how many of how many
/// entries are done. It means something
/// only about a log that was found sound.
pub async fn check_index(
    db: &mut PgConnection,
    mut progress: impl FnMut(u64, u64),
) -> Result<CheckedIndex, StoreFault> {
    let extent = search::extent(&mut *db).await?;
    let mut found = CheckedIndex { blocks: extent.size / BLOCK, checked: 0, archived: 0, broken: None };
    if extent.blocks > found.blocks {
        found.broken = Some(format!("it has {} blocks, and the log {}", extent.blocks, found.blocks));
        return Ok(found);
    }
    for block in 0..extent.blocks {
        progress(block * BLOCK, extent.blocks * BLOCK);
        if is_archived(block, extent) {
            found.archived += 1;
            continue;
        }
        found.broken = compare(&mut *db, block).await?;
        if found.broken.is_some() {
            return Ok(found);
        }
        found.checked += 1;
    }
    progress(extent.blocks * BLOCK, extent.blocks * BLOCK);
    Ok(found)
}

/// What is wrong with the index of `block`; none: it is what the leaves say. Postings that should not be there are not
/// looked for: a search that meets one finds another entry than it was led to, and says so.
pub async fn check_block(db: &mut PgConnection, block: u64) -> Result<Option<String>, StoreFault> {
    let extent = search::extent(&mut *db).await?;
    if block >= extent.blocks {
        return Ok(Some(format!("block {block} is not indexed")));
    }
    if is_archived(block, extent) { Ok(None) } else { compare(db, block).await }
}

/// Whether not all of the block's leaves are there.
const fn is_archived(block: u64, extent: Extent) -> bool {
    block.saturating_mul(BLOCK) < extent.oldest
}

async fn compare(db: &mut PgConnection, block: u64) -> Result<Option<String>, StoreFault> {
    let first_leaf = block.saturating_mul(BLOCK);
    let new = derive(&mut *db, block).await?;
    let stored = search::blocks_at(&mut *db, &[block]).await?;
    let moments = search::moments(&mut *db, block).await?;
    let is_same = stored.first().is_some_and(|row| {
        (row.first_recorded_at, row.last_recorded_at) == (new.first_recorded_at, new.last_recorded_at)
            && (&row.allowed, &row.denied, moments.as_ref()) == (&new.allowed, &new.denied, Some(&new.moments))
    });
    if !is_same {
        return Ok(Some(format!("block {block} (entries from {first_leaf} on) does not say what its entries say")));
    }
    let mut stored = search::postings_in(db, &new.terms, &[block]).await?;
    stored.sort_unstable_by_key(|posting| posting.term);
    let stored: Vec<(i64, Vec<u8>)> = stored.into_iter().map(|posting| (posting.term, posting.bits)).collect();
    let expected: Vec<(i64, Vec<u8>)> = new.terms.into_iter().zip(new.bits).collect();
    let differing = expected.iter().filter(|posting| stored.binary_search(posting).is_err()).count();
    Ok((differing > 0).then(|| {
        let terms = if differing == 1 { "1 term" } else { &format!("{differing} terms") };
        format!("{terms} of block {block} (entries from {first_leaf} on) missing, or naming other entries")
    }))
}
