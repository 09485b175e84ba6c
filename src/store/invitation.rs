//! Invitations: an administrator's word that somebody may register a first passkey, once and for a while.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::StoreFault;
use crate::model::{PersonId, Timestamp};

/// Keeps an invitation for (issuer, subject); `invited_by` is none when an operator invites from the command line.
pub async fn insert(
    db: impl PgExecutor<'_>,
    id: Uuid,
    (issuer, subject): (&str, &str),
    invited_by: Option<PersonId>,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), StoreFault> {
    sqlx::query(
        "insert into invitation (id, issuer, subject, invited_by, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(id)
    .bind(issuer)
    .bind(subject)
    .bind(invited_by.map(PersonId::uuid))
    .bind(now.to_datetime())
    .bind(expires_at.to_datetime())
    .execute(db)
    .await?;
    Ok(())
}

/// Whether somebody is invited now.
pub async fn is_open(
    db: impl PgExecutor<'_>,
    (issuer, subject): (&str, &str),
    now: Timestamp,
) -> Result<bool, StoreFault> {
    let (open,): (bool,) = sqlx::query_as(
        "select exists (select from invitation
                        where issuer = $1 and subject = $2 and used_at is null and expires_at > $3)",
    )
    .bind(issuer)
    .bind(subject)
    .bind(now.to_datetime())
    .fetch_one(db)
    .await?;
    Ok(open)
}

/// Until when somebody is invited already; none when they are not.
pub async fn open_until(
    db: impl PgExecutor<'_>,
    (issuer, subject): (&str, &str),
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreFault> {
    let (until,): (Option<Timestamp>,) = sqlx::query_as(
        "select max(expires_at) from invitation
         where issuer = $1 and subject = $2 and used_at is null and expires_at > $3",
    )
    .bind(issuer)
    .bind(subject)
    .bind(now.to_datetime())
    .fetch_one(db)
    .await?;
    Ok(until)
}

/// Uses up every open invitation of somebody. False: there was none.
pub async fn consume(
    db: impl PgExecutor<'_>,
    (issuer, subject): (&str, &str),
    now: Timestamp,
) -> Result<bool, StoreFault> {
    let done = sqlx::query(
        "update invitation
         set used_at = $3
         where issuer = $1 and subject = $2 and used_at is null and expires_at > $3",
    )
    .bind(issuer)
    .bind(subject)
    .bind(now.to_datetime())
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}
