//! One collector at work: reads entries by leaf index in short statements, hands them to its sink, and moves the cursor
//! only when the sink has taken them. INVARIANT: the cursor never passes an entry that was neither taken nor recorded in
//! the log as left out. Whoever dies between the two leaves duplicates behind, never a gap.

use std::{ops::Range, sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::time::{sleep, timeout};

use super::{
    super::ocsf::{Place, Shipped, translate},
    reading::Reading,
    sink::{Sink, SinkFault},
};
use crate::{
    audit::{
        ChangeFault, Draft, Event, Log,
        search::{Losses, archived_before},
    },
    config::{Begin, Collector, OnReject},
    model::{BrokerId, Clock, Entropy},
    store::{
        StoreFault,
        collector::{self, Advance, Hold},
        entry, head,
    },
};

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How often a collector that has everything looks for more.
    pub look: Duration,
    /// How long a broker may ship without saying that it still does.
    pub hold: Duration,
    /// The first pause after a failure; it doubles with each.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// The longest that a sink may take for a batch.
    pub send: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            look: Duration::from_millis(500),
            hold: Duration::from_secs(20),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            send: Duration::from_secs(12),
        }
    }
}

/// A collector with all that it needs.
pub(super) struct Work {
    pub(super) settings: Collector,
    pub(super) sink: Sink,
    pub(super) origin: String,
    pub(super) pool: PgPool,
    pub(super) log: Log,
    pub(super) broker: BrokerId,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) pace: Pace,
    pub(super) reading: Arc<Reading>,
}

/// Where a holder stands.
struct Stand {
    fence: i64,
    next: u64,
    /// How many entries go at once now: fewer after a refusal, more again after a success.
    size: u32,
    pause: Duration,
    /// Entries left out since the sink last took one.
    skips: u32,
    epochs: Vec<(u64, u64)>,
}

/// What a round came to.
enum Round {
    /// There may be more.
    Again,
    /// Everything is shipped.
    Idle,
    /// Not now.
    Failed(Option<Duration>),
    /// Another broker ships by now.
    Lost,
}

impl Work {
    /// Ships for as long as this broker holds the collector, and waits while another one does.
    pub(super) async fn run(&self) {
        loop {
            match self.take().await {
                Ok(Some(hold)) => self.ship(hold).await,
                Ok(None) => {}
                Err(fault) => tracing::warn!(collector = %self.settings.name, %fault, "the cursor cannot be read"),
            }
            self.reading.lose();
            sleep(self.pace.look.max(self.pace.hold / 8)).await;
        }
    }

    /// Gives the collector back, if this broker holds it.
    pub(super) async fn release(&self) {
        if let Some(fence) = self.reading.fence() {
            let released = collector::release(&self.pool, self.settings.name.as_str(), fence);
            // Otherwise the next one waits until the hold runs out.
            let _ = timeout(self.pace.send, released).await;
        }
    }

    async fn take(&self) -> Result<Option<Hold>, StoreFault> {
        let (name, now) = (self.settings.name.as_str(), self.clock.now());
        let begin = match self.settings.from {
            Begin::Beginning => 0,
            Begin::Now => head::newest(&self.pool).await?.size,
        };
        collector::ensure(&self.pool, name, begin, now).await?;
        collector::take(&self.pool, name, self.broker, now, now.plus(self.pace.hold)).await
    }

    async fn ship(&self, hold: Hold) {
        let (size, pause) = (self.settings.batch, self.pace.first_pause);
        let mut stand = Stand { fence: hold.fence, next: hold.next_leaf, size, pause, skips: 0, epochs: Vec::new() };
        self.reading.hold(stand.fence, stand.next);
        loop {
            let round = match self.round(&mut stand).await {
                Ok(round) => round,
                Err(fault) => {
                    tracing::warn!(collector = %self.settings.name, %fault, "the log cannot be read");
                    Round::Failed(None)
                }
            };
            match round {
                Round::Again => stand.pause = self.pace.first_pause,
                Round::Idle => {
                    stand.pause = self.pace.first_pause;
                    if !self.rest(&stand, self.pace.look).await {
                        return;
                    }
                }
                Round::Failed(after) => {
                    let pause = self.jittered(stand.pause).max(after.unwrap_or_default());
                    stand.pause = (stand.pause * 2).min(self.pace.longest_pause);
                    if !self.rest(&stand, pause).await {
                        return;
                    }
                }
                Round::Lost => return,
            }
        }
    }

    /// Waits, and keeps the collector meanwhile. False: it is another's.
    async fn rest(&self, stand: &Stand, pause: Duration) -> bool {
        let mut left = pause;
        loop {
            let nap = left.min(self.pace.hold / 4);
            sleep(nap).await;
            left = left.saturating_sub(nap);
            match self.keep(stand).await {
                Ok(true) if left.is_zero() => return true,
                Ok(true) => {}
                Ok(false) => return false,
                // The database is away: the cursor is safe there, and whoever holds it is seen when it comes back.
                Err(_) => return true,
            }
        }
    }

    async fn keep(&self, stand: &Stand) -> Result<bool, StoreFault> {
        let until = self.clock.now().plus(self.pace.hold);
        collector::keep(&self.pool, self.settings.name.as_str(), stand.fence, until).await
    }

    /// Reads a batch, ships it, moves on.
    async fn round(&self, stand: &mut Stand) -> Result<Round, StoreFault> {
        let newest = head::newest(&self.pool).await?;
        self.reading.see(stand.next, newest.size);
        if newest.size < stand.next {
            let why = format!("the log has {} entries, and {} were shipped: it was cut", newest.size, stand.next);
            return self.fail(stand, &why, None).await;
        }
        let rows = entry::following(&self.pool, stand.next, stand.size).await?;
        let rows: Vec<_> = rows.into_iter().filter(|(index, _)| *index < newest.size).collect();
        let Some(first) = rows.first().map(|(index, _)| *index).or((newest.size > stand.next).then_some(newest.size))
        else {
            return Ok(Round::Idle);
        };
        if stand.epochs.last().is_none_or(|(epoch, size)| (*epoch, *size) < (newest.epoch, newest.size)) {
            stand.epochs = collector::epochs(&self.pool).await?;
        }
        if first > stand.next {
            // An alarm is no reason to ship nothing.
            if let Err(fault) = self.look_for(stand.next..first).await {
                tracing::warn!(%fault, "it cannot be seen whether entries that are gone were archived");
            }
            return self.leave_out(stand, first, "not in the database any more").await;
        }
        let (batch, until) = self.batch(stand, &rows);
        if !self.keep(stand).await? {
            return Ok(Round::Lost);
        }
        let sent = match batch.as_slice() {
            [] => Ok(()),
            batch => timeout(self.pace.send, self.sink.send(batch))
                .await
                .unwrap_or_else(|_| Err(SinkFault::TooMuch(format!("it took longer than {:?}", self.pace.send)))),
        };
        match sent {
            Ok(()) => self.advance(stand, until, batch.len()).await,
            Err(SinkFault::Away { why, after }) => self.fail(stand, &why, after).await,
            Err(SinkFault::TooMuch(why)) => {
                let together = u32::try_from(batch.len()).unwrap_or(u32::MAX).min(stand.size);
                stand.size = (together / 2).max(1);
                self.fail(stand, &format!("{why}, with {} entries at once", batch.len()), None).await
            }
            Err(SinkFault::Rejected(why)) => self.reject(stand, &rows, until, &why).await,
        }
    }

    /// Entries that are gone are an alarm, unless the log says that they were archived.
    async fn look_for(&self, gone: Range<u64>) -> Result<(), StoreFault> {
        let mut db = self.pool.acquire().await?;
        let archived = archived_before(&mut db).await?;
        let mut losses = Losses::default();
        losses.missing.add_all(gone.start.max(archived)..gone.end);
        self.log.came_upon(&losses);
        Ok(())
    }

    /// The events of the entries that follow each other without a gap, up to a size; and where they end.
    fn batch(&self, stand: &Stand, rows: &[(u64, Vec<u8>)]) -> (Vec<Shipped>, u64) {
        let (mut batch, mut until, mut bytes) = (Vec::new(), stand.next, 0);
        for (index, leaf) in rows {
            if *index != until || (bytes + leaf.len() > MOST_BYTES && bytes > 0) {
                break;
            }
            until += 1;
            bytes += leaf.len();
            let place = Place { origin: &self.origin, epoch: stand.epoch_of(*index), index: *index };
            let event = translate(place, leaf, self.clock.now());
            let is_wanted = self.settings.kinds.is_empty() || self.settings.kinds.contains(&event.kind);
            if is_wanted || event.kind == "unreadable" {
                batch.push(event);
            }
        }
        (batch, until)
    }

    async fn advance(&self, stand: &mut Stand, until: u64, taken: usize) -> Result<Round, StoreFault> {
        let shipped = taken as u64;
        let by = Advance { from: stand.next, until, epoch: stand.epoch_of(until - 1), shipped, skipped: 0 };
        if !collector::advance(&self.pool, self.settings.name.as_str(), stand.fence, by, self.clock.now()).await? {
            return Ok(Round::Lost);
        }
        if self.reading.take(until, shipped) {
            tracing::info!(collector = %self.settings.name, "the collector takes entries again");
        }
        stand.next = until;
        stand.size = stand.size.saturating_mul(2).min(self.settings.batch);
        if taken > 0 {
            stand.skips = 0;
        }
        Ok(Round::Again)
    }

    /// At least one entry up to `until` is refused: halves the batch until it is alone, and then does as configured.
    async fn reject(
        &self,
        stand: &mut Stand,
        rows: &[(u64, Vec<u8>)],
        until: u64,
        why: &str,
    ) -> Result<Round, StoreFault> {
        let together = u32::try_from(until - stand.next).unwrap_or(u32::MAX);
        if together > 1 {
            stand.size = (together / 2).max(1);
            return Ok(Round::Again);
        }
        stand.size = 1;
        self.reading.reject();
        let kind = rows.first().and_then(|(_, leaf)| crate::audit::Entry::from_leaf(leaf).ok());
        let kind = kind.map_or("unreadable", |entry| entry.event.kind());
        let why = format!("it refuses entry {} ({kind}): {why}", stand.next);
        // One that refuses everything is configured wrongly, and must not be emptied into the void.
        if self.settings.on_reject == OnReject::Stop || stand.skips >= MOST_SKIPS {
            return self.fail(stand, &why, None).await;
        }
        stand.skips += 1;
        self.leave_out(stand, until, &why).await
    }

    /// Moves on past entries that the collector does not get, which the log itself tells of in the same transaction.
    async fn leave_out(&self, stand: &mut Stand, until: u64, why: &str) -> Result<Round, StoreFault> {
        let skipped = until - stand.next;
        let by = Advance { from: stand.next, until, epoch: stand.epoch_of(stand.next), shipped: 0, skipped };
        let (name, why, now) = (self.settings.name.as_str(), why.to_owned(), self.clock.now());
        let event =
            Event::CollectorSkipped { collector: name.to_owned(), from: by.from, until: by.until, why: why.clone() };
        let draft = Draft { caller: None, event, happened_at: now, request: None };
        let skip = (stand.fence, name.to_owned(), why.clone(), draft);
        let recorded = self.log.append_within(move |db| {
            let (fence, name, why, draft) = skip.clone();
            Box::pin(async move {
                let is_ours = collector::skip(db, &name, fence, by, &why, now).await?;
                Ok(((), is_ours.then_some(draft).into_iter().collect()))
            })
        });
        match recorded.await {
            Ok(_) => {}
            Err(ChangeFault::Unneeded) => return Ok(Round::Lost),
            Err(ChangeFault::Store(fault)) => return Err(fault),
            Err(ChangeFault::Unrecorded(fault)) => {
                tracing::warn!(collector = name, %fault, "what is left out cannot be recorded, so nothing is");
                return Ok(Round::Failed(None));
            }
        }
        tracing::error!(collector = name, from = stand.next, until, why, "entries are left out of a collector");
        self.reading.skip(until, skipped);
        stand.next = until;
        Ok(Round::Again)
    }

    async fn fail(&self, stand: &Stand, why: &str, after: Option<Duration>) -> Result<Round, StoreFault> {
        self.reading.fail();
        tracing::error!(collector = %self.settings.name, next = stand.next, why, "a collector takes nothing");
        let is_held =
            collector::fail(&self.pool, self.settings.name.as_str(), stand.fence, why, self.clock.now()).await?;
        Ok(if is_held { Round::Failed(after) } else { Round::Lost })
    }

    /// Between half of it and all of it, so that brokers and collectors do not fall into step.
    fn jittered(&self, pause: Duration) -> Duration {
        let [byte] = self.entropy.bytes::<1>();
        pause / 2 + pause / 2 * u32::from(byte) / 255
    }
}

impl Stand {
    /// The epoch that added the entry: the first one that ended after it.
    fn epoch_of(&self, index: u64) -> u64 {
        self.epochs.iter().find(|(_, end)| *end > index).map_or(0, |(epoch, _)| *epoch)
    }
}

/// In leaf bytes; one entry may be longer.
const MOST_BYTES: usize = 512 * 1024;
/// In a row.
const MOST_SKIPS: u32 = 10;
