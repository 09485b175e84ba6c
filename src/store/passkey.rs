//! Passkeys: each belongs to one person for good, removed ones included.
//! INVARIANT: the counter only grows; an update that would not let it grow changes nothing.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::StoreFault;
use crate::model::{PasskeyId, PersonId, Timestamp};

/// A passkey's row.
#[derive(Clone, Debug, PartialEq)]
pub struct PasskeyRow {
    /// The row.
    pub id: PasskeyId,
    /// The authenticator's own name for it.
    pub credential_id: Vec<u8>,
    /// The public key and its properties.
    pub state: serde_json::Value,
    /// What the person calls it.
    pub label: String,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was last asserted.
    pub used_at: Option<Timestamp>,
}

/// A passkey to be kept.
#[derive(Clone, Debug)]
pub struct NewPasskey {
    /// The row.
    pub id: PasskeyId,
    /// Whose it is.
    pub person: PersonId,
    /// The relying party id it was made for.
    pub rp_id: String,
    /// The authenticator's own name for it.
    pub credential_id: Vec<u8>,
    /// The public key and its properties.
    pub state: serde_json::Value,
    /// What the person calls it.
    pub label: String,
    /// When.
    pub created_at: Timestamp,
}

type Row = (Uuid, Vec<u8>, serde_json::Value, String, Timestamp, Option<Timestamp>);

/// The passkeys of a person that count: of this relying party, not removed.
pub async fn passkeys_of(
    db: impl PgExecutor<'_>,
    person: PersonId,
    rp_id: &str,
) -> Result<Vec<PasskeyRow>, StoreFault> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, credential_id, state, label, created_at, used_at
         from passkey
         where person = $1 and rp_id = $2 and removed_at is null
         order by created_at, id",
    )
    .bind(person.uuid())
    .bind(rp_id)
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(read).collect())
}

/// Keeps a passkey. False: its credential id is taken, by whomever, and nothing changed.
pub async fn insert(db: impl PgExecutor<'_>, new: &NewPasskey) -> Result<bool, StoreFault> {
    let done = sqlx::query(
        "insert into passkey (id, person, rp_id, credential_id, state, counter, label, created_at)
         values ($1, $2, $3, $4, $5, 0, $6, $7)
         on conflict on constraint passkey_belongs_to_one do nothing",
    )
    .bind(new.id.uuid())
    .bind(new.person.uuid())
    .bind(&new.rp_id)
    .bind(&new.credential_id)
    .bind(&new.state)
    .bind(&new.label)
    .bind(new.created_at.to_datetime())
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Records a use with the authenticator's counter. False: the passkey was removed, or the counter has not grown
/// (zero on both sides is an authenticator without one); nothing changed.
pub async fn mark_used(
    db: impl PgExecutor<'_>,
    id: PasskeyId,
    state: &serde_json::Value,
    counter: u32,
    now: Timestamp,
) -> Result<bool, StoreFault> {
    let done = sqlx::query(
        "update passkey
         set state = $2, counter = $3, used_at = $4
         where id = $1 and removed_at is null and (counter < $3 or (counter = 0 and $3 = 0))",
    )
    .bind(id.uuid())
    .bind(state)
    .bind(i64::from(counter))
    .bind(now.to_datetime())
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Removes a passkey of this person. False: it is not theirs, or is gone.
pub async fn remove(
    db: impl PgExecutor<'_>,
    person: PersonId,
    id: PasskeyId,
    now: Timestamp,
) -> Result<bool, StoreFault> {
    let done = sqlx::query("update passkey set removed_at = $3 where id = $2 and person = $1 and removed_at is null")
        .bind(person.uuid())
        .bind(id.uuid())
        .bind(now.to_datetime())
        .execute(db)
        .await?;
    Ok(done.rows_affected() == 1)
}

fn read((id, credential_id, state, label, created_at, used_at): Row) -> PasskeyRow {
    PasskeyRow { id: PasskeyId::from_uuid(id), credential_id, state, label, created_at, used_at }
}
