//! Decisions and streams that a dead broker left open get an end: nobody knows what became of the one, the other ended with its
//! broker, and the log says so.
//! Each broker says that it is alive; one whose row does not change for half a minute, by the watch of whoever looks, is
//! dead, however wrong its clock is. Several brokers may look: one transaction takes the row, so an end is written once.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{Asker, ChangeFault, Draft, Entry, Event, change::append_within, shared::Shared};
use crate::{
    model::{BrokerId, Timestamp},
    store::{self, StoreFault, broker, broker::BrokerRow, entry::left_open},
};

/// Says that this broker lives, and clears up after those that do not. Runs until it is dropped.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut watch = Watch::default();
    loop {
        match round(&shared, &mut watch).await {
            Ok(()) => {}
            Err(fault) => tracing::warn!(%fault, "the sweep after dead brokers will be tried again"),
        }
        sleep(shared.limits.heartbeat).await;
    }
}

async fn round(shared: &Arc<Shared>, watch: &mut Watch) -> Result<(), ChangeFault> {
    beat(shared).await?;
    let others = broker::unswept(&shared.pool, *shared.broker).await?;
    for dead in watch.silent(others, Instant::now(), shared.limits.silence) {
        while !clear_up_after(shared, dead.id, dead.seen_at).await? {}
    }
    Ok(())
}

async fn beat(shared: &Shared) -> Result<(), StoreFault> {
    let open_from = shared.open.from(shared.head.borrow().size);
    broker::beat(&shared.pool, *shared.broker, open_from, shared.clock.now()).await
}

/// Closes what `of` left open, if it still has said nothing since `seen_at`. False: there is more.
async fn clear_up_after(shared: &Arc<Shared>, of: BrokerId, seen_at: Timestamp) -> Result<bool, ChangeFault> {
    let now = shared.clock.now();
    if is_clean(shared, of, seen_at, now).await? {
        return Ok(true);
    }
    let closed = append_within(shared, move |db| {
        Box::pin(async move {
            let Some(open_from) = broker::lock_silent(&mut *db, of, seen_at).await? else {
                return Ok((true, Vec::new()));
            };
            let open = left_open(&mut *db, of, open_from, AT_ONCE).await?;
            let is_last = open.len() < AT_ONCE as usize;
            if is_last {
                broker::set_swept(&mut *db, of, now).await?;
            }
            let ends = open.iter().map(|leaf| end_of(leaf, of, now)).collect::<Result<Vec<_>, _>>()?;
            Ok((is_last, ends))
        })
    })
    .await;
    match closed {
        Ok((is_last, _receipt)) => {
            tracing::warn!(broker = %of, "closed what a dead broker left open");
            Ok(is_last)
        }
        // Another broker was faster, or the dead one lives.
        Err(ChangeFault::Unneeded) => Ok(true),
        Err(fault) => Err(fault),
    }
}

/// Whether there is nothing to close; then that is noted.
async fn is_clean(shared: &Shared, of: BrokerId, seen_at: Timestamp, now: Timestamp) -> Result<bool, StoreFault> {
    let mut transaction = store::begin(&shared.pool).await?;
    let Some(open_from) = broker::lock_silent(&mut *transaction, of, seen_at).await? else { return Ok(true) };
    if !left_open(&mut *transaction, of, open_from, 1).await?.is_empty() {
        return Ok(false);
    }
    broker::set_swept(&mut *transaction, of, now).await?;
    transaction.commit().await?;
    Ok(true)
}

/// What becomes of what a dead broker began.
fn end_of(leaf: &[u8], of: BrokerId, now: Timestamp) -> Result<Draft, StoreFault> {
    let begun = Entry::from_leaf(leaf).map_err(|_| StoreFault::Malformed { what: "a leaf" })?;
    let Entry { caller, request, event, .. } = begun;
    let event = match event {
        Event::StreamOpened { stream } => Event::StreamClosed { stream, cause: GONE.to_owned() },
        _ => Event::UnknownOutcome { of },
    };
    Ok(Draft { caller: caller.map(Asker::from), event, happened_at: now, request })
}

/// Since when each broker's row has not changed, by our own watch.
#[derive(Default)]
struct Watch(HashMap<BrokerId, (Timestamp, Instant)>);

impl Watch {
    /// Those of `rows` that stopped, or have been silent for `silence`.
    fn silent(&mut self, rows: Vec<BrokerRow>, now: Instant, silence: Duration) -> Vec<BrokerRow> {
        let before = std::mem::take(&mut self.0);
        let mut silent = Vec::new();
        for row in rows {
            let since = match before.get(&row.id) {
                Some((seen_at, since)) if *seen_at == row.seen_at => *since,
                _ => now,
            };
            self.0.insert(row.id, (row.seen_at, since));
            if row.is_stopped || now.duration_since(since) >= silence {
                silent.push(row);
            }
        }
        silent
    }
}

/// Why a stream closed whose broker did not live to say so.
const GONE: &str = "its broker says nothing any more";

/// How many entries one transaction closes.
const AT_ONCE: u32 = 500;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_broker_is_dead_when_its_row_stands_still_whatever_its_clock_says() {
        let silence = Duration::from_secs(30);
        let row = |id: u128, seen_at: i64, is_stopped: bool| BrokerRow {
            id: BrokerId::from_uuid(Uuid::from_u128(id)),
            seen_at: Timestamp::from_micros(seen_at),
            is_stopped,
        };
        let (mut watch, start) = (Watch::default(), Instant::now());
        let long_ago = row(1, 0, false);
        let mut ask =
            |rows: &[BrokerRow], at: u64| watch.silent(rows.to_vec(), start + Duration::from_secs(at), silence);
        assert_eq!(ask(&[long_ago, row(2, 5, true)], 0), [row(2, 5, true)], "only one that stopped is dead at once");
        assert_eq!(ask(&[long_ago, row(3, 7, false)], 20), []);
        assert_eq!(ask(&[row(1, 1, false), row(3, 7, false)], 40), [], "the first has moved");
        assert_eq!(ask(&[row(1, 1, false), row(3, 7, false)], 50), [row(3, 7, false)]);
        assert_eq!(ask(&[row(1, 1, false)], 70), [row(1, 1, false)]);
    }
}
