//! Notes in the log for what was refused before any rule was asked. Anybody can make such requests, so their number is
//! held down: the log is no place for a flood.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    audit::{Draft, Event, Log},
    model::{Clock, RequestId, Timestamp},
};

/// Entries at once, and per second after that.
const BURST: i64 = 50;
const EACH: i64 = 1_000_000 / 10;

/// Notes refusals. Cheap to clone.
#[derive(Clone)]
pub struct Refusals(Arc<Shared>);

struct Shared {
    log: Log,
    clock: Arc<dyn Clock>,
    room: Mutex<Room>,
}

/// A bucket that fills with time.
#[derive(Debug, Default)]
struct Room {
    full_at: i64,
    skipped: u64,
}

impl Refusals {
    /// Notes in `log`.
    pub fn new(log: Log, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared { log, clock, room: Mutex::default() }))
    }

    /// Notes that `check` refused a request for `target`, as far as there is room; the rest is counted.
    pub(super) fn note(&self, check: &'static str, why: String, target: &str, address: IpAddr, request: RequestId) {
        let now = self.0.clock.now();
        if !self.0.room.lock().unwrap_or_else(PoisonError::into_inner).take(now) {
            return;
        }
        let event =
            Event::Refused { check: check.to_owned(), why, target: target.to_owned(), address: address.to_string() };
        self.0.log.note(Draft { caller: None, event, happened_at: now, request: Some(request) });
    }

    /// How many refusals were not noted.
    pub fn skipped(&self) -> u64 {
        self.0.room.lock().unwrap_or_else(PoisonError::into_inner).skipped
    }
}

impl Room {
    fn take(&mut self, now: Timestamp) -> bool {
        let now = now.micros();
        let full_at = self.full_at.max(now - BURST * EACH) + EACH;
        if full_at > now {
            self.skipped += 1;
            return false;
        }
        self.full_at = full_at;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_leaves_a_bounded_trace() {
        let mut room = Room::default();
        let at = |seconds: i64| Timestamp::from_micros((1_000_000 + seconds) * 1_000_000);
        let taken = (0..10_000).filter(|_| room.take(at(0))).count();
        assert_eq!(taken, 50);
        assert_eq!(room.skipped, 9_950);
        assert_eq!((0..10_000).filter(|_| room.take(at(1))).count(), 10);
        assert_eq!((0..10_000).filter(|_| room.take(at(100))).count(), 50);
    }
}
