//! What has ended or changed, as every broker learns it: polling is the truth, LISTEN only a hint to look sooner.
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
    sync::{Notify, broadcast, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use super::{
    StoreFault,
    revocation::{News, newest_position, news_after},
};

pub use super::revocation::{Position, Revoked, RevokedKind};

/// The feed as one broker sees it. Cheap to clone.
#[derive(Clone)]
pub struct Feed(Arc<Shared>);

struct Shared {
    seen: Mutex<Seen>,
    news: broadcast::Sender<Revoked>,
    /// Somebody wants it read at once.
    asked: Notify,
    /// When the newest complete reading began.
    read: watch::Sender<Instant>,
    /// The age from which it is stale.
    stale_after: Duration,
}

struct Seen {
    position: Position,
    /// When the newest complete reading began.
    at: Instant,
    /// What ended lately, for streams that begin just after.
    recent: HashMap<Uuid, (Revoked, Instant)>,
    /// Where what ended or changed lately did so last.
    moved: HashMap<Uuid, (Position, Instant)>,
}

/// How far the feed had been read at a moment: to be taken before rows are read that are to be remembered.
#[derive(Clone, Copy, Debug)]
pub struct Noted {
    position: Position,
    at: Instant,
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
/// Nothing that was noted longer ago counts: well before what moved since is forgotten.
const NOTED_FOR: Duration = Duration::from_secs(10 * 60);
const CHANNEL: &str = "bailiwick_revocation";

impl Feed {
    /// Reads the newest position and goes on reading until the task is aborted. What ended before is not repeated:
    /// callers are read from live rows.
    pub async fn open(pool: PgPool) -> Result<(Self, JoinHandle<()>), StoreFault> {
        Self::open_within(pool, STALE_AFTER).await
    }

    /// The same, stale at another age than a broker's: where a machine may be slow, and nobody is let in.
    pub async fn open_within(pool: PgPool, stale_after: Duration) -> Result<(Self, JoinHandle<()>), StoreFault> {
        let began = Instant::now();
        let mut connection = pool.acquire().await?;
        let position = newest_position(&mut connection).await?;
        drop(connection);
        let seen = Mutex::new(Seen { position, at: began, recent: HashMap::new(), moved: HashMap::new() });
        let (news, read) = (broadcast::channel(1024).0, watch::Sender::new(began));
        let feed = Self(Arc::new(Shared { seen, news, asked: Notify::new(), read, stale_after }));
        let task = tokio::spawn(feed.clone().follow(pool));
        Ok((feed, task))
    }

    /// How far the feed has been read, unless that was too long ago.
    pub fn freshness(&self) -> Result<Position, Stale> {
        let seen = self.seen();
        let age = seen.at.elapsed();
        if age < self.0.stale_after { Ok(seen.position) } else { Err(Stale(age)) }
    }

    /// All that ends from now on. A subscriber that lags must assume the worst and look at [`Feed::recent`].
    pub fn subscribe(&self) -> broadcast::Receiver<Revoked> {
        self.0.news.subscribe()
    }

    /// Whether `target` ended lately, and why.
    pub fn recent(&self, target: Uuid) -> Option<Revoked> {
        self.seen().recent.get(&target).map(|(revoked, _)| revoked.clone())
    }

    /// Notes how far the feed has been read, for what is read from the database after this.
    pub fn note(&self) -> Result<Noted, Stale> {
        let position = self.freshness()?;
        Ok(Noted { position, at: Instant::now() })
    }

    /// Whether rows that were read after `noted` still are what they were: the feed is fresh, and none of `targets`, which
    /// they are and hang on, has moved. INVARIANT: whatever is committed after such a reading is given a later position
    /// than any that was known before it, so it is found here however late the rows were put away.
    pub fn holds(&self, noted: &Noted, targets: &[Uuid]) -> bool {
        let (seen, now) = (self.seen(), Instant::now());
        if now.duration_since(seen.at) >= self.0.stale_after || now.duration_since(noted.at) >= NOTED_FOR {
            return false;
        }
        let moved = |target| seen.moved.get(target).is_some_and(|(position, _)| *position > noted.position);
        seen.position == noted.position || !targets.iter().any(moved)
    }

    /// Reads the feed now. Afterwards this broker knows whatever was committed before, unless the database is slow, and
    /// then soon.
    pub async fn catch_up(&self) {
        let asked = Instant::now();
        let mut read = self.0.read.subscribe();
        self.0.asked.notify_one();
        let _ = timeout(POLL, read.wait_for(|began| *began >= asked)).await;
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
            tokio::select! {
                () = sleep(POLL) => {}
                () = self.0.asked.notified() => {}
                // A listener that fails is only a lost hint; it comes back with the next connection.
                hint = hint(listener.as_mut()) => if hint.is_err() { listener = None },
            }
        }
    }

    /// Reads all that is new. Fresh as of the moment before the reading began.
    async fn read(&self, connection: &mut PgConnection) -> Result<(), StoreFault> {
        loop {
            let began = Instant::now();
            let position = self.seen().position;
            let news = news_after(connection, position).await?;
            if news.is_empty() {
                let mut seen = self.seen();
                seen.at = began;
                seen.recent.retain(|_, (_, learned)| learned.elapsed() < REMEMBERED);
                seen.moved.retain(|_, (_, learned)| learned.elapsed() < REMEMBERED);
                drop(seen);
                self.0.read.send_replace(began);
                return Ok(());
            }
            for item in news {
                self.learn(item);
            }
        }
    }

    fn learn(&self, news: News) {
        let (target, position) = match &news {
            News::Ended(revoked) => (revoked.target, revoked.position),
            News::Changed { target, position } => (*target, *position),
        };
        let mut seen = self.seen();
        seen.position = position;
        seen.moved.insert(target, (position, Instant::now()));
        if let News::Ended(revoked) = news {
            seen.recent.insert(target, (revoked.clone(), Instant::now()));
            drop(seen);
            // An error only means that nobody listens yet.
            let _ = self.0.news.send(revoked);
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a hint; without a listener there is none.
async fn hint(listener: Option<&mut PgListener>) -> Result<(), sqlx::Error> {
    match listener {
        Some(listener) => listener.recv().await.map(drop),
        None => std::future::pending().await,
    }
}

/// A database that hangs is as bad as one that is gone.
async fn in_time<T>(work: impl Future<Output = Result<T, StoreFault>>) -> Result<T, StoreFault> {
    timeout(PATIENCE, work).await.unwrap_or(Err(StoreFault::Database(sqlx::Error::PoolTimedOut)))
}
