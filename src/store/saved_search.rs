//! Searches of the audit log that people keep under a name. One that is changed is removed and kept anew, so that the
//! broker needs no right to update.

use sqlx::{PgConnection, PgExecutor};

use super::{StoreFault, expect_rows};
use crate::model::{PersonId, Timestamp};

/// A person's searches, by name: (name, search).
pub async fn of_person(db: impl PgExecutor<'_>, person: PersonId) -> Result<Vec<(String, String)>, StoreFault> {
    let rows = sqlx::query_as("select name, search from saved_search where person = $1 order by lower(name), name")
        .bind(person.uuid())
        .fetch_all(db)
        .await?;
    Ok(rows)
}

/// Keeps a search, in the place of one of the same name. Returns what that was.
pub async fn keep(
    db: &mut PgConnection,
    person: PersonId,
    (name, search): (&str, &str),
    now: Timestamp,
) -> Result<Option<String>, StoreFault> {
    let before = remove(&mut *db, person, name).await?;
    let done = sqlx::query("insert into saved_search (person, name, search, saved_at) values ($1, $2, $3, $4)")
        .bind(person.uuid())
        .bind(name)
        .bind(search)
        .bind(now.to_datetime())
        .execute(db)
        .await?;
    expect_rows("a search is kept", 1, done.rows_affected())?;
    Ok(before)
}

/// Forgets a search. Returns what it was; none: there was none of this name.
pub async fn remove(db: &mut PgConnection, person: PersonId, name: &str) -> Result<Option<String>, StoreFault> {
    let row: Option<(String,)> =
        sqlx::query_as("delete from saved_search where person = $1 and name = $2 returning search")
            .bind(person.uuid())
            .bind(name)
            .fetch_optional(db)
            .await?;
    Ok(row.map(|(search,)| search))
}
