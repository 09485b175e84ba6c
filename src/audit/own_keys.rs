//! Before anything is signed: are the keys that the database names those of this log? One counts whose private half the
//! wrapping key opens. Another may stand beside them only where the log says that earlier keys are lost, and an entry that
//! replaces a key must hold the word of the one that was replaced.
//!
//! The database's owner may have written all of it. What is let pass here proves nothing to an auditor.

use sqlx::PgConnection;

use super::{Entry, Event, LogFault, Signers, checkpoint::Verifier, verify::chain::Chain};
use crate::store::archive;

/// Refuses a log of `size` entries whose keys are not accounted for.
pub(super) async fn expect_own_keys(db: &mut PgConnection, size: u64, signers: &Signers) -> Result<(), LogFault> {
    let leaves = archive::succession(db, size).await?;
    let read = |(index, leaf): (u64, Vec<u8>)| Entry::from_leaf(&leaf).ok().map(|entry| (index, entry.event));
    let mut told: Vec<(u64, Event)> = leaves.into_iter().filter_map(read).collect();
    let ours: Vec<Verifier> = signers.verifiers().cloned().collect();
    let is_ours = |key: &String| ours.iter().any(|ours| ours.to_string() == *key);
    let begins = |(_, event): &(u64, Event)| matches!(event, Event::EpochBegan { key: Some(key), .. } if is_ours(key));
    let began = told.iter().rposition(begins);
    if let (None, Some(stranger)) = (began, signers.stranger()) {
        return Err(LogFault::Stranger(named(signers.origin(), stranger)));
    }
    let mut chain = Chain::of(signers.origin(), &ours, &[]);
    for (index, event) in told.drain(began.unwrap_or(0)..) {
        chain.hear(index, &event);
    }
    chain.judge().map_err(|broken| LogFault::Broken(broken.to_string()))
}

fn named(origin: &str, public: &[u8]) -> String {
    let verifier = public.try_into().ok().and_then(|public| Verifier::new(origin, public).ok());
    verifier.map_or_else(|| format!("{} (hex)", hex::encode(public)), |verifier| verifier.to_string())
}
