//! Writes a bundle from the database, a stretch of entries at a time, and walks the tree while it does.
//! INVARIANT: it reports success only if what it wrote leads to the root of the checkpoint that it wrote.

use std::{collections::BTreeSet, io::Write, ops::Range};

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::Value;
use sqlx::PgConnection;

use super::{BundleFault, Hex, Line, Selection, VERSION, cover, named_texts, succession::Succession};
use crate::{
    audit::{
        proof,
        search::archived_before,
        texts::{Text, text},
        tree::{Edge, Hash, leaf_hash},
    },
    store::{StoreFault, checkpoint::Checkpoint, entry, policy_text::TextKind},
};

/// What a bundle is to prove besides: that the log continues an older tree. The walk stops at its size, so that whoever
/// checks can compare the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Continued {
    /// Which life of the log it is from.
    pub epoch: u64,
    /// How many entries the older tree has.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

/// Whether the texts come along that entries name by their hashes. The proof is the same without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Texts {
    /// Those that the database has.
    Included,
    /// None: for whoever may not read the rules.
    LeftOut,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// How many entries.
    pub entries: u64,
    /// How many texts.
    pub texts: u64,
    /// Those that are not in it, because another text stands in their place: kind and hash.
    pub changed: Vec<String>,
    /// How many bytes.
    pub bytes: u64,
    /// SHA-256 over them.
    pub sha256: Hash,
}

/// Writes the entries of `selection` with their proof up to `signed`, a checkpoint of the log `origin`, and the `texts`
/// that they name; besides, what leads from every older key to the newest. After a fault, what was written means nothing.
pub async fn write(
    db: &mut PgConnection,
    selection: &Selection,
    signed: &Checkpoint,
    (origin, keys): (&str, &[String]),
    older: &[Continued],
    texts: Texts,
    out: &mut impl Write,
) -> Result<Written, BundleFault> {
    if selection.end() > signed.size {
        let what = format!("no checkpoint covers entry {} yet: the newest is at {}", selection.end() - 1, signed.size);
        return Err(BundleFault::Beyond(what));
    }
    let is_beyond = |older: &&Continued| older.size > signed.size && older.epoch >= signed.epoch;
    if let Some(older) = older.iter().find(is_beyond) {
        let (older, size) = (older.size, signed.size);
        let what = format!("what is proven up to entry {size} cannot continue the checkpoint at {older} entries");
        return Err(BundleFault::Beyond(what));
    }
    let succession = Succession::of(db, signed).await?;
    let selection = &selection.and(succession.leaves.keys().copied());
    let mut pen = Pen::new(out, older, succession, signed.epoch);
    let (origin, keys, checkpoint) = (origin.to_owned(), keys.to_vec(), signed.note.clone());
    pen.line(&Line::Bundle { version: VERSION, origin, keys, checkpoint })?;
    for stretch in stretches(selection) {
        pen.stretch(db, &stretch).await?;
    }
    let rest = pen.stops(pen.edge.size()..signed.size);
    let hashes = proof::covers(db, &rest).await?;
    rest.into_iter().zip(hashes).try_for_each(|(range, hashes)| pen.skip(range, hashes))?;
    if pen.edge.root().as_slice() != signed.root {
        return Err(BundleFault::Unsound("the entries do not come to the root that was signed".to_owned()));
    }
    let (texts, changed) = match texts {
        Texts::Included => pen.texts(db).await?,
        Texts::LeftOut => (0, Vec::new()),
    };
    pen.out.flush()?;
    let sha256 = pen.digest.finish().as_ref().try_into().unwrap_or_default();
    Ok(Written { entries: pen.entries, texts, changed, bytes: pen.bytes, sha256 })
}

/// The file, and how far the walk over the tree is.
struct Pen<'o, W> {
    out: &'o mut W,
    older: &'o [Continued],
    succession: Succession,
    epoch: u64,
    digest: Context,
    bytes: u64,
    edge: Edge,
    entries: u64,
    named: BTreeSet<(&'static str, String)>,
}

impl<'o, W: Write> Pen<'o, W> {
    fn new(out: &'o mut W, older: &'o [Continued], succession: Succession, epoch: u64) -> Self {
        let (digest, edge) = (Context::new(&SHA256), Edge::default());
        Self { out, older, succession, epoch, digest, bytes: 0, edge, entries: 0, named: BTreeSet::new() }
    }

    fn line(&mut self, line: &Line) -> Result<(), BundleFault> {
        let mut bytes = serde_json::to_vec(line).map_err(std::io::Error::other)?;
        bytes.push(b'\n');
        self.digest.update(&bytes);
        self.bytes += bytes.len() as u64;
        Ok(self.out.write_all(&bytes)?)
    }

    async fn stretch(&mut self, db: &mut PgConnection, ranges: &[Range<u64>]) -> Result<(), BundleFault> {
        let starts = std::iter::once(self.edge.size()).chain(ranges.iter().map(|range| range.end));
        let gaps: Vec<Vec<Range<u64>>> =
            starts.zip(ranges).map(|(start, range)| self.stops(start..range.start)).collect();
        let mut covers = proof::covers(db, &gaps.concat()).await?.into_iter();
        let kept = |index: &u64| self.succession.leaves.contains_key(index);
        let wanted: Vec<u64> = ranges.iter().cloned().flatten().filter(|index| !kept(index)).collect();
        let mut leaves = entry::leaves(&mut *db, &wanted).await?.into_iter();
        for (gaps, range) in gaps.into_iter().zip(ranges) {
            gaps.into_iter().zip(covers.by_ref()).try_for_each(|(gap, hashes)| self.skip(gap, hashes))?;
            for index in range.clone() {
                let leaf = match self.succession.leaves.remove(&index) {
                    Some(leaf) => Some(leaf),
                    None => leaves.next().filter(|(found, _)| *found == index).map(|(_, leaf)| leaf),
                };
                match leaf {
                    Some(leaf) => self.entry(index, leaf)?,
                    None => return Err(gone(db, index).await?),
                }
            }
        }
        Ok(())
    }

    /// A range in parts that end where an older tree did.
    fn stops(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let sizes = self.older.iter().map(|older| older.size).chain(self.succession.notes.keys().copied());
        let mut ends: Vec<u64> = sizes.filter(|size| range.contains(size)).collect();
        ends.push(range.end);
        ends.sort_unstable();
        let starts = std::iter::once(range.start).chain(ends.clone());
        starts.zip(ends).map(|(start, end)| start..end).filter(|part| !part.is_empty()).collect()
    }

    fn skip(&mut self, range: Range<u64>, hashes: Vec<Hash>) -> Result<(), BundleFault> {
        let mut edge = std::mem::take(&mut self.edge);
        for ((height, _), hash) in cover(range.clone()).into_iter().zip(&hashes) {
            let fault = || BundleFault::Unsound("a stored hash does not fit its place".to_owned());
            edge = edge.followed_by(&[*hash], 1 << height).ok_or_else(fault)?;
        }
        self.edge = edge;
        let hashes = hashes.into_iter().map(Hex).collect();
        self.line(&Line::Skipped { from: range.start, until: range.end, hashes })?;
        self.arrive()
    }

    /// An older tree that ends here must be this one, unless it is of a life of the log that has ended. Adds the notes
    /// by which a key vouches here for the next.
    fn arrive(&mut self) -> Result<(), BundleFault> {
        let (here, root) = (self.edge.size(), self.edge.root());
        let differs = |older: &&Continued| older.size == here && older.epoch >= self.epoch && older.root != root;
        if self.older.iter().any(|older| differs(&older)) {
            return Err(BundleFault::Unsound(format!("the log does not continue the checkpoint at {here} entries")));
        }
        for (stated, note) in self.succession.notes.remove(&here).unwrap_or_default() {
            if stated.as_slice() == root {
                self.line(&Line::Checkpoint { note })?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, index: u64, leaf: Vec<u8>) -> Result<(), BundleFault> {
        let unsound = |_| BundleFault::Unsound(format!("entry {index} is not readable"));
        self.edge.append(leaf_hash(&leaf));
        let leaf = String::from_utf8(leaf).map_err(|fault| unsound(fault.to_string()))?;
        let entry: Value =
            serde_json::from_str(leaf.get(1..).unwrap_or_default()).map_err(|fault| unsound(fault.to_string()))?;
        self.named.extend(named_texts(&entry).map(|(kind, hash)| (kind, hash.to_owned())));
        self.entries += 1;
        self.line(&Line::Entry { index, leaf })?;
        self.arrive()
    }

    /// Adds the texts that entries named and the database has: how many, and which it has no longer as they were.
    async fn texts(&mut self, db: &mut PgConnection) -> Result<(u64, Vec<String>), BundleFault> {
        let (mut count, mut changed) = (0, Vec::new());
        for (kind, name) in std::mem::take(&mut self.named) {
            let mut hash = [0; 32];
            let Ok(()) = hex::decode_to_slice(&name, &mut hash) else { continue };
            let of = match kind {
                "policies" => TextKind::Policies,
                "entities" => TextKind::Entities,
                _ => TextKind::Schema,
            };
            match text(&mut *db, of, &hash).await? {
                Text::Whole(body) => {
                    self.line(&Line::Text { kind: kind.to_owned(), sha256: Hex(hash), body })?;
                    count += 1;
                }
                Text::Changed => changed.push(format!("{kind} {name}")),
                Text::Missing => {}
            }
        }
        Ok((count, changed))
    }
}

/// Why the entry at `index` is not in the database.
async fn gone(db: &mut PgConnection, index: u64) -> Result<BundleFault, StoreFault> {
    let is_archived = index < archived_before(db).await?;
    Ok(if is_archived { BundleFault::Archived(index) } else { BundleFault::Missing(index) })
}

/// The ranges of a selection in portions of at most [`STRETCH`] entries.
fn stretches(selection: &Selection) -> Vec<Vec<Range<u64>>> {
    let (mut stretches, mut stretch, mut room) = (Vec::new(), Vec::new(), STRETCH);
    for range in selection.ranges() {
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start.saturating_add(room));
            stretch.push(start..end);
            room -= end - start;
            start = end;
            if room == 0 {
                stretches.push(std::mem::take(&mut stretch));
                room = STRETCH;
            }
        }
    }
    stretches.push(stretch);
    stretches
}

/// How many entries are read at once.
const STRETCH: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_short_and_leave_nothing_out() {
        let selection = Selection::of([3..4, 10..1_500, 2_000..2_001]);
        let stretches = stretches(&selection);
        assert!(
            stretches.iter().all(|stretch| stretch.iter().map(|range| range.end - range.start).sum::<u64>() <= 512)
        );
        assert_eq!(Selection::of(stretches.into_iter().flatten()), selection);
    }
}
