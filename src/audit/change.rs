//! A change and its entries in one transaction: both are there, or neither. The change runs first, in the caller's task;
//! from the moment that its entries take a place in the log it runs to the end, even if the caller goes away.
//! Holds nothing but this process's own position while it commits; another broker that is faster costs one more try.

use std::{sync::Arc, time::Duration};

use sqlx::{PgConnection, Postgres, Transaction};
use tokio::time::{Instant, sleep, timeout};

use super::{
    ChangeFault, Changing, Receipt, Unrecorded, fork,
    position::{Astray, Position},
    queue::Queued,
    shared::Shared,
    unstamped::Unstamped,
};
use crate::store::{self, StoreFault, entry, entry::Batch, head};

/// See [`super::Log::append_within`].
pub(super) async fn append_within<T: Send>(
    shared: &Arc<Shared>,
    change: impl for<'c> Fn(&'c mut PgConnection) -> Changing<'c, T> + Send + Sync,
) -> Result<(T, Receipt), ChangeFault> {
    for _ in 0..MOST_TRIES {
        shared.expect_up()?;
        let mut transaction = begin(shared).await?;
        let (value, drafts) = match change(&mut transaction).await {
            Ok(done) => done,
            Err(fault) if fault.is_conflict() => continue,
            Err(fault) => return Err(fault.into()),
        };
        if drafts.is_empty() {
            return Err(ChangeFault::Unneeded);
        }
        let entries = drafts.iter().map(|draft| shared.encode(draft)).collect::<Result<Vec<_>, _>>()?;
        let finished = tokio::spawn(finish(Arc::clone(shared), transaction, entries)).await;
        match finished.unwrap_or(Err(Unrecorded::Unsettled.into()))? {
            Some(receipt) => return Ok((value, receipt)),
            None => continue,
        }
    }
    Err(Unrecorded::Contended.into())
}

async fn begin(shared: &Shared) -> Result<Transaction<'static, Postgres>, ChangeFault> {
    match timeout(shared.limits.wait, store::begin(&shared.pool)).await {
        Ok(begun) => Ok(begun?),
        Err(_) => Err(Unrecorded::TimedOut.into()),
    }
}

/// Gives the entries their place and commits. None: another broker was faster, and nothing has happened.
async fn finish(
    shared: Arc<Shared>,
    mut transaction: Transaction<'static, Postgres>,
    entries: Vec<Unstamped>,
) -> Result<Option<Receipt>, ChangeFault> {
    let locked = timeout(shared.limits.wait, shared.position.lock()).await;
    let mut position = locked.map_err(|_| Unrecorded::TimedOut)?;
    if position.is_stale {
        catch_up(&shared, &mut transaction, &mut position).await?;
    }
    let mut entries: Vec<Queued> = entries.into_iter().map(|entry| Queued { entry, reply: None }).collect();
    let recorded_at = position.stamp(&mut entries, shared.clock.now());
    let signers = Arc::clone(&shared.signers.borrow());
    let (batch, after) = position.extended(&entries, *shared.broker, recorded_at, &signers);
    let staged = async {
        shared.ensure_partitions(&mut transaction, batch.recorded_at).await?;
        entry::stage_batch(&mut transaction, &batch).await
    };
    let transaction_id = timeout(COMMIT, staged).await.map_err(|_| Unrecorded::TimedOut)??;

    match timeout(COMMIT, transaction.commit()).await {
        Ok(Ok(())) => {
            let (start, receipt) = (batch.size, receipt(&batch));
            shared.arrive(&mut position, after, start, entries);
            Ok(Some(receipt))
        }
        Ok(Err(fault)) if is_final(&fault) => {
            let fault = StoreFault::from(fault);
            if !fault.is_conflict() {
                return Err(fault.into());
            }
            position.is_stale = true;
            Ok(None)
        }
        // From here on the writer may use the position: whichever batch takes the place settles it.
        _ => {
            drop(position);
            settle(&shared, &batch, &transaction_id, &entries).await
        }
    }
}

/// Finds out what became of a COMMIT that was not answered.
async fn settle(
    shared: &Shared,
    batch: &Batch<'_>,
    transaction_id: &str,
    entries: &[Queued],
) -> Result<Option<Receipt>, ChangeFault> {
    let deadline = Instant::now() + SETTLE;
    while Instant::now() < deadline {
        let asked = async {
            let mut db = shared.pool.acquire().await?;
            let batch_there = head::batch_after(&mut *db, batch.epoch, batch.size).await?;
            let is_rolled_back = batch_there.is_none() && entry::was_rolled_back(&mut *db, transaction_id).await?;
            Ok::<_, StoreFault>((batch_there, is_rolled_back))
        };
        match timeout(COMMIT, asked).await {
            Ok(Ok((Some(there), _))) if there == batch.id => {
                let mut open = shared.open.begin();
                (batch.size..).zip(entries).for_each(|(index, queued)| open.see(&queued.entry, index));
                return Ok(Some(receipt(batch)));
            }
            Ok(Ok((Some(_), _)) | Ok((None, true))) => return Ok(None),
            _ => sleep(PAUSE).await,
        }
    }
    Err(Unrecorded::Unsettled.into())
}

/// Follows another broker over the transaction's own connection: a second one might never be free while this one waits.
async fn catch_up(shared: &Shared, db: &mut PgConnection, position: &mut Position) -> Result<(), ChangeFault> {
    match timeout(COMMIT, fork::follow(shared, db, position)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(Astray::Store(fault))) => Err(fault.into()),
        // The writer will find the same, and say so.
        Ok(Err(Astray::Broken(_))) => Err(Unrecorded::Broken.into()),
        Err(_) => Err(Unrecorded::TimedOut.into()),
    }
}

fn receipt(batch: &Batch<'_>) -> Receipt {
    Receipt::new(batch.epoch, batch.size, batch.recorded_at)
}

/// Whether an error in answer to COMMIT means that nothing was committed: everything but a lost connection, a server
/// that stops, or a fault inside it.
fn is_final(fault: &sqlx::Error) -> bool {
    let sqlx::Error::Database(fault) = fault else { return false };
    let code = fault.code().unwrap_or_default();
    ["22", "23", "25", "40", "42", "53", "54", "55", "P0"].iter().any(|class| code.starts_with(class))
}

/// How often the whole is tried, when other brokers are faster.
const MOST_TRIES: u32 = 32;

/// The longest that one round trip may take.
const COMMIT: Duration = Duration::from_secs(5);

/// The longest that an unanswered COMMIT is looked for.
const SETTLE: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(50);
