//! Entries that a search finds, written out: CSV for spreadsheets, NDJSON with everything. Read page by page, oldest
//! first, each page in a moment's work of the database; the manifest says what came out, by hashes.
//!
//! An attacker writes paths, names and agents: nothing of theirs may move a cursor, end a row, or become a formula.

mod manifest;
mod row;

use aws_lc_rs::digest::{Context, SHA256};
use sqlx::PgConnection;

use super::{
    Entry,
    search::{Losses, Search, find_from},
    told::Targets,
};
use crate::store::{StoreFault, checkpoint, head, search};

pub use {
    manifest::{File, Manifest, Mismatch, Unseen, check},
    row::json_line,
};

/// How entries are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// One row for each entry, with a header (RFC 4180): what people look at.
    Csv,
    /// One JSON object for each entry and line: all of it.
    Ndjson,
}

impl Format {
    /// Its word, which is also the ending of a file's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Ndjson => "application/x-ndjson",
        }
    }
}

/// An export that has begun. Ask for [`Export::next`] until there is nothing more, then for the manifest.
pub struct Export {
    search: Search,
    format: Format,
    /// Only entries before this one: those that there were when it began.
    size: u64,
    origin: String,
    next: Option<u64>,
    is_headed: bool,
    hash: Context,
    bytes: u64,
    entries: u64,
    leaves: Option<(u64, u64)>,
    bodiless: u64,
    losses: Losses,
}

impl Export {
    /// Begins with the entries that there are now.
    pub async fn begin(db: &mut PgConnection, search: Search, format: Format) -> Result<Self, StoreFault> {
        let extent = search::extent(&mut *db).await?;
        let origin = if extent.size > 0 { head::newest(db).await?.origin } else { String::new() };
        Ok(Self {
            search,
            format,
            size: extent.size,
            origin,
            next: Some(0),
            is_headed: false,
            hash: Context::new(&SHA256),
            bytes: 0,
            entries: 0,
            leaves: None,
            bodiless: 0,
            losses: Losses::default(),
        })
    }

    /// The bytes that come next, some hundred entries of them; none: that was all. Empty ones mean that there was much to
    /// look through. What `readable` refuses is left out, and nothing is told of it beside what belongs to it; it is
    /// asked of nothing for bytes that are no entry.
    pub async fn next(
        &mut self,
        db: &mut PgConnection,
        readable: impl Fn(Option<&Entry>) -> bool + Send + Sync,
    ) -> Result<Option<Vec<u8>>, StoreFault> {
        let Some(from) = self.next.filter(|from| *from < self.size || !self.is_headed) else { return Ok(None) };
        let mut bytes = Vec::new();
        if !self.is_headed && self.format == Format::Csv {
            bytes.extend_from_slice(row::HEADER.as_bytes());
        }
        self.is_headed = true;
        let mut found = find_from(&mut *db, &self.search, from, AT_ONCE, |entry| readable(Some(entry))).await?;
        self.next = found.next.filter(|next| *next < self.size);
        self.bodiless += found.bodiless;
        self.losses.join(&found.losses);
        found.entries.retain(|(index, _)| *index < self.size);
        let mut entries: Vec<(u64, Vec<u8>, Option<Entry>)> = Vec::with_capacity(found.entries.len());
        for (index, leaf) in found.entries {
            let entry = Entry::from_leaf(&leaf).ok();
            if entry.is_some() || readable(None) {
                entries.push((index, leaf, entry));
            }
        }
        let targets = match self.format {
            Format::Csv => {
                let told = entries.iter().filter_map(|(_, _, entry)| entry.as_ref());
                Targets::of(db, told, |decision| readable(Some(decision))).await?
            }
            Format::Ndjson => Targets::default(),
        };
        for (index, leaf, entry) in &entries {
            match (self.format, entry) {
                (Format::Csv, Some(entry)) => row::csv(*index, entry, &targets, &mut bytes),
                (Format::Csv, None) => row::unreadable(*index, leaf, &mut bytes),
                (Format::Ndjson, _) => bytes.extend_from_slice(format!("{}\n", json_line(*index, leaf)).as_bytes()),
            }
            if entry.is_none() {
                self.losses.damaged.add(*index);
            }
            self.entries += 1;
            self.leaves = Some((self.leaves.map_or(*index, |(first, _)| first), *index));
        }
        self.hash.update(&bytes);
        self.bytes += bytes.len() as u64;
        Ok(Some(bytes))
    }

    /// How far it is: the leaf that it goes on from, and how many there are.
    pub fn progress(&self) -> (u64, u64) {
        (self.next.unwrap_or(self.size), self.size)
    }

    /// What could not be written, or only as bytes that are no entry.
    pub const fn losses(&self) -> &Losses {
        &self.losses
    }

    /// What came out, under the name that the file has. Takes the newest checkpoint with it, by which the entries can be
    /// proven.
    pub async fn manifest(self, db: &mut PgConnection, name: &str) -> Result<Manifest, StoreFault> {
        let checkpoint = checkpoint::newest(db).await?;
        Ok(Manifest {
            version: manifest::VERSION,
            log: self.origin,
            search: self.search.to_query(),
            format: self.format,
            entries: self.entries,
            first_leaf: self.leaves.map(|(first, _)| first),
            last_leaf: self.leaves.map(|(_, last)| last),
            log_size: self.size,
            archived: Some(self.bodiless),
            missing: Some(self.losses.missing.count),
            damaged: Some(self.losses.damaged.count),
            files: vec![File { name: name.to_owned(), bytes: self.bytes, sha256: hex::encode(self.hash.finish()) }],
            checkpoint: checkpoint.map(|checkpoint| checkpoint.note),
        })
    }
}

const AT_ONCE: usize = 500;
