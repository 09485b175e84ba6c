//! What a sign-in or passkey ceremony must remember between its two halves.
//! INVARIANT: single use. Taking one deletes it in the same statement, whatever becomes of the attempt.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::StoreFault;
use crate::model::{CeremonyId, LoginId, Timestamp};

/// What a ceremony is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Signing in at a provider.
    SignIn,
    /// Registering a passkey.
    Enrol,
    /// Asserting one.
    Assert,
}

impl Purpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::Enrol => "enrol",
            Self::Assert => "assert",
        }
    }
}

/// Keeps the state of a ceremony that has begun.
pub async fn insert(
    db: impl PgExecutor<'_>,
    id: CeremonyId,
    login: Option<LoginId>,
    purpose: Purpose,
    state: &serde_json::Value,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), StoreFault> {
    sqlx::query(
        "insert into ceremony (id, login, purpose, state, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(id.uuid())
    .bind(login.map(LoginId::uuid))
    .bind(purpose.as_str())
    .bind(state)
    .bind(now.to_datetime())
    .bind(expires_at.to_datetime())
    .execute(db)
    .await?;
    Ok(())
}

/// Takes the state of a ceremony of this login and purpose. None: there is no such ceremony, or it is too late; an
/// id that exists is used up either way.
pub async fn take(
    db: impl PgExecutor<'_>,
    id: CeremonyId,
    login: Option<LoginId>,
    purpose: Purpose,
    now: Timestamp,
) -> Result<Option<serde_json::Value>, StoreFault> {
    type Row = (Option<Uuid>, String, serde_json::Value, Timestamp);
    let row: Option<Row> =
        sqlx::query_as("delete from ceremony where id = $1 returning login, purpose, state, expires_at")
            .bind(id.uuid())
            .fetch_optional(db)
            .await?;
    Ok(row.and_then(|(of, what, state, expires_at)| {
        let fits = of == login.map(LoginId::uuid) && what == purpose.as_str();
        (fits && expires_at > now).then_some(state)
    }))
}
