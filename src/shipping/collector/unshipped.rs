//! Collectors that are owed entries while no broker ships to them: each broker that has them in its configuration is down,
//! or none has. Only the database knows of these, so every broker looks there, and tells.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::PgPool;
use tokio::time::sleep;

use crate::{
    audit::printable,
    model::{Clock, Timestamp},
    store::{StoreFault, collector, head},
};

/// What is known about them. Clones share it.
#[derive(Clone, Default)]
pub struct Unshipped {
    looks: Arc<Mutex<Looks>>,
}

/// A collector that nobody ships to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// Its name.
    pub collector: String,
    /// How many entries it has not taken.
    pub entries: u64,
}

/// What the last two looks found.
#[derive(Default)]
struct Looks {
    before: Vec<Owed>,
    last: Vec<Owed>,
}

impl Unshipped {
    /// Looks for as long as it is not dropped.
    pub(in crate::shipping) async fn run(self, pool: PgPool, clock: Arc<dyn Clock>) {
        loop {
            if let Err(fault) = self.look(&pool, clock.now()).await {
                tracing::warn!(%fault, "it cannot be seen whether every collector has a broker");
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Looks once.
    pub async fn look(&self, pool: &PgPool, now: Timestamp) -> Result<(), StoreFault> {
        let size = head::newest(pool).await?.size;
        let alone = collector::list(pool).await?.into_iter().filter(|cursor| !cursor.is_held(now));
        let owed = alone.map(|cursor| Owed { entries: cursor.owed(size), collector: printable(&cursor.name) });
        let owed = owed.filter(|owed| owed.entries > 0).collect();
        let mut looks = self.lock();
        looks.before = mem::replace(&mut looks.last, owed);
        Ok(())
    }

    /// Those that were alone at both of the last two looks: from one broker to the next it takes seconds.
    pub fn owed(&self) -> Vec<Owed> {
        let looks = self.lock();
        let was_before = |owed: &&Owed| looks.before.iter().any(|before| before.collector == owed.collector);
        looks.last.iter().filter(was_before).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Owed {
    /// It in a sentence, with what to do.
    pub(in crate::shipping) fn alarm(&self) -> String {
        let Self { collector, entries } = self;
        format!(
            "No broker ships to the collector {collector}, which is owed entries: {entries}. Configure it in a broker that \
             runs, or give it up: bailiwick audit forget-collector"
        )
    }
}

const LOOK_EVERY: Duration = Duration::from_secs(30);
