//! The texts that entries name by hash: the rules, entities and schema of a decision. INVARIANT: a text leaves this room
//! only if it has the hash that it was asked for by; whoever owns the database can store another under the same name.

use aws_lc_rs::digest::{SHA256, digest};
use sqlx::PgConnection;

use crate::store::{
    StoreFault,
    policy_text::{TextKind, unchecked_text},
};

/// What became of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// The one that was in force.
    Whole(String),
    /// Another one stands in its place.
    Changed,
    /// There is none.
    Missing,
}

/// The text with this SHA-256.
pub async fn text(db: &mut PgConnection, kind: TextKind, hash: &[u8; 32]) -> Result<Text, StoreFault> {
    Ok(match unchecked_text(db, kind, hash).await? {
        Some(body) if digest(&SHA256, body.as_bytes()).as_ref() == hash => Text::Whole(body),
        Some(_) => Text::Changed,
        None => Text::Missing,
    })
}
