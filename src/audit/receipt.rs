//! The proof, inside this process, that an entry is durable: what a permit is made of.
//! INVARIANT: made only in this room, after COMMIT was acknowledged; not Clone, so one entry permits one thing.

use crate::model::Timestamp;

/// An entry is in the log, and on disk.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a receipt that nobody uses means that something was recorded and then not done"]
pub struct Receipt {
    epoch: u64,
    leaf_index: u64,
    recorded_at: Timestamp,
}

impl Receipt {
    pub(super) const fn new(epoch: u64, leaf_index: u64, recorded_at: Timestamp) -> Self {
        Self { epoch, leaf_index, recorded_at }
    }

    /// The epoch of the log.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The place of the entry in the log; of the first one, when there are several.
    pub const fn leaf_index(&self) -> u64 {
        self.leaf_index
    }

    /// When it was recorded.
    pub const fn recorded_at(&self) -> Timestamp {
        self.recorded_at
    }
}
