//! Checkpoints as they are published in a file or on standard output: one record a line, `{"at": …, "note": …}` in JSON,
//! so that a torn end is seen as one and a line cannot be taken for two.
//!
//! Whoever can write the file controls every byte of it, but a note counts only with a signature by a key of the log.

use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoint, CheckpointFault, Verifier};
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
                    return Ok(Self { epoch, checkpoint, note: note.to_owned() });
                }
                Err(why) => fault = why,
            }
        }
        Err(fault)
    }

    /// What orders checkpoints of one log: the epoch, then the size.
    pub fn place(&self) -> (u64, u64) {
        (self.epoch, self.checkpoint.size)
    }
}

/// The records in a text, oldest first. The last line may be torn, which is what a crash leaves; anything else that is
/// no record is an error, which names the line.
pub fn records(text: &str) -> Result<Vec<Record>, usize> {
    let (whole, _torn) = text.rsplit_once('\n').unwrap_or(("", text));
    let lines = whole.lines().enumerate().filter(|(_, line)| !line.is_empty());
    lines.map(|(nth, line)| Record::of_line(line).ok_or(nth + 1)).collect()
}

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
