//! Entries on their way to the writer: a bounded queue for those who wait for a receipt, and a larger bound for notes
//! about what has happened already. Never blocks; what does not fit is refused or counted, never dropped in silence.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use super::{
    Receipt, Unrecorded,
    keyed::{Map, map},
    unstamped::{Opened, Unstamped},
};

/// What a waiting caller is told: the receipt, and what it permits, in case that nobody takes it.
pub(super) type Answer = (Receipt, Option<Opened>);

/// An entry on its way.
pub(super) struct Queued {
    /// The entry.
    pub(super) entry: Unstamped,
    /// Who waits for it; nobody for a note.
    pub(super) reply: Option<oneshot::Sender<Answer>>,
}

impl Queued {
    /// Whether somebody waited for it and no longer does.
    pub(super) fn is_abandoned(&self) -> bool {
        self.reply.as_ref().is_some_and(oneshot::Sender::is_closed)
    }
}

/// The queue.
#[derive(Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    arrived: Notify,
}

#[derive(Default)]
struct Inner {
    entries: VecDeque<Queued>,
    waiting: usize,
    bytes: usize,
    is_closed: bool,
}

impl Queue {
    /// Lets someone wait for `entry`.
    pub(super) fn wait_for(&self, entry: Unstamped) -> Result<oneshot::Receiver<Answer>, Unrecorded> {
        let (reply, answer) = oneshot::channel();
        let mut inner = self.lock();
        if inner.is_closed {
            return Err(Unrecorded::Closed);
        }
        if inner.waiting >= MOST_WAITING || inner.bytes + entry.len() > MOST_BYTES_WAITING {
            return Err(Unrecorded::Full);
        }
        inner.push(Queued { entry, reply: Some(reply) });
        drop(inner);
        self.arrived.notify_one();
        Ok(answer)
    }

    /// Takes a note. False: it could not be kept.
    pub(super) fn note(&self, entry: Unstamped) -> bool {
        let mut inner = self.lock();
        let is_room = inner.entries.len() - inner.waiting < MOST_NOTES && inner.bytes + entry.len() <= MOST_BYTES;
        let is_kept = is_room && !inner.is_closed;
        if is_kept {
            inner.push(Queued { entry, reply: None });
        }
        drop(inner);
        self.arrived.notify_one();
        is_kept
    }

    /// Waits until something is there or the queue is closed.
    pub(super) async fn arrival(&self) {
        loop {
            let arrived = self.arrived.notified();
            {
                let inner = self.lock();
                if !inner.entries.is_empty() || inner.is_closed {
                    return;
                }
            }
            arrived.await;
        }
    }

    /// Takes all that is there, up to the size of a batch that has so many already, in the order in which it came.
    pub(super) fn take(&self, already: usize) -> Vec<Queued> {
        let mut inner = self.lock();
        let (all, room) = (inner.entries.len(), MOST_IN_BATCH.saturating_sub(already));
        if all <= room && inner.bytes <= MOST_BYTES_IN_BATCH {
            // Handed over as it stands: those who want to queue meanwhile wait for this.
            (inner.waiting, inner.bytes) = (0, 0);
            return std::mem::replace(&mut inner.entries, VecDeque::with_capacity(all)).into();
        }
        let (mut batch, mut bytes) = (Vec::with_capacity(room), 0);
        while batch.len() < room && bytes < MOST_BYTES_IN_BATCH {
            let Some(queued) = inner.entries.pop_front() else { break };
            inner.forget(&queued);
            bytes += queued.entry.len();
            batch.push(queued);
        }
        batch
    }

    /// Forgets the entries that nobody waits for any more, so that they take no place while the database is away, and
    /// says how many they were.
    pub(super) fn purge(&self) -> u64 {
        let mut inner = self.lock();
        let entries = std::mem::take(&mut inner.entries);
        let before = entries.len();
        for queued in entries {
            if queued.is_abandoned() { inner.forget(&queued) } else { inner.entries.push_back(queued) }
        }
        (before - inner.entries.len()) as u64
    }

    /// Takes nothing more.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_one();
    }

    /// Whether it is closed and empty.
    pub(super) fn is_finished(&self) -> bool {
        let inner = self.lock();
        inner.is_closed && inner.entries.is_empty()
    }

    /// How many entries are there.
    pub(super) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn push(&mut self, queued: Queued) {
        self.waiting += usize::from(queued.reply.is_some());
        self.bytes += queued.entry.len();
        self.entries.push_back(queued);
    }

    fn forget(&mut self, queued: &Queued) {
        self.waiting -= usize::from(queued.reply.is_some());
        self.bytes -= queued.entry.len();
    }
}

/// What this broker has begun and not ended yet, by request.
pub(super) struct Open(Mutex<Begun>);

/// Whoever has it takes note of entries; others wait.
pub(super) struct Noting<'o>(MutexGuard<'o, Begun>);

struct Begun {
    /// Decisions that allowed something and have not heard yet what became of it.
    decisions: Map<Uuid, u64>,
    /// Streams.
    streams: Map<Uuid, u64>,
}

impl Default for Open {
    fn default() -> Self {
        Self(Mutex::new(Begun { decisions: map(0), streams: map(0) }))
    }
}

impl Open {
    /// Begins to take note of entries that are in the log.
    pub(super) fn begin(&self) -> Noting<'_> {
        Noting(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Nothing that is open lies before this leaf; `size` when nothing is.
    pub(super) fn from(&self, size: u64) -> u64 {
        let Begun { decisions, streams } = &*self.begin().0;
        decisions.values().chain(streams.values()).copied().min().unwrap_or(size).min(size)
    }
}

impl Noting<'_> {
    /// Takes note of one.
    pub(super) fn see(&mut self, entry: &Unstamped, leaf_index: u64) {
        let Some(request) = entry.columns.request else { return };
        if entry.opens() {
            self.0.decisions.entry(request).or_insert(leaf_index);
        } else if entry.closes() {
            self.0.decisions.remove(&request);
        } else if entry.columns.kind == "stream-opened" {
            self.0.streams.entry(request).or_insert(leaf_index);
        } else if entry.columns.kind == "stream-closed" {
            self.0.streams.remove(&request);
        }
    }
}

/// How many may wait for a receipt.
const MOST_WAITING: usize = 4_096;

/// How many notes are kept while the database is away.
const MOST_NOTES: usize = 65_536;

/// Past this, nobody may wait any more; the rest is for notes.
const MOST_BYTES_WAITING: usize = 64 << 20;

const MOST_BYTES: usize = 128 << 20;

const MOST_IN_BATCH: usize = 4_096;

const MOST_BYTES_IN_BATCH: usize = 8 << 20;
