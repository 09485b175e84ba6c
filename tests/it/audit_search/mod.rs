//! Searching the log: what the index finds is what looking at every entry finds, at every border, with the index behind,
//! ahead of the archive, and built by several at once. Postgres is real; the history is made up.

mod gone;
mod index;
mod questions;

use bailiwick::{
    audit::{
        Entry, Event,
        search::{Found, Search, Turn, activity, find, find_from, take_turn, tally},
    },
    model::{Action, Attributes, Verdict},
};
use questions::{came_from, path, questions, verdict};
use sqlx::PgConnection;

use crate::support::{
    TestDb, database,
    history::{self, entry},
};

/// A quarter of an hour between entries: three blocks and a bit are five weeks, in two partitions and more.
const PACE: i64 = 1_000_000_000;

const SIZE: u64 = 3 * 1024 + 100;

/// A log of [`SIZE`] entries, of which the first `blocks` blocks are indexed.
async fn past(blocks: u64) -> TestDb {
    past_of(SIZE, blocks).await
}

async fn past_of(size: u64, blocks: u64) -> TestDb {
    let db = database().await;
    let mut owner = db.owner.acquire().await.unwrap();
    history::make_room(&mut owner, size, PACE).await;
    history::write(&mut owner, (0, size), PACE).await;
    history::claim_size(&mut owner, size, PACE).await;
    let mut broker = db.pool.acquire().await.unwrap();
    for _ in 0..blocks {
        assert_eq!(take_turn(&mut broker, 1).await.unwrap(), Turn::Indexed(1));
    }
    db
}

/// All of it, newest first, page by page.
async fn all(db: &mut PgConnection, search: &Search, page: usize) -> Vec<u64> {
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let part = find(db, search, before, page, |_| true).await.unwrap();
        assert!(part.entries.len() <= page);
        found.extend(part.entries.iter().map(|(index, _)| *index));
        match part.next {
            Some(next) => {
                assert!(before.is_none_or(|before| next < before), "{search:?} goes on from {before:?} at {next}");
                before = Some(next);
            }
            None => return found,
        }
    }
}

async fn all_from(db: &mut PgConnection, search: &Search, page: usize) -> Vec<u64> {
    let (mut found, mut from) = (Vec::new(), 0);
    loop {
        let part = find_from(db, search, from, page, |_| true).await.unwrap();
        found.extend(part.entries.iter().map(|(index, _)| *index));
        match part.next {
            Some(next) => {
                assert!(next > from, "{search:?} goes on from {from} at {next}");
                from = next;
            }
            None => return found,
        }
    }
}

#[tokio::test]
async fn every_filter_finds_what_looking_at_every_entry_finds() {
    let entries: Vec<Entry> = (0..SIZE).map(|place| entry(place, PACE)).collect();
    // With all that can be, and some of it again with a block missing.
    for (blocks, every) in [(3, 1), (2, 7)] {
        let db = past(blocks).await;
        let mut auditor = db.another_pool("bailiwick_auditor").acquire().await.unwrap();
        for (query, wanted) in questions().into_iter().step_by(every) {
            let search = Search::parse(&query).unwrap();
            let expected: Vec<u64> = (0..SIZE).filter(|place| wanted(&entries[*place as usize])).rev().collect();
            let page = expected.len() / 3 + 1;
            assert_eq!(all(&mut auditor, &search, page).await, expected, "{query}, {blocks} blocks");
            let mut oldest_first = all_from(&mut auditor, &search, page).await;
            oldest_first.reverse();
            assert_eq!(oldest_first, expected, "{query}, {blocks} blocks, oldest first");
            let tally = tally(&mut auditor, &search).await.unwrap();
            assert_eq!((tally.count, tally.is_exact), (expected.len() as u64, true), "{query}, {blocks} blocks");
            count_by_time(&mut auditor, &search, &entries, &expected).await;
        }
    }
}

/// The chart has each entry in the bucket of its instant.
async fn count_by_time(db: &mut PgConnection, search: &Search, entries: &[Entry], expected: &[u64]) {
    let chart = activity(db, search, 24).await.unwrap();
    assert!(chart.is_exact && chart.buckets.windows(2).all(|pair| pair[0].until == pair[1].from));
    for bucket in &chart.buckets {
        let within = |place: &&u64| {
            let at = entries[**place as usize].recorded_at;
            at >= bucket.from && at < bucket.until
        };
        let (mut allow, mut deny, mut other) = (0, 0, 0);
        for place in expected.iter().filter(within) {
            let entry = &entries[*place as usize];
            match (verdict(entry), &entry.event) {
                (Some(Verdict::Allow), _) => allow += 1,
                (Some(Verdict::Deny), _) | (_, Event::Refused { .. } | Event::Refusals { .. }) => deny += 1,
                _ => other += 1,
            }
        }
        assert_eq!((bucket.allow, bucket.deny, bucket.other), (allow, deny, other), "{search:?} {bucket:?}");
    }
    let total: u64 = chart.buckets.iter().map(|bucket| bucket.allow + bucket.deny + bucket.other).sum();
    assert_eq!(total, expected.len() as u64, "{search:?}");
}

#[tokio::test]
async fn what_terms_cannot_say_is_asked_of_the_bytes_and_the_count_is_called_an_estimate() {
    let db = past(3).await;
    let mut auditor = db.another_pool("bailiwick_auditor").acquire().await.unwrap();
    let like = (0..SIZE).map(|place| entry(place, PACE)).find(|e| listed_or_got(e).is_some()).unwrap();
    let deep = listed_or_got(&like).unwrap();
    for (query, wanted) in [
        ("address=10.0.0.0/12".to_owned(), Box::new(|e: &Entry| came_from(e, "10.")) as Box<dyn Fn(&Entry) -> bool>),
        ("address=10.1.0.0/23".to_owned(), Box::new(|e| came_from(e, "10.1.0.") || came_from(e, "10.1.1."))),
        (format!("where={deep}"), Box::new(move |e| listed_or_got(e).as_ref() == Some(&deep))),
    ] {
        let search = Search::parse(&query).unwrap();
        let expected: Vec<u64> = (0..SIZE).filter(|place| wanted(&entry(*place, PACE))).rev().collect();
        assert!(!expected.is_empty());
        assert_eq!(all(&mut auditor, &search, 100).await, expected, "{query}");
        assert!(!tally(&mut auditor, &search).await.unwrap().is_exact, "{query}");
    }
}

/// `cluster/namespace/resource/name`.
fn listed_or_got(entry: &Entry) -> Option<String> {
    let Event::Decision { action: Action::Kubernetes(asked), .. } = &entry.event else { return None };
    let Attributes::Resource(at) = &asked.attributes else { return None };
    let name = Some(&at.name).filter(|name| !name.is_empty())?;
    Some(format!("{}/{}/{}/{name}", asked.cluster, at.namespace, at.resource))
}

#[tokio::test]
async fn an_index_that_is_far_behind_says_so_and_nothing_is_left_out() {
    let size = 20 * 1024 + 5;
    let db = past_of(size, 1).await;
    let mut auditor = db.another_pool("bailiwick_auditor").acquire().await.unwrap();
    // A page that is asked for once, where the index does not reach: no block has all of its terms.
    let is_rare = |n: &u64| path(&entry(*n, PACE)).rsplit('/').next().is_some_and(|page| page.len() == 6);
    let last = (18_000..size).find(is_rare).unwrap();
    let asked = path(&entry(last, PACE));
    let search = Search::parse(&format!("where={asked}")).unwrap();
    let page: Found = find(&mut auditor, &search, None, 1_000, |_| true).await.unwrap();
    assert_eq!((page.indexed_to, page.size), (1024, size));
    assert_eq!(page.next, Some(size - 16 * 1024));
    assert!(page.hint.unwrap().contains(&format!("{} entries behind", size - 1024)));
    assert_eq!(page.entries.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [last]);
    assert_eq!(all_from(&mut auditor, &search, 50).await, [last]);
    assert!(!tally(&mut auditor, &search).await.unwrap().is_exact);
}

#[tokio::test]
async fn entries_that_a_reader_may_not_see_are_left_out_of_every_page() {
    let db = past(2).await;
    let mut auditor = db.another_pool("bailiwick_auditor").acquire().await.unwrap();
    let search = Search::parse("verdict=deny").unwrap();
    let readable = |entry: &Entry| path(entry).starts_with("wiki/");
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = find(&mut auditor, &search, before, 5, readable).await.unwrap();
        found.extend(page.entries.iter().map(|(index, _)| *index));
        let Some(next) = page.next else { break };
        before = Some(next);
    }
    let expected: Vec<u64> = (0..SIZE)
        .filter(|n| readable(&entry(*n, PACE)) && verdict(&entry(*n, PACE)) == Some(Verdict::Deny))
        .rev()
        .collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn bytes_that_are_no_entry_are_shown_only_where_nothing_is_asked_of_them() {
    let db = past(0).await;
    let spoil = "update entry set leaf = '\\x01ff' where leaf_index in (100, 3100)";
    sqlx::query(spoil).execute(&db.owner).await.unwrap();
    let mut broker = db.pool.acquire().await.unwrap();
    assert_eq!(take_turn(&mut broker, 100).await.unwrap(), Turn::Indexed(3));
    assert_eq!(all(&mut broker, &Search::default(), 1_000).await.len() as u64, SIZE);
    for query in ["verdict=allow", "what=decision", "where=wiki"] {
        let search = Search::parse(query).unwrap();
        let found = all(&mut broker, &search, 1_000).await;
        assert!(!found.contains(&100) && !found.contains(&3_100), "{query}");
        // They were no entries already when they were indexed, and are named all the same.
        let mut damaged = find(&mut broker, &search, None, 5_000, |_| true).await.unwrap().losses.damaged.first;
        damaged.sort_unstable();
        assert_eq!(damaged, [100, 3_100], "{query}");
    }
}
