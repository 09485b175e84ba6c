//! What leads from an older key of the log to the newest, and to a later epoch: the few entries that say so, and the
//! checkpoints by which each key vouches for the next. Read here from the database, whose owner may have changed them;
//! whoever checks the bundle believes only what the tree and a key that it was given confirm.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::BundleFault;
use crate::{
    audit::{Entry, Event, checkpoint::Verifier},
    store::{
        archive,
        checkpoint::{self, Checkpoint},
    },
};

/// See the head of this file.
pub(super) struct Succession {
    /// Leaf bytes of the entries, by index.
    pub(super) leaves: BTreeMap<u64, Vec<u8>>,
    /// Root and note of the checkpoints, by size.
    pub(super) notes: BTreeMap<u64, Vec<(Vec<u8>, String)>>,
}

impl Succession {
    /// All of it up to `signed`.
    pub(super) async fn of(db: &mut PgConnection, signed: &Checkpoint) -> Result<Self, BundleFault> {
        let leaves: BTreeMap<u64, Vec<u8>> = archive::succession(&mut *db, signed.size).await?.into_iter().collect();
        let mut notes: BTreeMap<u64, Vec<(Vec<u8>, String)>> = BTreeMap::new();
        for (index, leaf) in &leaves {
            let Ok(Entry { event: Event::KeyRotated { retired, .. }, .. }) = Entry::from_leaf(leaf) else { continue };
            let Ok(retired) = retired.parse::<Verifier>() else { continue };
            let after = checkpoint::past(&mut *db, (*index, Uuid::max()), FEW).await?;
            let vouches = |row: &&Checkpoint| row.size <= signed.size && retired.open(&row.note).is_ok();
            if let Some(row) = after.iter().find(vouches) {
                let known = notes.entry(row.size).or_default();
                known.push((row.root.clone(), row.note.clone()));
                known.dedup();
            }
        }
        Ok(Self { leaves, notes })
    }
}

/// The old key signs the head that holds the entry, so its note is among the first after it.
const FEW: u32 = 64;
