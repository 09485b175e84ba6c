//! Before anything is signed: are the keys that the database names those of this log? One counts whose private half the
//! wrapping key opens. Another may stand beside them only where the log says that this very key was lost, and an entry that
//! replaces a key must hold the word of the one that was replaced.
//!
//! The database's owner may have written all of it. INVARIANT: an entry is heard only if the tree has its bytes, and that keys
//! were lost is believed only of a log that brokers of ours have gone on with. What is let pass here proves nothing to an auditor.

use sqlx::PgConnection;

use super::{
    Entry, Event, LogFault, Signers,
    checkpoint::Verifier,
    fork,
    position::Position,
    proof::{ProofFault, inclusion},
    tree::{includes, leaf_hash},
    verify::chain::Chain,
};
use crate::store::archive;

/// Refuses a log whose keys are not accounted for.
pub(super) async fn expect_own_keys(
    db: &mut PgConnection,
    position: &Position,
    signers: &Signers,
) -> Result<(), LogFault> {
    let mut told = told(db, position).await?;
    let ours: Vec<Verifier> = signers.verifiers().cloned().collect();
    let loss = loss(db, (position, signers), &told).await?;
    let (began, mut strangers) = (loss.as_ref().map_or(0, |loss| loss.at), signers.strangers().into_iter());
    let stranger = match loss {
        None => strangers.next(),
        // So it was written before lost keys were named.
        Some(Loss { keys: None, .. }) => None,
        Some(Loss { keys: Some(lost), .. }) => strangers.find(|key| !lost.contains(key)),
    };
    if let Some(stranger) = stranger {
        return Err(LogFault::Stranger(stranger));
    }
    let mut chain = Chain::of(signers.origin(), &ours, &[]);
    for (index, event) in told.drain(began..) {
        chain.hear(index, &event);
    }
    chain.judge().map_err(|broken| LogFault::Broken(broken.to_string()))
}

/// What the log says of who signs, by index; of what the tables hold, only what the tree has.
async fn told(db: &mut PgConnection, position: &Position) -> Result<Vec<(u64, Event)>, LogFault> {
    let (size, root) = (position.tree.size(), position.tree.root());
    let mut told = Vec::new();
    for (index, leaf) in archive::succession(&mut *db, size).await? {
        let path = match inclusion(&mut *db, index, size).await {
            Ok(path) => path,
            Err(ProofFault::Store(fault)) => return Err(fault.into()),
            Err(ProofFault::Beyond(_) | ProofFault::Missing) => continue,
        };
        if includes(&root, size, index, leaf_hash(&leaf), &path)
            && let Ok(entry) = Entry::from_leaf(&leaf)
        {
            told.push((index, entry.event));
        }
    }
    Ok(told)
}

/// That keys were lost, and ours came instead.
struct Loss {
    /// Which of the entries says so.
    at: usize,
    /// The keys that were lost.
    keys: Option<Vec<String>>,
}

/// The newest one over which brokers of ours have gone on.
async fn loss(
    db: &mut PgConnection,
    (position, signers): (&Position, &Signers),
    told: &[(u64, Event)],
) -> Result<Option<Loss>, LogFault> {
    for (at, (index, event)) in told.iter().enumerate().rev() {
        let Event::EpochBegan { key: Some(key), lost, .. } = event else { continue };
        let is_ours = signers.verifiers().any(|ours| ours.to_string() == *key);
        if is_ours && fork::is_of_ours(db, position, *index, signers).await? {
            return Ok(Some(Loss { at, keys: lost.clone() }));
        }
    }
    Ok(None)
}
