//! Beginning an epoch: its first entry, which says who decided it and why, and then its first checkpoint. For a fork that
//! somebody has accepted, and for keys that are lost. INVARIANT: nothing is signed before the entry is committed. Whoever
//! dies between the two leaves an epoch that no key has signed, which is refused until somebody begins another.

use sqlx::PgConnection;

use super::{
    Draft, Event, LogFault, Signed, Signers,
    entry::Salt,
    fork::AcceptFault,
    position::Position,
    tree::{Hash, leaf_hash},
    unstamped::Unstamped,
};
use crate::{
    model::{BrokerId, Entropy, Timestamp},
    store::{checkpoint, entry, epoch},
};

/// An epoch that has its first entry and no checkpoint yet.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Begun {
    epoch: u64,
    size: u64,
    root: Hash,
}

/// Adds `event` behind `position` as the first entry of `epoch`.
pub(super) async fn write(
    db: &mut PgConnection,
    position: Position,
    signers: &Signers,
    (epoch, event): (u64, Event),
    (now, entropy): (Timestamp, &dyn Entropy),
) -> Result<Begun, AcceptFault> {
    let (after, old_size) = (position.epoch, position.tree.size());
    let (kind, broker) = (event.kind(), BrokerId::random(entropy));
    let draft = Draft { caller: None, event, happened_at: now, request: None };
    let mut entry = Unstamped::of(&draft, &broker.into(), Salt(entropy.bytes())).map_err(|_| AcceptFault::Unfit)?;
    let recorded_at = now.max(position.recorded_at);
    entry.stamp(&recorded_at.into());
    let leaf = entry.leaf().to_vec();
    let (mut tree, mut complete) = (position.tree, Vec::new());
    let hash = leaf_hash(&leaf);
    tree.append(hash, &mut complete);
    let (size, root) = (tree.size(), tree.root());
    let tiles = complete.into_iter().map(|tile| (tile.level, tile.index, tile.hashes.concat())).collect();
    let beginning = epoch::Beginning {
        epoch,
        after,
        size: old_size,
        batch: signers.batches().id(signers.origin(), (epoch, size, root), recorded_at),
        broker,
        recorded_at,
        root,
        edge: tree.edge().to_bytes(),
        hash,
        leaf,
        moment: now,
        kind,
        tiles,
    };
    entry::ensure_partitions(&mut *db, recorded_at).await?;
    match epoch::begin(&mut *db, &beginning).await? {
        true => Ok(Begun { epoch, size, root }),
        false => Err(AcceptFault::Moved),
    }
}

impl Begun {
    /// Signs its first head, once its entry is committed.
    pub async fn sign(self, db: &mut PgConnection, signers: &Signers, now: Timestamp) -> Result<Signed, LogFault> {
        let Self { epoch, size, root } = self;
        let signed = Signed { epoch, size, root, note: signers.sign(epoch, size, root), at: now };
        let row = checkpoint::Checkpoint {
            epoch,
            size,
            key: signers.active().key(),
            root: root.to_vec(),
            note: signed.note.clone(),
            signed_at: now,
        };
        checkpoint::insert(db, &row).await?;
        Ok(signed)
    }
}
