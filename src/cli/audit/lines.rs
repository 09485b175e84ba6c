//! Entries as lines: for people one each, told in words; for programs one JSON object each. What a peer wrote stays
//! inert in both. Bytes that are no entry are said, and end the command with 1.

use sqlx::PgConnection;

use super::{
    super::{
        CliFault,
        output::{Format, Paint, remark, say},
    },
    inert,
    recorded::Recorded,
    shown,
};
use crate::audit::{
    Entry,
    export::json_line,
    search::Losses,
    told::{Targets, Told},
};

/// Prints `rows`, whose reading was recorded, in the order that they have. False: one of them cannot be read.
pub(super) async fn print(
    _: &Recorded,
    db: &mut PgConnection,
    rows: &[(u64, Vec<u8>)],
    output: Format,
) -> Result<bool, CliFault> {
    let entries: Vec<(u64, Option<Entry>)> =
        rows.iter().map(|(index, leaf)| (*index, Entry::from_leaf(leaf).ok())).collect();
    let targets = match output {
        Format::Table => Targets::of(db, entries.iter().filter_map(|(_, entry)| entry.as_ref()), |_| true).await,
        Format::Json => Ok(Targets::default()),
    };
    let targets = targets.map_err(CliFault::could_not_look)?;
    for ((index, entry), (_, leaf)) in entries.iter().zip(rows) {
        match (entry, output) {
            (_, Format::Json) => say(json_line(*index, leaf)),
            (Some(entry), Format::Table) => say(line(*index, &Told::of(entry, &targets))),
            (None, Format::Table) => {}
        }
        if entry.is_none() {
            remark(format_args!("entry {index} is not readable: verify the log"));
        }
    }
    Ok(entries.iter().all(|(_, entry)| entry.is_some()))
}

/// Says what must be in the log and could not be shown.
pub(super) fn lost(losses: &Losses) {
    losses.sentences().iter().for_each(remark);
}

/// How many entries a reading shows.
pub(super) fn count(rows: &[(u64, Vec<u8>)]) -> Option<u64> {
    u64::try_from(rows.len()).ok()
}

/// One entry in one line: index, time, how it ended, who, what, and why.
fn line(index: u64, told: &Told) -> String {
    let colour = match told.word {
        "allow" => Some(Paint::Green),
        "deny" | "refused" | "failed" => Some(Paint::Red),
        _ => None,
    };
    let padded = format!("{:<17}", told.word);
    let word = colour.map_or(padded.clone(), |colour| shown(colour, &padded));
    let who = if told.who.is_empty() { "-" } else { &told.who };
    let dash = if told.what.is_empty() || told.why.is_empty() { "" } else { "  " };
    let rest = inert(&format!("  {who:<24}  {}{dash}{}", told.what, told.why));
    format!("{index:>8}  {}  {word}{}", told.at, rest.trim_end())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        audit::{Event, entry::Salt},
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
        let line = line(7, &Told::of(&entry, &Targets::default()));
        assert!(!line.contains(|c: char| c.is_control() && c != '\u{1b}') && !line.contains('\u{202e}'), "{line:?}");
        assert!(line.contains("refused") && line.contains("wiki\u{fffd}allow"), "{line:?}");
        assert!(line.starts_with("       7  1970-01-01T00:00:00.000000Z  "), "{line:?}");
    }
}
