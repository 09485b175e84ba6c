//! Entries that readers of this process came upon and could not show, though they must be in the database: for the alarm. Each
//! counts once, however often it is come upon; far more than an alarm needs are not kept.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use super::search::Losses;

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Sighted(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Those that were named.
    named: BTreeSet<u64>,
    /// How many there were in the worst reading.
    most: u64,
}

impl Sighted {
    /// A reading came upon these.
    pub(super) fn add(&self, losses: &Losses) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.most = inner.most.max(losses.missing.count.saturating_add(losses.damaged.count));
        for index in losses.missing.first.iter().chain(&losses.damaged.first) {
            if inner.named.len() < MOST_KEPT {
                inner.named.insert(*index);
            }
        }
    }

    /// A reading came upon something that cannot be told to be the fault of one entry.
    pub(super) fn add_unnamed(&self) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.most = inner.most.max(1);
    }

    /// How many there are at least.
    pub(super) fn count(&self) -> u64 {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.most.max(inner.named.len() as u64)
    }
}

const MOST_KEPT: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counts_once_and_many_at_once_count_all() {
        let (sighted, mut losses) = (Sighted::default(), Losses::default());
        losses.missing.add(7);
        sighted.add(&losses);
        sighted.add(&losses);
        assert_eq!(sighted.count(), 1);
        let mut others = Losses::default();
        others.damaged.add(9);
        sighted.add(&others);
        assert_eq!(sighted.count(), 2);
        losses.missing.add_all(20..1_020);
        sighted.add(&losses);
        assert_eq!(sighted.count(), 1_001);
    }
}
