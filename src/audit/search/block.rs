//! One block of leaves, turned into what is stored about it. Pure: the same leaves give the same rows, so that anyone can
//! check an index.

use super::{
    bits::{BLOCK, Bits},
    lasting::Seen,
    lately::Recent,
    leaves::Leaves,
    postings::Postings,
    terms::{About, Field, MOST_WORDS, event_texts, of_event, of_place, places, terms, verdict},
    words::Usual,
};
use crate::{
    audit::{
        Entry,
        entry::VERSION,
        keyed::{Map, map},
        unstamped::{Said, What},
    },
    model::{Caller, Decision, Timestamp},
    store::search::NewBlock,
};

/// What is stored about `block`: what `known` leaves say, and the others that still have a body, which were read as
/// `leaves`. The block before it ended at `before`.
pub(super) fn index(block: u64, known: Vec<Recent>, leaves: &[(u64, Vec<u8>)], before: Timestamp) -> NewBlock {
    let mut building = Building::of(known.len() + leaves.len());
    known.iter().for_each(|recent| building.know(recent));
    leaves.iter().for_each(|(leaf_index, leaf)| building.read(leaf_index % BLOCK, leaf));
    building.finish(block, before)
}

/// What has been seen of a block.
struct Building {
    found: Postings,
    callers: Map<usize, Seen<Caller>>,
    decisions: Map<usize, Seen<Decision>>,
    usual: Map<Usual, Leaves>,
    allowed: Bits,
    denied: Bits,
    times: Vec<Option<Timestamp>>,
    leaves: usize,
}

impl Building {
    fn of(leaves: usize) -> Self {
        Self {
            found: Postings::of(leaves),
            callers: map(0),
            decisions: map(0),
            usual: map(0),
            allowed: Bits::default(),
            denied: Bits::default(),
            times: vec![None; BLOCK as usize],
            leaves,
        }
    }

    fn read(&mut self, place: u64, leaf: &[u8]) {
        let Some(entry) = read(leaf) else { return self.found.add(Field::What, UNREADABLE, place) };
        self.note(place, entry.recorded_at, verdict(&entry.event));
        terms((&entry).into(), &mut |field, value| self.found.add(field, value, place));
    }

    /// The same as reading it, but what it has in common with others is only noted, and added once at the end.
    fn know(&mut self, recent: &Recent) {
        let (place, Said { caller, what }) = (recent.leaf_index % BLOCK, &recent.said);
        let (mut left, found) = (MOST_WORDS, &mut self.found);
        let mut take = |field, value: &str| found.add(field, value, place);
        let is_within_reach = match what {
            What::Web { method, upgrade, target, .. } => {
                self.usual.entry(Usual::Web(*method, *upgrade)).or_default().set(place);
                let at = target.get(method.as_str().len() + " ".len()..).unwrap_or_default();
                of_place(at.trim_end_matches('/'), &mut left, &mut take);
                false
            }
            What::Ended { status, closed_by } => {
                self.usual.entry(Usual::Ended(*status, *closed_by)).or_default().set(place);
                true
            }
            What::Other(event) => {
                of_event(event, &mut take);
                let is_within_reach = event.follows_a_decision();
                if !is_within_reach {
                    let places = places(About { caller: caller.as_deref(), event });
                    places.iter().for_each(|at| of_place(at, &mut left, &mut take));
                }
                is_within_reach
            }
        };
        if let Some(caller) = caller {
            let seen = Seen::at(&mut self.callers, caller);
            if is_within_reach {
                seen.reaches(place, &mut left);
            }
            seen.carries(place, &mut left, found);
        }
        let (verdict, decision) = match what {
            What::Web { decision, .. } => (Some(decision.verdict.as_str()), Some(decision)),
            What::Ended { .. } => (None, None),
            What::Other(event) => {
                event_texts(event, &mut left, &mut |field, value| found.add(field, value, place));
                (verdict(event), event.decision())
            }
        };
        if let Some(decision) = decision {
            Seen::at(&mut self.decisions, decision).carries(place, &mut left, found);
        }
        self.note(place, recent.recorded_at, verdict);
    }

    fn note(&mut self, place: u64, recorded_at: Timestamp, verdict: Option<&str>) {
        if let Some(time) = usize::try_from(place).ok().and_then(|place| self.times.get_mut(place)) {
            *time = Some(recorded_at);
        }
        match verdict {
            Some("allow") => self.allowed.set(place),
            Some("deny" | "refused") => self.denied.set(place),
            _ => {}
        }
    }

    fn finish(mut self, block: u64, before: Timestamp) -> NewBlock {
        self.callers.values().for_each(|seen| seen.finish(&mut self.found));
        self.decisions.values().for_each(|seen| seen.finish(&mut self.found));
        for (usual, leaves) in &self.usual {
            usual.terms(&mut |word| self.found.add_all(Field::What, word, leaves));
        }
        let first = self.times.iter().flatten().next().copied().unwrap_or(before);
        let last = self.times.iter().flatten().next_back().copied().unwrap_or(first).max(first);
        let (terms, bits) = self.found.into_rows();
        NewBlock {
            block,
            first_recorded_at: first,
            last_recorded_at: last,
            leaves: i16::try_from(self.leaves).unwrap_or(i16::MAX),
            allowed: self.allowed.to_bytes(),
            denied: self.denied.to_bytes(),
            moments: runs(first, &self.times),
            terms,
            bits,
        }
    }
}

/// The entry, without asking whether its bytes are canonical: whoever shows it asks that.
fn read(leaf: &[u8]) -> Option<Entry> {
    match leaf.split_first() {
        Some((&VERSION, body)) => serde_json::from_slice(body).ok(),
        _ => None,
    }
}

/// The word of `what` for bytes that are no entry.
/// The word by which bytes that were no entry when they were indexed are found.
pub(super) const UNREADABLE: &str = "unreadable";

/// When each leaf was recorded, as runs of leaves with the same time: microseconds since the run before, then how many,
/// each as a number of seven bits a byte. A leaf whose time is not known counts with the one before it.
fn runs(first: Timestamp, times: &[Option<Timestamp>]) -> Vec<u8> {
    let (mut bytes, mut at, mut count, mut since) = (Vec::new(), first, 0_u64, 0_u64);
    for time in times {
        let time = time.map_or(at, |time| time.max(at));
        if time != at {
            put(&mut bytes, since);
            put(&mut bytes, count);
            since = u64::try_from(time.micros().saturating_sub(at.micros())).unwrap_or(0);
            (at, count) = (time, 0);
        }
        count += 1;
    }
    put(&mut bytes, since);
    put(&mut bytes, count);
    bytes
}

/// When each leaf of a block was recorded, from [`runs`] and the time of its first; none for other bytes.
pub(super) fn times(first: Timestamp, runs: &[u8]) -> Option<Vec<Timestamp>> {
    let (mut times, mut rest, mut at) = (Vec::with_capacity(BLOCK as usize), runs, first.micros());
    while !rest.is_empty() {
        at = at.saturating_add(i64::try_from(take(&mut rest)?).ok()?);
        let count = usize::try_from(take(&mut rest)?).ok()?;
        if times.len() + count > BLOCK as usize {
            return None;
        }
        times.resize(times.len() + count, Timestamp::from_micros(at));
    }
    Some(times)
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{super::terms::number, *};
    use crate::{
        audit::{Asker, Event, entry::Columns},
        model::{Action, CanonicalPath},
    };

    #[test]
    fn times_are_kept_to_the_microsecond() {
        let at = |micros| Some(Timestamp::from_micros(micros));
        let first = Timestamp::from_micros(1_800_000_000_000_000);
        let mut sparse = vec![None; BLOCK as usize];
        (sparse[3], sparse[4], sparse[900]) =
            (at(1_800_000_000_000_000), at(1_800_000_000_000_001), at(1_900_000_000_000_000));
        let encoded = runs(first, &sparse);
        let decoded = times(first, &encoded).unwrap();
        assert_eq!((decoded.len(), encoded.len() < 24), (1024, true));
        assert_eq!((at(decoded[0].micros()), Some(decoded[4]), Some(decoded[899])), (sparse[3], sparse[4], sparse[4]));
        assert_eq!((Some(decoded[900]), Some(decoded[1023])), (sparse[900], sparse[900]));
        assert_eq!(times(first, &[0, 0x80]), None);
        assert_eq!(times(first, &[0, 0xff, 0x7f]), None, "more leaves than a block has");
    }

    #[test]
    fn a_block_without_bodies_stands_where_the_one_before_it_ended() {
        let before = Timestamp::from_micros(7);
        let row = index(3, Vec::new(), &[], before);
        assert_eq!((row.first_recorded_at, row.last_recorded_at, row.leaves), (before, before, 0));
        assert!(row.terms.is_empty() && row.allowed.is_empty());
        let row = index(0, Vec::new(), &[(5, b"nonsense".to_vec())], before);
        assert_eq!((row.terms, row.bits), (vec![number(Field::What, "unreadable")], vec![vec![0, 5]]));
    }

    /// Entries of every kind, by several callers, one of whom is in so many groups that not all of their words count, and
    /// the same callers again at other places; some about a path that no column holds whole.
    fn samples() -> Vec<(u64, Entry)> {
        let golden = include_str!("../../../tests/it/golden/leaves.txt").lines().filter(|line| !line.starts_with('#'));
        let golden: Vec<Entry> = golden.map(|line| serde_json::from_str(line).unwrap()).collect();
        let many: Vec<String> = (0..64).map(|n| (0..9).map(|k| format!("w{n}x{k}-")).collect()).collect();
        let rounds = (0..9_u64).flat_map(|round| golden.iter().cloned().map(move |entry| (round, entry)));
        let entries = rounds.zip((0..BLOCK).step_by(2)).map(|((round, mut entry), place)| {
            entry.recorded_at = Timestamp::from_micros(1_800_000_000_000_000 + round as i64);
            if let Some(caller) = entry.caller.as_mut().filter(|_| round % 3 == 1) {
                caller.groups.clone_from(&many);
            }
            if let (Event::Decision { action: Action::Web(web), .. }, 2) = (&mut entry.event, round % 4) {
                web.path = CanonicalPath::parse(&format!("/docs/{}/end", "long-".repeat(150))).unwrap();
            }
            (3 * BLOCK + place, entry)
        });
        entries.collect()
    }

    #[test]
    fn what_is_known_is_indexed_as_what_is_read() {
        let samples = samples();
        let leaf = |(place, entry): &(u64, Entry)| (*place, entry.leaf().unwrap());
        let before = Timestamp::from_micros(7);
        let by_reading = index(3, Vec::new(), &samples.iter().map(leaf).collect::<Vec<_>>(), before);
        assert!(by_reading.terms.len() > 600 && by_reading.leaves > 300);
        let mut askers: Vec<Asker> = Vec::new();
        let mut known = |(place, entry): &(u64, Entry)| {
            let caller = entry.caller.as_ref().map(|caller| {
                // One who asks again is the same as before, as in a broker.
                let seen = askers.iter().find(|asker| **asker == *caller).cloned();
                seen.unwrap_or_else(|| {
                    askers.push(caller.into());
                    caller.into()
                })
            });
            let said = Said::of(caller.as_ref(), &entry.event, &mut Columns::of(entry).target);
            Recent { leaf_index: *place, recorded_at: entry.recorded_at, said, bytes: 0 }
        };
        for every in [1, 2, 5] {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for (nth, sample) in samples.iter().enumerate() {
                if nth % every == 0 { ours.push(known(sample)) } else { theirs.push(leaf(sample)) }
            }
            assert_eq!(index(3, ours, &theirs, before), by_reading, "one in {every} is known");
        }
    }
}
