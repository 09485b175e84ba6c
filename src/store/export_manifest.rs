//! What exports from the portal said about themselves, kept for those who made them: the log has the hash.

use sqlx::PgExecutor;

use super::StoreFault;
use crate::model::{PersonId, Timestamp};

/// Keeps a manifest under its SHA-256. The same one again changes nothing.
pub async fn keep(db: impl PgExecutor<'_>, body: &str, person: PersonId, now: Timestamp) -> Result<(), StoreFault> {
    sqlx::query(
        "insert into export_manifest (sha256, person, body, made_at)
         values (sha256(convert_to($1, 'UTF8')), $2, $1, $3)
         on conflict on constraint export_manifest_key do nothing",
    )
    .bind(body)
    .bind(person.uuid())
    .bind(now.to_datetime())
    .execute(db)
    .await?;
    Ok(())
}

/// The manifest of one of a person's exports.
pub async fn manifest(
    db: impl PgExecutor<'_>,
    sha256: &[u8; 32],
    person: PersonId,
) -> Result<Option<String>, StoreFault> {
    let body = sqlx::query_scalar("select body from export_manifest where sha256 = $1 and person = $2")
        .bind(sha256.as_slice())
        .bind(person.uuid())
        .fetch_optional(db)
        .await?;
    Ok(body)
}

/// The newest of a person's exports: the manifest's hash in hex, the manifest, and when it was made.
pub async fn newest(
    db: impl PgExecutor<'_>,
    person: PersonId,
    most: i64,
) -> Result<Vec<(String, String, Timestamp)>, StoreFault> {
    let rows = sqlx::query_as(
        "select encode(sha256, 'hex'), body, made_at
         from export_manifest
         where person = $1
         order by made_at desc, sha256
         limit $2",
    )
    .bind(person.uuid())
    .bind(most)
    .fetch_all(db)
    .await?;
    Ok(rows)
}
