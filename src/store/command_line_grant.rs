//! One-time codes that the command line exchanges for a token (RFC 8252, RFC 7636), by hash.
//! INVARIANT: single use. Taking a code deletes it in the same statement, whatever becomes of the attempt.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::StoreFault;
use crate::model::{LoginId, Timestamp};

/// What a code stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRow {
    /// The S256 challenge that the code is bound to.
    pub challenge: String,
    /// The login that the token will act for.
    pub login: LoginId,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Keeps a code.
pub async fn insert(
    db: impl PgExecutor<'_>,
    code_hash: &[u8],
    challenge: &str,
    login: LoginId,
    expires_at: Timestamp,
) -> Result<(), StoreFault> {
    sqlx::query("insert into command_line_grant (code_hash, challenge, login, expires_at) values ($1, $2, $3, $4)")
        .bind(code_hash)
        .bind(challenge)
        .bind(login.uuid())
        .bind(expires_at.to_datetime())
        .execute(db)
        .await?;
    Ok(())
}

/// Takes a code, expired or not.
pub async fn take(db: impl PgExecutor<'_>, code_hash: &[u8]) -> Result<Option<GrantRow>, StoreFault> {
    let row: Option<(String, Uuid, Timestamp)> =
        sqlx::query_as("delete from command_line_grant where code_hash = $1 returning challenge, login, expires_at")
            .bind(code_hash)
            .fetch_optional(db)
            .await?;
    Ok(row.map(|(challenge, login, expires_at)| GrantRow { challenge, login: LoginId::from_uuid(login), expires_at }))
}
