//! One block of leaves, turned into what is stored about it. Pure: the same leaves give the same rows, so that anyone can
//! check an index.

use std::{borrow::Cow, collections::HashMap};

use super::{
    bits::{BLOCK, Bits},
    lately::Recent,
    terms::{
        About, Field, MOST_WORDS, event_texts, group_words, number, of_caller, of_event, place_words, terms, verdict,
    },
};
use crate::{
    audit::{Asker, Entry, Event, entry::VERSION, unstamped::Said},
    model::Timestamp,
    store::search::NewBlock,
};

/// What is stored about `block`: what `known` leaves say, and the others that still have a body, which were read as
/// `leaves`. The block before it ended at `before`.
pub(super) fn index(block: u64, known: Vec<Recent>, leaves: &[(u64, Vec<u8>)], before: Timestamp) -> NewBlock {
    let mut building = Building::of(known.len() + leaves.len());
    known.into_iter().for_each(|recent| building.know(recent));
    leaves.iter().for_each(|(leaf_index, leaf)| building.read(leaf_index % BLOCK, leaf));
    building.finish(block, before)
}

/// What has been seen of a block.
struct Building {
    found: Found,
    askers: HashMap<usize, Asked>,
    allowed: Bits,
    denied: Bits,
    times: Vec<Option<Timestamp>>,
    leaves: usize,
}

/// A caller of the block, and where they asked.
struct Asked {
    asker: Asker,
    places: Bits,
    /// The words of their groups, and the places where all of them count.
    words: Vec<String>,
    with_words: Bits,
}

impl Building {
    fn of(leaves: usize) -> Self {
        Self {
            found: Found::default(),
            askers: HashMap::new(),
            allowed: Bits::default(),
            denied: Bits::default(),
            times: vec![None; BLOCK as usize],
            leaves,
        }
    }

    fn read(&mut self, place: u64, leaf: &[u8]) {
        let Some(entry) = read(leaf) else { return self.found.add(Field::What, UNREADABLE, place) };
        self.note(place, entry.recorded_at, &entry.event);
        terms((&entry).into(), &mut |field, value| self.found.add(field, value, place));
    }

    /// A caller who asked often has the terms of a caller put together once, at the end.
    fn know(&mut self, recent: Recent) {
        let Recent { leaf_index, recorded_at, said: Said { caller, event }, .. } = recent;
        let place = leaf_index % BLOCK;
        self.note(place, recorded_at, &event);
        let about = About { caller: caller.as_deref(), event: &event };
        let mut take = |field, value: &str| self.found.add(field, value, place);
        let mut left = MOST_WORDS;
        of_event(about, &mut take);
        place_words(about, &mut left, &mut take);
        if let Some(caller) = caller {
            let asked = self.askers.entry(caller.address_of()).or_insert_with(|| Asked::new(caller));
            asked.places.set(place);
            match left.checked_sub(asked.words.len()) {
                Some(rest) => {
                    asked.with_words.set(place);
                    left = rest;
                }
                None => {
                    asked.words.iter().take(left).for_each(|word| take(Field::Word, word));
                    left = 0;
                }
            }
        }
        event_texts(&event, &mut left, &mut take);
    }

    fn note(&mut self, place: u64, recorded_at: Timestamp, event: &Event) {
        if let Some(time) = usize::try_from(place).ok().and_then(|place| self.times.get_mut(place)) {
            *time = Some(recorded_at);
        }
        match verdict(event) {
            Some("allow") => self.allowed.set(place),
            Some("deny" | "refused") => self.denied.set(place),
            _ => {}
        }
    }

    fn finish(mut self, block: u64, before: Timestamp) -> NewBlock {
        for Asked { asker, places, words, with_words } in self.askers.into_values() {
            of_caller(&asker, &mut |field, value| self.found.add_all(field, value, places));
            words.iter().for_each(|word| self.found.add_all(Field::Word, word, with_words));
        }
        let first = self.times.iter().flatten().next().copied().unwrap_or(before);
        let last = self.times.iter().flatten().next_back().copied().unwrap_or(first).max(first);
        let (terms, bits) = self.found.postings().into_iter().unzip();
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

impl Asked {
    fn new(asker: Asker) -> Self {
        let words = group_words(&asker).map(Cow::into_owned).collect();
        Self { asker, places: Bits::default(), words, with_words: Bits::default() }
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
const UNREADABLE: &str = "unreadable";

/// The places of each value, so that a value that comes again costs a look and nothing else.
#[derive(Default)]
struct Found([HashMap<String, Bits>; Field::COUNT]);

impl Found {
    fn add(&mut self, field: Field, value: &str, place: u64) {
        self.bits(field, value, |bits| bits.set(place));
    }

    fn add_all(&mut self, field: Field, value: &str, places: Bits) {
        if places.is_empty() {
            return;
        }
        self.bits(field, value, |bits| *bits = bits.or(places));
    }

    fn bits(&mut self, field: Field, value: &str, change: impl FnOnce(&mut Bits)) {
        let Some(values) = self.0.get_mut(field as usize) else { return };
        match values.get_mut(value) {
            Some(bits) => change(bits),
            None => change(values.entry(value.to_owned()).or_default()),
        }
    }

    /// In the order of their numbers. Two values whose numbers collide share a posting.
    fn postings(&self) -> Vec<(i64, Vec<u8>)> {
        let values = Field::ALL
            .into_iter()
            .zip(&self.0)
            .flat_map(|(field, values)| values.iter().map(move |(value, bits)| (number(field, value), bits)));
        let mut found: Vec<(i64, &Bits)> = values.collect();
        found.sort_unstable_by_key(|(number, _)| *number);
        let shared = found.chunk_by(|(one, _), (next, _)| one == next);
        let postings = shared.filter_map(|same| {
            let ((number, first), rest) = same.split_first()?;
            Some((*number, rest.iter().fold(**first, |all, (_, bits)| all.or(**bits)).to_bytes()))
        });
        postings.collect()
    }
}

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
    use super::*;

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
    /// the same callers again at other places.
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
            let said = Said { caller, event: entry.event.clone() };
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
