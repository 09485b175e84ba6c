//! Readings of the log on the command line become entries. Whoever reads there can write nothing but that they read, with
//! who and when fixed by the database's server; here it is taken and recorded, both in one transaction.
//! An attacker who has an auditor's account controls the search and what the program calls itself: text, and bounded.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::sleep;

use super::{ChangeFault, Draft, Event, Log};
use crate::{
    model::Clock,
    store::{
        StoreFault,
        reading::{self, Pending},
    },
};

/// Records readings for as long as it runs.
pub async fn follow_readings(pool: PgPool, log: Log, clock: std::sync::Arc<dyn Clock>) {
    loop {
        match record_readings(&pool, &log, &*clock).await {
            Ok(0) => sleep(LOOK_EVERY).await,
            Ok(_) => {}
            // What is staged stays so.
            Err(fault) => {
                tracing::warn!(%fault, "readings of the log could not be recorded; it will be tried again");
                sleep(REST).await;
            }
        }
    }
}

/// Records what is staged, as far as no other broker has it in hand. Returns how many readings that were.
pub async fn record_readings(pool: &PgPool, log: &Log, clock: &dyn Clock) -> Result<usize, ChangeFault> {
    if !reading::is_waiting(pool).await? {
        return Ok(0);
    }
    let now = clock.now();
    let done = log.append_within(move |db| {
        Box::pin(async move {
            let taken = reading::take(db, AT_ONCE, now).await?;
            let drafts: Vec<Draft> = taken.into_iter().map(draft).collect();
            Ok::<_, StoreFault>((drafts.len(), drafts))
        })
    });
    match done.await {
        Ok((count, _receipt)) => Ok(count),
        Err(ChangeFault::Unneeded) => Ok(0),
        Err(fault) => Err(fault),
    }
}

fn draft(pending: Pending) -> Draft {
    let Pending { id, account, address, client, command, search, entries, manifest, staged_at } = pending;
    let event = Event::LogRead { reading: id, account, address, client, command, search, entries, manifest };
    Draft { caller: None, event, happened_at: staged_at, request: None }
}

const LOOK_EVERY: Duration = Duration::from_millis(400);

const REST: Duration = Duration::from_secs(2);

/// Few enough for one batch: each may have several kilobytes.
const AT_ONCE: u32 = 64;
