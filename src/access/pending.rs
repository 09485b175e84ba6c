//! What is owed to the log once a permit exists: how it ended. Paid when the work ends, or on drop, whatever happened.
//! Leaves the appending to the log; nothing here blocks.

use std::sync::{
    Arc,
    atomic::{AtomicU16, AtomicU64, Ordering},
};

use super::Standing;
use crate::{
    audit::{ClosedBy, Draft, Event, Log, Receipt},
    model::{Clock, RequestId, Timestamp},
};

/// The duty to say how a permitted request ended. Dropped without [`Pending::finish`]: `not-forwarded` when nothing was
/// sent, otherwise an outcome with what was counted so far.
#[must_use = "the log is owed an outcome; dropping this records one at once"]
pub struct Pending {
    standing: Arc<Standing>,
    debt: Debt,
    meter: Arc<Meter>,
    stage: Stage,
}

/// What it takes to pay.
pub(super) struct Debt {
    pub(super) log: Log,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) receipt: Receipt,
    pub(super) request: RequestId,
    pub(super) since: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Unsent,
    Sent,
    Paid,
}

/// Counts what passes, from wherever it passes.
#[derive(Debug, Default)]
pub struct Meter {
    status: AtomicU16,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Meter {
    /// The status that the upstream, or the portal itself, answered with.
    pub fn status(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// So many more bytes of body came from the caller.
    pub fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How many have come so far.
    pub fn received_so_far(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// So many more bytes of body went to the caller.
    pub fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Pending {
    pub(super) fn new(standing: Arc<Standing>, debt: Debt) -> Self {
        Self { standing, debt, meter: Arc::default(), stage: Stage::Unsent }
    }

    /// The request that this belongs to.
    pub fn request(&self) -> RequestId {
        self.debt.request
    }

    /// Where the decision stands in the log.
    pub fn receipt(&self) -> &Receipt {
        &self.debt.receipt
    }

    /// Where status and bytes are counted. Shared, so that the two directions can count apart.
    pub fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }

    /// From now on the request may have had an effect: its first byte is about to leave.
    pub fn sent(&mut self) {
        self.stage = Stage::Sent;
    }

    /// The work has ended, and by whom. Counts as sent.
    pub fn finish(mut self, closed_by: ClosedBy) {
        self.ended(closed_by);
    }

    /// For what the broker answers itself: a page, a certificate. It was done, with this status.
    pub fn answered(self, status: u16) {
        self.meter.status(status);
        self.finish(ClosedBy::Upstream);
    }

    /// Nothing left the broker.
    pub fn not_forwarded(mut self, why: &str) {
        self.not_done(why);
    }

    fn not_done(&mut self, why: &str) {
        self.pay(Event::NotForwarded { why: why.to_owned() }, self.debt.clock.now());
    }

    fn ended(&mut self, closed_by: ClosedBy) {
        let now = self.debt.clock.now();
        let status = self.meter.status.load(Ordering::Relaxed);
        let elapsed = now.since(self.debt.since);
        let outcome = Event::Outcome {
            status: (status != 0).then_some(status),
            received: self.meter.received.load(Ordering::Relaxed),
            sent: self.meter.sent.load(Ordering::Relaxed),
            duration: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            closed_by,
        };
        self.pay(outcome, now);
    }

    fn pay(&mut self, event: Event, now: Timestamp) {
        self.stage = Stage::Paid;
        self.debt.log.note(Draft {
            caller: Some(self.standing.caller.clone()),
            event,
            happened_at: now,
            request: Some(self.debt.request),
        });
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        match self.stage {
            Stage::Paid => {}
            Stage::Unsent => self.not_done("dropped"),
            Stage::Sent if std::thread::panicking() => self.ended(ClosedBy::Broker),
            Stage::Sent => self.ended(ClosedBy::Caller),
        }
    }
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending")
            .field("request", &self.debt.request)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}
