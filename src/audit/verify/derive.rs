//! What verification computes for each entry by itself, from its leaf bytes alone: its hash, its columns once more, and
//! whether the stored ones say the same. Needs no order, so it runs on every core at once.

use super::recall::{Recall, Target};
use crate::{
    audit::{
        Entry, Event,
        entry::Columns,
        tree::{Hash, leaf_hash},
    },
    model::Timestamp,
    store::entry_page::EntryRow,
};

/// An entry, as far as it can be judged by itself.
#[derive(Debug)]
pub(super) struct Derived {
    /// Where it claims to be.
    pub(super) index: i64,
    /// The hash of its bytes.
    pub(super) hash: Hash,
    /// When its bytes say that it was recorded.
    pub(super) recorded_at: Timestamp,
    /// What is wrong with it.
    pub(super) fault: Option<String>,
    /// What it tells of the log itself, or of what is kept beside it.
    pub(super) news: Option<Box<Event>>,
}

/// Judges an entry by itself.
pub(super) fn derive(row: &EntryRow<'_>, recall: &mut Recall) -> Derived {
    let (index, hash) = (row.leaf_index, leaf_hash(row.leaf));
    if let Some(columns) = recall.columns(row.leaf) {
        let recorded_at = columns.recorded_at;
        return Derived { index, hash, recorded_at, fault: edited(row, &columns, Target::is), news: None };
    }
    match Entry::from_leaf(row.leaf) {
        Err(fault) => {
            let fault = Some(format!("its bytes are not an entry: {fault}"));
            Derived { index, hash, recorded_at: row.recorded_at, fault, news: None }
        }
        Ok(entry) => {
            let fault = edited(row, &Columns::of(&entry), |target, column| target.as_bytes() == column);
            let recorded_at = entry.recorded_at;
            let news = entry.event.is_of_the_log().then(|| Box::new(entry.event));
            Derived { index, hash, recorded_at, fault, news }
        }
    }
}

/// What is wrong with the columns: the first that is not the one that the bytes give.
fn edited<T>(row: &EntryRow<'_>, columns: &Columns<T>, is: impl Fn(&T, &[u8]) -> bool) -> Option<String> {
    let is_target = match (&columns.target, row.target) {
        (Some(target), Some(column)) => is(target, column),
        (target, column) => target.is_none() && column.is_none(),
    };
    let same = [
        ("recorded_at", row.recorded_at == columns.recorded_at),
        ("happened_at", row.happened_at == columns.happened_at),
        ("kind", row.kind == columns.kind.as_bytes()),
        ("broker", row.broker == columns.broker),
        ("request", row.request == columns.request),
        ("person", row.person == columns.person),
        ("login", row.login == columns.login),
        ("credential", row.credential == columns.credential),
        ("verdict", row.verdict == columns.verdict.map(str::as_bytes)),
        ("target", is_target),
    ];
    let (column, _) = same.into_iter().find(|(_, is_same)| !is_same)?;
    Some(format!("its column `{column}` was changed: it says something else than the bytes"))
}
