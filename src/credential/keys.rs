//! The broker's own keys: made once by `key init`, then loaded by purpose. The private halves leave the database only
//! wrapped, and this room only as what they are needed for.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use secrecy::{ExposeSecret as _, SecretBox};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{CredentialFault, Wrapping, authority};
use crate::{
    model::{Entropy, Timestamp},
    store::key::{self, KeyPurpose, KeyRow},
};

/// Which keys there were and which were made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// The authority's certificate, DER.
    pub authority: Vec<u8>,
    /// The checkpoint key's row.
    pub checkpoint: Uuid,
    /// The checkpoint key's public half, 32 bytes.
    pub checkpoint_public: Vec<u8>,
    /// Whether any was made just now.
    pub made: bool,
}

/// The key that signs checkpoints.
pub struct CheckpointKey {
    /// Its row.
    pub id: Uuid,
    /// The signing half (RFC 8032, section 5.1.5).
    pub seed: SecretBox<[u8; 32]>,
    /// The public half.
    pub public: [u8; 32],
}

/// Makes the keys that are missing; those that exist stay, and are opened to see that the wrapping key fits.
/// `name` stands in the authority's subject: the portal's host.
pub async fn init(
    db: &mut PgConnection,
    wrapping: &Wrapping,
    name: &str,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<Inventory, CredentialFault> {
    let mut made = false;
    if key::active(&mut *db, KeyPurpose::Authority).await?.is_none() {
        let row = authority::make(name, wrapping, now, entropy)?;
        made |= key::insert_active(&mut *db, KeyPurpose::Authority, &row).await?;
    }
    if key::active(&mut *db, KeyPurpose::Checkpoint).await?.is_none() {
        let row = make_checkpoint(wrapping, now, entropy)?;
        made |= key::insert_active(&mut *db, KeyPurpose::Checkpoint, &row).await?;
    }
    Ok(Inventory { made, ..show(db, wrapping).await? })
}

/// Gives up the keys that there are, because what wraps them is lost, and makes new ones.
pub async fn replace_lost(
    db: &mut PgConnection,
    wrapping: &Wrapping,
    name: &str,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<Inventory, CredentialFault> {
    for purpose in [KeyPurpose::Authority, KeyPurpose::Checkpoint] {
        key::give_up(&mut *db, purpose, now).await?;
    }
    init(db, wrapping, name, now, entropy).await
}

/// The keys that exist; every one of them is opened.
pub async fn show(db: &mut PgConnection, wrapping: &Wrapping) -> Result<Inventory, CredentialFault> {
    let authority = authority::Authority::load(&mut *db, wrapping).await?;
    let checkpoint = checkpoint(&mut *db, wrapping).await?;
    Ok(Inventory {
        authority: authority.certificate().to_vec(),
        checkpoint: checkpoint.id,
        checkpoint_public: checkpoint.public.to_vec(),
        made: false,
    })
}

/// Loads the key that signs checkpoints.
pub async fn checkpoint(db: &mut PgConnection, wrapping: &Wrapping) -> Result<CheckpointKey, CredentialFault> {
    let row = key::active(db, KeyPurpose::Checkpoint).await?.ok_or(CredentialFault::NoKey("checkpoint"))?;
    unwrap_checkpoint(wrapping, &row)
}

/// Loads every key that signs checkpoints at `now`, the active one first.
pub async fn checkpoints(
    db: &mut PgConnection,
    wrapping: &Wrapping,
    now: Timestamp,
) -> Result<Vec<CheckpointKey>, CredentialFault> {
    let rows = key::signing(db, KeyPurpose::Checkpoint, now).await?;
    if rows.is_empty() {
        return Err(CredentialFault::NoKey("checkpoint"));
    }
    rows.iter().map(|row| unwrap_checkpoint(wrapping, row)).collect()
}

/// Keys that no longer sign checkpoints.
#[derive(Default)]
pub struct RetiredKeys {
    /// Those that signed once.
    pub ours: Vec<CheckpointKey>,
    /// Public halves of those that the wrapping key does not open: they are lost, or were never ours.
    pub strangers: Vec<Vec<u8>>,
}

/// Loads every key that signed checkpoints once and no longer does at `now`.
pub async fn retired_checkpoints(
    db: &mut PgConnection,
    wrapping: &Wrapping,
    now: Timestamp,
) -> Result<RetiredKeys, CredentialFault> {
    let mut retired = RetiredKeys::default();
    for row in key::retired(db, KeyPurpose::Checkpoint, now).await? {
        match unwrap_checkpoint(wrapping, &row) {
            Ok(key) => retired.ours.push(key),
            Err(_) => retired.strangers.push(row.public),
        }
    }
    Ok(retired)
}

fn unwrap_checkpoint(wrapping: &Wrapping, row: &KeyRow) -> Result<CheckpointKey, CredentialFault> {
    let seed = wrapping.unwrap(KeyPurpose::Checkpoint.as_str(), row.id, &row.wrapped)?;
    let unusable = || CredentialFault::Key("checkpoint");
    let seed: [u8; 32] = seed.expose_secret().try_into().map_err(|_| unusable())?;
    let seed = SecretBox::new(Box::new(seed));
    let public: [u8; 32] = row.public.as_slice().try_into().map_err(|_| unusable())?;
    // Compares the public half in the row with the one that the seed gives.
    Ed25519KeyPair::from_seed_and_public_key(seed.expose_secret(), &public).map_err(|_| unusable())?;
    Ok(CheckpointKey { id: row.id, seed, public })
}

/// Makes a key that could sign checkpoints; nobody knows of it yet.
pub fn make_checkpoint(wrapping: &Wrapping, now: Timestamp, entropy: &dyn Entropy) -> Result<KeyRow, CredentialFault> {
    let id = uuid::Builder::from_random_bytes(entropy.bytes()).into_uuid();
    let seed = SecretBox::new(Box::new(entropy.bytes::<32>()));
    let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose_secret());
    let pair = pair.map_err(|_| CredentialFault::Key("checkpoint"))?;
    Ok(KeyRow {
        id,
        public: pair.public_key().as_ref().to_vec(),
        wrapped: wrapping.wrap(KeyPurpose::Checkpoint.as_str(), id, seed.expose_secret(), entropy)?,
        certificate: None,
        created_at: now,
    })
}
