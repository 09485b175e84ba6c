//! What a search came to and cannot show: entries that are archived, missing, or no longer what was recorded. INVARIANT:
//! each is counted, as one or the other; what is looked for is never left out in silence.

use super::{
    super::{
        archived::archived_before,
        bits::{BLOCK, Bits},
        block::UNREADABLE,
        query::Search,
        terms::{Field, number},
        walk::read,
    },
    Looking,
};
use crate::{
    audit::Entry,
    store::{
        StoreFault,
        search::{self, Order},
    },
};

/// What led to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Led {
    /// Its block's index: it had every term that is looked for when it was indexed.
    Index,
    /// The column that has its request.
    Request,
    /// Its place: every entry there is looked at.
    Place,
}

impl Looking<'_> {
    /// Takes the leaf, if it is one that is looked for. Bytes that are no entry, or not the one that was indexed, may be.
    pub(super) fn consider(&mut self, index: u64, leaf: Vec<u8>, led: Led) {
        let (is_wanted, is_damaged) = match Entry::from_leaf(&leaf) {
            Ok(entry) if self.search.matches(&entry) => ((self.readable)(&entry), false),
            Ok(entry) => (false, self.is_another(&entry, led)),
            Err(_) => (self.search.asks_nothing_of_an_entry(), !self.search.asks_nothing_of_an_entry()),
        };
        if is_damaged {
            self.lost.damaged.add(index);
        }
        if is_wanted && !self.is_full() {
            self.found.entries.push((index, leaf));
            if !self.is_full() {
                self.found.losses.join(&std::mem::take(&mut self.lost));
            }
        }
    }

    /// Whether `entry` lacks what led to it. Bytes never change, so then they are not those that were recorded.
    fn is_another(&self, entry: &Entry, led: Led) -> bool {
        match led {
            Led::Index => !self.search.terms().are_in(entry),
            Led::Request => entry.request != self.search.request,
            Led::Place => false,
        }
    }

    /// An entry that is gone.
    pub(super) fn miss(&mut self, index: u64) {
        if index < self.archived {
            self.found.bodiless += 1;
        } else {
            self.lost.missing.add(index);
        }
    }

    /// One that is gone and was never indexed: if it is archived, nobody can ask it anything but whether it is there.
    pub(super) fn miss_unindexed(&mut self, index: u64) {
        if index >= self.archived || *self.search == Search::default() {
            self.miss(index);
        } else {
            self.found.hint = Some(ARCHIVED_UNINDEXED.to_owned());
        }
    }

    /// Looks how far the log was archived by now, if that may be why some of these are `gone`.
    pub(super) async fn settle(&mut self, mut gone: impl Iterator<Item = &u64>) -> Result<(), StoreFault> {
        if gone.any(|index| *index >= self.archived) {
            self.archived = archived_before(&mut *self.db).await?;
        }
        Ok(())
    }

    /// Bytes that were no entry already when they were indexed have none of the terms that are looked for.
    pub(super) async fn never_readable(&mut self) -> Result<(), StoreFault> {
        if self.search.request.is_some() || self.search.terms().numbers().is_empty() {
            return Ok(());
        }
        let (from, until) = match (self.order, self.found.next) {
            (Order::NewestFirst, next) => (next.unwrap_or(self.whole.0), self.whole.1),
            (Order::OldestFirst, next) => (self.whole.0, next.unwrap_or(self.whole.1)),
        };
        let (term, blocks) = (number(Field::What, UNREADABLE), (from / BLOCK, until.div_ceil(BLOCK)));
        for posting in search::postings(&mut *self.db, term, blocks, self.order, MOST_UNREADABLE).await? {
            let start = posting.block * BLOCK;
            let within = Bits::range(from.saturating_sub(start), until.saturating_sub(start));
            for place in read(&posting.bits)?.and(within).places() {
                self.found.losses.damaged.add(start + place);
            }
        }
        Ok(())
    }
}

impl Search {
    /// Bytes that cannot be read are shown only where nothing was asked of them.
    pub(in crate::audit::search) fn asks_nothing_of_an_entry(&self) -> bool {
        Self { from: None, until: None, ..self.clone() } == Self::default()
    }
}

/// Says no number: whoever asks may not be told how many.
const ARCHIVED_UNINDEXED: &str =
    "The oldest entries are archived and were never indexed: whether they are what you look for cannot be told here.";

/// In how many blocks one page looks for bytes that never were an entry.
const MOST_UNREADABLE: i64 = 256;
