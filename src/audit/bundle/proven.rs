//! What a bundle proves, or why it proves nothing.

use std::ops::Range;

use serde::Serialize;

use crate::audit::verify::Cut;

/// What holds, given that the key is the log's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proven {
    /// The origin of the log, as it was signed.
    pub origin: String,
    /// How many entries the signed tree has.
    pub size: u64,
    /// Its root, in hex.
    pub root: String,
    /// How many entries of the file are in it, unchanged and at their places.
    pub entries: u64,
    /// Which, as ranges; only the first ten thousand.
    pub ranges: Vec<Range<u64>>,
    /// How many texts these entries name.
    pub texts_named: u64,
    /// How many of them are in the file, unchanged.
    pub texts: u64,
    /// How many entries the older trees had that this one continues.
    pub continues: Vec<u64>,
    /// Where the log's past was cut, and who accepted that.
    pub cuts: Vec<Cut>,
    /// By which key, and where it is from.
    pub signed: Signed,
    /// The entries that say who signs, that the past was cut or what was archived: index and leaf bytes.
    #[serde(skip)]
    pub succession: Vec<(u64, Vec<u8>)>,
}

impl Proven {
    /// Whether these entries are all in the file.
    pub fn covers(&self, entries: &Range<u64>) -> bool {
        self.ranges.iter().any(|range| range.start <= entries.start && entries.end <= range.end)
    }
}

/// Whose word it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "from", content = "key", rename_all = "kebab-case")]
pub enum Signed {
    /// A key that was given.
    Given(String),
    /// A key for which, in the file, one that was given vouches.
    Vouched(String),
    /// A key out of the file itself: whoever wrote the file may have made it.
    File(String),
}

/// Why nothing is proven.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It is no bundle, or one of another version, or cannot be read: nothing was looked at.
    #[error("line {line}: {what}")]
    Foreign {
        /// Which line, from one.
        line: u64,
        /// What is the matter.
        what: String,
    },
    /// It is a bundle, and it does not hold.
    #[error("line {line}: {what}")]
    Line {
        /// Which line, from one.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// Its lines do not come to what was signed.
    #[error("{0}")]
    Whole(String),
    /// It holds, but says nothing about a checkpoint that was kept.
    #[error("{0}")]
    Silent(String),
}

impl Broken {
    /// Whether it is not the evidence that failed but the look at it.
    pub const fn is_unseen(&self) -> bool {
        matches!(self, Self::Foreign { .. } | Self::Silent(_))
    }
}
