//! How much of the log was archived, as the log itself says. INVARIANT: neither that an entry is gone nor the table of
//! archives, both of which the database's owner can make so, is taken for a sign that it was archived: only the newest
//! `archived` entry, whose bytes lead to the root of the tree, and only for what lies before all that is still there.

use sqlx::PgConnection;

use super::{
    bits::BLOCK,
    terms::{Field, number},
    walk::read,
};
use crate::{
    audit::{
        Entry, Event,
        proof::{self, ProofFault},
        tree::{includes, leaf_hash},
    },
    store::{
        StoreFault, archive, entry, head,
        search::{self, Extent, Order},
    },
};

/// The entries before this one are in archives. What is gone from there on is missing.
pub async fn archived_before(db: &mut PgConnection) -> Result<u64, StoreFault> {
    let extent = search::extent(&mut *db).await?;
    if extent.oldest == 0 {
        return Ok(0);
    }
    // Archives are made in order, so the newest word about them counts for all.
    let Some((index, leaf)) = newest(&mut *db, extent).await? else { return Ok(0) };
    let Ok(Event::Archived { until, .. }) = Entry::from_leaf(&leaf).map(|entry| entry.event) else { return Ok(0) };
    Ok(if is_in_the_tree(db, index, &leaf).await? { until.min(extent.oldest) } else { 0 })
}

/// The newest `archived` entry: among those that are not indexed yet, or by the index. Where the index hides it, all that
/// is archived counts as missing.
async fn newest(db: &mut PgConnection, extent: Extent) -> Result<Option<(u64, Vec<u8>)>, StoreFault> {
    if let Some(found) = archive::newest_of_kind_from(&mut *db, KIND, extent.blocks * BLOCK).await? {
        return Ok(Some(found));
    }
    let term = number(Field::What, KIND);
    let Some(posting) = search::postings(&mut *db, term, (0, extent.blocks), Order::NewestFirst, 1).await?.pop() else {
        return Ok(None);
    };
    let Some(place) = read(&posting.bits)?.places().last() else { return Ok(None) };
    Ok(entry::leaves(db, &[posting.block * BLOCK + place]).await?.pop())
}

async fn is_in_the_tree(db: &mut PgConnection, index: u64, leaf: &[u8]) -> Result<bool, StoreFault> {
    let head = head::newest(&mut *db).await?;
    match proof::inclusion(db, index, head.size).await {
        Ok(path) => Ok(includes(&head.root, head.size, index, leaf_hash(leaf), &path)),
        Err(ProofFault::Store(fault)) => Err(fault),
        Err(ProofFault::Beyond(_) | ProofFault::Missing) => Ok(false),
    }
}

const KIND: &str = "archived";
