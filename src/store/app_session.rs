//! A browser's sessions with protected apps, found by a hash of the cookie and hung on a login.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::StoreFault;
use crate::model::{AppName, AppSessionId, LoginId, Timestamp};

/// An app session's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSessionRow {
    /// The row.
    pub id: AppSessionId,
    /// What it hangs on.
    pub login: LoginId,
    /// The app that it opens.
    pub app: String,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Keeps an app session.
pub async fn insert(
    db: impl PgExecutor<'_>,
    id: AppSessionId,
    id_hash: &[u8],
    login: LoginId,
    app: &AppName,
    now: Timestamp,
) -> Result<(), StoreFault> {
    sqlx::query("insert into app_session (id, id_hash, login, app, created_at) values ($1, $2, $3, $4, $5)")
        .bind(id.uuid())
        .bind(id_hash)
        .bind(login.uuid())
        .bind(app.as_str())
        .bind(now.to_datetime())
        .execute(db)
        .await?;
    Ok(())
}

/// The app session whose cookie has this hash, ended or not.
pub async fn app_session(db: impl PgExecutor<'_>, id_hash: &[u8]) -> Result<Option<AppSessionRow>, StoreFault> {
    type Row = (Uuid, Uuid, String, Option<Timestamp>);
    let row: Option<Row> = sqlx::query_as("select id, login, app, ended_at from app_session where id_hash = $1")
        .bind(id_hash)
        .fetch_optional(db)
        .await?;
    Ok(row.map(|(id, login, app, ended_at)| AppSessionRow {
        id: AppSessionId::from_uuid(id),
        login: LoginId::from_uuid(login),
        app,
        ended_at,
    }))
}

/// Ends an app session. False: it had ended before.
pub async fn end(db: impl PgExecutor<'_>, id: AppSessionId, now: Timestamp) -> Result<bool, StoreFault> {
    let done = sqlx::query("update app_session set ended_at = $2 where id = $1 and ended_at is null")
        .bind(id.uuid())
        .bind(now.to_datetime())
        .execute(db)
        .await?;
    Ok(done.rows_affected() == 1)
}
