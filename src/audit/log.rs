//! The log as the other rooms see it: hand in a draft, get a receipt once it is durable, or a refusal.
//! Never answers before COMMIT is acknowledged and never waits longer than its limit. The tasks behind it are handed to
//! whoever opens it, to be stopped in good order.

use std::{
    borrow::Borrow,
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use sqlx::{PgConnection, PgPool};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};
use uuid::Uuid;

use super::{
    ChangeFault, Draft, LogFault, Receipt, Tasks, Unrecorded, change,
    checkpoint::Verifier,
    fork, own_keys,
    position::Position,
    published::Published,
    queue::Answer,
    search::Losses,
    shared::{AWAY, FULL, Shared, UNFIT},
    signer::{Signed, Signers},
};
use crate::{
    model::{BatchId, BrokerId, Clock, Entropy},
    store::{self, StoreFault, broker, entry, head},
};

/// The log. Clones share it.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
}

/// What a change does: its result, and the entries that belong to it.
pub type Changing<'c, T> = Pin<Box<dyn Future<Output = Result<(T, Vec<Draft>), StoreFault>> + Send + 'c>>;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest that anyone waits for a receipt.
    pub wait: Duration,
    /// How often a broker says that it is alive.
    pub heartbeat: Duration,
    /// How long a broker may be silent before it counts as dead.
    pub silence: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { wait: Duration::from_secs(2), heartbeat: Duration::from_secs(10), silence: Duration::from_secs(30) }
    }
}

/// Whether the log can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It can.
    Up,
    /// The database is away; it recovers by itself.
    Down(String),
    /// The database would lose what it acknowledges, so nothing is written until that is switched on again.
    Volatile(String),
    /// The database holds something else than what this process has seen of the log.
    Broken(String),
}

/// What anybody may be told while the log is [`State::Broken`]: trying again does not help.
pub const ASTRAY: &str =
    "The audit log does not continue what was published, so nothing is let through. An administrator has to look.";

/// How the log is doing, for readiness and metrics.
#[derive(Clone, Debug)]
pub struct Health {
    /// Whether it can be written.
    pub state: State,
    /// How many entries wait.
    pub waiting: usize,
    /// How many entries the log could not take since the start.
    pub lost: u64,
    /// How many entries its readers found missing or changed since the start, at least.
    pub unreadable: u64,
    /// How many entries the log has, as far as this broker knows.
    pub size: u64,
    /// How many of them the newest checkpoint of this broker covers.
    pub signed: u64,
    /// Which life of the log; 0 for one whose past was never cut.
    pub epoch: u64,
}

impl Log {
    /// Opens the log that `pool` holds and `signers` name, or founds it. Refuses a database that would lose what it
    /// acknowledges, one that holds another log, one that does not fold to its own root, and one with keys of others.
    pub async fn open(
        pool: PgPool,
        signers: Signers,
        broker: BrokerId,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        limits: Limits,
    ) -> Result<(Self, Tasks), LogFault> {
        Self::open_after(None, pool, signers, broker, clock, entropy, limits).await
    }

    /// The same. Refuses a database that does not continue what was `published`, before anything is signed:
    /// our signature on what it holds instead would make it true.
    pub async fn open_after(
        published: Option<&Published>,
        pool: PgPool,
        signers: Signers,
        broker: BrokerId,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        limits: Limits,
    ) -> Result<(Self, Tasks), LogFault> {
        let mut db = pool.acquire().await.map_err(StoreFault::from)?;
        store::expect_durable(&mut db).await?;
        if let Some(commit) = store::spares_standbys(&mut *db).await? {
            tracing::warn!(
                "Postgres waits for its synchronous standbys with `synchronous_commit` at `{commit}`, not `on`: a receipt \
                 does not mean that a standby has it on disk, so a failover may lose entries and be refused as a fork"
            );
        }
        let now = clock.now();
        entry::ensure_partitions(&mut *db, now).await?;
        let found = head::begin_log(&mut *db, signers.origin(), BatchId::random(&*entropy), now).await?;
        if found != signers.origin() {
            return Err(LogFault::Origin { expected: signers.origin().to_owned(), found });
        }
        let position = Position::load(&mut db).await?;
        fork::expect_own_epoch(&mut db, &position, &signers).await?;
        own_keys::expect_own_keys(&mut db, &position, &signers).await?;
        if let Some(published) = published
            && let Err(fork) = fork::compare(&mut db, published, &signers).await?
        {
            return Err(LogFault::Forked(Box::new(fork)));
        }
        fork::expect_ours(&mut db, &position, &signers).await?;
        broker::insert(&mut *db, broker, position.tree.size(), now).await?;
        drop(db);
        let shared = Arc::new(Shared::new(pool, broker, clock, entropy, limits, position, signers));
        let tasks = Tasks::start(&shared);
        Ok((Self { shared }, tasks))
    }

    /// Records `draft`, which is queued at once. A receipt means that it is on disk. If the caller goes away or gives up,
    /// and the entry is recorded after all, the log itself adds that nothing was forwarded.
    pub fn append<D: Borrow<Draft>>(
        &self,
        draft: D,
    ) -> impl Future<Output = Result<Receipt, Unrecorded>> + Send + use<'_, D> {
        let queued = self.queued(draft.borrow()).map(|answer| Waiting { shared: &self.shared, answer });
        async move {
            let mut waiting = queued?;
            match timeout(self.shared.limits.wait, &mut waiting.answer).await {
                Ok(Ok((receipt, _))) => Ok(receipt),
                Ok(Err(_)) => Err(self.shared.expect_up().err().unwrap_or(Unrecorded::Unfit)),
                Err(_) => Err(Unrecorded::TimedOut),
            }
        }
    }

    /// Queues `draft`, or counts it as lost.
    fn queued(&self, draft: &Draft) -> Result<oneshot::Receiver<Answer>, Unrecorded> {
        let queued = self.shared.expect_up().and_then(|()| self.shared.encode(draft));
        let queued = queued.and_then(|entry| self.shared.queue.wait_for(entry));
        let why = match &queued {
            Err(Unrecorded::Full) => FULL,
            Err(Unrecorded::Unfit) => UNFIT,
            Err(Unrecorded::Down | Unrecorded::Broken) => AWAY,
            _ => return queued,
        };
        self.shared.lose(1, why);
        queued
    }

    /// Makes a change and records it in one transaction: both are there, or neither. `change` may run several times, and
    /// must do nothing but change the database. It is undone if it returns no entry.
    pub async fn append_within<T: Send>(
        &self,
        change: impl for<'c> Fn(&'c mut PgConnection) -> Changing<'c, T> + Send + Sync,
    ) -> Result<(T, Receipt), ChangeFault> {
        change::append_within(&self.shared, change).await
    }

    /// Records `draft` soon, without waiting: for what has happened already. Never blocks. What cannot be kept is counted
    /// in [`Health::lost`] and told of in one entry when the log is back.
    pub fn note(&self, draft: Draft) {
        self.shared.note(draft);
    }

    /// A reader came upon entries that must be there, and are gone or changed: an alarm from now on.
    pub fn came_upon(&self, losses: &Losses) {
        if !losses.is_empty() {
            tracing::error!(losses = ?losses.sentences(), "the audit log cannot be read whole");
            self.shared.sighted.add(losses);
        }
    }

    /// A reader found that what is stored proves nothing, and no entry can be blamed: an alarm as well.
    pub fn cannot_prove(&self, what: &str) {
        tracing::error!(what, "the audit log cannot be proven");
        self.shared.sighted.add_unnamed();
    }

    /// Signs with other keys from now on; the newest head at once.
    pub fn sign_with(&self, signers: Signers) {
        self.shared.signers.send_replace(Arc::new(signers));
    }

    /// The newest signed head, at most a second behind the log. A head that others may rely on is published from here.
    pub fn checkpoints(&self) -> watch::Receiver<Option<Arc<Signed>>> {
        self.shared.signed_head.subscribe()
    }

    /// Takes no entry while there is a reason, so that nobody is let in.
    pub fn hold(&self, why: Option<String>) {
        self.shared.hold(why);
    }

    /// The key that signs the checkpoints now, as its verifier key.
    pub fn verifier(&self) -> Option<String> {
        self.shared.signers.borrow().verifiers().next().map(ToString::to_string)
    }

    /// The keys of this log, as far as this process can sign with them: the rows they have, and what to check with.
    pub fn keys(&self) -> Vec<(Uuid, Verifier)> {
        self.shared.signers.borrow().keys().map(|key| (key.key(), key.verifier().clone())).collect()
    }

    /// Which broker writes here.
    pub fn broker(&self) -> BrokerId {
        *self.shared.broker
    }

    /// Whether the database holds something else than what this process has seen of the log, or was published.
    pub fn is_broken(&self) -> bool {
        matches!(*self.shared.state.borrow(), State::Broken(_))
    }

    /// Why the broker should not be sent requests, in a fixed sentence: whoever asks need not sign in. What exactly is
    /// wrong is in the broker's own log.
    pub fn readiness(&self) -> Result<(), String> {
        let why = match *self.shared.state.borrow() {
            State::Up => return Ok(()),
            State::Down(_) => "The audit log cannot be written. The broker's log says why.",
            State::Volatile(_) => "The audit log is not written: Postgres would lose what it acknowledges.",
            State::Broken(_) => {
                "The audit log is not what was published. See bailiwick audit verify and bailiwick audit accept-fork."
            }
        };
        Err(why.to_owned())
    }

    /// How the log is doing.
    pub fn health(&self) -> Health {
        Health {
            state: self.shared.state.borrow().clone(),
            waiting: self.shared.queue.len(),
            lost: self.shared.gap.lost(),
            unreadable: self.shared.sighted.count(),
            size: self.shared.head.borrow().size,
            epoch: self.shared.head.borrow().epoch,
            signed: self.shared.signed.load(Ordering::Relaxed),
        }
    }

    /// Whether the log can be written. Open streams end when it cannot.
    pub fn alive(&self) -> bool {
        self.shared.expect_up().is_ok()
    }

    /// Tells when that changes.
    pub fn states(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }
}

/// Someone who waits for a receipt, and may stop waiting at any moment.
struct Waiting<'a> {
    shared: &'a Shared,
    answer: oneshot::Receiver<Answer>,
}

impl Drop for Waiting<'_> {
    /// A receipt that came too late to be taken permits nothing, and the log has to say so.
    fn drop(&mut self) {
        self.answer.close();
        if let Ok((_, opened)) = self.answer.try_recv() {
            self.shared.close_unused(opened);
        }
    }
}
