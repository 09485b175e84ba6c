//! What verification found: the log is sound, or where it first is not and what is wrong there.

use std::fmt;

use serde::Serialize;

use super::Cut;
use crate::model::Timestamp;

/// The result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The name of the log.
    pub origin: String,
    /// Its epoch.
    pub epoch: u64,
    /// How many entries its head counts.
    pub size: u64,
    /// The root that its head states, in hex.
    pub root: String,
    /// How many entries were folded and found good.
    pub entries: u64,
    /// How many entries before them were archived: their hashes are good, their bodies are in the archives.
    pub archived: u64,
    /// How many entries are missing.
    pub missing: u64,
    /// How many gaps the entries that were read tell of: a broker could not record what happened meanwhile.
    pub gaps: u64,
    /// How many entries were never recorded for them.
    pub lost: u64,
    /// How many checkpoints were checked.
    pub checkpoints: u64,
    /// How many of these were published ones.
    pub published: u64,
    /// How many entries the newest good checkpoint covers.
    pub signed: u64,
    /// How many good entries come after these: nothing proves yet that they stay what they are. None: reading ended early, at
    /// what is wrong.
    pub unsigned: Option<u64>,
    /// What the signatures were checked with.
    pub trust: Trust,
    /// When the last good entry was recorded, before what is wrong.
    pub recorded_at: Option<Timestamp>,
    /// Where the log's past was cut, and who accepted that.
    pub cuts: Vec<Cut>,
    /// The first thing that is wrong.
    pub broken: Option<Broken>,
}

/// What signatures were checked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// A key that was given.
    Given,
    /// The keys in the database: they prove nothing against its owner.
    Stored,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// Where.
    pub place: Place,
    /// What.
    pub what: String,
}

/// Where something is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Place {
    /// At one entry.
    Leaf {
        /// Its index.
        index: u64,
    },
    /// Somewhere in a range of entries; all before it are good.
    Leaves {
        /// The first.
        from: u64,
        /// The one after the last.
        to: u64,
    },
    /// In the head that counts so many entries.
    Head {
        /// How many.
        size: u64,
    },
    /// In the checkpoint that covers so many entries.
    Checkpoint {
        /// How many.
        size: u64,
    },
    /// In a tile.
    Tile {
        /// Its level.
        level: u8,
        /// Its place.
        index: u64,
    },
    /// In a table as such.
    Table {
        /// Its name.
        name: &'static str,
    },
}

impl Report {
    /// Of the log `origin`, in a database that has no head to go by.
    pub(super) fn of_no_head(origin: &str, trust: Trust, broken: Broken) -> Self {
        Self {
            origin: origin.to_owned(),
            epoch: 0,
            size: 0,
            root: String::new(),
            entries: 0,
            archived: 0,
            missing: 0,
            gaps: 0,
            lost: 0,
            checkpoints: 0,
            published: 0,
            signed: 0,
            unsigned: None,
            trust,
            recorded_at: None,
            cuts: Vec::new(),
            broken: Some(broken),
        }
    }

    /// Whether nothing is wrong.
    pub const fn is_sound(&self) -> bool {
        self.broken.is_none()
    }
}

impl Broken {
    /// At one entry.
    pub(super) fn leaf(index: u64, what: impl Into<String>) -> Self {
        Self { place: Place::Leaf { index }, what: what.into() }
    }

    /// The first entry that may be it, if it is about entries.
    pub(super) const fn first_entry(&self) -> Option<u64> {
        match self.place {
            Place::Leaf { index } => Some(index),
            Place::Leaves { from, .. } => Some(from),
            _ => None,
        }
    }

    /// Somewhere in a range, which may be one entry.
    pub(super) fn leaves(from: u64, to: u64, what: impl Into<String>) -> Self {
        let place = if to.saturating_sub(from) <= 1 { Place::Leaf { index: from } } else { Place::Leaves { from, to } };
        Self { place, what: what.into() }
    }

    /// In a head.
    pub(super) fn head(size: u64, what: impl Into<String>) -> Self {
        Self { place: Place::Head { size }, what: what.into() }
    }

    /// In a table.
    pub(super) fn table(name: &'static str, what: impl Into<String>) -> Self {
        Self { place: Place::Table { name }, what: what.into() }
    }

    /// In a checkpoint.
    pub(super) fn checkpoint(size: u64, what: impl Into<String>) -> Self {
        Self { place: Place::Checkpoint { size }, what: what.into() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaf { index } => write!(f, "entry {index}"),
            Self::Leaves { from, to } => write!(f, "one of the entries {from} to {}", to.saturating_sub(1)),
            Self::Head { size } => write!(f, "the head at {size} entries"),
            Self::Checkpoint { size } => write!(f, "the checkpoint at {size} entries"),
            Self::Tile { level, index } => write!(f, "tile {index} of level {level}"),
            Self::Table { name } => write!(f, "the table `{name}`"),
        }
    }
}
