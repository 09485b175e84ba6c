//! How a collector is doing, as this broker sees it, for metrics.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

/// Numbers that one task writes and anybody reads.
#[derive(Debug)]
pub struct Reading {
    /// The collector.
    pub name: String,
    fence: AtomicI64,
    next: AtomicU64,
    size: AtomicU64,
    shipped: AtomicU64,
    skipped: AtomicU64,
    rejected: AtomicU64,
    failures: AtomicU64,
    is_failing: AtomicBool,
}

/// What they were at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Whether this broker ships to it.
    pub is_held: bool,
    /// The leaf that goes next.
    pub next: u64,
    /// How many entries it does not have yet.
    pub lag: u64,
    /// Entries that it took from this broker.
    pub shipped: u64,
    /// Entries that were left out.
    pub skipped: u64,
    /// Single entries that it refused, each time.
    pub rejected: u64,
    /// Batches that it did not take.
    pub failures: u64,
    /// Whether the last one was among them.
    pub is_failing: bool,
}

impl Reading {
    pub(super) fn new(name: String) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            name,
            fence: AtomicI64::new(NOT_HELD),
            next: zero(),
            size: zero(),
            shipped: zero(),
            skipped: zero(),
            rejected: zero(),
            failures: zero(),
            is_failing: AtomicBool::new(false),
        }
    }

    /// The figures now.
    pub fn figures(&self) -> Figures {
        let (next, size) = (self.next.load(Relaxed), self.size.load(Relaxed));
        Figures {
            is_held: self.fence().is_some(),
            next,
            lag: size.saturating_sub(next),
            shipped: self.shipped.load(Relaxed),
            skipped: self.skipped.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            failures: self.failures.load(Relaxed),
            is_failing: self.is_failing.load(Relaxed),
        }
    }

    pub(super) fn fence(&self) -> Option<i64> {
        Some(self.fence.load(Relaxed)).filter(|fence| *fence != NOT_HELD)
    }

    pub(super) fn hold(&self, fence: i64, next: u64) {
        self.fence.store(fence, Relaxed);
        self.next.store(next, Relaxed);
    }

    pub(super) fn lose(&self) {
        self.fence.store(NOT_HELD, Relaxed);
        self.is_failing.store(false, Relaxed);
    }

    pub(super) fn see(&self, next: u64, size: u64) {
        self.next.store(next, Relaxed);
        self.size.store(size, Relaxed);
    }

    /// Whether it had been failing.
    pub(super) fn take(&self, next: u64, count: u64) -> bool {
        self.next.store(next, Relaxed);
        self.shipped.fetch_add(count, Relaxed);
        self.is_failing.swap(false, Relaxed)
    }

    pub(super) fn skip(&self, next: u64, count: u64) {
        self.next.store(next, Relaxed);
        self.skipped.fetch_add(count, Relaxed);
    }

    pub(super) fn reject(&self) {
        self.rejected.fetch_add(1, Relaxed);
    }

    pub(super) fn fail(&self) {
        self.failures.fetch_add(1, Relaxed);
        self.is_failing.store(true, Relaxed);
    }
}

/// Fences begin at one.
const NOT_HELD: i64 = 0;
