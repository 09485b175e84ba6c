//! How often the gate has said what, for the metrics page. Counts only; who and why is in the audit log.

use std::sync::atomic::{AtomicU64, Ordering};

/// Totals since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Permits made.
    pub allowed: AtomicU64,
    /// Denials recorded.
    pub denied: AtomicU64,
    /// Requests for fresh assurance recorded.
    pub step_up: AtomicU64,
    /// Questions that could not be decided or recorded.
    pub unavailable: AtomicU64,
}

impl Counters {
    pub(super) fn bump(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
