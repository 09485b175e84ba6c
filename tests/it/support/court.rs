//! The rooms that decide and record, opened on a test's own database: rules in a folder, log, feed, gate, streams.

use std::sync::Arc;

use bailiwick::{
    access::{Gate, Live},
    audit::{Entry, Event, Log, Tasks, checkpoint::CheckpointSigner},
    config::Policy,
    model::{
        Action, BrokerId, Caller, CanonicalPath, FrozenClock, Method, RequestId, Scope, SeededEntropy, Upgrade,
        WebRequest,
    },
    store::feed::Feed,
    streams::{Streams, Watched},
};
use sqlx::PgPool;
use tempfile::TempDir;
use uuid::Uuid;

use super::{
    TestDb, database, eventually,
    rows::{NOON, limits, whole_login},
};

/// A broker's inner rooms on `db`, and what they are arranged with.
pub struct Court {
    pub db: Arc<TestDb>,
    pub folder: Arc<TempDir>,
    pub clock: Arc<FrozenClock>,
    pub entropy: Arc<SeededEntropy>,
    pub log: Log,
    pub feed: Feed,
    pub live: Live,
    pub gate: Gate,
    pub streams: Streams,
    _tasks: Tasks,
}

impl Court {
    /// On a database of its own, under `rules`.
    pub async fn under(rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("10-rules.cedar"), rules).unwrap();
        std::fs::write(folder.path().join("entities.json"), "[]").unwrap();
        Self::open(Arc::new(database().await), Arc::new(folder), 1).await
    }

    /// Another broker on the same database with the same rules.
    pub async fn another(&self) -> Self {
        Self::open(Arc::clone(&self.db), Arc::clone(&self.folder), 2).await
    }

    async fn open(db: Arc<TestDb>, folder: Arc<TempDir>, seed: u64) -> Self {
        let clock = Arc::new(FrozenClock::at(NOON));
        let entropy = Arc::new(SeededEntropy::new(seed));
        let pool = db.another_pool("bailiwick_broker");
        let (log, tasks) = open_log(pool.clone(), clock.clone(), entropy.clone()).await;
        let settings = Policy { folder: folder.path().to_owned(), entities: folder.path().join("entities.json") };
        let (live, _) = Live::open(settings, pool.clone(), log.clone(), clock.clone()).await.unwrap();
        let (feed, _) = Feed::open_within(pool.clone(), super::audit::STALE_AFTER).await.unwrap();
        let gate = Gate::new(live.clone(), log.clone(), feed.clone(), clock.clone());
        let watched = Watched { feed: feed.clone(), gate: gate.clone(), log: log.clone(), pool, idle: limits().idle };
        let (streams, _) = Streams::open(watched, clock.clone(), entropy.clone());
        Self { db, folder, clock, entropy, log, feed, live, gate, streams, _tasks: tasks }
    }

    /// Somebody with a login that was made at noon, as they come to the wiki.
    pub async fn caller(&self, subject: &str) -> Caller {
        Caller { scope: Scope::App { app: "wiki".parse().unwrap() }, ..whole_login(&self.db.pool, subject).await }
    }

    /// A fresh request id.
    pub fn request(&self) -> RequestId {
        RequestId::random(self.entropy.as_ref())
    }

    /// Puts another file of rules in the place of the first: whoever looks meanwhile sees one or the other, never half.
    pub fn rewrite(&self, rules: &str) {
        let (new, place) = (self.folder.path().join("new"), self.folder.path().join("10-rules.cedar"));
        std::fs::write(&new, rules).unwrap();
        std::fs::rename(new, place).unwrap();
    }

    /// What the log holds about a request, oldest first, read from the leaves.
    pub async fn entries(&self, request: RequestId) -> Vec<Entry> {
        let leaves: Vec<Vec<u8>> = sqlx::query_scalar("select leaf from entry where request = $1 order by leaf_index")
            .bind(request.uuid())
            .fetch_all(&self.db.owner)
            .await
            .unwrap();
        leaves.iter().map(|leaf| Entry::from_leaf(leaf).unwrap()).collect()
    }

    /// The first entry about a request that `wanted` picks, once it is there.
    pub async fn entry(&self, request: RequestId, wanted: impl Fn(&Event) -> bool) -> Entry {
        eventually(async || self.entries(request).await.into_iter().find(|entry| wanted(&entry.event))).await
    }
}

/// A request to the wiki.
pub fn web(method: Method, path: &str) -> Action {
    let path = CanonicalPath::parse(path).unwrap();
    Action::Web(WebRequest { app: "wiki".parse().unwrap(), method, path, query: None, upgrade: Upgrade::None })
}

async fn open_log(pool: PgPool, clock: Arc<FrozenClock>, entropy: Arc<SeededEntropy>) -> (Log, Tasks) {
    let signer = CheckpointSigner::from_seed("auth.example/audit", Uuid::from_u128(1), &[7; 32]).unwrap();
    let broker = BrokerId::random(entropy.as_ref());
    Log::open(pool, super::audit::signed_by(signer), broker, clock, entropy, super::audit::patience()).await.unwrap()
}
