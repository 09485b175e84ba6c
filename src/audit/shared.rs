//! What the log's handle and its tasks have in common: the queue, the position, the state that others may watch.

use std::{
    sync::{
        Arc, Mutex as PlainMutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::{PgConnection, PgPool};
use tokio::sync::{Mutex, watch};

use super::{
    Common, Draft, Event, Limits, Receipt, State, Unrecorded,
    entry::Salt,
    gap::Gap,
    position::Position,
    queue::{Open, Queue, Queued},
    search::Lately,
    sighted::Sighted,
    signer::{Signed, Signers},
    tree::Hash,
    unstamped::{Opened, Unstamped},
};
use crate::{
    model::{BrokerId, Clock, Entropy, Timestamp},
    store::{StoreFault, entry},
};

/// A head that may be signed: its COMMIT was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Acknowledged {
    pub(super) epoch: u64,
    pub(super) size: u64,
    pub(super) root: Hash,
}

/// See the head of this file.
pub(super) struct Shared {
    pub(super) pool: PgPool,
    pub(super) broker: Common<BrokerId>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) limits: Limits,
    pub(super) queue: Queue,
    pub(super) open: Open,
    /// What was appended here and is not in the search index yet.
    pub(super) lately: Lately,
    salts: std::sync::Mutex<Vec<Salt>>,
    pub(super) gap: Gap,
    /// Entries that readers found missing or changed.
    pub(super) sighted: Sighted,
    /// Held while a batch is built on the position and committed, by this process alone.
    pub(super) position: Mutex<Position>,
    pub(super) state: watch::Sender<State>,
    pub(super) head: watch::Sender<Acknowledged>,
    pub(super) signed: AtomicU64,
    /// The keys that sign.
    pub(super) signers: watch::Sender<Arc<Signers>>,
    /// The newest signed head, for whoever publishes it.
    pub(super) signed_head: watch::Sender<Option<Arc<Signed>>>,
    /// Why nothing may be taken for now, although the database would take it.
    held: PlainMutex<Option<String>>,
    /// The month, counted from year 0, that partitions were made for.
    month: AtomicI64,
}

impl Shared {
    pub(super) fn new(
        pool: PgPool,
        broker: BrokerId,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        limits: Limits,
        position: Position,
        signers: Signers,
    ) -> Self {
        Self {
            pool,
            broker: broker.into(),
            clock,
            entropy,
            limits,
            queue: Queue::default(),
            open: Open::default(),
            lately: Lately::default(),
            salts: std::sync::Mutex::default(),
            gap: Gap::default(),
            sighted: Sighted::default(),
            head: watch::channel(position.acknowledged()).0,
            position: Mutex::new(position),
            state: watch::channel(State::Up).0,
            signed: AtomicU64::new(0),
            signers: watch::channel(Arc::new(signers)).0,
            signed_head: watch::channel(None).0,
            held: PlainMutex::default(),
            month: AtomicI64::new(i64::MIN),
        }
    }

    /// Encodes what this broker records about `draft`.
    pub(super) fn encode(&self, draft: &Draft) -> Result<Unstamped, Unrecorded> {
        let entry = Unstamped::of(draft, &self.broker, self.salt()).map_err(|_| Unrecorded::Unfit)?;
        if entry.leaf().len() > LONGEST_LEAF { Err(Unrecorded::Unfit) } else { Ok(entry) }
    }

    /// 128 random bits. Many are drawn at once, because a draw costs more than the bytes do.
    fn salt(&self) -> Salt {
        let mut ahead = self.salts.lock().unwrap_or_else(PoisonError::into_inner);
        if ahead.is_empty() {
            let bytes: [u8; SALTS * 16] = self.entropy.bytes();
            ahead.extend(bytes.as_chunks().0.iter().copied().map(Salt));
        }
        ahead.pop().unwrap_or_else(|| Salt(self.entropy.bytes()))
    }

    /// Queues `draft`, which nobody waits for.
    pub(super) fn note(&self, draft: Draft) {
        let kind = draft.event.kind();
        match self.encode(&draft).map(|entry| self.queue.note(entry)) {
            Ok(true) => {}
            Ok(false) => {
                self.lose(1, FULL);
                tracing::error!(kind, "an audit entry could not be kept: too many wait");
            }
            Err(_) => {
                self.lose(1, UNFIT);
                tracing::error!(kind, "an audit entry could not be kept: it does not fit");
            }
        }
    }

    /// Counts entries that the log did not take.
    pub(super) fn lose(&self, count: u64, why: &'static str) {
        self.gap.grow(count, why, self.clock.now());
    }

    /// Tells of what was lost, if the log is up and nothing more was lost for `rest`.
    pub(super) fn tell_of_gap(&self, rest: Duration) {
        let Some(missing) = self.expect_up().ok().and_then(|()| self.gap.take(rest)) else { return };
        let draft = Draft { caller: None, event: missing.event(), happened_at: self.clock.now(), request: None };
        if self.encode(&draft).is_ok_and(|entry| self.queue.note(entry)) {
            missing.told();
        } else {
            self.gap.put_back(missing);
        }
    }

    /// Fails while the log cannot be written.
    pub(super) fn expect_up(&self) -> Result<(), Unrecorded> {
        match *self.state.borrow() {
            State::Up => Ok(()),
            State::Down(_) | State::Volatile(_) => Err(Unrecorded::Down),
            State::Broken(_) => Err(Unrecorded::Broken),
        }
    }

    /// Takes nothing, although the database would, while there is a reason.
    pub(super) fn hold(&self, why: Option<String>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = why;
        if *self.state.borrow() == State::Up {
            self.set_state(State::Up);
        }
    }

    /// Says how the log is, if that is news.
    pub(super) fn set_state(&self, new: State) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let new = match (new, held) {
            (State::Up, Some(why)) => State::Down(why),
            (new, _) => new,
        };
        self.state.send_if_modified(|state| {
            if *state == new {
                return false;
            }
            match &new {
                State::Up => tracing::info!("the audit log can be written again"),
                State::Down(why) | State::Volatile(why) => tracing::error!(why, "the audit log cannot be written"),
                State::Broken(what) => tracing::error!(what, help = HELP, "the audit log is not what it was"),
            }
            *state = new;
            true
        });
    }

    /// Makes room for entries recorded at `moment`, once a month.
    pub(super) async fn ensure_partitions(&self, db: &mut PgConnection, moment: Timestamp) -> Result<(), StoreFault> {
        let date = moment.to_datetime();
        let month = i64::from(date.year()) * 12 + i64::from(u8::from(date.month()));
        if self.month.load(Ordering::Relaxed) != month {
            entry::ensure_partitions(db, moment).await?;
            self.month.store(month, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Takes up a position whose COMMIT was acknowledged, with the entries that it added at `start`, and tells everyone
    /// who waits.
    pub(super) fn arrive(&self, position: &mut Position, after: Position, start: u64, entries: Vec<Queued>) {
        *position = after;
        let (mut lately, mut open) = (self.lately.begin(position.epoch), self.open.begin());
        self.head.send_replace(position.acknowledged());
        for (leaf_index, Queued { entry, reply }) in (start..).zip(entries) {
            open.see(&entry, leaf_index);
            if let Some(reply) = reply {
                let receipt = Receipt::new(position.epoch, leaf_index, position.recorded_at);
                if let Err((_, opened)) = reply.send((receipt, entry.opened())) {
                    self.close_unused(opened);
                }
            }
            lately.add(leaf_index, position.recorded_at, entry.len(), entry.said);
        }
    }

    /// Says of a decision that is in the log after all, but whose caller had given up, that nothing was forwarded.
    pub(super) fn close_unused(&self, opened: Option<Opened>) {
        let Some(Opened { caller, request }) = opened else { return };
        let event = Event::NotForwarded { why: "the caller was refused before this was recorded".to_owned() };
        self.note(Draft { caller, event, happened_at: self.clock.now(), request: Some(request) });
    }
}

impl Position {
    pub(super) fn acknowledged(&self) -> Acknowledged {
        Acknowledged { epoch: self.epoch, size: self.tree.size(), root: self.tree.root() }
    }
}

/// What helps where the database holds another log.
const HELP: &str = "stop every broker; `bailiwick audit verify` says what is wrong, and `bailiwick audit accept-fork` lets \
                    the log go on from the database as it is";

/// Why an entry was lost.
pub(super) const AWAY: &str = "the log could not be written";
/// The same.
pub(super) const FULL: &str = "too many entries waited";
/// The same.
pub(super) const UNFIT: &str = "an entry did not fit";

/// Longer entries are refused: whoever sends them could fill the log.
const LONGEST_LEAF: usize = 64 << 10;

/// How many salts are drawn at once.
const SALTS: usize = 64;
