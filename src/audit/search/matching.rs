//! What a search asks of an entry: the terms that it must have, and what terms cannot say. The index is asked for the
//! terms; every entry that it names is asked for both, from its bytes.

use uuid::Uuid;

use super::{
    query::Search,
    terms::{Field, indexed_network, networks, number, places, prefixes, terms},
    words::words,
};
use crate::audit::Entry;

/// The terms of a search.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    wanted: Vec<(Field, String)>,
    /// Whether every entry that has them all is one that is looked for, as far as time and request go not.
    pub(super) are_all: bool,
}

impl Terms {
    /// As numbers of the index, each once.
    pub(super) fn numbers(&self) -> Vec<i64> {
        let mut numbers: Vec<i64> = self.wanted.iter().map(|(field, value)| number(*field, value)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Whether `entry` has them all.
    pub(super) fn are_in(&self, entry: &Entry) -> bool {
        let mut missing: Vec<&(Field, String)> = self.wanted.iter().collect();
        if !missing.is_empty() {
            terms(entry.into(), &mut |field, value| missing.retain(|term| term.0 != field || term.1 != value));
        }
        missing.is_empty()
    }
}

impl Search {
    /// Whether `entry` is one of those that are looked for.
    pub fn matches(&self, entry: &Entry) -> bool {
        self.is_in_time(entry)
            && self.request.is_none_or(|request| entry.request == Some(request))
            && self.terms().are_in(entry)
            && self.place.as_ref().is_none_or(|place| is_below(entry, place))
            && self.address.is_none_or(|address| networks(entry).iter().any(|network| address.contains(network)))
    }

    fn is_in_time(&self, entry: &Entry) -> bool {
        let at = entry.recorded_at;
        self.from.is_none_or(|from| at >= from) && self.until.is_none_or(|until| at < until)
    }

    pub(super) fn terms(&self) -> Terms {
        let (mut wanted, mut are_all) = (Vec::new(), true);
        if let Some(who) = &self.who {
            match Uuid::parse_str(who) {
                Ok(person) => wanted.push((Field::Who, person.to_string())),
                Err(_) if who.contains('/') => wanted.push((Field::Who, who.clone())),
                Err(_) => wanted.extend(words(who).map(|word| (Field::Name, word.into_owned()))),
            }
        }
        let what = self.what.iter().flat_map(|what| what.split_whitespace());
        wanted.extend(what.map(|word| (Field::What, word.to_owned())));
        if let Some(place) = &self.place {
            let prefix = prefixes(place).last().unwrap_or_default();
            let rest = place.strip_prefix(prefix).unwrap_or_default();
            are_all &= rest.is_empty();
            wanted.push((Field::Place, prefix.to_owned()));
            // The words of a place come first among an entry's words, so none of these was left out.
            wanted.extend(words(rest).take(MOST_OF_A_PLACE).map(|word| (Field::Word, word.into_owned())));
        }
        wanted.extend(self.verdict.map(|verdict| (Field::Verdict, verdict.as_str().to_owned())));
        wanted.extend(self.rule.iter().map(|rule| (Field::Rule, rule.clone())));
        if let Some(address) = self.address {
            // The smallest of all for an address that no reader of a query lets through.
            let network = indexed_network(address).unwrap_or(address);
            are_all &= network == address;
            wanted.push((Field::Address, network.to_string()));
        }
        wanted.extend(self.credential.map(|id| (Field::Credential, id.to_string())));
        wanted.extend(self.login.map(|id| (Field::Login, id.to_string())));
        wanted.extend(self.text.iter().flat_map(|text| words(text)).map(|word| (Field::Word, word.into_owned())));
        Terms { wanted, are_all }
    }
}

fn is_below(entry: &Entry, place: &str) -> bool {
    let is_below = |found: &str| found.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    places(entry.into()).iter().any(|found| is_below(found))
}

/// How many words of a deep place the index is asked for.
const MOST_OF_A_PLACE: usize = 8;
