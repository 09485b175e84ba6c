//! What this process appended lately, kept until it is in the index, so that nothing need be read back to be indexed.
//! Bounded: what falls out, and what other brokers wrote, is read. INVARIANT: only entries whose COMMIT was acknowledged
//! are here, all of one epoch, so what is kept for a leaf is what its bytes say.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{audit::unstamped::Said, model::Timestamp};

/// See the head of this file.
#[derive(Default)]
pub(in crate::audit) struct Lately(Mutex<Kept>);

/// Whoever has it adds; whoever wants to take waits.
pub(in crate::audit) struct Adding<'l>(MutexGuard<'l, Kept>);

#[derive(Default)]
struct Kept {
    epoch: u64,
    bytes: usize,
    recent: VecDeque<Recent>,
}

/// An entry, and its place.
pub(super) struct Recent {
    pub(super) leaf_index: u64,
    pub(super) recorded_at: Timestamp,
    pub(super) said: Said,
    pub(super) bytes: usize,
}

impl Lately {
    /// To be called before anybody is told that the log has grown.
    pub(in crate::audit) fn begin(&self, epoch: u64) -> Adding<'_> {
        let mut kept = self.lock();
        if kept.epoch != epoch {
            *kept = Kept { epoch, ..Kept::default() };
        }
        Adding(kept)
    }

    /// Takes what is kept of the leaves `from..until`, in order, and forgets what lies before them.
    pub(super) fn take(&self, epoch: u64, (from, until): (u64, u64)) -> Vec<Recent> {
        let mut kept = self.lock();
        if kept.epoch != epoch {
            return Vec::new();
        }
        let most = usize::try_from(until.saturating_sub(from)).unwrap_or(0);
        let mut taken = Vec::with_capacity(most.min(kept.recent.len()));
        while let Some(recent) = kept.recent.pop_front_if(|recent| recent.leaf_index < until) {
            kept.bytes -= recent.bytes;
            if recent.leaf_index >= from {
                taken.push(recent);
            }
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Adding<'_> {
    /// Keeps what was `said` at `leaf_index`, in a leaf of so many bytes.
    pub(in crate::audit) fn add(&mut self, leaf_index: u64, recorded_at: Timestamp, bytes: usize, said: Said) {
        let kept = &mut *self.0;
        kept.bytes += bytes;
        kept.recent.push_back(Recent { leaf_index, recorded_at, said, bytes });
        while kept.recent.len() > MOST || kept.bytes > MOST_BYTES {
            let Some(oldest) = kept.recent.pop_front() else { break };
            kept.bytes -= oldest.bytes;
        }
    }
}

/// Eight blocks: the index is hardly ever further behind.
const MOST: usize = 8 * 1024;

/// Of leaves. What is kept for one takes less, and no more than about as much.
const MOST_BYTES: usize = 16 << 20;
