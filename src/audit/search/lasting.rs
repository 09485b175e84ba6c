//! What many entries are found by alike, because they are of one caller or follow one decision: put together once, as
//! numbers of the index, and kept with the value that they have in common.

use super::{
    leaves::Leaves,
    postings::Postings,
    terms::{Field, MOST_WORDS, group_words, number, of_caller, of_place, of_ruling, reach, ruling_texts},
};
use crate::{
    audit::{Common, keyed::Map},
    model::{Caller, Decision},
};

/// See the head of this file.
#[derive(Debug)]
pub(in crate::audit) struct Lasting {
    /// All terms but words.
    terms: Box<[i64]>,
    /// Words in their order. Each counts against the number that an entry may have.
    words: Box<[i64]>,
    /// What an entry has besides that lies within a caller's reach, without saying where: terms and words.
    reach: Box<[i64]>,
    /// How many of these are words.
    reach_words: usize,
}

/// A value that leaves have something in common by, and which leaves.
pub(super) struct Seen<T> {
    value: Common<T>,
    leaves: Leaves,
    /// Those where all of its words count.
    with_words: Leaves,
    /// Those that lie within its reach.
    within: Leaves,
}

impl Lasting {
    fn of(terms: Vec<i64>, words: Vec<i64>) -> Self {
        Self { terms: terms.into(), words: words.into(), reach: Box::default(), reach_words: 0 }
    }
}

/// What has terms that last.
pub(super) trait Lasts: Sized {
    /// Puts them together.
    fn to_lasting(&self) -> Lasting;
}

impl Lasts for Caller {
    fn to_lasting(&self) -> Lasting {
        let (mut terms, mut within, mut left) = (Vec::new(), Vec::new(), MOST_WORDS);
        of_caller(self, &mut |field, value| terms.push(number(field, value)));
        let words = group_words(self).take(MOST_WORDS).map(|word| number(Field::Word, &word)).collect();
        let mut take = |field, value: &str| within.push(number(field, value));
        reach(self).iter().for_each(|place| of_place(place, &mut left, &mut take));
        Lasting { reach: within.into(), reach_words: MOST_WORDS - left, ..Lasting::of(terms, words) }
    }
}

impl Lasts for Decision {
    fn to_lasting(&self) -> Lasting {
        let (mut terms, mut words, mut left) = (Vec::new(), Vec::new(), MOST_WORDS);
        of_ruling(self, &mut |field, value| terms.push(number(field, value)));
        ruling_texts(self, &mut left, &mut |field, value| words.push(number(field, value)));
        Lasting::of(terms, words)
    }
}

impl<T: Lasts> Seen<T> {
    /// The one of `all` that has this value.
    pub(super) fn at<'s>(all: &'s mut Map<usize, Self>, value: &Common<T>) -> &'s mut Self {
        all.entry(value.address_of()).or_insert_with(|| Self {
            value: value.clone(),
            leaves: Leaves::default(),
            with_words: Leaves::default(),
            within: Leaves::default(),
        })
    }

    /// What happened at `place` lies within its reach, so that words of that come first.
    pub(super) fn reaches(&mut self, place: u64, left: &mut usize) {
        self.within.set(place);
        *left = left.saturating_sub(self.value.lasting(T::to_lasting).reach_words);
    }

    /// The leaf at `place` has it, with words as far as there are places `left`.
    pub(super) fn carries(&mut self, place: u64, left: &mut usize, found: &mut Postings) {
        self.leaves.set(place);
        let words = &self.value.lasting(T::to_lasting).words;
        match left.checked_sub(words.len()) {
            Some(rest) => {
                self.with_words.set(place);
                *left = rest;
            }
            None => {
                found.add_numbers(words.get(..*left).unwrap_or_default(), place);
                *left = 0;
            }
        }
    }

    /// Adds all that was seen of it.
    pub(super) fn finish(&self, found: &mut Postings) {
        let Lasting { terms, words, reach, .. } = self.value.lasting(T::to_lasting);
        found.add_all_numbers(terms, &self.leaves);
        found.add_all_numbers(words, &self.with_words);
        found.add_all_numbers(reach, &self.within);
    }
}
