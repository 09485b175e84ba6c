//! What was archived: the log says so in entries, the database keeps a list of its own, and an auditor may have the files.
//! All three must say the same. Whoever owns the database can add entries while a broker runs, so what proves a body that
//! is gone is its archive alone; here it is found whether the log, the list and the files agree.

use std::{collections::BTreeMap, ops::Range};

use super::{Broken, heard::Told};
use crate::store::archive::Archived;

/// What archives hold of the entries that are no longer in the database.
#[derive(Clone, Debug, Default)]
pub struct Bodies {
    /// The archives that were looked through.
    pub files: Vec<ArchiveFile>,
    /// Leaf bytes of those entries that say who signs, that the past was cut, or what was archived, by index.
    pub leaves: BTreeMap<u64, Vec<u8>>,
}

/// An archive that holds by itself.
#[derive(Clone, Debug)]
pub struct ArchiveFile {
    /// Its entries.
    pub ranges: Vec<Range<u64>>,
    /// SHA-256 of all of it.
    pub sha256: [u8; 32],
}

impl Bodies {
    /// How many of the first `size` entries are there.
    pub fn count(&self, size: u64) -> u64 {
        let mut counted = 0;
        let mut count = 0;
        for range in self.ranges() {
            let (start, end) = (range.start.max(counted), range.end.min(size));
            count += end.saturating_sub(start);
            counted = counted.max(end);
        }
        count
    }

    /// The first stretch below `size` that was not looked through.
    pub(super) fn unheard(&self, size: u64) -> Option<Range<u64>> {
        let mut heard = 0;
        for range in self.ranges() {
            if range.start > heard {
                return Some(heard..range.start.min(size)).filter(|gap| !gap.is_empty());
            }
            heard = heard.max(range.end);
        }
        (heard < size).then_some(heard..size)
    }

    fn ranges(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<_> = self.files.iter().flat_map(|file| file.ranges.clone()).collect();
        ranges.sort_by_key(|range| range.start);
        ranges
    }
}

impl ArchiveFile {
    fn covers(&self, told: &Told) -> bool {
        self.ranges.iter().any(|range| range.start <= told.from && told.until <= range.end)
    }
}

/// The log must say that everything before `first` was archived, step by step, and the lists and files must agree.
/// `before` is the list of before the log was read, `after` the one of after: it may have grown.
pub(super) fn expect_archived(
    first: u64,
    told: &[Told],
    (before, after): (&[Archived], &[Archived]),
    bodies: &Bodies,
) -> Result<(), Broken> {
    let until = told.last().map_or(0, |told| told.until);
    if until < first {
        return Err(Broken::leaves(until, first, "missing, and no entry says that it was archived"));
    }
    for (nth, one) in told.iter().enumerate() {
        if bodies.files.iter().any(|file| file.covers(one) && hex::encode(file.sha256) != one.sha256) {
            let Told { from, until, .. } = one;
            let last = until.saturating_sub(1);
            let what =
                format!("the archive given for the entries {from} to {last} is not the file that it names (SHA-256)");
            return Err(Broken::leaf(one.index, what));
        }
        expect_told(one, nth.checked_sub(1).and_then(|nth| told.get(nth)), after)?;
    }
    // What tells of the oldest archives may be archived itself.
    let oldest_told = told.first().map_or(u64::MAX, |told| told.from);
    let is_unheard = |row: &Archived| row.from < oldest_told && bodies.unheard(first).is_some();
    match before.iter().find(|row| !is_unheard(row) && !told.iter().any(|told| is_same(told, row))) {
        None => Ok(()),
        Some(Archived { from, until, .. }) => {
            let last = until.saturating_sub(1);
            Err(Broken::table(
                "archive",
                format!("it says that the entries {from} to {last} were archived, and no entry does"),
            ))
        }
    }
}

fn expect_told(told: &Told, previous: Option<&Told>, rows: &[Archived]) -> Result<(), Broken> {
    let Told { index, from, until, .. } = told;
    let last = until.saturating_sub(1);
    let wrong = |what: &str| {
        Err(Broken::leaf(*index, format!("it says that the entries {from} to {last} were archived, {what}")))
    };
    if until <= from || until > index {
        return wrong("which cannot be");
    }
    if previous.is_some_and(|previous| previous.until != *from) {
        return wrong("which is not what follows the archive before");
    }
    match rows.iter().any(|row| is_same(told, row)) {
        true => Ok(()),
        false => wrong("and the table `archive` does not"),
    }
}

fn is_same(told: &Told, row: &Archived) -> bool {
    let Told { from, until, file, sha256, .. } = told;
    (row.from, row.until, &row.file, &hex::encode(row.sha256)) == (*from, *until, file, sha256)
}
