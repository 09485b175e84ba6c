//! Finds entries page by page. INVARIANT: the work of one call is bounded, whatever is looked for; where the bound is
//! reached, the page says so and where to go on. Nothing scans the entries: hits are read by their index, and only the
//! newest ones, which the index does not have yet, are read one by one.

mod gone;

use std::collections::HashMap;

use sqlx::PgConnection;

use self::gone::Led;
use super::{
    bits::{BLOCK, Bits},
    lost::Losses,
    query::Search,
    walk::Walk,
};
use crate::{
    audit::Entry,
    store::{
        StoreFault, entry,
        search::{self, Extent, Order},
    },
};

/// A page of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Leaf index and bytes of each, in the order that was asked for. Bytes that are no entry are shown where nothing was
    /// asked of an entry but its time.
    pub entries: Vec<(u64, Vec<u8>)>,
    /// Where the next page begins; none: there is nothing more.
    pub next: Option<u64>,
    /// How many entries the index covers.
    pub indexed_to: u64,
    /// How many entries the log has.
    pub size: u64,
    /// How many entries of this stretch are archived: the index names them, but only their hashes are still here.
    pub bodiless: u64,
    /// What there must be in this stretch and cannot be shown.
    pub losses: Losses,
    /// How many blocks were looked at.
    pub examined: u64,
    /// What to know about this page: why it is not full, or what would make it faster.
    pub hint: Option<String>,
}

/// The newest entries before the leaf `before` that `search` looks for and `readable` lets through, newest first.
pub async fn find(
    db: &mut PgConnection,
    search: &Search,
    before: Option<u64>,
    limit: usize,
    readable: impl Fn(&Entry) -> bool + Send + Sync,
) -> Result<Found, StoreFault> {
    Looking::begin(db, search, &readable, Order::NewestFirst, before, limit).await?.page().await
}

/// The oldest of them from the leaf `from` on, oldest first.
pub async fn find_from(
    db: &mut PgConnection,
    search: &Search,
    from: u64,
    limit: usize,
    readable: impl Fn(&Entry) -> bool + Send + Sync,
) -> Result<Found, StoreFault> {
    Looking::begin(db, search, &readable, Order::OldestFirst, Some(from), limit).await?.page().await
}

/// The leaves that the times of `search` leave to be looked at: from, until.
pub(super) async fn stretch(db: &mut PgConnection, search: &Search, extent: Extent) -> Result<(u64, u64), StoreFault> {
    let indexed = extent.blocks * BLOCK;
    let mut stretch = (0, extent.size);
    if let Some(from) = search.from {
        stretch.0 = search::block_reaching(&mut *db, from).await?.map_or(indexed, |block| block * BLOCK);
    }
    if let Some(until) = search.until
        && let Some(block) = search::block_reaching(db, until).await?
    {
        stretch.1 = ((block + 1) * BLOCK).min(extent.size);
    }
    Ok((stretch.0.min(stretch.1), stretch.1))
}

struct Looking<'a> {
    db: &'a mut PgConnection,
    search: &'a Search,
    readable: &'a (dyn Fn(&Entry) -> bool + Send + Sync),
    order: Order,
    limit: usize,
    extent: Extent,
    /// The leaves that are left: from, until.
    left: (u64, u64),
    /// The leaves that there were when it began: from, until.
    whole: (u64, u64),
    reads: u64,
    /// The entries before this one are known to be archived.
    archived: u64,
    /// What was lost since the last entry that was found.
    lost: Losses,
    found: Found,
}

impl<'a> Looking<'a> {
    async fn begin(
        db: &'a mut PgConnection,
        search: &'a Search,
        readable: &'a (dyn Fn(&Entry) -> bool + Send + Sync),
        order: Order,
        cursor: Option<u64>,
        limit: usize,
    ) -> Result<Self, StoreFault> {
        let extent = search::extent(&mut *db).await?;
        let (from, until) = stretch(&mut *db, search, extent).await?;
        let left = match order {
            Order::NewestFirst => (from, until.min(cursor.unwrap_or(until))),
            Order::OldestFirst => (from.max(cursor.unwrap_or(from)), until),
        };
        let found = Found { indexed_to: extent.blocks * BLOCK, size: extent.size, ..Found::default() };
        let (limit, reads, archived, lost) = (limit.max(1), 0, 0, Losses::default());
        Ok(Self { db, search, readable, order, limit, extent, left, whole: left, reads, archived, lost, found })
    }

    async fn page(mut self) -> Result<Found, StoreFault> {
        if self.search.request.is_some() {
            self.by_request().await?;
        } else if self.order == Order::NewestFirst {
            self.unindexed().await?;
            self.indexed().await?;
        } else {
            self.indexed().await?;
            self.unindexed().await?;
        }
        if self.is_full() {
            self.found.entries.truncate(self.limit);
            self.found.hint = None;
            let last = self.found.entries.last().map(|(index, _)| *index);
            self.found.next = last.map(|last| if self.order == Order::NewestFirst { last } else { last + 1 });
        } else {
            self.found.losses.join(&self.lost);
        }
        self.never_readable().await?;
        Ok(self.found)
    }

    /// One more than asked for, so that it is known whether there is a next page.
    fn is_full(&self) -> bool {
        self.found.entries.len() > self.limit
    }

    fn is_done(&self) -> bool {
        self.is_full() || self.found.next.is_some() || self.left.0 >= self.left.1
    }

    async fn by_request(&mut self) -> Result<(), StoreFault> {
        let asked: Vec<_> = self.search.request.iter().map(|request| request.uuid()).collect();
        let mut rows = search::leaves_of_requests(&mut *self.db, &asked, MOST_OF_A_REQUEST).await?;
        if rows.len() as i64 == MOST_OF_A_REQUEST {
            self.found.hint =
                Some(format!("This request has more than {MOST_OF_A_REQUEST} entries; those are the first."));
        }
        if self.order == Order::NewestFirst {
            rows.reverse();
        }
        let (from, until) = self.left;
        rows.into_iter()
            .filter(|(index, _)| (from..until).contains(index))
            .for_each(|(index, leaf)| self.consider(index, leaf, Led::Request));
        Ok(())
    }

    /// Reads one by one what the index does not have yet.
    async fn unindexed(&mut self) -> Result<(), StoreFault> {
        let indexed = self.found.indexed_to;
        let mut budget = MOST_UNINDEXED;
        while !self.is_done() && self.edge_is_past(indexed) {
            if budget == 0 {
                let behind = self.extent.size.saturating_sub(indexed);
                self.stop(format!(
                    "The index is {behind} entries behind, so these are read one by one: go on from here."
                ));
                return Ok(());
            }
            budget -= 1;
            let (from, until) = self.left;
            let newest_first = self.order == Order::NewestFirst;
            let part = if newest_first {
                (until.saturating_sub(BLOCK).max(indexed).max(from), until)
            } else {
                (from.max(indexed), (from.max(indexed) + BLOCK).min(until))
            };
            let read = search::leaves_between(&mut *self.db, part.0, part.1).await?;
            let mut rows: HashMap<u64, Vec<u8>> = read.into_iter().collect();
            let mut places: Vec<u64> = (part.0..part.1).collect();
            self.settle(places.iter().filter(|place| !rows.contains_key(*place))).await?;
            if newest_first {
                places.reverse();
            }
            for index in places {
                match rows.remove(&index) {
                    Some(leaf) => self.consider(index, leaf, Led::Place),
                    None => self.miss_unindexed(index),
                }
                if self.is_full() {
                    return Ok(());
                }
            }
            self.leave_out(part);
        }
        Ok(())
    }

    /// Whether what is next lies where the index ends, or after.
    const fn edge_is_past(&self, indexed: u64) -> bool {
        match self.order {
            Order::NewestFirst => self.left.1 > indexed,
            Order::OldestFirst => self.left.0 >= indexed,
        }
    }

    /// Asks the index, and reads what it names.
    async fn indexed(&mut self) -> Result<(), StoreFault> {
        let (from, until) = (self.left.0, self.left.1.min(self.found.indexed_to));
        if self.is_done() || from >= until {
            return Ok(());
        }
        let terms = self.search.terms().numbers();
        let blocks = (from / BLOCK, until.div_ceil(BLOCK));
        let mut walk = Walk::begin(&mut *self.db, terms, blocks, self.order).await?;
        while !walk.is_over() && !self.is_done() {
            let found = walk.next(&mut *self.db).await?;
            self.read(&found, (from, until)).await?;
            self.found.examined = walk.examined;
            if self.is_done() {
                break;
            }
            let (from, until) = walk.left;
            match self.order {
                _ if walk.is_over() => break,
                Order::NewestFirst => self.left.1 = self.left.1.min(until * BLOCK),
                Order::OldestFirst => self.left.0 = self.left.0.max(from * BLOCK),
            }
            if walk.examined >= MOST_BLOCKS {
                self.stop(format!(
                    "Looked at {} blocks of 1,024 entries: narrow it down, or go on from here.",
                    walk.examined
                ));
            }
        }
        if walk.is_over() && !self.is_done() {
            self.leave_out((from, until));
        }
        Ok(())
    }

    /// Reads the leaves that `blocks` name within `from..until`, until the page is full.
    async fn read(&mut self, blocks: &[(u64, Bits)], (from, until): (u64, u64)) -> Result<(), StoreFault> {
        let newest_first = self.order == Order::NewestFirst;
        let mut named: Vec<u64> = Vec::new();
        for (block, bits) in blocks {
            let start = block * BLOCK;
            let within = Bits::range(from.saturating_sub(start), until.saturating_sub(start));
            let mut places: Vec<u64> = bits.and(within).places().map(|place| start + place).collect();
            if newest_first {
                places.reverse();
            }
            named.extend(places);
        }
        let (gone, named): (Vec<u64>, Vec<u64>) = named.into_iter().partition(|index| *index < self.extent.oldest);
        self.settle(gone.iter()).await?;
        if !newest_first {
            gone.iter().for_each(|index| self.miss(*index));
        }
        let mut named = named.as_slice();
        while let (Some(first), false) = (named.first(), self.is_done()) {
            if self.reads >= MOST_READS {
                self.stop(format!("Read {} entries to find these: narrow it down, or go on from here.", self.reads));
                return Ok(());
            }
            let missing = self.limit + 1 - self.found.entries.len().min(self.limit);
            let (part, rest) = named.split_at(missing.clamp(FEWEST_AT_ONCE, MOST_AT_ONCE).min(named.len()));
            named = rest;
            self.reads += part.len() as u64;
            let last = part.last().unwrap_or(first);
            let blocks = (first.min(last) / BLOCK, first.max(last) / BLOCK);
            let mut leaves: HashMap<u64, Vec<u8>> =
                search::leaves_at(&mut *self.db, part, blocks).await?.into_iter().collect();
            // The times of a block are as little evidence as the rest of the index.
            let gone: Vec<u64> = part.iter().filter(|index| !leaves.contains_key(index)).copied().collect();
            if !gone.is_empty() {
                leaves.extend(entry::leaves(&mut *self.db, &gone).await?);
            }
            self.settle(gone.iter().filter(|index| !leaves.contains_key(*index))).await?;
            for index in part {
                match leaves.remove(index) {
                    Some(leaf) => self.consider(*index, leaf, Led::Index),
                    None => self.miss(*index),
                }
                if self.is_full() {
                    return Ok(());
                }
                self.leave_out((*index, index + 1));
            }
        }
        if newest_first && !self.is_done() {
            gone.iter().for_each(|index| self.miss(*index));
        }
        Ok(())
    }

    /// Goes on behind `part`, which has been looked at.
    fn leave_out(&mut self, part: (u64, u64)) {
        match self.order {
            Order::NewestFirst => self.left.1 = self.left.1.min(part.0),
            Order::OldestFirst => self.left.0 = self.left.0.max(part.1),
        }
    }

    fn stop(&mut self, why: String) {
        self.found.hint = Some(why);
        self.found.next = Some(match self.order {
            Order::NewestFirst => self.left.1,
            Order::OldestFirst => self.left.0,
        });
    }
}

/// How many blocks one page looks at, about: some sixteen million entries.
const MOST_BLOCKS: u64 = 16_384;

/// How many entries one page reads to find what terms cannot say, about.
const MOST_READS: u64 = 10_000;

/// How many blocks' worth of entries one page reads where the index does not reach.
const MOST_UNINDEXED: u32 = 16;

const MOST_OF_A_REQUEST: i64 = 10_000;

const FEWEST_AT_ONCE: usize = 32;

const MOST_AT_ONCE: usize = 1_024;
