//! Signs the newest head, at most a second after its COMMIT was acknowledged, and never before.
//! Brokers that share a key sign the same note for the same head, so whoever is first keeps it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::sleep;

use super::{
    checkpoint::CheckpointSigner,
    shared::{Acknowledged, Shared},
};
use crate::store::{StoreFault, checkpoint};

/// Runs until it is dropped, or the log is.
pub(super) async fn run(shared: Arc<Shared>, signer: Arc<CheckpointSigner>) {
    let mut heads = shared.head.subscribe();
    heads.mark_changed();
    while heads.changed().await.is_ok() {
        loop {
            let head = *heads.borrow_and_update();
            match sign(&shared, &signer, head).await {
                Ok(()) => break,
                Err(fault) => tracing::warn!(%fault, size = head.size, "a checkpoint could not be kept"),
            }
            sleep(PAUSE).await;
        }
        sleep(PAUSE).await;
    }
}

/// Signs `head` and keeps the note. A log without entries is not worth one.
pub(super) async fn sign(shared: &Shared, signer: &CheckpointSigner, head: Acknowledged) -> Result<(), StoreFault> {
    if head.size == 0 {
        return Ok(());
    }
    let signed = checkpoint::Checkpoint {
        epoch: head.epoch,
        size: head.size,
        key: signer.key(),
        root: head.root.to_vec(),
        note: signer.sign(head.epoch, head.size, head.root),
        signed_at: shared.clock.now(),
    };
    checkpoint::insert(&shared.pool, &signed).await?;
    shared.signed.store(head.size, Ordering::Relaxed);
    Ok(())
}

/// The rest between two checkpoints.
const PAUSE: Duration = Duration::from_millis(500);
