//! Logins: the one thing that sessions, app sessions, credentials and streams hang on.
//! INVARIANT: a login that has ended stays ended; a trigger holds it even where a statement here would not.

use std::net::IpAddr;

use sqlx::{PgExecutor, Row as _, postgres::PgRow};

use super::{StoreFault, person::identity_of};
use crate::model::{Assurance, AssuranceLevel, Identity, LoginId, PersonId, Timestamp};

/// A login to be kept.
#[derive(Clone, Debug)]
pub struct NewLogin {
    /// The row.
    pub id: LoginId,
    /// Whose.
    pub person: PersonId,
    /// The groups that the provider named: sorted, each once.
    pub groups: Vec<String>,
    /// The provider's authentication context class.
    pub acr: Option<String>,
    /// The provider's own session (`sid`).
    pub provider_session: Option<String>,
    /// Where it began.
    pub address: IpAddr,
    /// The browser's own description.
    pub agent: String,
    /// When.
    pub started_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
}

/// A login's row with its person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRow {
    /// The row.
    pub id: LoginId,
    /// Whose.
    pub person: PersonId,
    /// Who that is.
    pub identity: Identity,
    /// When that person registered a first passkey.
    pub enrolled_at: Option<Timestamp>,
    /// The groups that the provider named.
    pub groups: Vec<String>,
    /// How well proven, and when.
    pub assurance: Assurance,
    /// The provider's authentication context class.
    pub acr: Option<String>,
    /// Where it began.
    pub address: String,
    /// The browser's own description.
    pub agent: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was last used.
    pub active_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why.
    pub end_cause: Option<String>,
}

/// Keeps a login at the level of the provider's word.
pub async fn insert(db: impl PgExecutor<'_>, new: &NewLogin) -> Result<(), StoreFault> {
    sqlx::query(
        "insert into login (id, person, level, assured_at, groups, acr, provider_session, address, agent,
                            started_at, active_at, expires_at)
         values ($1, $2, 'provider', $8, $3, $4, $5, $6, $7, $8, $8, $9)",
    )
    .bind(new.id.uuid())
    .bind(new.person.uuid())
    .bind(&new.groups)
    .bind(&new.acr)
    .bind(&new.provider_session)
    .bind(new.address.to_string())
    .bind(&new.agent)
    .bind(new.started_at.to_datetime())
    .bind(new.expires_at.to_datetime())
    .execute(db)
    .await?;
    Ok(())
}

/// The login with this id, live or not.
pub async fn login(db: impl PgExecutor<'_>, id: LoginId) -> Result<Option<LoginRow>, StoreFault> {
    let row = sqlx::query(
        "select l.id, l.person, p.issuer, p.subject, p.provider, p.name, p.enrolled_at, l.groups, l.level,
                l.assured_at, l.acr, l.address, l.agent, l.started_at, l.active_at, l.expires_at, l.ended_at,
                l.end_cause
         from login l join person p on p.id = l.person
         where l.id = $1",
    )
    .bind(id.uuid())
    .fetch_optional(db)
    .await?;
    row.as_ref().map(read).transpose()
}

/// Logins that have not ended, neither by act nor by a limit, newest first; one person's or everybody's.
pub async fn live_logins(
    db: impl PgExecutor<'_>,
    person: Option<PersonId>,
    active_after: Timestamp,
    now: Timestamp,
) -> Result<Vec<LoginRow>, StoreFault> {
    let rows = sqlx::query(
        "select l.id, l.person, p.issuer, p.subject, p.provider, p.name, p.enrolled_at, l.groups, l.level,
                l.assured_at, l.acr, l.address, l.agent, l.started_at, l.active_at, l.expires_at, l.ended_at,
                l.end_cause
         from login l join person p on p.id = l.person
         where ($1::uuid is null or l.person = $1) and l.ended_at is null and l.expires_at > $2 and l.active_at > $3
         order by l.started_at desc, l.id
         limit 1000",
    )
    .bind(person.map(PersonId::uuid))
    .bind(now.to_datetime())
    .bind(active_after.to_datetime())
    .fetch_all(db)
    .await?;
    rows.iter().map(read).collect()
}

/// Those of `logins` that have not ended, neither by act nor by a limit.
pub async fn live_among(
    db: impl PgExecutor<'_>,
    logins: &[LoginId],
    active_after: Timestamp,
    now: Timestamp,
) -> Result<Vec<LoginId>, StoreFault> {
    let ids: Vec<_> = logins.iter().map(|login| login.uuid()).collect();
    let live = sqlx::query_scalar(
        "select id from login where id = any($1) and ended_at is null and expires_at > $2 and active_at > $3",
    )
    .bind(ids)
    .bind(now.to_datetime())
    .bind(active_after.to_datetime())
    .fetch_all(db)
    .await?;
    Ok(live.into_iter().map(LoginId::from_uuid).collect())
}

/// Notes a use. Changes nothing for a login that has ended, or that was used after `before`.
pub async fn touch(db: impl PgExecutor<'_>, id: LoginId, before: Timestamp, now: Timestamp) -> Result<(), StoreFault> {
    sqlx::query("update login set active_at = $3 where id = $1 and active_at <= $2 and ended_at is null")
        .bind(id.uuid())
        .bind(before.to_datetime())
        .bind(now.to_datetime())
        .execute(db)
        .await?;
    Ok(())
}

/// Raises or renews the assurance by a passkey. False: the login has ended meanwhile.
pub async fn assure(db: impl PgExecutor<'_>, id: LoginId, now: Timestamp) -> Result<bool, StoreFault> {
    let done = sqlx::query(
        "update login
         set level = 'passkey', assured_at = $2, active_at = $2
         where id = $1 and ended_at is null and expires_at > $2",
    )
    .bind(id.uuid())
    .bind(now.to_datetime())
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends a login. False: it had ended before.
pub async fn end(db: impl PgExecutor<'_>, id: LoginId, cause: &str, now: Timestamp) -> Result<bool, StoreFault> {
    let done = sqlx::query("update login set ended_at = $3, end_cause = $2 where id = $1 and ended_at is null")
        .bind(id.uuid())
        .bind(cause)
        .bind(now.to_datetime())
        .execute(db)
        .await?;
    Ok(done.rows_affected() == 1)
}

fn read(row: &PgRow) -> Result<LoginRow, StoreFault> {
    let at = |column| row.try_get(column);
    let level = match row.try_get("level")? {
        "passkey" => AssuranceLevel::Passkey,
        "provider" => AssuranceLevel::Provider,
        _ => return Err(StoreFault::Malformed { what: "login.level" }),
    };
    Ok(LoginRow {
        id: LoginId::from_uuid(row.try_get("id")?),
        person: PersonId::from_uuid(row.try_get("person")?),
        identity: identity_of(row)?,
        enrolled_at: row.try_get("enrolled_at")?,
        groups: row.try_get("groups")?,
        assurance: Assurance { level, at: at("assured_at")? },
        acr: row.try_get("acr")?,
        address: row.try_get("address")?,
        agent: row.try_get("agent")?,
        started_at: at("started_at")?,
        active_at: at("active_at")?,
        expires_at: at("expires_at")?,
        ended_at: row.try_get("ended_at")?,
        end_cause: row.try_get("end_cause")?,
    })
}
