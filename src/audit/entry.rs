//! One line of the log, and its leaf bytes: a version byte, then canonical JSON with fixed keys, integers only.
//!
//! INVARIANT: the leaf bytes are the entry. Every column is derived from them by [`Columns::of`], so that verification
//! can derive them again. Every entry carries 128 random bits, because leaf hashes are public and must not be guessable.
//! No secret has a place here: no query, no cookie, no token, no key.

use serde::{Deserialize, Serialize};

pub use super::columns::{Columns, summary};
pub use super::event::{ClosedBy, Event, SignInStep};

use super::Asker;
use super::canonical::{CanonicalFault, from_canonical, write_canonical};
use crate::model::{BrokerId, Caller, RequestId, Timestamp};

/// The first byte of every leaf of this form.
pub const VERSION: u8 = 1;

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The broker that wrote it.
    pub broker: BrokerId,
    /// Who asked, where that is known.
    pub caller: Option<Caller>,
    /// What happened.
    pub event: Event,
    /// When it happened, by the broker's clock.
    pub happened_at: Timestamp,
    /// When it was recorded: the same for a whole batch, never earlier than the batch before.
    pub recorded_at: Timestamp,
    /// The request that it belongs to.
    pub request: Option<RequestId>,
    /// 128 random bits, in hex.
    pub salt: Salt,
}

/// What a room hands to the log; the log adds who writes it, when, and the salt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Who asked, where that is known.
    pub caller: Option<Asker>,
    /// What happened.
    pub event: Event,
    /// When it happened.
    pub happened_at: Timestamp,
    /// The request that it belongs to.
    pub request: Option<RequestId>,
}

/// 128 random bits, in lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Salt(#[serde(with = "hex::serde")] pub [u8; 16]);

impl Entry {
    /// The leaf bytes.
    pub fn leaf(&self) -> Result<Vec<u8>, CanonicalFault> {
        let mut leaf = Vec::with_capacity(USUAL_LENGTH);
        leaf.push(VERSION);
        write_canonical(self, &mut leaf)?;
        Ok(leaf)
    }

    /// Reads leaf bytes, refusing every form but the canonical one.
    pub fn from_leaf(leaf: &[u8]) -> Result<Self, CanonicalFault> {
        match leaf.split_first() {
            Some((&VERSION, body)) => from_canonical(body),
            _ => Err(CanonicalFault::Form),
        }
    }
}

/// Longer than most leaves are, in bytes.
pub(super) const USUAL_LENGTH: usize = 1_536;
