//! Entries as a person may read them: each that a search finds is judged by the rules, and what they do not permit is
//! left out and counted. INVARIANT: every entry that a page or a file shows came through here.

use sqlx::PgConnection;

use crate::{
    access::{Gate, Permit, Reader, Refusal},
    audit::{
        Log,
        entry::Entry,
        search::{self, Found, Losses, Search},
    },
    portal::words,
    store::StoreFault,
};

/// An entry that may be shown.
pub struct Shown {
    /// Its place.
    pub index: u64,
    /// Its bytes.
    pub leaf: Vec<u8>,
    /// What they say; none when they are no entry.
    pub entry: Option<Entry>,
}

/// A stretch of what a search finds, as far as it may be shown.
#[derive(Default)]
pub struct Reading {
    /// In the order that was asked for.
    pub entries: Vec<Shown>,
    /// How many were left out between the first and the last that were looked at.
    pub left_out: u64,
    /// Where the rest begins; none: there is nothing more.
    pub next: Option<u64>,
    /// Why the search stopped before it was through, if it did.
    pub hint: Option<String>,
    /// How many of the stretch are archived.
    pub bodiless: u64,
    /// What must be in the stretch and cannot be shown, for those who may know.
    pub losses: Losses,
    /// How many entries the index covers.
    pub indexed_to: u64,
    /// How many entries the log has.
    pub size: u64,
}

/// The newest `limit` entries of `search` before the leaf `before`.
pub async fn newest(
    db: &mut PgConnection,
    (reader, log): (&Reader, &Log),
    search: &Search,
    before: Option<u64>,
    limit: usize,
) -> Result<Reading, StoreFault> {
    let mut reading = Reading { next: before, ..Reading::default() };
    let mut at_once = limit;
    let mut reached = None;
    for _ in 0..ROUNDS {
        let found = search::find(&mut *db, search, reading.next, at_once, |_| true).await?;
        log.came_upon(&found.losses);
        let is_over = found.next.is_none();
        reached = found.entries.last().and_then(|(_, leaf)| Entry::from_leaf(leaf).ok()).or(reached);
        if reading.take(found, reader, limit) || is_over {
            return Ok(reading);
        }
        at_once = AT_ONCE;
    }
    let since = reached.map(|entry| format!(" of {}", words::moment(entry.recorded_at))).unwrap_or_default();
    let next = reading.next.unwrap_or_default();
    reading.hint.get_or_insert_with(|| {
        format!(
            "Looked back as far as entry {next}{since}; most on the way you may not read. Go on from there, or name \
             a place that you may read about: that is found by the index."
        )
    });
    Ok(reading)
}

/// What the bytes of the one entry say that was asked for by its place; none: nothing, they are no entry. That it may not
/// be shown is in the log before it is said.
pub async fn one(
    gate: &Gate,
    (permit, reader): (&Permit, &Reader),
    (index, leaf): (u64, &[u8]),
) -> Result<Option<Entry>, Refusal> {
    let entry = Entry::from_leaf(leaf).ok();
    gate.ask_to_read(permit, reader, (index, entry.as_ref())).await?;
    Ok(entry)
}

/// The entry next to `index` that may be shown, among a few: the one before it, and the one after.
pub async fn neighbours(
    db: &mut PgConnection,
    reader: &Reader,
    index: u64,
) -> Result<(Option<u64>, Option<u64>), StoreFault> {
    let all = Search::default();
    let readable = |entry: &Entry| reader.may_read(entry);
    let nearest = |found: Found| {
        let shown = |(_, leaf): &&(u64, Vec<u8>)| judge(reader, leaf).is_some();
        found.entries.iter().find(shown).map(|(index, _)| *index)
    };
    let earlier = search::find(&mut *db, &all, Some(index), 1, readable).await?;
    let later = search::find_from(db, &all, index.saturating_add(1), 1, readable).await?;
    Ok((nearest(earlier), nearest(later)))
}

/// What the bytes say, if the reader may know.
#[expect(clippy::option_option, reason = "whether it may be shown, and whether it is an entry, are two questions")]
pub fn judge(reader: &Reader, leaf: &[u8]) -> Option<Option<Entry>> {
    match Entry::from_leaf(leaf) {
        Ok(entry) => reader.may_read(&entry).then_some(Some(entry)),
        Err(_) => reader.may_read_unreadable().then_some(None),
    }
}

impl Reading {
    /// Takes what was found, as far as it may be shown. True: there are enough.
    fn take(&mut self, found: Found, reader: &Reader, limit: usize) -> bool {
        (self.hint, self.indexed_to, self.size) = (found.hint, found.indexed_to, found.size);
        self.bodiless += found.bodiless;
        if reader.may_see_totals() {
            self.losses.join(&found.losses);
        }
        self.next = found.next;
        let count = found.entries.len();
        for (nth, (index, leaf)) in found.entries.into_iter().enumerate() {
            match judge(reader, &leaf) {
                Some(entry) => self.entries.push(Shown { index, leaf, entry }),
                None => self.left_out += 1,
            }
            if self.entries.len() >= limit {
                // What was found beyond is looked at again on the next page, and counted there.
                if nth + 1 < count {
                    (self.next, self.hint) = (Some(index), None);
                }
                return true;
            }
        }
        false
    }
}

/// How many entries are looked at in one step when some were left out, and how often.
const AT_ONCE: usize = 1_000;
const ROUNDS: usize = 11;
