//! Compares what is stored about a block with what its leaves say. The index is no evidence, but a reviewer who trusts it
//! to be complete may want to know that it is.

use sqlx::PgConnection;

use super::{bits::BLOCK, build::derive};
use crate::store::{StoreFault, search};

/// What is wrong with the index of `block`; none: it is what the leaves say. Postings that should not be there are not
/// looked for: a search that meets one looks at an entry in vain, and shows nothing.
pub async fn check_block(db: &mut PgConnection, block: u64) -> Result<Option<String>, StoreFault> {
    let first_leaf = block.saturating_mul(BLOCK);
    let extent = search::extent(&mut *db).await?;
    if block >= extent.blocks {
        return Ok(Some(format!("block {block} is not indexed")));
    }
    if first_leaf < extent.oldest {
        return Ok(None);
    }
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
    Ok((differing > 0).then(|| format!("{differing} terms of block {block} are missing, or name other entries")))
}
