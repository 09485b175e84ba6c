//! The one task that extends the log: whatever queued while the last batch was committed is the next batch.
//! An unknown COMMIT is settled before anything else: the very same batch is offered again until a head with its parent
//! exists, and that head's batch id says whose it is. Recovers by itself; refuses a database that went backwards.

use std::{sync::Arc, time::Duration};

use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep, timeout};

use super::{
    State, fork,
    position::{Astray, Position},
    queue::Queued,
    shared::{AWAY, Shared, UNFIT},
};
use crate::store::{self, StoreFault, entry, entry::Batch};

/// See the head of this file.
pub(super) struct Writer {
    shared: Arc<Shared>,
    connection: Option<PgConnection>,
    looked: Instant,
    failing_since: Option<Instant>,
    pause: Duration,
}

/// What became of a batch.
enum Fate {
    /// It is in the log.
    Committed,
    /// It is not, and never will be: another one took its place.
    Lost,
    /// Postgres refuses its content.
    Unfit(StoreFault),
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, connection: None, looked: Instant::now(), failing_since: None, pause: SHORTEST_PAUSE }
    }

    /// Runs until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        while !shared.queue.is_finished() {
            let arrived = timeout(LOOK_EVERY, shared.queue.arrival()).await.is_ok();
            if self.looked.elapsed() >= LOOK_EVERY {
                self.look().await;
            }
            if !arrived {
                continue;
            }
            self.gather().await;
            let entries = shared.queue.take(0);
            if !entries.is_empty() {
                self.record(entries).await;
            }
        }
    }

    /// Lets those who were told just now hand in their next entries first, as long as more keep coming: two half-empty
    /// batches cost two commits. Takes no longer than it takes them.
    async fn gather(&self) {
        let mut waiting = self.shared.queue.len();
        for _ in 0..MOST_TURNS {
            tokio::task::yield_now().await;
            let now = self.shared.queue.len();
            if now <= waiting {
                return;
            }
            waiting = now;
        }
    }

    /// However much there is to write: is the log still there, does it continue what was seen, and does Postgres still keep
    /// what it acknowledges?
    async fn look(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut position = shared.position.lock().await;
        let followed = async {
            let db = self.connected().await?;
            store::expect_still_durable(&mut *db).await?;
            fork::follow(&shared, db, &mut position).await
        };
        let followed = timeout(ATTEMPT, followed).await;
        self.looked = Instant::now();
        match followed {
            Ok(Ok(moved)) => {
                if moved {
                    shared.head.send_replace(position.acknowledged());
                }
                self.worked();
            }
            Ok(Err(astray)) => self.failed(astray).await,
            Err(_) => self.failed(timed_out()).await,
        }
    }

    /// Records all of `entries`, however long it takes. Those that nobody waits for any more are left out if the
    /// database was away meanwhile, until they have been sent for the first time.
    async fn record(&mut self, entries: Vec<Queued>) {
        let shared = Arc::clone(&self.shared);
        let mut position = shared.position.lock().await;
        let mut parts = vec![entries];
        while let Some(mut part) = parts.pop() {
            let was_away = self.connection.is_none();
            self.connect(&mut position).await;
            if was_away {
                let before = part.len();
                part.retain(|queued| !queued.is_abandoned());
                shared.lose((before - part.len()) as u64, AWAY);
            }
            if part.is_empty() {
                continue;
            }
            let recorded_at = position.stamp(&mut part, shared.clock.now());
            let signers = Arc::clone(&shared.signers.borrow());
            let (batch, after) = position.extended(&part, *shared.broker, recorded_at, &signers);
            let start = batch.size;
            match self.commit(&mut position, &batch).await {
                Fate::Committed => shared.arrive(&mut position, after, start, part),
                Fate::Lost => {
                    part.append(&mut shared.queue.take(part.len()));
                    parts.push(part);
                }
                Fate::Unfit(fault) if part.len() == 1 => {
                    shared.lose(1, UNFIT);
                    tracing::error!(%fault, "Postgres refuses an audit entry");
                }
                Fate::Unfit(_) => {
                    let rest = part.split_off(part.len() / 2);
                    parts.extend([rest, part]);
                }
            }
        }
    }

    /// Waits until there is a connection, and a head that continues ours.
    async fn connect(&mut self, position: &mut Position) {
        while self.connection.is_none() {
            let shared = Arc::clone(&self.shared);
            let followed = async { fork::follow(&shared, self.connected().await?, position).await };
            match timeout(ATTEMPT, followed).await {
                Ok(Ok(_)) => self.worked(),
                Ok(Err(astray)) => self.failed(astray).await,
                Err(_) => self.failed(timed_out()).await,
            }
        }
    }

    /// Offers `batch` until its fate is known.
    async fn commit(&mut self, position: &mut Position, batch: &Batch<'_>) -> Fate {
        loop {
            match timeout(ATTEMPT, self.attempt(position, batch)).await {
                Ok(Ok(fate)) => {
                    self.worked();
                    return fate;
                }
                Ok(Err(Astray::Store(fault))) if is_about_content(&fault) => return Fate::Unfit(fault),
                Ok(Err(astray)) => self.failed(astray).await,
                Err(_) => self.failed(timed_out()).await,
            }
        }
    }

    async fn attempt(&mut self, position: &mut Position, batch: &Batch<'_>) -> Result<Fate, Astray> {
        let shared = Arc::clone(&self.shared);
        let db = self.connected().await?;
        shared.ensure_partitions(db, batch.recorded_at).await?;
        let after = entry::extend_log(&mut *db, batch).await?;
        let Some(first) = after.first() else { return Ok(Fate::Committed) };
        // Another broker was faster, or this very batch was there already when its COMMIT seemed to fail.
        if first.head.batch == batch.id {
            return Ok(Fate::Committed);
        }
        if first.parent_size == Some(position.tree.size()) && first.head.epoch == position.epoch {
            let signers = Arc::clone(&shared.signers.borrow());
            position.walk(&after, &signers)?;
        } else {
            fork::follow(&shared, db, position).await?;
        }
        Ok(Fate::Lost)
    }

    /// The connection, none of the pool's, so that a batch costs one round trip and waits for nobody, and whoever runs
    /// Postgres is told why it was refused.
    async fn connected(&mut self) -> Result<&mut PgConnection, StoreFault> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let mut made = PgConnection::connect_with(&self.shared.pool.connect_options()).await?;
                store::expect_durable(&mut made).await?;
                made
            }
        };
        Ok(self.connection.insert(connection))
    }

    fn worked(&mut self) {
        self.failing_since = None;
        self.pause = SHORTEST_PAUSE;
        self.shared.set_state(State::Up);
        self.shared.tell_of_gap(LOOK_EVERY);
    }

    /// Lets go of the connection, says what is wrong once it lasts, and waits a little.
    async fn failed(&mut self, astray: Astray) {
        if let Some(connection) = self.connection.take() {
            let _ = timeout(SHORTEST_PAUSE, connection.close()).await;
        }
        match astray {
            Astray::Broken(what) => self.shared.set_state(State::Broken(what)),
            Astray::Store(fault @ StoreFault::NotDurable { .. }) => {
                self.shared.set_state(State::Volatile(fault.to_string()))
            }
            Astray::Store(fault) => {
                tracing::warn!(%fault, "the audit log could not be reached");
                let since = *self.failing_since.get_or_insert_with(Instant::now);
                if since.elapsed() + self.pause >= self.shared.limits.wait {
                    self.shared.set_state(State::Down(fault.to_string()));
                }
            }
        }
        self.shared.lose(self.shared.queue.purge(), AWAY);
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

impl Drop for Writer {
    /// Nobody writes any more, so nobody may be let in.
    fn drop(&mut self) {
        self.shared.queue.close();
        let closed = State::Down("the log is closed".to_owned());
        if std::thread::panicking() {
            self.shared.set_state(closed);
        } else {
            // Meant, so no complaint.
            self.shared.state.send_replace(closed);
        }
    }
}

/// Whether the entries are to blame (SQLSTATE classes 22 and 23), so that trying again would fail for ever.
fn is_about_content(fault: &StoreFault) -> bool {
    let StoreFault::Database(sqlx::Error::Database(fault)) = fault else { return false };
    fault.code().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

fn timed_out() -> Astray {
    Astray::Store(StoreFault::Database(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))
}

/// The log is looked at so often, however much is written.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The longest that one try may take.
const ATTEMPT: Duration = Duration::from_secs(5);

/// How often others get a turn before a batch is taken, at most.
const MOST_TURNS: u32 = 64;

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

const LONGEST_PAUSE: Duration = Duration::from_secs(1);
