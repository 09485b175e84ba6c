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
    model::{Clock, Timestamp},
    store::StoreFault,
};

/// The gaps that are known. Clones share it.
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
    /// Up to where those are counted.
    own_until: u64,
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

    /// Looks once.
    async fn look(&self, pool: &PgPool, log: &Log, now: Timestamp) -> Result<(), StoreFault> {
        let (what, from) = (Some("gap".to_owned()), Some(now.minus(SPAN)));
        let search = Search { what, from, ..Search::default() };
        let is_gap = |entry: &Entry| matches!(entry.event, Event::Gap { .. });
        let mut db = pool.acquire().await?;
        let found = search::find(&mut db, &search, None, MOST, is_gap).await?;
        drop(db);
        let mut told = BTreeMap::new();
        let mut known = self.lock();
        for (index, leaf) in found.entries.into_iter().rev() {
            let Ok(Entry { event: Event::Gap { lost, .. }, broker, recorded_at, .. }) = Entry::from_leaf(&leaf) else {
                continue;
            };
            told.insert(index, (recorded_at, lost));
            if broker == log.broker() && index >= known.own_until {
                (known.own, known.own_until) = (known.own.saturating_add(lost), index.saturating_add(1));
            }
        }
        known.told = told;
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

/// For how long a gap is an alarm.
const SPAN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// More help nobody.
const MOST: usize = 1_000;

const LOOK_EVERY: Duration = Duration::from_secs(30);
