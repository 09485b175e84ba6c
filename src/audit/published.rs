//! Checkpoints as they are published in a file or on standard output: one record a line, `{"at": …, "note": …}` in JSON,
//! so that a torn end is seen as one and a line cannot be taken for two.
//!
//! Whoever can write the file controls every byte of it, but a note counts only with a signature by a key of the log.

use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoint, CheckpointFault, Verifier, split};
use crate::model::Timestamp;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it was published, by the broker's clock.
    pub at: Timestamp,
    /// The signed note (C2SP tlog-checkpoint), with its last newline.
    pub note: String,
}

/// A checkpoint that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// In which epoch of the log.
    pub epoch: u64,
    /// What it states.
    pub checkpoint: Checkpoint,
    /// The signed note.
    pub note: String,
    /// Whether a known key signed it. If not, whoever could write there may have made it up.
    pub is_signed: bool,
}

impl Record {
    /// The line, with its newline.
    pub fn line(&self) -> String {
        serde_json::to_string(self).map_or_else(|_| String::new(), |line| line + "\n")
    }

    /// Reads a line, with or without its newline. None: it is no record.
    pub fn of_line(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

impl Published {
    /// What `note` states about the log `origin`, if one of `keys` signed it.
    pub fn open(note: &str, origin: &str, keys: &[Verifier]) -> Result<Self, CheckpointFault> {
        let mut fault = CheckpointFault::NotSigned(origin.to_owned());
        for key in keys {
            match key.open(note) {
                Ok(checkpoint) => {
                    let epoch = checkpoint.epoch(origin).ok_or(CheckpointFault::Text)?;
                    return Ok(Self { epoch, checkpoint, note: note.to_owned(), is_signed: true });
                }
                Err(why) => fault = why,
            }
        }
        Err(fault)
    }

    /// The same, whoever signed it; none if it is no checkpoint of this log at all.
    pub fn read(note: &str, origin: &str, keys: &[Verifier]) -> Option<Self> {
        Self::open(note, origin, keys).ok().or_else(|| {
            let checkpoint: Checkpoint = split(note).ok()?.0.parse().ok()?;
            let epoch = checkpoint.epoch(origin)?;
            Some(Self { epoch, checkpoint, note: note.to_owned(), is_signed: false })
        })
    }

    /// What orders checkpoints of one log: the epoch, then the size.
    pub fn place(&self) -> (u64, u64) {
        (self.epoch, self.checkpoint.size)
    }
}

/// The records in a text, oldest first. A line that a crash tore is left out; any other that is no record is an error,
/// which names the line.
pub fn records(text: &str) -> Result<Vec<Record>, usize> {
    let mut records = Vec::new();
    for (nth, line) in text.lines().enumerate() {
        match Record::of_line(line) {
            Some(record) => records.push(record),
            None if is_torn(line) => {}
            None => return Err(nth + 1),
        }
    }
    Ok(records)
}

/// Whether this is the beginning of a record.
fn is_torn(line: &str) -> bool {
    let common = line.len().min(BEGINNING.len());
    line.as_bytes().get(..common) == BEGINNING.as_bytes().get(..common)
}

/// What every record begins with.
const BEGINNING: &str = "{\"at\":";

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::audit::checkpoint::CheckpointSigner;

    fn signer(seed: u8) -> CheckpointSigner {
        CheckpointSigner::from_seed("log.example", Uuid::nil(), &[seed; 32]).unwrap()
    }

    #[test]
    fn a_record_is_one_line_and_a_torn_end_is_left_out() {
        let one = Record { at: Timestamp::from_micros(1), note: signer(1).sign(0, 3, [7; 32]) };
        let line = one.line();
        assert_eq!(line.matches('\n').count(), 1);
        assert_eq!(records(&line.repeat(2)), Ok(vec![one.clone(), one.clone()]));
        assert_eq!(records(&format!("{line}{}", &line[..20])), Ok(vec![one]));
        let torn = Record { at: Timestamp::from_micros(1), note: signer(1).sign(0, 3, [7; 32]) };
        assert_eq!(records(&format!("{}\n{line}", &line[..20])), Ok(vec![torn]));
        assert_eq!(records(&format!("{line}junk\n{line}")), Err(2));
        assert_eq!(records(""), Ok(Vec::new()));
    }

    #[test]
    fn a_note_counts_with_a_known_key_only() {
        let keys = [signer(1).verifier().clone(), signer(2).verifier().clone()];
        let newer = Published::open(&signer(2).sign(1, 2, [7; 32]), "log.example", &keys).unwrap();
        let older = Published::open(&signer(1).sign(0, 3, [7; 32]), "log.example", &keys).unwrap();
        assert!(newer.place() > older.place(), "a new epoch is newer, whatever its size");
        assert!(Published::open(&signer(3).sign(0, 3, [7; 32]), "log.example", &keys).is_err());
        assert!(Published::open(&older.note, "log.other", &keys).is_err());
    }
}
