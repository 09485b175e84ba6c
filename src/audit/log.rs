//! The log as the other rooms see it: hand in a draft, get a receipt once it is durable, or a refusal.
//! Never answers before COMMIT is acknowledged and never waits longer than its limit.

use std::{future::Future, pin::Pin, time::Duration};

use sqlx::PgConnection;
use tokio::sync::watch;

use super::{ChangeFault, Draft, Receipt, Unrecorded};
use crate::store::StoreFault;

/// The log. Clones share it.
#[derive(Clone)]
pub struct Log {
    state: watch::Receiver<State>,
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
    /// The database holds something else than what this process has seen of the log.
    Broken(String),
}

/// How the log is doing, for readiness and metrics.
#[derive(Clone, Debug)]
pub struct Health {
    /// Whether it can be written.
    pub state: State,
    /// How many entries wait.
    pub waiting: usize,
    /// How many entries could not be kept since the start.
    pub lost: u64,
    /// How many entries the log has, as far as this broker knows.
    pub size: u64,
    /// How many of them the newest checkpoint covers.
    pub signed: u64,
}

impl Log {
    /// Records `draft`. A receipt means that it is on disk.
    pub async fn append(&self, draft: Draft) -> Result<Receipt, Unrecorded> {
        let _ = draft;
        Err(Unrecorded::Closed)
    }

    /// Makes a change and records it in one transaction: both are there, or neither. `change` may run several times.
    pub async fn append_within<T: Send>(
        &self,
        change: impl for<'c> Fn(&'c mut PgConnection) -> Changing<'c, T> + Send + Sync,
    ) -> Result<(T, Receipt), ChangeFault> {
        let _ = change;
        Err(Unrecorded::Closed.into())
    }

    /// Records `draft` soon, without waiting: for what has happened already. Never blocks.
    pub fn note(&self, draft: Draft) {
        let _ = draft;
    }

    /// How the log is doing.
    pub fn health(&self) -> Health {
        Health { state: self.state.borrow().clone(), waiting: 0, lost: 0, size: 0, signed: 0 }
    }

    /// Whether the log can be written. Open streams end when it cannot.
    pub fn alive(&self) -> bool {
        *self.state.borrow() == State::Up
    }

    /// Tells when that changes.
    pub fn states(&self) -> watch::Receiver<State> {
        self.state.clone()
    }
}
