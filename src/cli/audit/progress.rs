//! A line on a terminal that says how far a long look at the log is, and how fast.

use std::{
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

/// A line on a terminal that says how far it is.
pub(super) struct Progress {
    start: std::time::Instant,
    shown: Option<std::time::Instant>,
    is_wanted: bool,
}

impl Progress {
    pub(super) fn begin() -> Self {
        Self { start: std::time::Instant::now(), shown: None, is_wanted: std::io::stderr().is_terminal() }
    }

    pub(super) fn show(&mut self, done: u64, of: u64) {
        let is_due = self.shown.map_or(self.start.elapsed() >= BEFORE_THE_FIRST, |shown| shown.elapsed() >= SHOW_EVERY);
        if !self.is_wanted || !is_due || of == 0 {
            return;
        }
        self.shown = Some(std::time::Instant::now());
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = done.saturating_mul(1_000) / millis;
        let percent = done.saturating_mul(100) / of;
        let _ = write!(std::io::stderr().lock(), "\r{percent:>3} %  {done} of {of} entries, {rate} a second\u{1b}[K");
    }

    pub(super) fn end(&self) {
        if self.shown.is_some() {
            let _ = write!(std::io::stderr().lock(), "\r\u{1b}[K");
        }
    }
}

const SHOW_EVERY: Duration = Duration::from_millis(100);

/// Who waits no longer needs no such line.
const BEFORE_THE_FIRST: Duration = Duration::from_secs(1);
