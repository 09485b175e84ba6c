//! `bailiwick audit`: is the log sound, and what was recorded. Needs no server, and only the right to read and to say so.
//! One file per command; this one is their table of contents and what they share: where the log is.

mod accept_fork;
mod archive;
mod bundle;
mod checkpoint;
mod collectors;
mod evidence;
mod export;
mod fields;
mod filters;
mod forget_collector;
mod index;
mod interrupted;
mod lines;
mod out;
mod owner;
mod progress;
mod proof;
mod reader;
mod recorded;
mod search;
mod tail;
mod verify;

use std::{fmt::Display, io::IsTerminal as _, path::Path};

use clap::{Args, Subcommand};
use secrecy::ExposeSecret as _;
use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};

use super::{
    CliFault, ConfigFile, Ending,
    output::{Paint, paint},
};
use crate::{
    audit::{
        checkpoint::{Verifier, note_of_file},
        verify::Cut,
    },
    store::{
        head::{self, Head},
        key::{self, KeyPurpose},
    },
};
use {
    accept_fork::AcceptFork, archive::Archive, bundle::Bundle, checkpoint::Checkpoint, collectors::Collectors,
    export::ExportLog, fields::Fields, forget_collector::ForgetCollector, proof::Proof, search::SearchLog, tail::Tail,
    verify::Verify,
};

/// `bailiwick audit …`
#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Check that nothing in the log was changed, dropped or added
    #[command(after_help = "Exit code: 0 sound, 1 broken, 2 it could not be looked at.\n\n\
                            Examples:\n  bailiwick audit verify --key auth.example.com/audit+1a2b3c4d+AQ...\n  \
                            bailiwick audit verify --database postgres://auditor@db/bailiwick --checkpoint kept.txt --index\n  \
                            bailiwick audit verify --bundle evidence.jsonl --key auth.example.com/audit+1a2b3c4d+AQ...")]
    Verify(Verify),
    /// Write entries with their proof into a file that verifies by itself
    #[command(
        after_help = "Exit code: 0 written, 1 the log proves nothing, or a text in it is not the one that was in force,\n\
                            2 there are no such entries, or it could not be written.\n\n\
                            Examples:\n  bailiwick audit bundle --leaf 4711 --leaf 4800-4899 --file evidence.jsonl\n  \
                            bailiwick audit bundle --request 019aa... | bailiwick audit verify --bundle -"
    )]
    Bundle(Bundle),
    /// Write months that are older than the retention into files that verify by themselves, and drop them
    #[command(
        after_help = "Exit code: 0 done, 1 something could not be archived or dropped, 2 it could not be looked at.\n\n\
                            Examples:\n  bailiwick audit archive --url-file /etc/bailiwick/owner-url --dry-run"
    )]
    Archive(Archive),
    /// Print the newest checkpoint, a signed note to keep somewhere else
    Checkpoint(Checkpoint),
    /// Prove that an entry is in the log, or that the log continues what it was
    #[command(subcommand)]
    Proof(Proof),
    /// Print the newest entries, oldest of them first
    #[command(
        after_help = "Exit code: 0 printed, 1 an entry is missing or damaged, 2 the log could not be looked at.\n\n\
                            Examples:\n  bailiwick audit tail\n  bailiwick audit tail -f --verdict deny\n  \
                            bailiwick audit tail -n 100 -f -o json\n  bailiwick audit tail --after 4711 -f -o json"
    )]
    Tail(Tail),
    /// Find entries, newest first
    #[command(
        after_help = "Exit code: 0 looked, 1 an entry is missing or damaged, 2 the log could not be looked at.\n\n\
                            Examples:\n  bailiwick audit search --verdict deny --where wiki --from 2026-11-21\n  \
                            bailiwick audit search --who corp/ada --what 'list pods' --where prod/default\n  \
                            bailiwick audit search 'rule=break-glass&address=192.0.2.0/24' -o json"
    )]
    Search(SearchLog),
    /// Write the entries of a search into a file, with a manifest of hashes
    #[command(
        after_help = "Exit code: 0 written or unchanged, 1 a file was changed, or an entry is missing or damaged,\n\
                            2 it could not be done.\n\n\
                            Examples:\n  bailiwick audit export --format csv --out denied.csv --verdict deny\n  \
                            bailiwick audit export --check denied.csv.manifest.json\n  \
                            bailiwick audit export 'who=corp/ada' | jq .entry.event.kind"
    )]
    Export(ExportLog),
    /// Say how far the entries have got to each collector, and what stands in the way
    #[command(
        after_help = "Exit code: 0 all of them take entries, 1 one of them does not, or is owed some and has no broker,\n\
                            2 it could not be looked at."
    )]
    Collectors(Collectors),
    /// Give up a collector that is not configured any more, and the entries that it is owed
    #[command(
        after_help = "Exit code: 0 forgotten, 1 it failed, 2 there is none, it is configured, or a broker ships to it.\n\n\
                            Example:\n  bailiwick audit forget-collector old-siem --by 'Ada Lovelace' --why 'replaced by siem' \\\n    \
                            --url-file /etc/bailiwick/owner-url"
    )]
    ForgetCollector(ForgetCollector),
    /// Print every field of every kind of entry, and where it goes in OCSF
    Fields(Fields),
    /// Let the log go on with a database that is not what was published, as another epoch
    #[command(
        after_help = "Example:\n  bailiwick audit accept-fork --by 'Ada Lovelace' --why 'disk lost, restored the copy of 02:00'"
    )]
    AcceptFork(AcceptFork),
}

/// Where the log is.
#[derive(Debug, Args)]
pub(super) struct LogDatabase {
    /// The database, with an account that may read the log; from the configuration if it is left out
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    #[command(flatten)]
    config: ConfigFile,
}

impl Audit {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        match self {
            Self::Verify(command) => command.run().await,
            Self::Bundle(command) => command.run().await,
            Self::Archive(command) => command.run().await,
            Self::Checkpoint(command) => command.run().await,
            Self::Proof(command) => command.run().await,
            Self::Tail(command) => command.run().await,
            Self::Search(command) => command.run().await,
            Self::Export(command) => command.run().await,
            Self::Collectors(command) => command.run().await,
            Self::ForgetCollector(command) => command.run().await,
            Self::Fields(command) => Ok(command.run()),
            Self::AcceptFork(command) => command.run().await,
        }
    }
}

impl LogDatabase {
    pub(super) async fn connect(&self) -> Result<PgConnection, CliFault> {
        let connected = self.options()?.connect().await;
        connected.map_err(|fault| CliFault::could_not_look(format!("the database cannot be reached: {fault}")))
    }

    /// A connection more for each core, but few enough to leave the brokers theirs.
    async fn more(&self) -> Vec<PgConnection> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_CONNECTIONS);
        let (mut more, Ok(options)) = (Vec::new(), self.options()) else { return Vec::new() };
        while more.len() < cores {
            let Ok(connection) = options.connect().await else { break };
            more.push(connection);
        }
        more
    }

    /// The collectors that the configuration names, where the database comes from there.
    fn collectors(&self) -> Result<Option<Vec<String>>, CliFault> {
        if self.database.is_some() {
            return Ok(None);
        }
        let configured = self.config.load_without_keys()?.collector;
        Ok(Some(configured.iter().map(|collector| collector.name.to_string()).collect()))
    }

    fn options(&self) -> Result<PgConnectOptions, CliFault> {
        let url = match &self.database {
            Some(url) => url.clone(),
            None => {
                let settings = self.config.load_without_keys()?.database;
                let url = settings.auditor_url.as_ref().unwrap_or(&settings.url).read();
                url.map_err(CliFault::could_not_look)?.expose_secret().to_owned()
            }
        };
        let options: PgConnectOptions =
            url.parse().map_err(|_| CliFault::could_not_look("this is not a Postgres URL"))?;
        Ok(options.application_name("bailiwick audit").disable_statement_logging())
    }
}

const MOST_CONNECTIONS: usize = 4;

/// A signed note that was kept in a file.
fn kept_note(file: &Path) -> Result<String, CliFault> {
    let at = |fault: &dyn Display| CliFault::could_not_look(format!("{}: {fault}", file.display()));
    let read = std::fs::read_to_string(file).map_err(|fault| at(&fault))?;
    note_of_file(&read).map_err(|fault| at(&fault))
}

/// The newest head of the log, of which there is none before a broker has begun it.
async fn newest_head(db: &mut PgConnection) -> Result<Head, CliFault> {
    if !head::is_there(&mut *db).await.map_err(CliFault::could_not_look)? {
        return Err(CliFault::could_not_look(
            "this database has no head of a log: no broker has begun one, or it was removed (`bailiwick audit verify`)",
        ));
    }
    head::newest(db).await.map_err(CliFault::could_not_look)
}

/// The verifier keys of the log, as its database has them.
async fn log_keys(db: &mut PgConnection, origin: &str) -> Result<Vec<String>, CliFault> {
    let publics = key::publics(db, KeyPurpose::Checkpoint).await.map_err(CliFault::could_not_look)?;
    let keys = publics.into_iter().filter_map(|public| Verifier::new(origin, public.try_into().ok()?).ok());
    Ok(keys.map(|key| key.to_string()).collect())
}

/// A line about a place where the log's past was cut.
fn cut_line(cut: &Cut) -> String {
    let Cut { epoch, size, published, by, why, .. } = cut;
    let (by, why) = (inert(by), inert(why));
    match published {
        // Every checkpoint of no entries is continued, so this one began because keys were lost.
        0 => format!("  epoch {epoch:<7}from entry {size}, with new keys, decided by {by}: {why}"),
        _ => format!(
            "  epoch {epoch:<7}from entry {size}, accepted by {by}: {why}; {published} entries were published before that"
        ),
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
