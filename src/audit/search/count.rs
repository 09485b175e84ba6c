//! How many entries a search finds, and when: from bitmaps, not from entries. Exact where that is cheap, and otherwise
//! an estimate that says so. Counts what the log holds, archived entries among it, whoever may read them.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::{
    bits::{BLOCK, Bits},
    block::times,
    find::{find, stretch},
    query::Search,
    terms::verdict,
    walk::{Walk, read},
};
use crate::{
    audit::Entry,
    model::Timestamp,
    store::{
        StoreFault,
        search::{self, BlockRow, Order},
    },
};

/// How many entries a search finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// So many.
    pub count: u64,
    /// Whether they were counted, every one.
    pub is_exact: bool,
}

/// What happened in a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// From this instant,
    pub from: Timestamp,
    /// until before this one,
    pub until: Timestamp,
    /// so much was allowed,
    pub allow: u64,
    /// so much denied, or refused before any rule was asked,
    pub deny: u64,
    /// and so much else was recorded.
    pub other: u64,
}

/// When the entries of a search were recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// One after the other, without gaps.
    pub buckets: Vec<Bucket>,
    /// Whether every entry was counted.
    pub is_exact: bool,
}

/// How many entries `search` finds.
pub async fn tally(db: &mut PgConnection, search: &Search) -> Result<Estimate, StoreFault> {
    let activity = activity(db, search, 1).await?;
    let count = activity.buckets.iter().map(|bucket| bucket.allow + bucket.deny + bucket.other).sum();
    Ok(Estimate { count, is_exact: activity.is_exact })
}

/// When the entries of `search` were recorded, in `buckets` spans of the same length: over its times, or from the first
/// entry that could be one to the last.
pub async fn activity(db: &mut PgConnection, search: &Search, buckets: usize) -> Result<Activity, StoreFault> {
    if search.request.is_some() {
        return of_request(db, search, buckets).await;
    }
    let extent = search::extent(&mut *db).await?;
    let (from, until) = stretch(&mut *db, search, extent).await?;
    let indexed = extent.blocks * BLOCK;
    let newest = newest(&mut *db, from.max(indexed), until).await?;
    let blocks = (from / BLOCK, until.min(indexed).div_ceil(BLOCK));
    let Some(span) = span(&mut *db, search, blocks, &newest).await? else {
        return Ok(Activity { buckets: Vec::new(), is_exact: true });
    };
    let mut chart = Chart::over(span, buckets);
    chart.add_newest(match search {
        all if *all == Search::default() => newest.read.saturating_sub(newest.entries.len() as u64),
        dated if dated.asks_nothing_of_an_entry() => newest.unreadable,
        _ => 0,
    });
    let unread = (until.saturating_sub(from.max(indexed))).saturating_sub(newest.read);
    for (entry, is_wanted) in newest.entries.iter().map(|entry| (entry, search.matches(entry))) {
        if is_wanted {
            chart.add(entry.recorded_at, verdict(&entry.event), 1);
        }
    }
    let terms = search.terms();
    let mut is_exact = terms.are_all && unread == 0;
    let (parts, weight) = parts(blocks);
    is_exact &= weight == 1;
    for part in parts {
        let mut walk = Walk::begin(&mut *db, terms.numbers(), part, Order::NewestFirst).await?;
        while !walk.is_over() {
            let found = walk.next(&mut *db).await?;
            add_blocks(db, &mut chart, &found, weight).await?;
        }
    }
    Ok(Activity { buckets: chart.buckets, is_exact })
}

/// Adds what the index says about some blocks.
async fn add_blocks(
    db: &mut PgConnection,
    chart: &mut Chart,
    found: &[(u64, Bits)],
    weight: u64,
) -> Result<(), StoreFault> {
    let numbers: Vec<u64> = found.iter().map(|(block, _)| *block).collect();
    let rows: HashMap<u64, BlockRow> =
        search::blocks_at(&mut *db, &numbers).await?.into_iter().map(|row| (row.block, row)).collect();
    for (block, bits) in found {
        let Some(row) = rows.get(block) else { continue };
        let (allowed, denied) = (bits.and(read(&row.allowed)?), bits.and(read(&row.denied)?));
        let (first, last) = (chart.place(row.first_recorded_at), chart.place(row.last_recorded_at));
        if first == last {
            let other = bits.count() - allowed.count() - denied.count();
            chart.add_counts(first, (allowed.count() * weight, denied.count() * weight, other * weight));
            continue;
        }
        // Only blocks across a border need to know when each leaf was recorded; there are no more of them than borders.
        let runs = search::moments(&mut *db, *block).await?.unwrap_or_default();
        let times = times(row.first_recorded_at, &runs).ok_or(StoreFault::Malformed { what: "a block's times" })?;
        let (mut allow, mut deny) = (allowed.places().peekable(), denied.places().peekable());
        for place in bits.places() {
            let word = if allow.next_if_eq(&place).is_some() {
                Some("allow")
            } else {
                deny.next_if_eq(&place).map(|_| "deny")
            };
            if let Some(at) = usize::try_from(place).ok().and_then(|place| times.get(place)) {
                chart.add(*at, word, weight);
            }
        }
    }
    Ok(())
}

async fn of_request(db: &mut PgConnection, search: &Search, buckets: usize) -> Result<Activity, StoreFault> {
    let found = find(db, search, None, MOST_OF_A_REQUEST, |_| true).await?;
    let entries: Vec<Entry> = found.entries.iter().filter_map(|(_, leaf)| Entry::from_leaf(leaf).ok()).collect();
    let times = || entries.iter().map(|entry| entry.recorded_at);
    let (Some(first), Some(last)) = (times().min(), times().max()) else {
        return Ok(Activity { buckets: Vec::new(), is_exact: true });
    };
    let after = Timestamp::from_micros(last.micros().saturating_add(1));
    let mut chart = Chart::over((search.from.unwrap_or(first), search.until.unwrap_or(after)), buckets);
    entries.iter().for_each(|entry| chart.add(entry.recorded_at, verdict(&entry.event), 1));
    Ok(Activity { buckets: chart.buckets, is_exact: found.next.is_none() })
}

/// The newest entries, which the index lacks.
struct Newest {
    entries: Vec<Entry>,
    unreadable: u64,
    read: u64,
}

async fn newest(db: &mut PgConnection, from: u64, until: u64) -> Result<Newest, StoreFault> {
    let from = from.max(until.saturating_sub(MOST_UNINDEXED));
    let leaves = if from < until { search::leaves_between(db, from, until).await? } else { Vec::new() };
    let entries: Vec<Entry> = leaves.iter().filter_map(|(_, leaf)| Entry::from_leaf(leaf).ok()).collect();
    let unreadable = leaves.len().saturating_sub(entries.len()) as u64;
    Ok(Newest { entries, unreadable, read: until.saturating_sub(from) })
}

/// From when until when: the times of `search`, or those of the entries that it leaves. None: there are no entries.
async fn span(
    db: &mut PgConnection,
    search: &Search,
    blocks: (u64, u64),
    newest: &Newest,
) -> Result<Option<(Timestamp, Timestamp)>, StoreFault> {
    let (mut first, mut last) = (None, None);
    if blocks.0 < blocks.1 {
        let rows = search::blocks_at(db, &[blocks.0, blocks.1 - 1]).await?;
        first = rows.iter().map(|row| row.first_recorded_at).min();
        last = rows.iter().map(|row| row.last_recorded_at).max();
    }
    first = first.or(newest.entries.first().map(|entry| entry.recorded_at));
    last = newest.entries.last().map(|entry| entry.recorded_at).or(last);
    let after = last.map(|last| Timestamp::from_micros(last.micros().saturating_add(1)));
    let span = (search.from.or(first), search.until.or(after));
    Ok(span.0.zip(span.1).filter(|(from, until)| from < until))
}

/// The blocks to look at and for how many each stands: all, or, where they are too many, evenly spaced parts.
fn parts((from, until): (u64, u64)) -> (Vec<(u64, u64)>, u64) {
    let count = until.saturating_sub(from);
    let weight = count.div_ceil(MOST_BLOCKS);
    if weight <= 1 {
        return (vec![(from, until)], 1);
    }
    let starts = (from..until).step_by(usize::try_from(PART * weight).unwrap_or(usize::MAX));
    (starts.map(|start| (start, (start + PART).min(until))).collect(), weight)
}

/// Counts by time.
struct Chart {
    buckets: Vec<Bucket>,
    from: i64,
    width: i64,
}

impl Chart {
    fn over((from, until): (Timestamp, Timestamp), count: usize) -> Self {
        let count = i64::try_from(count.clamp(1, MOST_BUCKETS)).unwrap_or(1);
        let length = until.micros().saturating_sub(from.micros()).max(1);
        let width = length.div_euclid(count) + i64::from(length % count != 0);
        let bucket = |nth: i64| {
            let start = from.micros().saturating_add(nth.saturating_mul(width));
            let end = start.saturating_add(width).min(until.micros());
            let (from, until) = (Timestamp::from_micros(start), Timestamp::from_micros(end));
            Bucket { from, until, allow: 0, deny: 0, other: 0 }
        };
        let buckets = (0..count).map(bucket).filter(|bucket| bucket.from < bucket.until).collect();
        Self { buckets, from: from.micros(), width }
    }

    /// Which bucket `at` falls into; before the first and after the last are places as well.
    fn place(&self, at: Timestamp) -> i64 {
        let end = self.buckets.last().map_or(self.from, |bucket| bucket.until.micros());
        if at.micros() >= end { i64::MAX } else { (at.micros() - self.from).div_euclid(self.width).max(-1) }
    }

    fn add(&mut self, at: Timestamp, verdict: Option<&str>, count: u64) {
        let counts = match verdict {
            Some("allow") => (count, 0, 0),
            Some("deny" | "refused") => (0, count, 0),
            _ => (0, 0, count),
        };
        self.add_counts(self.place(at), counts);
    }

    /// Adds what does not say when it was recorded, or is gone, but was among the newest.
    fn add_newest(&mut self, count: u64) {
        if let Some(bucket) = self.buckets.last_mut() {
            bucket.other += count;
        }
    }

    fn add_counts(&mut self, place: i64, (allow, deny, other): (u64, u64, u64)) {
        if let Some(bucket) = usize::try_from(place).ok().and_then(|place| self.buckets.get_mut(place)) {
            bucket.allow += allow;
            bucket.deny += deny;
            bucket.other += other;
        }
    }
}

/// How many blocks one count looks at, about.
const MOST_BLOCKS: u64 = 16_384;

/// How many neighbouring blocks a part has where not all are looked at.
const PART: u64 = 64;

const MOST_BUCKETS: usize = 1_000;

/// How many entries one count reads where the index does not reach.
const MOST_UNINDEXED: u64 = 16 * BLOCK;

const MOST_OF_A_REQUEST: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_meet_and_the_last_one_ends_with_the_span() {
        let at = Timestamp::from_micros;
        let mut chart = Chart::over((at(100), at(110)), 3);
        let edges: Vec<(i64, i64)> = chart.buckets.iter().map(|b| (b.from.micros(), b.until.micros())).collect();
        assert_eq!(edges, [(100, 104), (104, 108), (108, 110)]);
        for micros in [99, 100, 103, 104, 109, 110] {
            chart.add(at(micros), Some("refused"), 1);
        }
        assert_eq!(chart.buckets.iter().map(|b| b.deny).collect::<Vec<_>>(), [2, 1, 1]);
        assert_eq!(Chart::over((at(0), at(2)), 48).buckets.len(), 2, "no bucket is empty of time");
    }

    #[test]
    fn too_many_blocks_are_sampled_evenly() {
        assert_eq!(parts((0, MOST_BLOCKS)), (vec![(0, MOST_BLOCKS)], 1));
        let (parts, weight) = parts((10, 10 + MOST_BLOCKS * 4));
        assert_eq!((parts.len() as u64 * PART, weight), (MOST_BLOCKS, 4));
        assert!(parts.windows(2).all(|pair| pair[1].0 - pair[0].0 == PART * 4));
    }
}
