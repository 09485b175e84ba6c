//! People, keyed by (issuer, subject) and never by an e-mail address.
//! INVARIANT: `enrolled_at` is set once, by the first passkey, and never cleared.

use sqlx::{PgExecutor, Row as _, postgres::PgRow};
use uuid::Uuid;

use super::StoreFault;
use crate::model::{Identity, PersonId, ProviderName, Timestamp};

/// A person's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The row.
    pub id: PersonId,
    /// Who the provider says they are, as of their last sign-in.
    pub identity: Identity,
    /// The random handle that authenticators store (WebAuthn Level 3, section 14.6.1).
    pub user_handle: Uuid,
    /// When the first passkey was registered.
    pub enrolled_at: Option<Timestamp>,
}

type Row = (Uuid, String, String, String, String, Uuid, Option<Timestamp>);

/// The person of this identity; a new row with `id` and `user_handle` where there is none. Name and provider are
/// brought up to date, the key never changes.
pub async fn admit(
    db: impl PgExecutor<'_>,
    id: PersonId,
    user_handle: Uuid,
    identity: &Identity,
    now: Timestamp,
) -> Result<Person, StoreFault> {
    let row: Row = sqlx::query_as(
        "insert into person (id, issuer, subject, provider, name, user_handle, first_seen_at)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict on constraint person_is_issuer_and_subject
         do update set name = excluded.name, provider = excluded.provider
         returning id, issuer, subject, provider, name, user_handle, enrolled_at",
    )
    .bind(id.uuid())
    .bind(&identity.issuer)
    .bind(&identity.subject)
    .bind(identity.provider.as_str())
    .bind(&identity.name)
    .bind(user_handle)
    .bind(now.to_datetime())
    .fetch_one(db)
    .await?;
    read(row)
}

/// The person with this id.
pub async fn person(db: impl PgExecutor<'_>, id: PersonId) -> Result<Option<Person>, StoreFault> {
    let row: Option<Row> = sqlx::query_as(
        "select id, issuer, subject, provider, name, user_handle, enrolled_at from person where id = $1",
    )
    .bind(id.uuid())
    .fetch_optional(db)
    .await?;
    row.map(read).transpose()
}

/// The person whom this provider calls `subject`. If its issuer was changed, the one seen last counts.
pub async fn named(
    db: impl PgExecutor<'_>,
    provider: &ProviderName,
    subject: &str,
) -> Result<Option<PersonId>, StoreFault> {
    let row: Option<(Uuid,)> = sqlx::query_as(
        "select id from person where provider = $1 and subject = $2 order by first_seen_at desc limit 1",
    )
    .bind(provider.as_str())
    .bind(subject)
    .fetch_optional(db)
    .await?;
    Ok(row.map(|(id,)| PersonId::from_uuid(id)))
}

/// Marks the first passkey. False: there was one before, and nothing changed.
pub async fn mark_enrolled(db: impl PgExecutor<'_>, id: PersonId, now: Timestamp) -> Result<bool, StoreFault> {
    let done = sqlx::query("update person set enrolled_at = $2 where id = $1 and enrolled_at is null")
        .bind(id.uuid())
        .bind(now.to_datetime())
        .execute(db)
        .await?;
    Ok(done.rows_affected() == 1)
}

fn read((id, issuer, subject, provider, name, user_handle, enrolled_at): Row) -> Result<Person, StoreFault> {
    let provider = provider.parse().map_err(|_| StoreFault::Malformed { what: "person.provider" })?;
    Ok(Person {
        id: PersonId::from_uuid(id),
        identity: Identity { provider, issuer, subject, name },
        user_handle,
        enrolled_at,
    })
}

/// Who a person is, of a row that has these columns of theirs.
pub(super) fn identity_of(row: &PgRow) -> Result<Identity, StoreFault> {
    let provider: &str = row.try_get("provider")?;
    Ok(Identity {
        provider: provider.parse().map_err(|_| StoreFault::Malformed { what: "person.provider" })?,
        issuer: row.try_get("issuer")?,
        subject: row.try_get("subject")?,
        name: row.try_get("name")?,
    })
}
