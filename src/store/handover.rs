//! One-time codes that carry a login from the portal to an app's host, by hash.
//! INVARIANT: single use. Taking a code deletes it in the same statement, whatever becomes of the attempt.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::StoreFault;
use crate::model::{AppName, LoginId, Timestamp};

/// What a code stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandoverRow {
    /// Hash of the nonce that the app's host put into the browser.
    pub nonce_hash: Vec<u8>,
    /// The login that is carried over.
    pub login: LoginId,
    /// To which app.
    pub app: String,
    /// Where to go then: a path of the app, with its query.
    pub return_to: String,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Keeps a code.
pub async fn insert(
    db: impl PgExecutor<'_>,
    code_hash: &[u8],
    nonce_hash: &[u8],
    login: LoginId,
    app: &AppName,
    return_to: &str,
    expires_at: Timestamp,
) -> Result<(), StoreFault> {
    sqlx::query(
        "insert into handover (code_hash, nonce_hash, login, app, return_to, expires_at)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(code_hash)
    .bind(nonce_hash)
    .bind(login.uuid())
    .bind(app.as_str())
    .bind(return_to)
    .bind(expires_at.to_datetime())
    .execute(db)
    .await?;
    Ok(())
}

/// Takes a code, expired or not.
pub async fn take(db: impl PgExecutor<'_>, code_hash: &[u8]) -> Result<Option<HandoverRow>, StoreFault> {
    type Row = (Vec<u8>, Uuid, String, String, Timestamp);
    let row: Option<Row> = sqlx::query_as(
        "delete from handover where code_hash = $1 returning nonce_hash, login, app, return_to, expires_at",
    )
    .bind(code_hash)
    .fetch_optional(db)
    .await?;
    Ok(row.map(|(nonce_hash, login, app, return_to, expires_at)| HandoverRow {
        nonce_hash,
        login: LoginId::from_uuid(login),
        app,
        return_to,
        expires_at,
    }))
}
