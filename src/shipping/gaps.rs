//! What the log could not take, as the log itself tells of it: every broker looks there, so that each says the same, and
//! says it after a restart. What this broker has lost and the log does not tell of yet is added, once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::PgPool;
use tokio::time::sleep;

use crate::{
    audit::{
        Entry, Event, Log,
        search::{self, Search},
    },
    model::{BrokerId, Clock, Timestamp},
    store::StoreFault,
};

/// The gaps that are known. Clones share it. INVARIANT: what was seen stays known for as long as it is an alarm, so that a look
/// that did not get to the end, because the index is far behind, takes nothing back.
#[derive(Clone, Default)]
pub(super) struct Gaps(Arc<Mutex<Known>>);

/// The gaps of the last days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// How many gaps.
    pub gaps: u64,
    /// How many entries are lost.
    pub entries: u64,
    /// When the last gap that the log tells of was recorded.
    pub last: Option<Timestamp>,
}

#[derive(Default)]
struct Known {
    /// Those of the last days, by their place in the log: when, and how many entries.
    told: BTreeMap<u64, (Timestamp, u64)>,
    /// How many entries those lost that this broker told of, however long ago.
    own: u64,
    /// Before which leaf the next look goes on; none: the last one got to the end.
    on: Option<u64>,
}

impl Gaps {
    /// Looks for as long as it is not dropped.
    pub(super) async fn run(self, pool: PgPool, log: Log, clock: Arc<dyn Clock>) {
        loop {
            if let Err(fault) = self.look(&pool, &log, clock.now()).await {
                tracing::warn!(%fault, "it cannot be seen whether the audit log has gaps");
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Looks once: at the newest entries, and from where the last look had to stop.
    async fn look(&self, pool: &PgPool, log: &Log, now: Timestamp) -> Result<(), StoreFault> {
        let since = now.minus(SPAN);
        let search = Search { what: Some("gap".to_owned()), from: Some(since), ..Search::default() };
        let is_gap = |entry: &Entry| matches!(entry.event, Event::Gap { .. });
        let mut db = pool.acquire().await?;
        let mut before = None;
        for step in 0..MOST_STEPS {
            let found = search::find(&mut db, &search, before, MOST, is_gap).await?;
            let mut known = self.lock();
            known.learn(found.entries, log.broker());
            before = match known.on {
                Some(on) if step == 0 => found.next.map(|next| next.min(on)),
                _ => found.next,
            };
            known.on = before;
            if before.is_none() {
                break;
            }
        }
        self.lock().told.retain(|_, (recorded_at, _)| *recorded_at >= since);
        Ok(())
    }

    /// All of them; `lost` is how many entries this broker has lost since it started.
    pub(super) fn all(&self, lost: u64) -> Lost {
        let known = self.lock();
        let untold = lost.saturating_sub(known.own);
        Lost {
            gaps: known.told.len() as u64 + u64::from(untold > 0),
            entries: known.told.values().fold(untold, |sum, (_, lost)| sum.saturating_add(*lost)),
            last: known.told.values().map(|(at, _)| *at).max(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Takes in gaps that were found, each once; `broker` is this one.
    fn learn(&mut self, found: Vec<(u64, Vec<u8>)>, broker: BrokerId) {
        for (index, leaf) in found {
            let Ok(Entry { event: Event::Gap { lost, .. }, broker: teller, recorded_at, .. }) = Entry::from_leaf(&leaf)
            else {
                continue;
            };
            if self.told.insert(index, (recorded_at, lost)).is_none() && teller == broker {
                self.own = self.own.saturating_add(lost);
            }
        }
    }
}

/// For how long a gap is an alarm.
const SPAN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How many gaps one page holds.
const MOST: usize = 1_000;

/// How many pages one look reads: where there is no index, each is some 16,000 entries.
const MOST_STEPS: u32 = 8;

const LOOK_EVERY: Duration = Duration::from_secs(30);
