//! `bailiwick migrate`: brings the database up to date, by an account that owns it, or says whether it is.

use std::path::PathBuf;

use clap::Args;
use sqlx::PgPool;

use super::{CliFault, ConfigFile, Ending, output};
use crate::{
    config::{Database, DatabaseUrl, SecretFile},
    store,
};

/// Bring the database up to date, or say whether it is.
///
/// Takes an account that may become bailiwick_owner: a superuser, or a member of that role. The broker's own account
/// must not be one, so name the other in --url or --url-file: then no configuration is read.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    config: ConfigFile,
    /// Change nothing; exit 0 if the database is up to date, 1 if migrations are pending
    #[arg(long)]
    check: bool,
    /// The owner's URL, without a password
    #[arg(long, value_name = "URL", conflicts_with = "url_file")]
    url: Option<String>,
    /// A file that holds the owner's URL
    #[arg(long, value_name = "FILE")]
    url_file: Option<PathBuf>,
}

impl Migrate {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        let database = self.database()?;
        let pool = store::connect_with(&database.url, &database).await.map_err(CliFault::could_not_look)?;
        let pending = store::pending_migrations(&pool).await.map_err(CliFault::could_not_look)?;
        if pending.is_empty() {
            output::say("the database is up to date");
            return Ok(Ending::Yes);
        }
        if self.check {
            output::say(format_args!("pending: {}", pending.join(", ")));
            return Ok(Ending::No);
        }
        store::migrate(&pool).await.map_err(CliFault::failed)?;
        output::changed(format_args!("the database is migrated ({})", pending.join(", ")));
        output::say(format_args!("done: {}", pending.join(", ")));
        Ok(Ending::Yes)
    }

    fn database(&self) -> Result<Database, CliFault> {
        match (&self.url, &self.url_file) {
            (Some(url), _) => Ok(Database::at(DatabaseUrl::Plain(url.clone()))),
            (None, Some(path)) => Ok(Database::at(DatabaseUrl::File(SecretFile::new(path)))),
            (None, None) => Ok(self.config.load_without_keys()?.database),
        }
    }
}

/// Connects as the broker does, to a database that is up to date.
pub(super) async fn connect_up_to_date(database: &Database) -> Result<PgPool, CliFault> {
    let pool = store::connect(database).await.map_err(CliFault::could_not_look)?;
    let pending = store::pending_migrations(&pool).await.map_err(CliFault::could_not_look)?;
    if pending.is_empty() {
        return Ok(pool);
    }
    let message = format!("the database lacks migrations ({}). Type: bailiwick migrate", pending.join(", "));
    Err(CliFault::could_not_look(message))
}
