//! Credentials: what a certificate or token reaches, and whether it still counts, is its row here.
//! INVARIANT: one that was revoked stays revoked; a trigger holds it even where a statement here would not.

use sqlx::{PgExecutor, Row as _, postgres::PgRow};
use uuid::Uuid;

use super::{StoreFault, person::identity_of};
use crate::model::{CredentialId, Identity, LoginId, PersonId, Scope, Timestamp};

/// A credential to be kept.
#[derive(Clone, Debug)]
pub struct NewCredential {
    /// The row.
    pub id: CredentialId,
    /// The login that it hangs on.
    pub login: LoginId,
    /// Whose.
    pub person: PersonId,
    /// A certificate's serial number; none for a token.
    pub serial: Option<Vec<u8>>,
    /// SHA-256 of a certificate's SubjectPublicKeyInfo, or of a token.
    pub key_hash: Vec<u8>,
    /// How far it reaches.
    pub scope: Scope,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
}

/// A credential's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialRow {
    /// The row.
    pub id: CredentialId,
    /// The login that it hangs on.
    pub login: LoginId,
    /// Whose.
    pub person: PersonId,
    /// SHA-256 of a certificate's SubjectPublicKeyInfo, or of a token.
    pub key_hash: Vec<u8>,
    /// How far it reaches.
    pub scope: Scope,
    /// When it ends.
    pub not_after: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A credential with whoever holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldCredential {
    /// The row.
    pub id: CredentialId,
    /// The login that it hangs on.
    pub login: LoginId,
    /// Whose.
    pub owner: Identity,
    /// Whether it is a certificate; otherwise a token.
    pub is_certificate: bool,
    /// How far it reaches.
    pub scope: Scope,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
}

type Row = (Uuid, Uuid, Uuid, Vec<u8>, serde_json::Value, Timestamp, Option<Timestamp>);

/// Keeps a credential: a certificate where it has a serial, a token where not.
pub async fn insert(db: impl PgExecutor<'_>, new: &NewCredential) -> Result<(), StoreFault> {
    let scope = serde_json::to_value(&new.scope).map_err(|_| StoreFault::Malformed { what: "credential.scope" })?;
    sqlx::query(
        "insert into credential (id, kind, login, person, serial, key_hash, scope, issued_at, not_after)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(new.id.uuid())
    .bind(if new.serial.is_some() { "certificate" } else { "token" })
    .bind(new.login.uuid())
    .bind(new.person.uuid())
    .bind(&new.serial)
    .bind(&new.key_hash)
    .bind(scope)
    .bind(new.issued_at.to_datetime())
    .bind(new.not_after.to_datetime())
    .execute(db)
    .await?;
    Ok(())
}

/// The certificate with this serial number, revoked or not.
pub async fn certificate(db: impl PgExecutor<'_>, serial: &[u8]) -> Result<Option<CredentialRow>, StoreFault> {
    let row: Option<Row> = sqlx::query_as(
        "select id, login, person, key_hash, scope, not_after, revoked_at
         from credential
         where kind = 'certificate' and serial = $1",
    )
    .bind(serial)
    .fetch_optional(db)
    .await?;
    row.map(read).transpose()
}

/// The token with this hash, revoked or not.
pub async fn token(db: impl PgExecutor<'_>, hash: &[u8]) -> Result<Option<CredentialRow>, StoreFault> {
    let row: Option<Row> = sqlx::query_as(
        "select id, login, person, key_hash, scope, not_after, revoked_at
         from credential
         where kind = 'token' and key_hash = $1",
    )
    .bind(hash)
    .fetch_optional(db)
    .await?;
    row.map(read).transpose()
}

/// The credentials of these logins that are neither revoked nor over, of each the newest, at most two hundred.
pub async fn live_of(
    db: impl PgExecutor<'_>,
    logins: &[LoginId],
    now: Timestamp,
) -> Result<Vec<HeldCredential>, StoreFault> {
    let logins: Vec<Uuid> = logins.iter().map(|login| login.uuid()).collect();
    let rows = sqlx::query(
        "select c.id, c.login, c.kind, c.scope, c.issued_at, c.not_after, p.provider, p.issuer, p.subject, p.name
         from unnest($1::uuid[]) l (id)
              cross join lateral (
                  select *
                  from credential
                  where login = l.id and revoked_at is null and not_after > $2
                  order by issued_at desc, id
                  limit 200) c
              join person p on p.id = c.person
         order by c.issued_at desc, c.id",
    )
    .bind(logins)
    .bind(now.to_datetime())
    .fetch_all(db)
    .await?;
    rows.iter().map(held).collect()
}

/// The credential of this row, revoked or not.
pub async fn credential(db: impl PgExecutor<'_>, id: CredentialId) -> Result<Option<HeldCredential>, StoreFault> {
    let row = sqlx::query(
        "select c.id, c.login, c.kind, c.scope, c.issued_at, c.not_after, p.provider, p.issuer, p.subject, p.name
         from credential c join person p on p.id = c.person
         where c.id = $1",
    )
    .bind(id.uuid())
    .fetch_optional(db)
    .await?;
    row.as_ref().map(held).transpose()
}

/// Revokes a credential. False: it was revoked before, or is unknown.
pub async fn revoke(
    db: impl PgExecutor<'_>,
    id: CredentialId,
    cause: &str,
    now: Timestamp,
) -> Result<bool, StoreFault> {
    let done =
        sqlx::query("update credential set revoked_at = $3, revoke_cause = $2 where id = $1 and revoked_at is null")
            .bind(id.uuid())
            .bind(cause)
            .bind(now.to_datetime())
            .execute(db)
            .await?;
    Ok(done.rows_affected() == 1)
}

fn read((id, login, person, key_hash, scope, not_after, revoked_at): Row) -> Result<CredentialRow, StoreFault> {
    Ok(CredentialRow {
        id: CredentialId::from_uuid(id),
        login: LoginId::from_uuid(login),
        person: PersonId::from_uuid(person),
        key_hash,
        scope: serde_json::from_value(scope).map_err(|_| StoreFault::Malformed { what: "credential.scope" })?,
        not_after,
        revoked_at,
    })
}

fn held(row: &PgRow) -> Result<HeldCredential, StoreFault> {
    let scope: serde_json::Value = row.try_get("scope")?;
    Ok(HeldCredential {
        id: CredentialId::from_uuid(row.try_get("id")?),
        login: LoginId::from_uuid(row.try_get("login")?),
        owner: identity_of(row)?,
        is_certificate: row.try_get::<&str, _>("kind")? == "certificate",
        scope: serde_json::from_value(scope).map_err(|_| StoreFault::Malformed { what: "credential.scope" })?,
        issued_at: row.try_get("issued_at")?,
        not_after: row.try_get("not_after")?,
    })
}
