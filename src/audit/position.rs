//! What this process knows of the log: the newest head that it wrote or followed, and the tree up to it.
//! INVARIANT: it only ever moves to a head that continues it, leaf by leaf, and that a broker of this log made; a database
//! that went backwards, forked or was added to is noticed here, whatever its own columns say.

use super::{
    LogFault, Signers,
    queue::Queued,
    tile::{HEIGHT, Tile, Tree, WIDTH, partial_tiles, root_of},
    tree::{Edge, Hash, hashes},
};
use crate::{
    model::{BatchId, BrokerId, Timestamp},
    store::{
        StoreFault,
        entry::Batch,
        head::{self, Step},
        tile,
    },
};
use sqlx::PgConnection;

/// Where the log stands.
#[derive(Clone, Debug)]
pub(super) struct Position {
    pub(super) epoch: u64,
    pub(super) tree: Tree,
    pub(super) recorded_at: Timestamp,
    /// The batch that made this head.
    pub(super) batch: BatchId,
    /// Another broker is known to have gone on from here.
    pub(super) is_stale: bool,
}

/// Why the newest head could not be reached from here.
#[derive(Debug)]
pub(super) enum Astray {
    /// The database failed.
    Store(StoreFault),
    /// It holds something else.
    Broken(String),
}

impl From<StoreFault> for Astray {
    fn from(fault: StoreFault) -> Self {
        Self::Store(fault)
    }
}

impl From<Astray> for LogFault {
    fn from(astray: Astray) -> Self {
        match astray {
            Astray::Store(fault) => Self::Store(fault),
            Astray::Broken(what) => Self::Broken(what),
        }
    }
}

impl Position {
    /// Takes up the log as it is stored, if it folds to its own root.
    pub(super) async fn load(db: &mut PgConnection) -> Result<Self, Astray> {
        let head = head::newest(&mut *db).await?;
        let broken = |what: &str| Astray::Broken(format!("the head at {} entries {what}", head.size));
        let edge = Edge::from_bytes(head.size, &head.edge).ok_or_else(|| broken("has an edge of another size"))?;
        if edge.root() != head.root {
            return Err(broken("does not fold to its root"));
        }
        let mut partial = Vec::new();
        for (level, index, count) in partial_tiles(head.size) {
            let start = index * WIDTH as u64;
            partial.push(match level.checked_sub(1) {
                None => last_leaves(db, start, count).await?,
                Some(below) => tile_roots(db, below, start, start + count as u64).await?,
            });
        }
        let tree = Tree::resume(edge, partial).ok_or_else(|| broken("does not fit the hashes below it"))?;
        Ok(Self { epoch: head.epoch, tree, recorded_at: head.recorded_at, batch: head.batch, is_stale: false })
    }

    /// Moves to the newest head, which must continue this one. True: it had moved.
    pub(super) async fn follow(&mut self, db: &mut PgConnection, signers: &Signers) -> Result<bool, Astray> {
        let newest = head::newest(&mut *db).await?;
        let known = self.tree.size();
        if newest.epoch != self.epoch {
            return Err(Astray::Broken(format!("the log began epoch {}, this is {}", newest.epoch, self.epoch)));
        }
        if newest.size < known {
            return Err(Astray::Broken(format!("the log went back to {} entries, it had {known}", newest.size)));
        }
        if newest.size == known && newest.root != self.tree.root() {
            return Err(Astray::Broken(format!("the log was forked: another root at {known} entries")));
        }
        while self.tree.size() < newest.size {
            let steps = head::steps_past(&mut *db, self.tree.size(), 64).await?;
            if steps.is_empty() {
                return Err(Astray::Broken(format!("no batch follows {} entries", self.tree.size())));
            }
            self.walk(&steps, signers)?;
        }
        self.is_stale = false;
        Ok(self.tree.size() != known)
    }

    /// Says of `entries` that they are recorded `now`, but never before what is in the log already.
    pub(super) fn stamp(&self, entries: &mut [Queued], now: Timestamp) -> Timestamp {
        let recorded_at = now.max(self.recorded_at);
        let stamp = recorded_at.into();
        entries.iter_mut().for_each(|queued| queued.entry.stamp(&stamp));
        recorded_at
    }

    /// The batch that would add `entries`, stamped, here, and where the log would stand then.
    pub(super) fn extended<'e>(
        &self,
        entries: &'e [Queued],
        broker: BrokerId,
        recorded_at: Timestamp,
        signers: &Signers,
    ) -> (Batch<'e>, Self) {
        let mut after = Self { recorded_at, is_stale: false, ..self.clone() };
        let mut complete: Vec<Tile> = Vec::new();
        let mut batch = Batch {
            epoch: self.epoch,
            size: self.tree.size(),
            id: self.batch,
            broker,
            recorded_at,
            root: [0; 32],
            edge: Vec::new(),
            hashes: Vec::with_capacity(32 * entries.len()),
            rows: Vec::with_capacity(entries.len()),
            tile_levels: Vec::new(),
            tile_indexes: Vec::new(),
            tile_hashes: Vec::new(),
        };
        for Queued { entry, .. } in entries {
            let hash = entry.hash();
            after.tree.append(hash, &mut complete);
            batch.hashes.extend_from_slice(&hash);
            batch.rows.push(entry.row());
        }
        for tile in complete {
            batch.tile_levels.push(i16::from(tile.level));
            batch.tile_indexes.push(i64::try_from(tile.index).unwrap_or(i64::MAX));
            batch.tile_hashes.push(tile.hashes.concat());
        }
        batch.root = after.tree.root();
        batch.edge = after.tree.edge().to_bytes();
        after.batch = after.id(batch.root, signers);
        batch.id = after.batch;
        (batch, after)
    }

    /// Follows batches of other brokers, which come after this head.
    pub(super) fn walk(&mut self, steps: &[Step], signers: &Signers) -> Result<(), Astray> {
        steps.iter().try_for_each(|step| self.step(step, signers))
    }

    /// Whether a broker of this log, or a command beside it, made this head.
    pub(super) fn is_ours(&self, signers: &Signers) -> bool {
        self.batch == self.id(self.tree.root(), signers)
    }

    /// The id of a batch that made this head, with its root.
    fn id(&self, root: Hash, signers: &Signers) -> BatchId {
        signers.batches().id(signers.origin(), (self.epoch, self.tree.size(), root), self.recorded_at)
    }

    fn step(&mut self, step: &Step, signers: &Signers) -> Result<(), Astray> {
        let broken = |what: &str| Astray::Broken(format!("the batch up to {} entries {what}", step.head.size));
        if step.head.epoch != self.epoch || step.parent_size != Some(self.tree.size()) {
            return Err(broken("does not follow the one before it"));
        }
        if step.head.recorded_at < self.recorded_at {
            return Err(broken("was recorded before the one before it"));
        }
        let mut tree = self.tree.clone();
        let leaves = hashes(&step.hashes).ok_or_else(|| broken("has half a hash"))?;
        leaves.into_iter().for_each(|leaf| tree.append(leaf, &mut Vec::new()));
        if tree.size() != step.head.size || tree.root() != step.head.root || tree.edge().to_bytes() != step.head.edge {
            return Err(broken("has a root that does not continue what was seen before"));
        }
        let after = Self {
            tree,
            recorded_at: step.head.recorded_at,
            batch: step.head.batch,
            epoch: self.epoch,
            is_stale: self.is_stale,
        };
        if after.batch != after.id(step.head.root, signers) {
            return Err(broken(NOT_OURS));
        }
        *self = after;
        Ok(())
    }
}

/// What is said of a batch that nobody made who has the wrapping key.
pub(super) const NOT_OURS: &str =
    "was made by no broker of this log: the database's owner added it, or a broker that has another wrapping key";

/// The hashes of the last `count` leaves, which begin at `start`.
async fn last_leaves(db: &mut PgConnection, start: u64, count: usize) -> Result<Vec<Hash>, Astray> {
    let mut leaves: Vec<Hash> = Vec::with_capacity(count);
    while leaves.len() < count {
        let steps = head::steps_past(&mut *db, start + leaves.len() as u64, 64).await?;
        if steps.is_empty() {
            break;
        }
        for step in steps {
            let batch = hashes(&step.hashes).unwrap_or_default();
            let known = (start + leaves.len() as u64).saturating_sub(step.parent_size.unwrap_or(0));
            leaves.extend(batch.into_iter().skip(usize::try_from(known).unwrap_or(usize::MAX)));
        }
    }
    leaves.truncate(count);
    Ok(leaves)
}

/// The roots of the complete tiles `from..to` of a level.
async fn tile_roots(db: &mut PgConnection, level: u8, from: u64, to: u64) -> Result<Vec<Hash>, Astray> {
    let tiles = tile::tiles(db, level, from, to).await?;
    Ok(tiles.into_iter().filter_map(|(_, bytes)| Some(root_of(&hashes(&bytes)?))).collect())
}

const _: () = assert!(1 << HEIGHT == WIDTH);
