//! Evidence that travels: entries with the proof that they are in the log, the signed checkpoint that the proof leads
//! to, and the texts that decisions were made under, as one file of JSON lines (`docs/EVIDENCE.md` describes each).
//! Promises that a file is checked with nothing but itself and a key, in constant memory, however long it is.
//!
//! The proof is a walk over the whole tree from left to right: the entries of the file at their places, and for all
//! that lies between them the roots of the largest complete subtrees. What comes out must be the root that was signed.

mod check;
mod proven;
mod succession;
mod write;

use std::ops::Range;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

pub use check::{Kept, check};
pub use proven::{Broken, Proven, Signed};
pub use write::{Continued, Texts, Written, write};

use super::{proof::ProofFault, tree::Hash};
use crate::store::StoreFault;

/// The version of the format that is written and read here.
pub const VERSION: u64 = 1;

/// One line of a bundle. The header comes first, entries and what was skipped in the order of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Line {
    /// What the file is.
    Bundle {
        /// The version of the format.
        version: u64,
        /// The name of the log.
        origin: String,
        /// The verifier keys of the log (C2SP signed-note), as its database has them: information, not proof.
        keys: Vec<String>,
        /// The signed note (C2SP tlog-checkpoint) that the proof leads to.
        checkpoint: String,
    },
    /// Entries that are not in the file: the roots of the largest complete subtrees over them, from left to right.
    Skipped {
        /// The first.
        from: u64,
        /// The first one after them.
        until: u64,
        /// One for each subtree of [`cover`].
        hashes: Vec<Hex>,
    },
    /// A signed note about the entries before it, by which an older key vouches for a newer one.
    Checkpoint {
        /// The note: its size is where the walk is.
        note: String,
    },
    /// An entry.
    Entry {
        /// Its place in the log.
        index: u64,
        /// Its leaf bytes, which are UTF-8: a version byte, then canonical JSON.
        leaf: String,
    },
    /// A text that entries name by its hash.
    Text {
        /// `policies`, `entities` or `schema`.
        kind: String,
        /// SHA-256 of the text.
        sha256: Hex,
        /// The text.
        body: String,
    },
}

/// A hash in lower-case hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hex(pub Hash);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        hex::serde::serialize(self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut hash = [0; 32];
        let is_lower = !text.contains(|c: char| c.is_ascii_uppercase());
        match hex::decode_to_slice(&text, &mut hash) {
            Ok(()) if is_lower => Ok(Self(hash)),
            _ => Err(D::Error::custom("a hash is not 64 lower-case hex digits")),
        }
    }
}

/// Which entries go into a bundle: ranges in order that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection(Vec<Range<u64>>);

impl Selection {
    /// From ranges in any order, which may overlap.
    pub fn of(ranges: impl IntoIterator<Item = Range<u64>>) -> Self {
        let mut ranges: Vec<Range<u64>> = ranges.into_iter().filter(|range| !range.is_empty()).collect();
        ranges.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        Self(merged)
    }

    /// These entries as well.
    #[must_use]
    pub fn and(&self, indexes: impl IntoIterator<Item = u64>) -> Self {
        Self::of(self.0.iter().cloned().chain(indexes.into_iter().map(|index| index..index + 1)))
    }

    /// The ranges.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.0
    }

    /// The first index after all of them.
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |range| range.end)
    }

    /// How many entries.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }
}

/// The largest complete subtrees that cover a range, from left to right: height and index of each.
pub fn cover(range: Range<u64>) -> Vec<(u32, u64)> {
    let (mut at, mut subtrees) = (range.start, Vec::new());
    while at < range.end {
        let fits = u64::BITS - 1 - (range.end - at).leading_zeros();
        let height = at.trailing_zeros().min(fits);
        subtrees.push((height, at >> height));
        at += 1 << height;
    }
    subtrees
}

/// Why a bundle was not written.
#[derive(Debug, thiserror::Error)]
pub enum BundleFault {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The file could not be written.
    #[error("the bundle could not be written: {0}")]
    Write(#[from] std::io::Error),
    /// There are no such entries, or no checkpoint covers them.
    #[error("{0}")]
    Beyond(String),
    /// The body of an entry is in an archive.
    #[error("entry {0} is not in the database: it was archived")]
    Archived(u64),
    /// The body of an entry is gone, and no entry says that it was archived.
    #[error("entry {0} is missing from the database; its hash is still in the log: run bailiwick audit verify")]
    Missing(u64),
    /// What is stored proves nothing: the log has been tampered with.
    #[error("{0}: verify the log")]
    Unsound(String),
}

impl From<ProofFault> for BundleFault {
    fn from(fault: ProofFault) -> Self {
        match fault {
            ProofFault::Store(fault) => Self::Store(fault),
            ProofFault::Beyond(_) => Self::Beyond(fault.to_string()),
            ProofFault::Missing => Self::Unsound("hashes that the proof needs are not stored".to_owned()),
        }
    }
}

/// The texts that the JSON of an entry names: kind and hash, wherever a policy version stands.
fn named_texts(entry: &serde_json::Value) -> impl Iterator<Item = (&'static str, &str)> {
    let versions = ["/event/policy", "/event/before"].into_iter().filter_map(|at| entry.pointer(at));
    versions.flat_map(|version| KINDS.into_iter().filter_map(|kind| Some((kind, version.get(kind)?.as_str()?))))
}

/// What a policy version consists of.
const KINDS: [&str; 3] = ["entities", "policies", "schema"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cover_is_complete_and_aligned_and_short() {
        for range in [0..0, 0..1, 5..6, 0..700, 3..256, 255..257, 1..(1 << 40) + 3, 512..1024] {
            let mut at = range.start;
            let subtrees = cover(range.clone());
            for (height, index) in &subtrees {
                assert_eq!(index << height, at);
                at += 1 << height;
            }
            assert_eq!(at.max(range.start), range.end.max(at));
            assert!(subtrees.len() <= 84, "{range:?}");
        }
        assert_eq!(cover(512..1024), [(9, 1)]);
    }

    #[test]
    fn a_selection_is_in_order_and_its_ranges_do_not_touch() {
        let selection = Selection::of([5..7, 1..2, 6..9, 9..10, 20..20, 12..13]);
        assert_eq!(selection.ranges(), [1..2, 5..10, 12..13]);
        assert_eq!((selection.end(), selection.count()), (13, 7));
    }

    #[test]
    fn a_hash_has_one_spelling() {
        let good = format!("\"{}\"", "a0".repeat(32));
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Hex>(&good).unwrap()).unwrap(), good);
        for bad in [good.to_uppercase(), good.replacen("a0", "", 1), good.replacen("a0", "g0", 1)] {
            assert!(serde_json::from_str::<Hex>(&bad).is_err(), "{bad}");
        }
    }
}
