//! What lies past the head that the log had when verification began: entries without a head, checkpoints of a tail that is
//! gone, and checkpoints of what came meanwhile, which has to continue what was read.

use std::cmp::{Ordering, Reverse};

use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Broken, Stop,
    beside::{Of as _, expect_its_row},
    database::STEPS,
    fold::{Fold, stated_size},
};
use crate::{
    audit::{
        checkpoint::Verifier,
        proof::{self, ProofFault},
        tree::continues,
    },
    store::{checkpoint, entry, head::Head},
};

/// What lies past the head: entries without one, checkpoints of a tail that is gone.
pub(super) async fn look_beyond(
    db: &mut PgConnection,
    fold: &mut Fold,
    (head, keys): (&Head, &[(Uuid, Verifier)]),
    mut last_checkpoint: (u64, Uuid),
    given: Vec<String>,
) -> Result<(), Stop> {
    let mut notes = given.clone();
    loop {
        let stored = checkpoint::past(&mut *db, last_checkpoint, STEPS).await.of("checkpoint")?;
        let Some(last) = stored.last() else { break };
        last_checkpoint = (last.size, last.key);
        for row in stored {
            let stated = fold.open(&row.note).map_err(|broken| Broken::checkpoint(row.size, broken.what))?;
            expect_its_row(&row, &stated, keys)?;
            notes.push(row.note);
        }
    }
    let (last_entry, size) = entry::extent(&mut *db).await.of("entry")?;
    // The log may have grown since; it is only wrong if it is shorter than what was signed, or another.
    let size = size.unwrap_or(0).max(head.size);
    for note in given.iter().filter(|note| stated_size(note) <= size) {
        expect_continued(db, fold, note).await?;
    }
    // What is named is all that is missing.
    notes.sort_by_key(|note| Reverse(stated_size(note)));
    for note in notes {
        let stated = fold.open(&note)?;
        let signed = stated.checkpoint.size;
        let is_there = last_entry.is_some_and(|last| signed > size && last >= signed - 1);
        if is_there && stated.epoch >= head.epoch {
            return Err(Broken::head(signed, "it is missing: so many entries were signed, and are there").into());
        }
        if signed > size {
            let what = format!("the end of the log is missing: {signed} entries were signed, {size} are there");
            fold.contradict(stated, size, what)?;
        }
    }
    // Entries come with their head, in one transaction, and the newest are not archived.
    let end = last_entry.map_or(0, |last| last + 1);
    match end.cmp(&size) {
        Ordering::Less => Err(Broken::leaf(end, "it is missing").into()),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(Broken::leaf(end - 1, "it lies beyond the head").into()),
    }
}

/// Compares a given checkpoint of entries that came while the log was read: what was read has to be what it begins with.
async fn expect_continued(db: &mut PgConnection, fold: &mut Fold, note: &str) -> Result<(), Stop> {
    let stated = fold.open(note)?;
    let (read, signed) = (fold.size(), stated.checkpoint.size);
    let does_continue = match proof::consistency(db, read, signed).await {
        Ok(proof) if read > 0 => continues(&fold.root(), read, &stated.checkpoint.root, signed, &proof),
        Ok(_) => proof::root(db, signed).await.is_ok_and(|root| root == stated.checkpoint.root),
        Err(ProofFault::Store(fault)) => return Err(fault.into()),
        Err(ProofFault::Missing | ProofFault::Beyond(_)) => false,
    };
    if does_continue {
        return Ok(());
    }
    let what = "the entries are not those that were signed, or what came while they were read does not continue them";
    Ok(fold.contradict(stated, read, what.to_owned())?)
}
