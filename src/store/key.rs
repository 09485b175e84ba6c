//! The broker's own signing keys: the public half in clear, the private half wrapped.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::{StoreFault, expect_rows};
use crate::model::Timestamp;

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPurpose {
    /// Client certificates.
    Authority,
    /// Checkpoints of the audit log.
    Checkpoint,
}

impl KeyPurpose {
    /// The word in the row, and part of what a wrapped key is bound to.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::Checkpoint => "checkpoint",
        }
    }
}

/// A key's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The row.
    pub id: Uuid,
    /// The public half: SubjectPublicKeyInfo of an authority, 32 raw bytes of a checkpoint key.
    pub public: Vec<u8>,
    /// The private half, wrapped.
    pub wrapped: Vec<u8>,
    /// The authority's certificate, DER.
    pub certificate: Option<Vec<u8>>,
    /// When it was made.
    pub created_at: Timestamp,
}

type Row = (Uuid, Vec<u8>, Vec<u8>, Option<Vec<u8>>, Timestamp);

/// The active key for a purpose.
pub async fn active(db: impl PgExecutor<'_>, purpose: KeyPurpose) -> Result<Option<KeyRow>, StoreFault> {
    let row: Option<Row> = sqlx::query_as(
        "select id, public, wrapped, certificate, created_at from key where purpose = $1 and state = 'active'",
    )
    .bind(purpose.as_str())
    .fetch_optional(db)
    .await?;
    Ok(row.map(read))
}

/// Keeps a key as the active one. False: there is an active one already, and nothing changed.
pub async fn insert_active(db: impl PgExecutor<'_>, purpose: KeyPurpose, new: &KeyRow) -> Result<bool, StoreFault> {
    let done = sqlx::query(
        "insert into key (id, purpose, state, public, wrapped, certificate, created_at)
         values ($1, $2, 'active', $3, $4, $5, $6)
         on conflict (purpose) where state = 'active' do nothing",
    )
    .bind(new.id)
    .bind(purpose.as_str())
    .bind(&new.public)
    .bind(&new.wrapped)
    .bind(&new.certificate)
    .bind(new.created_at.to_datetime())
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The keys that sign for a purpose at `now`: the active one first, then those that still sign along.
pub async fn signing(db: impl PgExecutor<'_>, purpose: KeyPurpose, now: Timestamp) -> Result<Vec<KeyRow>, StoreFault> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, public, wrapped, certificate, created_at
           from key
          where purpose = $1
            and (state = 'active' or state = 'retiring' and signs_until > $2)
          order by state = 'active' desc, created_at desc, id",
    )
    .bind(purpose.as_str())
    .bind(now.to_datetime())
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(read).collect())
}

/// The keys that signed for a purpose and do not at `now`.
pub async fn retired(db: impl PgExecutor<'_>, purpose: KeyPurpose, now: Timestamp) -> Result<Vec<KeyRow>, StoreFault> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, public, wrapped, certificate, created_at
           from key
          where purpose = $1
            and state <> 'active'
            and (signs_until is null or signs_until <= $2)
          order by created_at desc, id",
    )
    .bind(purpose.as_str())
    .bind(now.to_datetime())
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(read).collect())
}

/// Retires the active key `id`, which goes on signing along with the next one until `until`.
pub async fn retire(db: impl PgExecutor<'_>, id: Uuid, now: Timestamp, until: Timestamp) -> Result<(), StoreFault> {
    let done = sqlx::query(
        "update key
            set state = 'retiring', retired_at = $2, signs_until = $3
          where id = $1
            and state = 'active'",
    )
    .bind(id)
    .bind(now.to_datetime())
    .bind(until.to_datetime())
    .execute(db)
    .await?;
    expect_rows("an active key is retired", 1, done.rows_affected())
}

/// Gives up every key for a purpose, those that sign along included: none of them signs any more.
pub async fn give_up(db: impl PgExecutor<'_>, purpose: KeyPurpose, now: Timestamp) -> Result<(), StoreFault> {
    sqlx::query(
        "update key
            set state = 'retired', retired_at = coalesce(retired_at, $2), signs_until = null
          where purpose = $1
            and state <> 'retired'",
    )
    .bind(purpose.as_str())
    .bind(now.to_datetime())
    .execute(db)
    .await?;
    Ok(())
}

/// Whether there is any key, whatever its state.
pub async fn any(db: impl PgExecutor<'_>) -> Result<bool, StoreFault> {
    Ok(sqlx::query_scalar("select exists (select from key)").fetch_one(db).await?)
}

/// The public halves of all keys for a purpose, whatever their state: for checking what they signed.
pub async fn publics(db: impl PgExecutor<'_>, purpose: KeyPurpose) -> Result<Vec<Vec<u8>>, StoreFault> {
    let rows: Vec<(Vec<u8>,)> = sqlx::query_as("select public from key where purpose = $1 order by created_at, id")
        .bind(purpose.as_str())
        .fetch_all(db)
        .await?;
    Ok(rows.into_iter().map(|(public,)| public).collect())
}

/// The same, each with its row.
pub async fn identified(db: impl PgExecutor<'_>, purpose: KeyPurpose) -> Result<Vec<(Uuid, Vec<u8>)>, StoreFault> {
    let rows = sqlx::query_as("select id, public from key where purpose = $1 order by created_at, id");
    Ok(rows.bind(purpose.as_str()).fetch_all(db).await?)
}

fn read((id, public, wrapped, certificate, created_at): Row) -> KeyRow {
    KeyRow { id, public, wrapped, certificate, created_at }
}
