//! What has ended, as every broker learns it: polling is the truth, LISTEN only a hint to look sooner.
//!
//! INVARIANT: a feed that could not be read for three seconds is stale; whoever depends on it refuses and closes.
//! It decides nothing itself.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::{PgConnection, PgPool, postgres::PgListener};
use tokio::{
    sync::broadcast,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use super::{
    StoreFault,
    revocation::{newest_position, revoked_after},
};

pub use super::revocation::{Position, Revoked, RevokedKind};

/// The feed as one broker sees it. Cheap to clone.
#[derive(Clone)]
pub struct Feed(Arc<Shared>);

struct Shared {
    seen: Mutex<Seen>,
    news: broadcast::Sender<Revoked>,
}

struct Seen {
    position: Position,
    /// When the newest complete reading began.
    at: Instant,
    /// What ended lately, for streams that begin just after.
    recent: HashMap<Uuid, (Revoked, Instant)>,
}

/// The feed has not been read for too long to be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the revocation feed has not been read for {} ms", .0.as_millis())]
pub struct Stale(pub Duration);

/// The age from which a feed is stale.
pub const STALE_AFTER: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(2);
/// Longer than any request takes from reading its caller's rows to entering its stream.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);
const CHANNEL: &str = "bailiwick_revocation";

impl Feed {
    /// Reads the newest position and goes on reading until the task is aborted. What ended before is not repeated:
    /// callers are read from live rows.
    pub async fn open(pool: PgPool) -> Result<(Self, JoinHandle<()>), StoreFault> {
        let began = Instant::now();
        let mut connection = pool.acquire().await?;
        let position = newest_position(&mut connection).await?;
        drop(connection);
        let seen = Mutex::new(Seen { position, at: began, recent: HashMap::new() });
        let feed = Self(Arc::new(Shared { seen, news: broadcast::channel(1024).0 }));
        let task = tokio::spawn(feed.clone().follow(pool));
        Ok((feed, task))
    }

    /// How far the feed has been read, unless that was too long ago.
    pub fn freshness(&self) -> Result<Position, Stale> {
        let seen = self.seen();
        let age = seen.at.elapsed();
        if age < STALE_AFTER { Ok(seen.position) } else { Err(Stale(age)) }
    }

    /// All that ends from now on. A subscriber that lags must assume the worst and look at [`Feed::recent`].
    pub fn subscribe(&self) -> broadcast::Receiver<Revoked> {
        self.0.news.subscribe()
    }

    /// Whether `target` ended lately, and why.
    pub fn recent(&self, target: Uuid) -> Option<Revoked> {
        self.seen().recent.get(&target).map(|(revoked, _)| revoked.clone())
    }

    async fn follow(self, pool: PgPool) {
        loop {
            if let Err(fault) = self.follow_connected(&pool).await {
                tracing::warn!(%fault, "the revocation feed cannot be read");
            }
            sleep(POLL).await;
        }
    }

    /// Reads on connections of its own until one fails.
    async fn follow_connected(&self, pool: &PgPool) -> Result<(), StoreFault> {
        let mut connection = in_time(async { Ok(pool.acquire().await?.detach()) }).await?;
        let mut listener = in_time(async {
            let mut listener = PgListener::connect_with(pool).await?;
            listener.listen(CHANNEL).await?;
            Ok(listener)
        })
        .await
        .ok();
        loop {
            in_time(self.read(&mut connection)).await?;
            match &mut listener {
                // A listener that fails is only a lost hint; it comes back with the next connection.
                Some(hints) => match timeout(POLL, hints.recv()).await {
                    Ok(Ok(_)) | Err(_) => {}
                    Ok(Err(_)) => listener = None,
                },
                None => sleep(POLL).await,
            }
        }
    }

    /// Reads all that is new. Fresh as of the moment before the reading began.
    async fn read(&self, connection: &mut PgConnection) -> Result<(), StoreFault> {
        loop {
            let began = Instant::now();
            let position = self.seen().position;
            let news = revoked_after(connection, position).await?;
            if news.is_empty() {
                let mut seen = self.seen();
                seen.at = began;
                seen.recent.retain(|_, (_, learned)| learned.elapsed() < REMEMBERED);
                return Ok(());
            }
            for revoked in news {
                self.learn(revoked);
            }
        }
    }

    fn learn(&self, revoked: Revoked) {
        let mut seen = self.seen();
        seen.position = revoked.position;
        seen.recent.insert(revoked.target, (revoked.clone(), Instant::now()));
        drop(seen);
        // An error only means that nobody listens yet.
        let _ = self.0.news.send(revoked);
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A database that hangs is as bad as one that is gone.
async fn in_time<T>(work: impl Future<Output = Result<T, StoreFault>>) -> Result<T, StoreFault> {
    timeout(PATIENCE, work).await.unwrap_or(Err(StoreFault::Database(sqlx::Error::PoolTimedOut)))
}
