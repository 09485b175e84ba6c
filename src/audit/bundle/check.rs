//! Checks a bundle line by line: no database, no network, constant memory.
//!
//! Whoever made the file controls every byte of it. INVARIANT: nothing in it counts before the walk over its lines ends
//! in the very size and root that a key of the log signed; a key out of the file itself is told apart. A later key counts
//! where an earlier one that counts has vouched for it, and signed the entry that says so.

use std::{
    collections::BTreeSet,
    io::{BufRead, Read as _},
    ops::Range,
};

use serde_json::Value;

use super::{Broken, Hex, Line, Proven, Signed, VERSION, cover, named_texts};
use crate::audit::{
    Entry,
    canonical::from_canonical,
    checkpoint::{Checkpoint, CheckpointFault, Verifier, split},
    entry,
    tree::{Edge, leaf_hash, sha256},
    verify::chain::Chain,
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
        succession: Vec::new(),
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
        let line = serde_json::from_slice(&bytes);
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
    succession: Vec<(u64, Vec<u8>)>,
}

/// What the first line gives.
struct Header {
    origin: String,
    note: String,
    signed: Checkpoint,
    /// Which keys count.
    chain: Chain,
    older: Vec<Older>,
}

/// A checkpoint that was kept.
struct Older {
    note: String,
    stated: Checkpoint,
    /// Whether the walk came to its size, and then to its root.
    is_same: Option<bool>,
}

impl Walk<'_> {
    fn take(&mut self, line: Line) -> Result<(), Broken> {
        match line {
            Line::Bundle { version, .. } if self.line == 1 && version != VERSION => {
                Err(self.foreign(format!("this is version {version} of the format, known is {VERSION}")))
            }
            Line::Bundle { origin, keys, checkpoint, .. } if self.line == 1 => self.begin(origin, &keys, checkpoint),
            _ if self.line == 1 => Err(self.foreign("a bundle begins with its header")),
            Line::Bundle { .. } => Err(self.broken("a second header")),
            Line::Skipped { from, until, hashes } => self.skip(from..until, hashes),
            Line::Checkpoint { note } => self.vouch(&note),
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

    /// Reads the checkpoint, and those that were kept; who signed them is asked when all keys are known that count.
    fn begin(&mut self, origin: String, keys: &[String], note: String) -> Result<(), Broken> {
        let in_file: Vec<Verifier> = keys.iter().filter_map(|key| key.parse().ok()).collect();
        let trusted = if self.kept.keys.is_empty() { &in_file } else { &self.kept.keys };
        let chain = Chain::of(&origin, trusted, &in_file);
        let read = |note: &str, whose: &str| {
            let stated = stated(note).map_err(|what| self.broken(format!("{whose} checkpoint: {what}")))?;
            match stated.epoch(&origin) {
                Some(_) => Ok(stated),
                None => Err(self.broken(format!("{whose} checkpoint names another log"))),
            }
        };
        let signed = read(&note, "its")?;
        let older = self.kept.checkpoints.iter();
        let older = older.map(|note| Ok(Older { note: note.clone(), stated: read(note, "the kept")?, is_same: None }));
        let older = older.collect::<Result<_, _>>()?;
        self.header = Some(Header { origin, note, signed, chain, older });
        self.compare();
        Ok(())
    }

    /// Notes whether kept checkpoints of this size have the root that the walk has come to.
    fn compare(&mut self) {
        let Some(header) = &mut self.header else { return };
        for older in header.older.iter_mut().filter(|older| older.stated.size == self.edge.size()) {
            older.is_same = Some(older.stated.root == self.edge.root());
        }
    }

    /// A checkpoint of what has come so far: where a key that counts signed it, the entries that it covers count as well.
    fn vouch(&mut self, note: &str) -> Result<(), Broken> {
        let (size, root) = (self.edge.size(), self.edge.root());
        let Some(header) = &mut self.header else { return Ok(()) };
        let what = match header.chain.open(note) {
            Ok(stated) if stated.checkpoint.size == size && stated.checkpoint.root == root => {
                header.chain.confirm(&stated);
                return Ok(());
            }
            Ok(_) => "the checkpoint is not of what has come before it".to_owned(),
            Err(what) => format!("the checkpoint: {what}"),
        };
        Err(self.broken(what))
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
        self.compare();
        Ok(())
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
        let kind = entry.pointer("/event/kind").and_then(Value::as_str);
        match kind {
            Some("key-rotated" | "epoch-began") => self.hear(index, leaf.as_bytes())?,
            Some("archived") => self.succession.push((index, leaf.as_bytes().to_vec())),
            _ => {}
        }
        self.compare();
        Ok(())
    }

    /// An entry that may say who signs, or that the past was cut.
    fn hear(&mut self, index: u64, leaf: &[u8]) -> Result<(), Broken> {
        let entry = Entry::from_leaf(leaf).map_err(|fault| self.broken(format!("the entry is malformed: {fault}")))?;
        if let Some(header) = &mut self.header {
            header.chain.hear(index, &entry.event);
            self.succession.push((index, leaf.to_vec()));
        }
        Ok(())
    }

    fn finish(self) -> Result<Proven, Broken> {
        let Some(mut header) = self.header else { return Err(self.foreign("the file is empty")) };
        let signed = &header.signed;
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
        let key = header.sign().map_err(Broken::Whole)?;
        let continues = header.continues()?;
        let signed = match (self.kept.keys.as_slice(), key.to_string()) {
            ([], key) => Signed::File(key),
            (given, text) if given.contains(&key) => Signed::Given(text),
            (_, key) => Signed::Vouched(key),
        };
        Ok(Proven {
            origin: header.signed.origin,
            size: header.signed.size,
            root: hex::encode(header.signed.root),
            entries: self.entries,
            ranges: self.ranges,
            texts_named: self.named.len() as u64,
            texts: self.texts.len() as u64,
            continues,
            cuts: header.chain.cuts().to_vec(),
            signed,
            succession: self.succession,
        })
    }

    fn foreign(&self, what: impl Into<String>) -> Broken {
        Broken::Foreign { line: self.line, what: what.into() }
    }

    fn broken(&self, what: impl Into<String>) -> Broken {
        Broken::Line { line: self.line, what: what.into() }
    }
}

impl Header {
    /// The key that counts and signed what the walk came to.
    fn sign(&mut self) -> Result<Verifier, String> {
        self.chain.judge().map_err(|broken| broken.to_string())?;
        let stated = self.chain.open(&self.note).map_err(|what| format!("its checkpoint: {what}"))?;
        if stated.by.iter().any(|key| key.name() != self.origin) {
            return Err("it names another log than the key".to_owned());
        }
        if stated.epoch != self.chain.epoch() {
            return Err("its checkpoint is of another epoch than its entries".to_owned());
        }
        self.chain.confirm(&stated);
        let key = stated.by.into_iter().find(|key| self.chain.counts(key));
        key.ok_or_else(|| "it is signed by a key that no key given has vouched for".to_owned())
    }

    /// The sizes of the kept checkpoints that the walk came through. All that it did not come through must be lost by a
    /// cut that somebody accepted.
    fn continues(&mut self) -> Result<Vec<u64>, Broken> {
        let (mut continues, mut silent) = (Vec::new(), None);
        for Older { note, stated, is_same } in std::mem::take(&mut self.older) {
            let opened = self.chain.open(&note);
            let opened = opened.map_err(|what| Broken::Whole(format!("the kept checkpoint: {what}")))?;
            let size = stated.size;
            let fork = format!("it does not continue the kept checkpoint at {size} entries: a fork");
            match is_same {
                Some(true) => {
                    self.chain.confirm(&opened);
                    continues.push(size);
                }
                None | Some(false) if self.chain.is_forgiven(&opened) => {}
                Some(false) => return Err(Broken::Whole(fork)),
                None => {
                    silent =
                        Some(Broken::Silent(format!("it says nothing about the kept checkpoint at {size} entries")))
                }
            }
        }
        self.chain.finish().map_err(|broken| Broken::Whole(broken.to_string()))?;
        silent.map_or(Ok(continues), Err)
    }
}

/// What a note states, whoever signed it.
fn stated(note: &str) -> Result<Checkpoint, CheckpointFault> {
    split(note)?.0.parse()
}

/// In bytes. Texts of rules are the longest lines.
const LONGEST_LINE: u64 = 64 * 1024 * 1024;

/// How many ranges a report names.
const MOST_RANGES: usize = 10_000;
