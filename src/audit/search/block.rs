//! One block of leaves, turned into what is stored about it. Pure: the same leaves give the same rows, so that anyone can
//! check an index.

use std::collections::HashMap;

use super::{
    bits::{BLOCK, Bits},
    terms::{Field, number, terms, verdict},
};
use crate::{
    audit::{Entry, entry::VERSION},
    model::Timestamp,
    store::search::NewBlock,
};

/// What is stored about `block`, whose leaves that still have a body are `leaves`; the block before it ended at `before`.
pub(super) fn index(block: u64, leaves: &[(u64, Vec<u8>)], before: Timestamp) -> NewBlock {
    let (mut found, mut allowed, mut denied) = (Found::default(), Bits::default(), Bits::default());
    let mut times = [None; BLOCK as usize];
    for (leaf_index, leaf) in leaves {
        let place = leaf_index % BLOCK;
        let Some(entry) = read(leaf) else {
            found.add(Field::What, UNREADABLE, place);
            continue;
        };
        if let Some(time) = usize::try_from(place).ok().and_then(|place| times.get_mut(place)) {
            *time = Some(entry.recorded_at);
        }
        terms(&entry, &mut |field, value| found.add(field, value, place));
        match verdict(&entry.event) {
            Some("allow") => allowed.set(place),
            Some("deny" | "refused") => denied.set(place),
            _ => {}
        }
    }
    let first = times.iter().flatten().next().copied().unwrap_or(before);
    let last = times.iter().flatten().next_back().copied().unwrap_or(first).max(first);
    let mut postings: Vec<(i64, Bits)> = found.postings();
    postings.sort_unstable_by_key(|(term, _)| *term);
    NewBlock {
        block,
        first_recorded_at: first,
        last_recorded_at: last,
        leaves: i16::try_from(leaves.len()).unwrap_or(i16::MAX),
        allowed: allowed.to_bytes(),
        denied: denied.to_bytes(),
        moments: runs(first, &times),
        terms: postings.iter().map(|(term, _)| *term).collect(),
        bits: postings.into_iter().map(|(_, bits)| bits.to_bytes()).collect(),
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
struct Found(HashMap<Field, HashMap<String, Bits>>);

impl Found {
    fn add(&mut self, field: Field, value: &str, place: u64) {
        let values = self.0.entry(field).or_default();
        match values.get_mut(value) {
            Some(bits) => bits.set(place),
            None => values.entry(value.to_owned()).or_default().set(place),
        }
    }

    /// Two values whose numbers collide share a posting.
    fn postings(self) -> Vec<(i64, Bits)> {
        let mut postings: HashMap<i64, Bits> = HashMap::new();
        for (field, values) in self.0 {
            for (value, bits) in values {
                let posting = postings.entry(number(field, &value)).or_default();
                bits.places().for_each(|place| posting.set(place));
            }
        }
        postings.into_iter().collect()
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
        let row = index(3, &[], before);
        assert_eq!((row.first_recorded_at, row.last_recorded_at, row.leaves), (before, before, 0));
        assert!(row.terms.is_empty() && row.allowed.is_empty());
        let row = index(0, &[(5, b"nonsense".to_vec())], before);
        assert_eq!((row.terms, row.bits), (vec![number(Field::What, "unreadable")], vec![vec![0, 5]]));
    }
}
