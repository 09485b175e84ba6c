//! Requests that were refused before any rule was asked. Where it is known who asked, each has an entry of its own.
//! Strangers are counted: of each network, check and target the first in a minute has an entry at once, with its address,
//! and those that follow have one together when the minute is over.
//!
//! An attacker sends as many as they like, from as many networks as they have. INVARIANT: strangers make a bounded
//! number of entries in a minute and take a bounded amount of memory; past the bound they are still counted.

mod tally;

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tally::{Key, Tally};
pub use tally::{network, network_words};
use tokio::time::sleep;

use super::{Asker, Draft, Event, Log, columns::printable};
use crate::model::{Caller, Clock, RequestId};

/// Notes refusals in the log. Cheap to clone.
#[derive(Clone)]
pub struct Refusals(Arc<Shared>);

struct Shared {
    log: Log,
    clock: Arc<dyn Clock>,
    tally: Mutex<Tally>,
    noted: AtomicU64,
}

/// One refusal.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'r> {
    /// Which check refused it, in a word.
    pub check: &'static str,
    /// What was wrong, without echoing it.
    pub why: &'r str,
    /// The app, cluster or host that it was for, as the configuration calls it; [`UNKNOWN_HOST`] for any other.
    pub target: &'r str,
    /// Where it came from.
    pub address: IpAddr,
    /// The request, where it got as far as having an id.
    pub request: Option<RequestId>,
}

/// The target of requests for hosts that are nobody's here. The name that was sent would let strangers write into the
/// log what they like.
pub const UNKNOWN_HOST: &str = "unknown host";

impl Refusals {
    /// Notes in `log`. [`Refusals::run`] has to run as well.
    pub fn new(log: Log, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared { log, clock, tally: Mutex::default(), noted: AtomicU64::new(0) }))
    }

    /// Notes a refusal of `caller`, or of a stranger. Never blocks.
    pub fn note(&self, caller: Option<&Caller>, refused: Refused<'_>) {
        self.0.noted.fetch_add(1, Ordering::Relaxed);
        let now = self.0.clock.now();
        if caller.is_none() {
            let key = Key::of(refused.address, refused.check, refused.target);
            let step = self.0.tally.lock().unwrap_or_else(PoisonError::into_inner).take(key, refused.why, now);
            self.tell(step.over);
            if !step.is_first {
                return;
            }
        }
        let event = Event::Refused {
            check: refused.check.to_owned(),
            why: shortened(refused.why),
            target: refused.target.to_owned(),
            address: refused.address.to_string(),
        };
        self.0.log.note(Draft { caller: caller.map(Asker::from), event, happened_at: now, request: refused.request });
    }

    /// How many refusals there were since the start.
    pub fn noted(&self) -> u64 {
        self.0.noted.load(Ordering::Relaxed)
    }

    /// Tells of each minute when it is over. Runs until it is dropped.
    pub async fn run(self) {
        loop {
            sleep(LOOK_EVERY).await;
            let now = self.0.clock.now();
            let over = self.0.tally.lock().unwrap_or_else(PoisonError::into_inner).over(now);
            self.tell(over);
        }
    }

    /// Tells of the minute that is not over yet. For the broker's end.
    pub fn finish(&self) {
        let rest = self.0.tally.lock().unwrap_or_else(PoisonError::into_inner).rest();
        self.tell(rest);
    }

    fn tell(&self, events: Vec<Event>) {
        let happened_at = self.0.clock.now();
        for event in events {
            self.0.log.note(Draft { caller: None, event, happened_at, request: None });
        }
    }
}

/// Ours, and short; made sure of all the same, because strangers are behind it.
fn shortened(why: &str) -> String {
    printable(&why.chars().take(LONGEST_WHY).collect::<String>())
}

/// In characters.
const LONGEST_WHY: usize = 300;

const LOOK_EVERY: Duration = Duration::from_secs(1);
