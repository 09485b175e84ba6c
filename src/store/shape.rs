//! Whether the tables of the log are those that the migrations made. Whoever owns the database may have dropped one, given
//! a column another type, or let it be empty; then nothing that is read of it means anything.

use sqlx::PgExecutor;

use super::StoreFault;

/// What the tables look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As the migrations made them.
    AsMade,
    /// No table of ours is there: this is another database.
    Foreign,
    /// One is not as it was made.
    Altered {
        /// Which.
        table: &'static str,
        /// What is wrong.
        what: String,
    },
}

/// Of a column: whether any table is there, whether its own is, its type, whether it may be empty.
type Found = (bool, bool, Option<String>, bool);

/// Compares the columns that the log is read from. Others may be added: an older binary goes on beside a newer schema.
pub async fn of_the_log(db: impl PgExecutor<'_>) -> Result<Shape, StoreFault> {
    let (tables, columns): (Vec<&str>, Vec<&str>) = COLUMNS.iter().map(|(table, column, ..)| (*table, *column)).unzip();
    let found: Vec<Found> = sqlx::query_as(
        "select to_regclass('_sqlx_migrations') is not null or bool_or(to_regclass(w.relation) is not null) over (),
                to_regclass(w.relation) is not null,
                format_type(a.atttypid, null),
                coalesce(not a.attnotnull, true)
           from unnest($1::text[], $2::text[]) with ordinality as w (relation, name, nth)
                left join pg_attribute a on a.attrelid = to_regclass(w.relation)
                                        and a.attname = w.name
                                        and not a.attisdropped
          order by w.nth",
    )
    .bind(tables)
    .bind(columns)
    .fetch_all(db)
    .await?;
    for (&(table, column, kind, may_be_empty), (is_ours, is_there, found, is_nullable)) in COLUMNS.iter().zip(found) {
        let altered = |what: String| Ok(Shape::Altered { table, what });
        match found {
            _ if !is_ours => return Ok(Shape::Foreign),
            _ if !is_there => return altered("it is missing".to_owned()),
            None => return altered(format!("its column `{column}` is missing")),
            Some(found) if found != kind => {
                return altered(format!("its column `{column}` was made {found}, and is to be {kind}"));
            }
            Some(_) if is_nullable && !may_be_empty => {
                return altered(format!("its column `{column}` was changed so that it may be empty"));
            }
            Some(_) => {}
        }
    }
    Ok(Shape::AsMade)
}

/// Table, column, type, and whether it may be empty.
const COLUMNS: &[(&str, &str, &str, bool)] = &[
    ("head", "epoch", "bigint", false),
    ("head", "size", "bigint", false),
    ("head", "parent_size", "bigint", false),
    ("head", "origin", "text", false),
    ("head", "root", "bytea", false),
    ("head", "edge", "bytea", false),
    ("head", "hashes", "bytea", false),
    ("head", "batch", "uuid", false),
    ("head", "recorded_at", "timestamp with time zone", false),
    ("entry", "leaf_index", "bigint", false),
    ("entry", "recorded_at", "timestamp with time zone", false),
    ("entry", "leaf", "bytea", false),
    ("entry", "happened_at", "timestamp with time zone", false),
    ("entry", "kind", "text", false),
    ("entry", "broker", "uuid", false),
    ("entry", "request", "uuid", true),
    ("entry", "person", "uuid", true),
    ("entry", "login", "uuid", true),
    ("entry", "credential", "uuid", true),
    ("entry", "verdict", "text", true),
    ("entry", "target", "text", true),
    ("tile", "level", "smallint", false),
    ("tile", "tile_index", "bigint", false),
    ("tile", "hashes", "bytea", false),
    ("checkpoint", "epoch", "bigint", false),
    ("checkpoint", "size", "bigint", false),
    ("checkpoint", "key", "uuid", false),
    ("checkpoint", "root", "bytea", false),
    ("checkpoint", "note", "text", false),
    ("checkpoint", "signed_at", "timestamp with time zone", false),
    ("key", "id", "uuid", false),
    ("key", "purpose", "text", false),
    ("key", "public", "bytea", false),
    ("archive", "from_index", "bigint", false),
    ("archive", "until_index", "bigint", false),
    ("archive", "file", "text", false),
    ("archive", "sha256", "bytea", false),
    ("succession", "leaf_index", "bigint", false),
    ("succession", "leaf", "bytea", false),
    ("policy_text", "hash", "bytea", false),
    ("policy_text", "kind", "text", false),
    ("policy_text", "body", "text", false),
];
