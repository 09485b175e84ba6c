//! The portal's sessions, found by a hash of their id: a copy of this table opens nothing.
//! INVARIANT: a row's login is set when the row is made and never changes, and a row that is gone is not made again
//! by saving it.

use sqlx::PgExecutor;

use super::StoreFault;
use crate::model::{LoginId, Timestamp};

/// Makes a row. False: the id is taken, and nothing changed.
pub async fn insert(
    db: impl PgExecutor<'_>,
    id_hash: &[u8],
    login: Option<LoginId>,
    record: &serde_json::Value,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<bool, StoreFault> {
    let done = sqlx::query(
        "insert into session (id_hash, login, record, created_at, expires_at)
         values ($1, $2, $3, $4, $5)
         on conflict on constraint session_key do nothing",
    )
    .bind(id_hash)
    .bind(login.map(LoginId::uuid))
    .bind(record)
    .bind(now.to_datetime())
    .bind(expires_at.to_datetime())
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Changes the bag of a live row with this very login. False: there is none.
pub async fn update(
    db: impl PgExecutor<'_>,
    id_hash: &[u8],
    login: Option<LoginId>,
    record: &serde_json::Value,
    now: Timestamp,
) -> Result<bool, StoreFault> {
    let done = sqlx::query(
        "update session
         set record = $3
         where id_hash = $1 and login is not distinct from $2 and expires_at > $4",
    )
    .bind(id_hash)
    .bind(login.map(LoginId::uuid))
    .bind(record)
    .bind(now.to_datetime())
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The bag of a live row and when it expires.
pub async fn live_session(
    db: impl PgExecutor<'_>,
    id_hash: &[u8],
    now: Timestamp,
) -> Result<Option<(serde_json::Value, Timestamp)>, StoreFault> {
    let row: Option<(serde_json::Value, Timestamp)> =
        sqlx::query_as("select record, expires_at from session where id_hash = $1 and expires_at > $2")
            .bind(id_hash)
            .bind(now.to_datetime())
            .fetch_optional(db)
            .await?;
    Ok(row)
}

/// Takes a row away, if it is there.
pub async fn delete(db: impl PgExecutor<'_>, id_hash: &[u8]) -> Result<(), StoreFault> {
    sqlx::query("delete from session where id_hash = $1").bind(id_hash).execute(db).await?;
    Ok(())
}

/// Takes every row of a login away.
pub async fn delete_of_login(db: impl PgExecutor<'_>, login: LoginId) -> Result<(), StoreFault> {
    sqlx::query("delete from session where login = $1").bind(login.uuid()).execute(db).await?;
    Ok(())
}
