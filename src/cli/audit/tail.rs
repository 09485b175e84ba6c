//! `bailiwick audit tail`: the newest entries in lines, and those that follow. What a peer wrote stays inert.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{
    super::{
        CliFault, Ending,
        output::{Format, Paint, remark, say},
    },
    LogDatabase, inert, shown,
};
use crate::{
    audit::{Entry, Event, entry::Columns},
    store::{self, entry::Filter},
};

/// `bailiwick audit tail`
#[derive(Debug, Args)]
pub(in crate::cli) struct Tail {
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

impl Tail {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
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
        Event::Refusals { check, why, network, count, .. } => format!("{check}: {why} ({count} from {network})"),
        Event::Gap { lost, why, .. } => format!("{lost} entries lost: {why}"),
        Event::EpochBegan { epoch, by, why, .. } => format!("epoch {epoch}, by {by}: {why}"),
        Event::KeyRotated { active, .. } => active.clone(),
        Event::Archived { from, until, file, .. } => format!("{from} to {until}, {file}"),
        Event::SearchChanged { name, .. } => name.clone(),
        Event::Exported { entries, format, search, .. } => format!("{entries} as {format}: {search}"),
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
