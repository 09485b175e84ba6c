//! Where entries go: whether there is room for this month and the next, and how much the log and its database take. Looked
//! at once a minute, so that a disk never fills in silence.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::PgPool;
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    model::{Clock, Timestamp},
    store::{
        StoreFault,
        archive::{self, Part},
        entry,
    },
};

/// What was last seen. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Storage(Arc<Mutex<Seen>>);

/// What a look finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What the whole database takes, in bytes.
    pub database: u64,
    /// What the entries take, with their indexes, in bytes.
    pub entries: u64,
    /// How many months there are tables for.
    pub months: u64,
    /// When the oldest of them began.
    pub oldest: Option<Timestamp>,
    /// How many months from the present one on there is room for, the present one included.
    pub ahead: u64,
}

impl Storage {
    /// Looks, and goes on looking until the task is aborted.
    pub async fn open(pool: PgPool, clock: Arc<dyn Clock>) -> Result<(Self, JoinHandle<()>), StoreFault> {
        let storage = Self::default();
        storage.look(&pool, clock.now()).await?;
        let watching = storage.clone();
        let task = tokio::spawn(async move {
            loop {
                sleep(EVERY).await;
                if let Err(fault) = watching.look(&pool, clock.now()).await {
                    tracing::warn!(%fault, "the size of the log could not be read");
                }
            }
        });
        Ok((storage, task))
    }

    /// What was last seen.
    pub fn seen(&self) -> Seen {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room ahead where there is none, and looks.
    pub async fn look(&self, pool: &PgPool, now: Timestamp) -> Result<(), StoreFault> {
        let made = entry::ensure_partitions(pool, now).await;
        let parts = archive::parts(pool).await?;
        let seen = Seen {
            database: archive::database_size(pool).await?,
            entries: parts.iter().map(|part| part.bytes).sum(),
            months: parts.len() as u64,
            oldest: parts.first().map(|part| part.begins_at),
            ahead: ahead(&parts, now),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        made
    }
}

/// How many months there is room for without a hole, from the one of `now` on.
fn ahead(parts: &[Part], now: Timestamp) -> u64 {
    let mut until = now;
    let mut count = 0;
    for part in parts.iter().filter(|part| part.ends_at > now) {
        let follows = if count == 0 { part.begins_at <= until } else { part.begins_at == until };
        if !follows {
            break;
        }
        (until, count) = (part.ends_at, count + 1);
    }
    count
}

const EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_months_that_follow_each_other_from_now_on_are_room() {
        let part = |from: i64, until: i64| Part {
            name: String::new(),
            begins_at: Timestamp::from_micros(from),
            ends_at: Timestamp::from_micros(until),
            bytes: 0,
        };
        let now = Timestamp::from_micros(15);
        assert_eq!(ahead(&[], now), 0);
        assert_eq!(ahead(&[part(0, 10)], now), 0);
        assert_eq!(ahead(&[part(0, 10), part(10, 20)], now), 1);
        assert_eq!(ahead(&[part(10, 20), part(20, 30), part(30, 40)], now), 3);
        assert_eq!(ahead(&[part(10, 20), part(30, 40)], now), 1);
        assert_eq!(ahead(&[part(20, 30)], now), 0);
    }
}
