//! `bailiwick audit`: is the log sound, and what was recorded. Needs no server and only the right to read.
//! One file per command; this one is their table of contents and what they share: where the log is.

mod checkpoint;
mod fields;
mod progress;
mod proof;
mod tail;
mod verify;

use std::io::IsTerminal as _;

use clap::{Args, Subcommand};
use secrecy::ExposeSecret as _;
use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};

use super::{
    CliFault, ConfigFile, Ending,
    output::{Paint, paint},
};
use {checkpoint::Checkpoint, fields::Fields, proof::Proof, tail::Tail, verify::Verify};

/// `bailiwick audit …`
#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Check that nothing in the log was changed, dropped or added
    #[command(after_help = "Exit code: 0 the log is sound, 1 it is broken, 2 it could not be looked at.\n\n\
                            Examples:\n  bailiwick audit verify --key auth.example.com/audit+1a2b3c4d+AQ...\n  \
                            bailiwick audit verify --database postgres://auditor@db/bailiwick --checkpoint kept.txt")]
    Verify(Verify),
    /// Print the newest checkpoint, a signed note to keep somewhere else
    Checkpoint(Checkpoint),
    /// Prove that an entry is in the log, or that the log continues what it was
    #[command(subcommand)]
    Proof(Proof),
    /// Print the newest entries, oldest of them first
    #[command(after_help = "Examples:\n  bailiwick audit tail\n  bailiwick audit tail -n 100 -f -o json")]
    Tail(Tail),
    /// Print every field of every kind of entry, and where it goes in OCSF
    Fields(Fields),
}

/// Where the log is.
#[derive(Debug, Args)]
pub(super) struct LogDatabase {
    /// The database, with an account that may read the log; from the configuration if it is left out
    #[arg(long, value_name = "URL", conflicts_with = "path")]
    database: Option<String>,
    #[command(flatten)]
    config: ConfigFile,
}

impl Audit {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        match self {
            Self::Verify(command) => command.run().await,
            Self::Checkpoint(command) => command.run().await,
            Self::Proof(command) => command.run().await,
            Self::Tail(command) => command.run().await,
            Self::Fields(command) => Ok(command.run()),
        }
    }
}

impl LogDatabase {
    pub(super) async fn connect(&self) -> Result<PgConnection, CliFault> {
        let url = match &self.database {
            Some(url) => url.clone(),
            None => {
                let settings = self.config.load()?.database;
                let url = settings.auditor_url.as_ref().unwrap_or(&settings.url).read();
                url.map_err(CliFault::could_not_look)?.expose_secret().to_owned()
            }
        };
        let options: PgConnectOptions =
            url.parse().map_err(|_| CliFault::could_not_look("this is not a Postgres URL"))?;
        let options = options.application_name("bailiwick audit").disable_statement_logging();
        let connected = options.connect().await;
        connected.map_err(|fault| CliFault::could_not_look(format!("the database cannot be reached: {fault}")))
    }
}

/// Coloured where the answer goes to a person.
pub(super) fn shown(colour: Paint, text: &str) -> String {
    if std::io::stdout().is_terminal() { paint(colour, text) } else { text.to_owned() }
}

/// Text that cannot move a cursor or turn a line around, whatever a peer wrote.
pub(super) fn inert(text: &str) -> String {
    crate::audit::printable(text)
}
