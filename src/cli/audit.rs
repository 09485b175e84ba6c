//! `bailiwick audit`: is the log sound, and what was recorded last. Needs no server and only the right to read.
//! Exit codes of `verify`: 0 sound, 1 broken, 2 could not look.

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Subcommand};
use secrecy::ExposeSecret as _;
use serde_json::json;
use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};

use super::{
    CliFault, ConfigFile, Ending,
    output::{Format, Paint, paint, remark, say, say_json},
};
use crate::{
    audit::{
        Entry, Event,
        checkpoint::{Verifier, note_of_file},
        entry::Columns,
        verify::{self, Anchors, Report, Trust},
    },
    store::{self, entry::Filter},
};

/// `bailiwick audit …`
#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Check that nothing in the log was changed, dropped or added
    #[command(after_help = "Exit code: 0 the log is sound, 1 it is broken, 2 it could not be looked at.\n\n\
                            Examples:\n  bailiwick audit verify --key auth.example.com/audit+1a2b3c4d+AQ...\n  \
                            bailiwick audit verify --database postgres://auditor@db/bailiwick --checkpoint kept.txt")]
    Verify(Verify),
    /// Print the newest entries, oldest of them first
    #[command(after_help = "Examples:\n  bailiwick audit tail\n  bailiwick audit tail -n 100 -f -o json")]
    Tail(Tail),
}

/// `bailiwick audit verify`
#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    database: LogDatabase,
    /// A key that may sign checkpoints (name+hash+key), from `bailiwick key show`; without one the keys in the database
    /// are used, which prove nothing against its owner
    #[arg(long = "key", value_name = "VERIFIER-KEY")]
    keys: Vec<Verifier>,
    /// A checkpoint that was kept elsewhere
    #[arg(long = "checkpoint", value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
    /// How to write the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// `bailiwick audit tail`
#[derive(Debug, Args)]
pub(super) struct Tail {
    #[command(flatten)]
    database: LogDatabase,
    /// How many entries
    #[arg(short = 'n', long, default_value_t = 20)]
    lines: u32,
    /// Go on with what is recorded from now on
    #[arg(short, long)]
    follow: bool,
    /// How to write them; json is one entry per line, with its index
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Where the log is.
#[derive(Debug, Args)]
struct LogDatabase {
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
            Self::Tail(command) => command.run().await,
        }
    }
}

impl LogDatabase {
    async fn connect(&self) -> Result<PgConnection, CliFault> {
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

impl Verify {
    async fn run(self) -> Result<Ending, CliFault> {
        let mut checkpoints = Vec::new();
        for file in &self.checkpoints {
            let at = |fault: &dyn std::fmt::Display| CliFault::could_not_look(format!("{}: {fault}", file.display()));
            let read = std::fs::read_to_string(file).map_err(|fault| at(&fault))?;
            checkpoints.push(note_of_file(&read).map_err(|fault| at(&fault))?);
        }
        let mut db = self.database.connect().await?;
        let anchors = Anchors { keys: self.keys, checkpoints };
        let mut progress = Progress::begin();
        let verified = verify::database(&mut db, &anchors, |done, of| progress.show(done, of)).await;
        progress.end();
        let report = verified.map_err(CliFault::could_not_look)?;
        match self.output {
            Format::Json => say_json(&report)?,
            Format::Table => tell(&report),
        }
        Ok(if report.is_sound() { Ending::Yes } else { Ending::No })
    }
}

fn tell(report: &Report) {
    match &report.broken {
        None => say(format_args!("{} {} entries", shown(Paint::Green, "sound:"), report.size)),
        Some(broken) => say(format_args!("{} {broken}", shown(Paint::Red, "broken:"))),
    }
    say(format_args!("  log          {}", report.origin));
    if let Some(at) = report.recorded_at {
        say(format_args!("  last good    {at}"));
    }
    say(format_args!("  root         {}", report.root));
    if report.gaps > 0 {
        say(format_args!("  missing      {} entries", report.gaps));
    }
    say(format_args!("  checkpoints  {}, up to entry {}", report.checkpoints, report.signed));
    if report.trust == Trust::Stored {
        remark(
            "The signatures were checked with the keys in the database itself. Give --key to check them with yours.",
        );
    }
}

impl Tail {
    async fn run(self) -> Result<Ending, CliFault> {
        let mut db = self.database.connect().await?;
        let newest = store::entry::newest(&mut db, &Filter::default(), self.lines).await;
        let mut rows = newest.map_err(CliFault::could_not_look)?;
        rows.reverse();
        let mut next = match rows.last() {
            Some((index, _)) => index + 1,
            None => store::head::newest(&mut db).await.map_or(0, |head| head.size),
        };
        self.print(&rows);
        if !self.follow {
            return Ok(Ending::Yes);
        }
        loop {
            let rows = store::entry::following(&mut db, next, 1_000).await.map_err(CliFault::could_not_look)?;
            self.print(&rows);
            match rows.last() {
                Some((index, _)) => next = index + 1,
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    fn print(&self, rows: &[(u64, Vec<u8>)]) {
        for (index, leaf) in rows {
            match (Entry::from_leaf(leaf), self.output) {
                (Ok(entry), Format::Table) => say(line(*index, &entry)),
                (Ok(entry), Format::Json) => say(json!({ "leaf_index": index, "entry": entry })),
                (Err(_), _) => remark(format_args!("entry {index} is not readable: verify the log")),
            }
        }
    }
}

/// One entry in one line: index, time, verdict or kind, person, what, and why.
fn line(index: u64, entry: &Entry) -> String {
    let columns = Columns::of(entry);
    let word = columns.verdict.unwrap_or(columns.kind);
    let colour = match word {
        "allow" => Some(Paint::Green),
        "deny" | "refused" | "policy-rejected" => Some(Paint::Red),
        _ => None,
    };
    let padded = format!("{word:<17}");
    let word = colour.map_or(padded.clone(), |colour| shown(colour, &padded));
    let person = entry
        .caller
        .as_ref()
        .map_or("-".to_owned(), |caller| format!("{}/{}", caller.identity.provider, caller.identity.subject));
    let (target, why) = (columns.target.unwrap_or_default(), why(entry));
    let dash = if target.is_empty() || why.is_empty() { "" } else { "  " };
    inert(&format!("{index:>8}  {}  ", entry.recorded_at))
        + &word
        + &inert(&format!("  {person:<24}  {target}{dash}{why}"))
}

/// Why, or what exactly, in a few words.
fn why(entry: &Entry) -> String {
    match &entry.event {
        Event::Decision { decision, .. } => decision.sentence(),
        Event::Outcome { status, sent, .. } => match status {
            Some(status) => format!("{status}, {sent} bytes"),
            None => "no answer".to_owned(),
        },
        Event::NotForwarded { why } => why.clone(),
        Event::UnknownOutcome { of } => format!("broker {of} died"),
        Event::Refused { check, why, .. } => format!("{check}: {why}"),
        Event::SignIn { fault: Some(fault), .. } => fault.clone(),
        Event::LoginEnded { cause, .. }
        | Event::CredentialRevoked { cause, .. }
        | Event::StreamClosed { cause, .. } => cause.clone(),
        Event::CredentialIssued { cluster: Some(cluster), not_after, .. } => format!("{cluster}, until {not_after}"),
        Event::Invited { person, .. } => format!("{}/{}", person.provider, person.subject),
        Event::PolicyLoaded { rules, .. } => format!("{rules} rules"),
        Event::PolicyRejected { errors } => errors.first().cloned().unwrap_or_default(),
        Event::BrokerStarted { version, .. } => version.clone(),
        _ => String::new(),
    }
}

/// Coloured where the answer goes to a person.
fn shown(colour: Paint, text: &str) -> String {
    if std::io::stdout().is_terminal() { paint(colour, text) } else { text.to_owned() }
}

/// Text that cannot move a cursor or turn a line around, whatever a peer wrote.
fn inert(text: &str) -> String {
    crate::audit::printable(text)
}

/// A line on a terminal that says how far it is.
struct Progress {
    start: std::time::Instant,
    shown: Option<std::time::Instant>,
    is_wanted: bool,
}

impl Progress {
    fn begin() -> Self {
        Self { start: std::time::Instant::now(), shown: None, is_wanted: std::io::stderr().is_terminal() }
    }

    fn show(&mut self, done: u64, of: u64) {
        let is_due = self.shown.is_none_or(|shown| shown.elapsed() >= SHOW_EVERY);
        if !self.is_wanted || !is_due || of == 0 {
            return;
        }
        self.shown = Some(std::time::Instant::now());
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = done.saturating_mul(1_000) / millis;
        let percent = done.saturating_mul(100) / of;
        let _ = write!(std::io::stderr().lock(), "\r{percent:>3} %  {done} of {of} entries, {rate} a second\u{1b}[K");
    }

    fn end(&self) {
        if self.shown.is_some() {
            let _ = write!(std::io::stderr().lock(), "\r\u{1b}[K");
        }
    }
}

const SHOW_EVERY: Duration = Duration::from_millis(100);

const LOOK_EVERY: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        audit::entry::Salt,
        model::{BrokerId, Timestamp},
    };

    #[test]
    fn an_entry_is_one_line_whatever_a_peer_put_into_it() {
        let event = Event::Refused {
            check: "path".into(),
            why: "bad\r\n\u{1b}[2J\0\u{202e}".into(),
            target: "wiki\nallow".into(),
            address: "127.0.0.1".into(),
        };
        let at = Timestamp::from_micros(0);
        let broker = BrokerId::from_uuid(Uuid::nil());
        let entry =
            Entry { broker, caller: None, event, happened_at: at, recorded_at: at, request: None, salt: Salt([0; 16]) };
        let line = line(7, &entry);
        assert!(!line.contains(|c: char| c.is_control() && c != '\u{1b}') && !line.contains('\u{202e}'), "{line:?}");
        assert!(line.contains("refused") && line.contains("wiki\u{fffd}allow"), "{line:?}");
    }
}
