//! The texts that decisions are made under, kept for as long as the log that names them by hash.
//! Written once, never changed: the database itself checks each hash against its text when it is written.

use sqlx::{PgConnection, PgExecutor};

use super::StoreFault;
use crate::model::Timestamp;

/// Which text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextKind {
    /// The policy set, as it is hashed.
    Policies,
    /// The entities file.
    Entities,
    /// The schema.
    Schema,
}

impl TextKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Policies => "policies",
            Self::Entities => "entities",
            Self::Schema => "schema",
        }
    }
}

/// Keeps `body` under its SHA-256. Nothing happens when it is already there.
pub async fn keep_policy_text(
    connection: &mut PgConnection,
    kind: TextKind,
    body: &str,
    at: Timestamp,
) -> Result<(), StoreFault> {
    sqlx::query(
        "insert into policy_text (hash, kind, body, first_loaded_at)
         values (sha256(convert_to($2, 'UTF8')), $1, $2, $3)
         on conflict on constraint policy_text_key do nothing",
    )
    .bind(kind.as_str())
    .bind(body)
    .bind(at.to_datetime())
    .execute(connection)
    .await?;
    Ok(())
}

/// The leaf bytes of the newest entry that says that rules were put in force.
pub async fn newest_loading(db: impl PgExecutor<'_>) -> Result<Option<Vec<u8>>, StoreFault> {
    let leaf =
        sqlx::query_scalar("select leaf from entry where kind = 'policy-loaded' order by leaf_index desc limit 1")
            .fetch_optional(db)
            .await?;
    Ok(leaf)
}

/// The text that stands under this hash. Whether it has it is the audit room's to say.
pub async fn unchecked_text(
    connection: &mut PgConnection,
    kind: TextKind,
    hash: &[u8; 32],
) -> Result<Option<String>, StoreFault> {
    let body = sqlx::query_scalar("select body from policy_text where kind = $1 and hash = $2")
        .bind(kind.as_str())
        .bind(hash.as_slice())
        .fetch_optional(connection)
        .await?;
    Ok(body)
}

/// A text as it lies in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextRow {
    /// `kind`
    pub kind: String,
    /// `hash`
    pub hash: Vec<u8>,
    /// `body`
    pub body: String,
}

/// The first text after the one of this kind and hash.
pub async fn next(db: impl PgExecutor<'_>, last: Option<&(String, Vec<u8>)>) -> Result<Option<TextRow>, StoreFault> {
    let (kind, hash) = last.map(|(kind, hash)| (kind.as_str(), hash.as_slice())).unwrap_or_default();
    let row: Option<(String, Vec<u8>, String)> = sqlx::query_as(
        "select kind, hash, body
           from policy_text
          where (kind, hash) > ($1, $2)
          order by kind, hash
          limit 1",
    )
    .bind(kind)
    .bind(hash)
    .fetch_optional(db)
    .await?;
    Ok(row.map(|(kind, hash, body)| TextRow { kind, hash, body }))
}
