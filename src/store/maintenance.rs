//! What has run out: rows that open nothing any more are cleared away a few at a time, and logins past a limit are named.
//! Leaves ending a login, which is recorded, to the identity room.

use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::StoreFault;
use crate::model::{LoginId, Timestamp};

/// Tables whose rows mean nothing once they have expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fleeting {
    /// Browsers' sessions.
    Session,
    /// Sign-in and passkey ceremonies.
    Ceremony,
    /// Codes on their way to an app.
    Handover,
    /// Codes on their way to the command line.
    CommandLineGrant,
    /// Readings of the log that have been recorded.
    Reading,
}

impl Fleeting {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Session, Self::Ceremony, Self::Handover, Self::CommandLineGrant, Self::Reading];
}

/// Takes the right to clear up, until the transaction ends. False: another broker has it.
pub async fn try_lock(db: impl PgExecutor<'_>) -> Result<bool, StoreFault> {
    let (taken,): (bool,) =
        sqlx::query_as("select pg_try_advisory_xact_lock(hashtext('bailiwick.maintenance'))").fetch_one(db).await?;
    Ok(taken)
}

/// Deletes at most `limit` expired rows, and says how many they were.
pub async fn clear(db: impl PgExecutor<'_>, what: Fleeting, now: Timestamp, limit: u32) -> Result<u64, StoreFault> {
    let statement = match what {
        Fleeting::Session => {
            "delete from session
              where id_hash in (select id_hash from session where expires_at <= $1 order by expires_at limit $2)
                and expires_at <= $1"
        }
        Fleeting::Ceremony => {
            "delete from ceremony
              where id in (select id from ceremony where expires_at <= $1 order by expires_at limit $2)"
        }
        Fleeting::Handover => {
            "delete from handover
              where code_hash in (select code_hash from handover where expires_at <= $1 order by expires_at limit $2)"
        }
        Fleeting::CommandLineGrant => {
            "delete from command_line_grant
              where code_hash in (select code_hash
                                    from command_line_grant
                                   where expires_at <= $1
                                   order by expires_at
                                   limit $2)"
        }
        // A day is longer than anyone says the same reading again.
        Fleeting::Reading => {
            "delete from reading
              where (id, is_end) in (select id, is_end
                                       from reading
                                      where recorded_at <= $1 - interval '1 day'
                                      order by recorded_at
                                      limit $2)"
        }
    };
    let done = sqlx::query(statement).bind(now.to_datetime()).bind(i64::from(limit)).execute(db).await?;
    Ok(done.rows_affected())
}

/// Logins that nobody has ended though they are past a limit: not used after `active_after`, or expired. Which of the
/// two is for whoever ends them to say.
pub async fn overdue_logins(
    db: impl PgExecutor<'_>,
    active_after: Timestamp,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<LoginId>, StoreFault> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "select id
           from login
          where ended_at is null
            and (expires_at <= $1 or active_at <= $2)
          order by expires_at
          limit $3",
    )
    .bind(now.to_datetime())
    .bind(active_after.to_datetime())
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    Ok(ids.into_iter().map(LoginId::from_uuid).collect())
}

/// Ends a login that is past a limit. None: it is not, or has ended before. Otherwise
/// the cause.
pub async fn end_overdue(
    db: &mut PgConnection,
    id: LoginId,
    active_after: Timestamp,
    now: Timestamp,
) -> Result<Option<String>, StoreFault> {
    let cause: Option<String> = sqlx::query_scalar(
        "update login
            set ended_at = $3, end_cause = case when expires_at <= $3 then 'expired' else 'idle' end
          where id = $1
            and ended_at is null
            and (expires_at <= $3 or active_at <= $2)
         returning end_cause",
    )
    .bind(id.uuid())
    .bind(active_after.to_datetime())
    .bind(now.to_datetime())
    .fetch_optional(db)
    .await?;
    Ok(cause)
}
