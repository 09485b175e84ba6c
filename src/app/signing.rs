//! The keys that sign the log's checkpoints: loaded at the start, and followed while the broker runs, so that a rotation
//! needs no restart.

use std::{sync::Arc, time::Duration};

use secrecy::ExposeSecret as _;
use sqlx::{PgConnection, PgPool};

use super::StartFault;
use crate::{
    audit::{BatchMac, Log, Signers, checkpoint::CheckpointSigner},
    config::Settings,
    credential::{CredentialFault, Wrapping, keys},
    model::{Clock, Timestamp},
    store::{self, StoreFault, key::KeyPurpose},
};

/// A key as it signs for the configured log.
pub(crate) fn signer(settings: &Settings, key: &keys::CheckpointKey) -> Result<CheckpointSigner, StartFault> {
    Ok(CheckpointSigner::from_seed(&settings.audit.origin, key.id, key.seed.expose_secret())?)
}

/// The keys that sign the log's checkpoints now.
pub(crate) async fn signers(
    settings: &Settings,
    pool: &PgPool,
    wrapping: &Wrapping,
    now: Timestamp,
) -> Result<Signers, StartFault> {
    let mut db = pool.acquire().await.map_err(StoreFault::from)?;
    signers_in(settings, &mut db, wrapping, now).await
}

/// The same, over one connection: as its transaction sees them.
pub(crate) async fn signers_in(
    settings: &Settings,
    db: &mut PgConnection,
    wrapping: &Wrapping,
    now: Timestamp,
) -> Result<Signers, StartFault> {
    let keys = keys::checkpoints(&mut *db, wrapping, now).await?;
    let retired = keys::retired_checkpoints(db, wrapping, now).await?;
    let ours = retired.ours.iter().map(|key| signer(settings, key)).collect::<Result<Vec<_>, _>>()?;
    let mut signers = keys.iter().map(|key| signer(settings, key)).collect::<Result<Vec<_>, _>>()?.into_iter();
    let active = signers.next().ok_or(CredentialFault::NoKey("checkpoint"))?;
    let batches = BatchMac::new(wrapping.derive("audit batch").map_err(CredentialFault::from)?.expose_secret());
    Ok(Signers::new(active, signers.collect(), batches).after(ours).beside(retired.strangers))
}

/// Takes up another key for checkpoints when there is one, and lets go of an old one when its time is over.
pub(super) async fn follow_keys(pool: PgPool, settings: Arc<Settings>, log: Log, clock: Arc<dyn Clock>) {
    let wrapping = Wrapping::new(settings.keys.wrapping_key_file.clone());
    let mut known = Vec::new();
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        // While the database is away, the keys that are known go on.
        let Ok(rows) = store::key::signing(&pool, KeyPurpose::Checkpoint, clock.now()).await else { continue };
        let found: Vec<_> = rows.into_iter().map(|row| row.id).collect();
        if found == known {
            continue;
        }
        match signers(&settings, &pool, &wrapping, clock.now()).await {
            Ok(signers) => {
                log.sign_with(signers);
                known = found;
            }
            Err(fault) => tracing::error!(%fault, "the keys that sign checkpoints could not be taken up"),
        }
    }
}
