//! The postings of a block while it is indexed: for each term, the leaves that carry it. A term comes as its number, where
//! that is known already, or as text, whose number is made once a block.

use super::{
    leaves::Leaves,
    terms::{Field, number_within},
};
use crate::audit::keyed::{Map, map};

/// See the head of this file.
pub(super) struct Postings {
    numbers: Map<i64, Leaves>,
    texts: [Map<Box<str>, Leaves>; Field::COUNT],
}

impl Postings {
    /// For so many leaves.
    pub(super) fn of(leaves: usize) -> Self {
        // Every entry may be about a place of its own.
        let room = |field| if matches!(field, Field::Place | Field::Word) { leaves } else { 0 };
        let texts = Field::ALL.map(|field| map(room(field)));
        Self { numbers: map(0), texts }
    }

    /// The leaf at `place` carries a term.
    pub(super) fn add(&mut self, field: Field, value: &str, place: u64) {
        self.change(field, value, |leaves| leaves.set(place));
    }

    /// All of `leaves` do.
    pub(super) fn add_all(&mut self, field: Field, value: &str, leaves: &Leaves) {
        if !leaves.is_empty() {
            self.change(field, value, |known| known.add(leaves));
        }
    }

    /// The leaf at `place` carries terms whose numbers are known.
    pub(super) fn add_numbers(&mut self, numbers: &[i64], place: u64) {
        numbers.iter().for_each(|number| self.numbers.entry(*number).or_default().set(place));
    }

    /// All of `leaves` do.
    pub(super) fn add_all_numbers(&mut self, numbers: &[i64], leaves: &Leaves) {
        if !leaves.is_empty() {
            numbers.iter().for_each(|number| self.numbers.entry(*number).or_default().add(leaves));
        }
    }

    /// All terms in the order of their numbers, each with its leaves. Values whose numbers collide share a posting.
    pub(super) fn into_rows(self) -> (Vec<i64>, Vec<Vec<u8>>) {
        let mut found: Vec<(i64, &Leaves)> = self.numbers.iter().map(|(number, found)| (*number, found)).collect();
        found.reserve(self.texts.iter().map(Map::len).sum());
        let mut text = Vec::new();
        for (field, values) in Field::ALL.into_iter().zip(&self.texts) {
            found.extend(values.iter().map(|(value, leaves)| (number_within(&mut text, field, value), leaves)));
        }
        found.sort_unstable_by_key(|(number, _)| *number);
        let rows = found.chunk_by(|(one, _), (next, _)| one == next).filter_map(|same| match same {
            [] => None,
            [(number, only)] => Some((*number, only.to_bytes())),
            [(number, first), rest @ ..] => {
                let mut all = (*first).clone();
                rest.iter().for_each(|(_, others)| all.add(others));
                Some((*number, all.to_bytes()))
            }
        });
        rows.unzip()
    }

    fn change(&mut self, field: Field, value: &str, change: impl FnOnce(&mut Leaves)) {
        let Some(texts) = self.texts.get_mut(field as usize) else { return };
        match texts.get_mut(value) {
            Some(leaves) => change(leaves),
            None => change(texts.entry(value.into()).or_default()),
        }
    }
}
