//! What is known about one destination: how far it has come, since when it owes something, and what went wrong last.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// One destination's state.
pub(super) struct Destination {
    name: String,
    /// Whether the broker should not be sent requests while this one lags.
    is_needed: bool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    delivered: u64,
    behind_since: Option<Instant>,
    fault: Option<String>,
    fork: Option<String>,
}

/// A destination as metrics and pages show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Which.
    pub name: String,
    /// How many entries the newest note covers that it took.
    pub size: u64,
    /// How long the oldest note that it has not taken has waited.
    pub behind: Duration,
    /// Whether it knows another history of the log.
    pub is_forked: bool,
    /// What is wrong, once that is worth saying.
    pub alarm: Option<String>,
    /// Whether that makes the broker unready.
    pub is_needed: bool,
}

impl Destination {
    pub(super) fn new(name: String, is_needed: bool) -> Self {
        Self { name, is_needed, inner: Mutex::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// There is a note for it.
    pub(super) fn owes(&self) {
        self.lock().behind_since.get_or_insert_with(Instant::now);
    }

    /// It took the note that covers `size` entries, and nothing newer is there.
    pub(super) fn delivered(&self, size: u64) {
        let mut inner = self.lock();
        if inner.fault.take().is_some() || inner.fork.take().is_some() {
            tracing::info!(destination = self.name, size, "checkpoints are published again");
        }
        inner.delivered = size;
        inner.behind_since = None;
    }

    /// It did not take the newest note. Said once for each reason.
    pub(super) fn failed(&self, why: String) {
        let mut inner = self.lock();
        if inner.fault.as_ref() != Some(&why) {
            tracing::error!(destination = self.name, why, "a checkpoint could not be published");
            inner.fault = Some(why);
        }
    }

    /// It has seen another history. Said once.
    pub(super) fn forked(&self, what: String) {
        let mut inner = self.lock();
        if inner.fork.as_ref() != Some(&what) {
            tracing::error!(destination = self.name, what, "the audit log is not what was published");
            inner.fork = Some(what);
        }
    }

    pub(super) fn reading(&self) -> Reading {
        let inner = self.lock();
        let behind = inner.behind_since.map_or(Duration::ZERO, |since| since.elapsed());
        let late = (behind > LATE).then(|| {
            let why = inner.fault.as_deref().unwrap_or("it does not answer");
            format!("Checkpoints have not reached the {} for {} s: {why}", self.name, behind.as_secs())
        });
        let fork = inner.fork.as_ref().map(|what| format!("The {} has seen another log: {what}", self.name));
        Reading {
            name: self.name.clone(),
            size: inner.delivered,
            behind,
            is_forked: inner.fork.is_some(),
            alarm: fork.or(late),
            is_needed: self.is_needed,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A destination that owes a note for longer is an alarm.
const LATE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_destination_that_lags_is_an_alarm_until_it_has_caught_up() {
        let destination = Destination::new("file".to_owned(), true);
        assert_eq!(destination.reading().alarm, None);
        destination.owes();
        destination.failed("disk full".to_owned());
        tokio::time::advance(Duration::from_secs(20)).await;
        destination.owes();
        assert_eq!(destination.reading().alarm, None);
        tokio::time::advance(Duration::from_secs(15)).await;
        let reading = destination.reading();
        assert_eq!(reading.behind, Duration::from_secs(35), "the oldest note counts");
        assert!(reading.alarm.unwrap().contains("disk full"));
        destination.delivered(7);
        let reading = destination.reading();
        assert_eq!((reading.size, reading.behind, reading.alarm), (7, Duration::ZERO, None));
        destination.forked("other root".to_owned());
        assert!(destination.reading().is_forked && destination.reading().alarm.is_some());
    }
}
