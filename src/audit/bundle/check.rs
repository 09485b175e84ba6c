//! Checks a bundle line by line: no database, no network, constant memory.
//!
//! Whoever made the file controls every byte of it. INVARIANT: nothing in it counts before the walk over its lines ends
//! in the very size and root that a key of the log signed; a key out of the file itself is told apart.

use std::{
    collections::BTreeSet,
    io::{BufRead, Read as _},
    ops::Range,
};

use serde_json::Value;

use super::{Broken, Hex, Line, Proven, Signed, VERSION, cover, named_texts};
use crate::audit::{
    canonical::from_canonical,
    checkpoint::{Checkpoint, Verifier},
    entry,
    tree::{Edge, leaf_hash, sha256},
};

/// What whoever checks has kept apart from the file.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Keys of the log. Without one those in the file are used, which prove nothing against whoever wrote it.
    pub keys: Vec<Verifier>,
    /// Signed notes.
    pub checkpoints: Vec<String>,
}

/// What the bundle proves.
pub fn check(file: &mut impl BufRead, kept: &Kept) -> Result<Proven, Broken> {
    let mut walk = Walk {
        kept,
        line: 0,
        header: None,
        edge: Edge::default(),
        entries: 0,
        ranges: Vec::new(),
        named: BTreeSet::new(),
        texts: BTreeSet::new(),
        continues: Vec::new(),
    };
    loop {
        let mut bytes = Vec::new();
        let read = file.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes);
        walk.line += 1;
        match read {
            Ok(0) => break,
            Ok(_) if bytes.len() as u64 == LONGEST_LINE => return Err(walk.foreign("it is too long")),
            Ok(_) => {}
            Err(fault) => return Err(walk.foreign(fault.to_string())),
        }
        let line = serde_json::from_slice(bytes.trim_ascii_end());
        let line = line.map_err(|fault| walk.foreign(format!("this is no line of a bundle: {fault}")))?;
        walk.take(line)?;
    }
    walk.finish()
}

struct Walk<'k> {
    kept: &'k Kept,
    line: u64,
    header: Option<Header>,
    edge: Edge,
    entries: u64,
    ranges: Vec<Range<u64>>,
    named: BTreeSet<(String, String)>,
    texts: BTreeSet<(String, String)>,
    continues: Vec<u64>,
}

/// What the first line gives.
struct Header {
    signed: Checkpoint,
    key: Verifier,
    older: Vec<Checkpoint>,
}

impl Walk<'_> {
    fn take(&mut self, line: Line) -> Result<(), Broken> {
        match line {
            Line::Bundle { version, .. } if self.line == 1 && version != VERSION => {
                Err(self.foreign(format!("this is version {version} of the format, known is {VERSION}")))
            }
            Line::Bundle { origin, keys, checkpoint, .. } if self.line == 1 => self.begin(&origin, &keys, &checkpoint),
            _ if self.line == 1 => Err(self.foreign("a bundle begins with its header")),
            Line::Bundle { .. } => Err(self.broken("a second header")),
            Line::Skipped { from, until, hashes } => self.skip(from..until, hashes),
            Line::Entry { index, leaf } => self.entry(index, &leaf),
            Line::Text { kind, sha256: hash, body } => {
                if sha256(&[body.as_bytes()]) != hash.0 {
                    return Err(self.broken("the text is not the one that its hash names"));
                }
                match self.texts.insert((kind, hex::encode(hash.0))) {
                    true => Ok(()),
                    false => Err(self.broken("the text is there twice")),
                }
            }
        }
    }

    /// Opens the checkpoint, and those that were kept, with the keys given; without one with those in the file.
    fn begin(&mut self, origin: &str, keys: &[String], note: &str) -> Result<(), Broken> {
        let in_file: Vec<Verifier> = keys.iter().filter_map(|key| key.parse().ok()).collect();
        let trusted = if self.kept.keys.is_empty() { &in_file } else { &self.kept.keys };
        let open = |note: &str, whose: &str| {
            open(note, trusted).map_err(|what| self.broken(format!("{whose} checkpoint: {what}")))
        };
        let (signed, key) = open(note, "its")?;
        if key.name() != origin || signed.epoch(origin).is_none() {
            return Err(self.broken("it names another log than the key"));
        }
        let older = self.kept.checkpoints.iter().map(|note| Ok(open(note, "the kept")?.0));
        let (older, key) = (older.collect::<Result<_, _>>()?, key.clone());
        self.header = Some(Header { signed, key, older });
        self.compare()
    }

    /// A kept checkpoint of this size must have the root that the walk has come to.
    fn compare(&mut self) -> Result<(), Broken> {
        let (size, Some(header)) = (self.edge.size(), &self.header) else { return Ok(()) };
        if let Some(older) = header.older.iter().find(|older| older.size == size) {
            if older.root != self.edge.root() {
                return Err(self.broken(format!("it does not continue the kept checkpoint at {size} entries: a fork")));
            }
            self.continues.push(size);
        }
        Ok(())
    }

    fn skip(&mut self, range: Range<u64>, hashes: Vec<Hex>) -> Result<(), Broken> {
        if range.start != self.edge.size() || range.is_empty() || range.end > i64::MAX as u64 {
            return Err(self.broken("what is skipped does not begin where the walk is"));
        }
        let cover = cover(range);
        if cover.len() != hashes.len() {
            return Err(self.broken("what is skipped has another number of hashes"));
        }
        let mut edge = std::mem::take(&mut self.edge);
        for ((height, _), hash) in cover.into_iter().zip(hashes) {
            edge =
                edge.followed_by(&[hash.0], 1 << height).ok_or_else(|| self.broken("a hash does not fit its place"))?;
        }
        self.edge = edge;
        self.compare()
    }

    fn entry(&mut self, index: u64, leaf: &str) -> Result<(), Broken> {
        if index != self.edge.size() {
            return Err(self.broken(format!("entry {index} stands where entry {} belongs", self.edge.size())));
        }
        let entry: Value = match leaf.as_bytes().split_first() {
            Some((&entry::VERSION, body)) => from_canonical(body),
            _ => return Err(self.broken("the entry is not of a known version")),
        }
        .map_err(|fault| self.broken(format!("the entry is not canonical: {fault}")))?;
        self.named.extend(named_texts(&entry).map(|(kind, hash)| (kind.to_owned(), hash.to_owned())));
        self.edge.append(leaf_hash(leaf.as_bytes()));
        self.entries += 1;
        let is_full = self.ranges.len() >= MOST_RANGES;
        match self.ranges.last_mut() {
            Some(last) if last.end == index => last.end += 1,
            _ if is_full => {}
            _ => self.ranges.push(index..index + 1),
        }
        self.compare()
    }

    fn finish(self) -> Result<Proven, Broken> {
        let Some(Header { signed, key, older }) = self.header else { return Err(self.foreign("the file is empty")) };
        if signed.size != self.edge.size() {
            let what = format!("its lines cover {} entries, {} were signed", self.edge.size(), signed.size);
            return Err(Broken::Whole(what));
        }
        if signed.root != self.edge.root() {
            let what = "its entries and hashes do not come to the root that was signed: one of them was changed";
            return Err(Broken::Whole(what.to_owned()));
        }
        if let Some((kind, hash)) = self.texts.difference(&self.named).next() {
            return Err(Broken::Whole(format!("no entry names the text {kind} {hash}")));
        }
        if let Some(silent) = older.iter().find(|older| !self.continues.contains(&older.size)) {
            let what = format!("it says nothing about the kept checkpoint at {} entries", silent.size);
            return Err(Broken::Silent(what));
        }
        let from = if self.kept.keys.is_empty() { Signed::File } else { Signed::Given };
        Ok(Proven {
            origin: signed.origin,
            size: signed.size,
            root: hex::encode(signed.root),
            entries: self.entries,
            ranges: self.ranges,
            texts_named: self.named.len() as u64,
            texts: self.texts.len() as u64,
            continues: self.continues,
            signed: from(key.to_string()),
        })
    }

    fn foreign(&self, what: impl Into<String>) -> Broken {
        Broken::Foreign { line: self.line, what: what.into() }
    }

    fn broken(&self, what: impl Into<String>) -> Broken {
        Broken::Line { line: self.line, what: what.into() }
    }
}

fn open<'k>(note: &str, keys: &'k [Verifier]) -> Result<(Checkpoint, &'k Verifier), String> {
    let mut fault = "there is no key to check it with".to_owned();
    for key in keys {
        match key.open(note) {
            Ok(checkpoint) => return Ok((checkpoint, key)),
            Err(why) => fault = why.to_string(),
        }
    }
    Err(fault)
}

/// In bytes. Texts of rules are the longest lines.
const LONGEST_LINE: u64 = 64 * 1024 * 1024;

/// How many ranges a report names.
const MOST_RANGES: usize = 100;
