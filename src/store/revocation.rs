//! What has ended before its time, and what has changed, in the order in which it did. The database gives each row its
//! position at COMMIT, under a lock, so whoever has read position n has read all before it.

use sqlx::{PgConnection, Row as _, postgres::PgRow};
use uuid::Uuid;

use super::{StoreFault, expect_rows};
use crate::model::Timestamp;

/// How far the feed has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub i64);

/// What kind of thing has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RevokedKind {
    /// A login, and all that hangs on it.
    Login,
    /// One credential.
    Credential,
    /// One app's session.
    AppSession,
    /// A person, with all their logins.
    Person,
}

impl RevokedKind {
    const ALL: [Self; 4] = [Self::Login, Self::Credential, Self::AppSession, Self::Person];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Credential => "credential",
            Self::AppSession => "app-session",
            Self::Person => "person",
        }
    }
}

/// Something that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Its kind.
    pub kind: RevokedKind,
    /// Its row.
    pub target: Uuid,
    /// Why, in words.
    pub cause: String,
    /// Where in the feed.
    pub position: Position,
}

/// Tells every broker that `target` has ended, once the transaction commits.
pub async fn revoke(
    connection: &mut PgConnection,
    kind: RevokedKind,
    target: Uuid,
    cause: &str,
    at: Timestamp,
) -> Result<(), StoreFault> {
    let done = sqlx::query(
        "insert into revocation (id, kind, target, cause, at)
         values (gen_random_uuid(), $1, $2, $3, $4)",
    )
    .bind(kind.as_str())
    .bind(target)
    .bind(cause)
    .bind(at.to_datetime())
    .execute(connection)
    .await?;
    expect_rows("revoke", 1, done.rows_affected())
}

/// The newest position.
pub async fn newest_position(connection: &mut PgConnection) -> Result<Position, StoreFault> {
    let position = sqlx::query_scalar("select position from feed").fetch_one(connection).await?;
    Ok(Position(position))
}

/// What the feed tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Something has ended.
    Ended(Revoked),
    /// A login's assurance or a person's name is another now. Only the newest change of each is told.
    Changed {
        /// Its row.
        target: Uuid,
        /// Where in the feed.
        position: Position,
    },
}

/// The next thousand after `position`, in order.
pub async fn news_after(connection: &mut PgConnection, position: Position) -> Result<Vec<News>, StoreFault> {
    let rows = sqlx::query(
        "select position, target, kind, cause
           from revocation
          where position > $1
          union all
         select position, target, null, null
           from change
          where position > $1
          order by position
          limit 1000",
    )
    .bind(position.0)
    .fetch_all(connection)
    .await?;
    rows.iter().map(news).collect()
}

fn news(row: &PgRow) -> Result<News, StoreFault> {
    let (target, position) = (row.try_get("target")?, Position(row.try_get("position")?));
    let Some(word) = row.try_get::<Option<String>, _>("kind")? else { return Ok(News::Changed { target, position }) };
    let kind = RevokedKind::ALL.into_iter().find(|kind| kind.as_str() == word);
    Ok(News::Ended(Revoked {
        kind: kind.ok_or(StoreFault::Malformed { what: "revocation.kind" })?,
        target,
        cause: row.try_get("cause")?,
        position,
    }))
}
