//! What the log could not take: counted while it lasts, and told of in one entry when the log is back.
//! Decisions that could not be recorded were refused; notes of what had happened already are gone. Both are counted.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant};

use super::Event;
use crate::model::Timestamp;

/// The gap that is open, and the ones that were.
#[derive(Debug, Default)]
pub(super) struct Gap(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    open: Option<Missing>,
    lost: u64,
}

/// Entries that are missing from the log.
#[derive(Debug)]
pub(super) struct Missing {
    count: u64,
    from: Timestamp,
    until: Timestamp,
    why: Vec<&'static str>,
    began: Instant,
    grew: Instant,
}

impl Gap {
    /// `count` more entries are lost.
    pub(super) fn grow(&self, count: u64, why: &'static str, now: Timestamp) {
        if count == 0 {
            return;
        }
        let mut inner = self.lock();
        inner.lost += count;
        let began = Instant::now();
        let fresh = || Missing { count: 0, from: now, until: now, why: Vec::new(), began, grew: began };
        let open = inner.open.get_or_insert_with(fresh);
        open.count += count;
        open.until = now;
        open.grew = began;
        if !open.why.contains(&why) {
            open.why.push(why);
        }
    }

    /// Takes the gap to tell of it, once it has not grown for `rest`, or lasts too long to wait for that.
    pub(super) fn take(&self, rest: Duration) -> Option<Missing> {
        let mut inner = self.lock();
        let is_ripe = inner.open.as_ref()?.grew.elapsed() >= rest || inner.open.as_ref()?.began.elapsed() >= LONGEST;
        if is_ripe { inner.open.take() } else { None }
    }

    /// It could not be told of yet.
    pub(super) fn put_back(&self, missing: Missing) {
        let mut inner = self.lock();
        inner.open = Some(match inner.open.take() {
            None => missing,
            Some(newer) => missing.and(newer),
        });
    }

    /// How many entries were lost.
    pub(super) fn lost(&self) -> u64 {
        self.lock().lost
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Missing {
    /// It was told of: an alarm.
    pub(super) fn told(&self) {
        let Self { count, why, .. } = self;
        tracing::error!(lost = count, why = why.join("; "), "the audit log has a gap");
    }

    /// What the log says of it.
    pub(super) fn event(&self) -> Event {
        Event::Gap { lost: self.count, from: self.from, until: self.until, why: self.why.join("; ") }
    }

    fn and(mut self, newer: Self) -> Self {
        self.count += newer.count;
        (self.until, self.grew) = (newer.until, newer.grew);
        let new = newer.why.into_iter().filter(|why| !self.why.contains(why)).collect::<Vec<_>>();
        self.why.extend(new);
        self
    }
}

/// A gap that goes on and on is told of in pieces.
const LONGEST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    #[tokio::test(start_paused = true)]
    async fn a_gap_is_told_of_once_it_has_stopped_growing_and_in_pieces_if_it_does_not() {
        let gap = Gap::default();
        let rest = Duration::from_secs(1);
        gap.grow(0, "away", at(1));
        assert_eq!(gap.lost(), 0);
        gap.grow(1, "away", at(1));
        gap.grow(2, "full", at(2));
        gap.grow(1, "away", at(3));
        assert!(gap.take(rest).is_none(), "it may still grow");
        tokio::time::advance(rest).await;
        let missing = gap.take(rest).unwrap();
        let event = Event::Gap { lost: 4, from: at(1), until: at(3), why: "away; full".into() };
        assert_eq!(missing.event(), event);
        assert!(gap.take(rest).is_none(), "told once");
        gap.grow(1, "late", at(4));
        gap.put_back(missing);
        for _ in 0..120 {
            gap.grow(1, "away", at(5));
            tokio::time::advance(rest / 2).await;
        }
        let whole = gap.take(rest).expect("it has lasted long enough");
        let event = Event::Gap { lost: 125, from: at(1), until: at(5), why: "away; full; late".into() };
        assert_eq!(whole.event(), event);
        assert_eq!(gap.lost(), 125);
    }
}
