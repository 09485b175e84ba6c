//! Signs the newest head, at most a second after its COMMIT was acknowledged, and never before.
//! Brokers that share a key sign the same note for the same head, so whoever is first keeps it. A note is handed out for
//! publication before it is kept in the database, so that a database that goes away cannot take its own proof along.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::sleep;

use super::{
    batch_mac::BatchMac,
    checkpoint::{CheckpointSigner, Verifier, with_signatures},
    shared::{Acknowledged, Shared},
    tree::Hash,
};
use crate::{
    model::Timestamp,
    store::{StoreFault, checkpoint},
};

/// The key that signs, those before it that still vouch along, and the one that brokers know each other's batches by.
pub struct Signers {
    active: CheckpointSigner,
    retiring: Vec<CheckpointSigner>,
    /// Keys of ours that no longer sign.
    retired: Vec<CheckpointSigner>,
    /// Public halves beside them that are not known to be ours.
    strangers: Vec<Vec<u8>>,
    batches: BatchMac,
}

/// A signed head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Which life of the log.
    pub epoch: u64,
    /// How many leaves it covers.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// The signed note (C2SP tlog-checkpoint).
    pub note: String,
    /// When it was signed.
    pub at: Timestamp,
}

impl Signed {
    /// Whether it says more than `newest`. Whoever signs the last head does so beside the task that signs, which may still be at the one
    /// before: what is handed out never goes back.
    fn follows(&self, newest: &Self) -> bool {
        (self.epoch, self.size) >= (newest.epoch, newest.size) && self.note != newest.note
    }
}

impl Signers {
    /// `active` signs, and `retiring` do so too; `batches` authenticates what brokers add.
    pub const fn new(active: CheckpointSigner, retiring: Vec<CheckpointSigner>, batches: BatchMac) -> Self {
        Self { active, retiring, retired: Vec::new(), strangers: Vec::new(), batches }
    }

    /// The same; what `retired` signed while it did is ours as well.
    #[must_use]
    pub fn after(self, retired: Vec<CheckpointSigner>) -> Self {
        Self { retired, ..self }
    }

    /// The same; `strangers` are public halves that stand beside ours, with no private half that opens.
    #[must_use]
    pub fn beside(self, strangers: Vec<Vec<u8>>) -> Self {
        Self { strangers, ..self }
    }

    /// These as verifier keys.
    pub fn strangers(&self) -> Vec<String> {
        let named = |public: &Vec<u8>| {
            let verifier = public.as_slice().try_into().ok().and_then(|key| Verifier::new(self.origin(), key).ok());
            verifier.map_or_else(|| format!("{} (hex)", hex::encode(public)), |verifier| verifier.to_string())
        };
        self.strangers.iter().map(named).collect()
    }

    /// The name of the log.
    pub fn origin(&self) -> &str {
        self.active.origin()
    }

    /// The key that signs.
    pub(super) const fn active(&self) -> &CheckpointSigner {
        &self.active
    }

    /// What authenticates a batch.
    pub(super) const fn batches(&self) -> &BatchMac {
        &self.batches
    }

    /// Those that sign, the active one first.
    pub(super) fn signing(&self) -> impl Iterator<Item = &CheckpointSigner> {
        std::iter::once(&self.active).chain(&self.retiring)
    }

    /// All of them, the active one first.
    pub(super) fn keys(&self) -> impl Iterator<Item = &CheckpointSigner> {
        self.signing().chain(&self.retired)
    }

    /// What to check their signatures with, the active one's first.
    pub fn verifiers(&self) -> impl Iterator<Item = &Verifier> {
        self.keys().map(CheckpointSigner::verifier)
    }

    /// The note that states this head, with a signature by each key.
    pub(super) fn sign(&self, epoch: u64, size: u64, root: Hash) -> String {
        let note = self.active.sign(epoch, size, root);
        self.retiring.iter().fold(note, |note, key| {
            let other = key.sign(epoch, size, root);
            with_signatures(&note, &other).unwrap_or(note)
        })
    }
}

/// Runs until it is dropped, or the log is.
pub(super) async fn run(shared: Arc<Shared>) {
    let (mut heads, mut signers) = (shared.head.subscribe(), shared.signers.subscribe());
    heads.mark_changed();
    loop {
        let changed = tokio::select! {
            changed = heads.changed() => changed,
            changed = signers.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
        loop {
            let head = *heads.borrow_and_update();
            match sign(&shared, head).await {
                Ok(()) => break,
                Err(fault) => tracing::warn!(%fault, size = head.size, "a checkpoint could not be kept"),
            }
            sleep(PAUSE).await;
        }
        sleep(PAUSE).await;
    }
}

/// Signs `head`, hands the note out and keeps it. A log without entries is not worth one.
pub(super) async fn sign(shared: &Shared, head: Acknowledged) -> Result<(), StoreFault> {
    if head.size == 0 {
        return Ok(());
    }
    let Acknowledged { epoch, size, root } = head;
    let (key, note) = {
        let signers = shared.signers.borrow();
        (signers.active.key(), signers.sign(epoch, size, root))
    };
    let at = shared.clock.now();
    let signed = Signed { epoch, size, root, note: note.clone(), at };
    shared.signed_head.send_if_modified(|newest| {
        let is_news = newest.as_ref().is_none_or(|newest| signed.follows(newest));
        if is_news {
            *newest = Some(Arc::new(signed));
        }
        is_news
    });
    let row = checkpoint::Checkpoint { epoch, size, key, root: root.to_vec(), note, signed_at: at };
    checkpoint::insert(&shared.pool, &row).await?;
    shared.signed.store(size, Ordering::Relaxed);
    Ok(())
}

/// The rest between two checkpoints.
const PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn while_keys_overlap_each_of_them_vouches() {
        let key = |seed| CheckpointSigner::from_seed("log", Uuid::nil(), &[seed; 32]).unwrap();
        let note = Signers::new(key(2), vec![key(1)], BatchMac::new(&[0; 32])).sign(3, 4, [5; 32]);
        assert_eq!(note.lines().filter(|line| line.starts_with('\u{2014}')).count(), 2);
        for seed in [1, 2] {
            assert_eq!(key(seed).verifier().open(&note).unwrap().size, 4);
        }
        assert!(key(3).verifier().open(&note).is_err());
    }

    #[test]
    fn what_is_handed_out_never_goes_back() {
        let at = Timestamp::from_micros(1);
        let signed = |epoch, size, note: &str| Signed { epoch, size, root: [0; 32], note: note.to_owned(), at };
        let newest = signed(2, 5, "by one key");
        for (of_later, says_more) in [
            (signed(2, 6, "by one key, later"), true),
            (signed(2, 5, "by another key"), true),
            (signed(3, 1, "of the next epoch"), true),
            (newest.clone(), false),
            (signed(2, 4, "of the head before"), false),
            (signed(1, 9, "of the epoch before"), false),
        ] {
            assert_eq!(of_later.follows(&newest), says_more, "{of_later:?}");
        }
    }
}
