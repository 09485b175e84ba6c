//! The migrations, carried inside the binary: run forwards only, one binary at a time, each in its own transaction.
//! An older binary keeps working beside a newer schema, so what is applied may be more than what is known here.

use std::collections::HashMap;

use sqlx::{
    Connection as _, PgPool, SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
};

use super::StoreFault;

macro_rules! embedded {
    ($($version:literal $noun:literal;)*) => {
        &[$(($version, $noun, include_str!(concat!("../../migrations/", $version, "_", $noun, ".sql")))),*]
    };
}

/// Every migration, oldest first: number, noun, text.
const ALL: &[(&str, &str, &str)] = embedded! {
    "0001" "role";
    "0002" "entry";
    "0003" "policy";
    "0004" "person";
    "0005" "login";
    "0006" "credential";
    "0007" "key";
    "0008" "revocation";
    "0009" "broker";
    "0010" "expiry";
    "0011" "archive";
    "0012" "extend_log";
    "0013" "epoch";
    "0014" "key_overlap";
    "0015" "search";
    "0017" "saved_search";
    "0018" "collector";
    "0020" "change";
    "0025" "succession";
    "0026" "reading";
    "0027" "reading_rate";
    "0028" "loading";
};

/// Runs what is pending, as an owner. Waits for another binary that is doing the same; does nothing when it is done.
pub async fn migrate(pool: &PgPool) -> Result<(), StoreFault> {
    // A connection of its own: the migrator's lock belongs to the session and must go when it fails.
    let mut connection = pool.acquire().await?.detach();
    sqlx::raw_sql(
        "set statement_timeout = 0;
         set lock_timeout = 0;
         set idle_in_transaction_session_timeout = 0;
         select pg_advisory_lock(hashtext('bailiwick.migrate'));",
    )
    .execute(&mut connection)
    .await?;
    migrator().run_direct(None, &mut connection, false).await?;
    sqlx::raw_sql("grant select on _sqlx_migrations to bailiwick_broker, bailiwick_auditor")
        .execute(&mut connection)
        .await?;
    connection.close().await?;
    Ok(())
}

/// The migrations that this binary carries and the database has not run: `0002_entry`, ... A migration whose text
/// differs from the one that was run is a fault.
pub async fn pending(pool: &PgPool) -> Result<Vec<String>, StoreFault> {
    let (is_founded,): (bool,) =
        sqlx::query_as("select to_regclass('_sqlx_migrations') is not null").fetch_one(pool).await?;
    let applied: Vec<(i64, Vec<u8>)> = if is_founded {
        sqlx::query_as("select version, checksum from _sqlx_migrations where success order by version")
            .fetch_all(pool)
            .await?
    } else {
        Vec::new()
    };
    let applied: HashMap<i64, Vec<u8>> = applied.into_iter().collect();
    let mut pending = Vec::new();
    for migration in migrator().iter() {
        match applied.get(&migration.version) {
            None => pending.push(format!("{:04}_{}", migration.version, migration.description)),
            Some(checksum) if checksum.as_slice() != &*migration.checksum => {
                return Err(sqlx::migrate::MigrateError::VersionMismatch(migration.version).into());
            }
            Some(_) => {}
        }
    }
    Ok(pending)
}

fn migrator() -> Migrator {
    let migrations = ALL.iter().map(|&(version, noun, text)| {
        let version = version.parse().unwrap_or_default();
        Migration::new(version, noun.into(), MigrationType::Simple, text.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.set_ignore_missing(true);
    migrator
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_in_the_folder_is_carried() {
        let mut files: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations"))
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let carried: Vec<String> = ALL.iter().map(|(version, noun, _)| format!("{version}_{noun}.sql")).collect();
        assert_eq!(carried, files);
    }

    #[test]
    fn each_opens_with_why() {
        for (version, noun, text) in ALL {
            assert!(text.starts_with("-- Why: "), "{version}_{noun}.sql does not say why it exists");
        }
    }
}
