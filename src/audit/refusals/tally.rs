//! Strangers' refusals of one minute, counted by network, check and target. Pure: told the time, it answers with what
//! the log is to say. Holds so many keys and no more; who comes after them is counted without a network, and in the end
//! without anything.

use std::{collections::HashMap, net::IpAddr};

use ipnet::IpNet;

use super::shortened;
use crate::{audit::Event, model::Timestamp};

/// What refusals are counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    network: Option<IpNet>,
    check: &'static str,
    target: String,
}

/// What one more refusal comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// What the log is to say first: the minute before is over.
    pub(super) over: Vec<Event>,
    /// Whether it is the first of its key, which has an entry of its own and is not counted.
    pub(super) is_first: bool,
}

/// The refusals of the present minute.
#[derive(Debug, Default)]
pub(super) struct Tally {
    minute: i64,
    counted: HashMap<Key, Count>,
}

#[derive(Debug)]
struct Count {
    why: String,
    from: Timestamp,
    until: Timestamp,
    count: u64,
}

impl Key {
    pub(super) fn of(address: IpAddr, check: &'static str, target: &str) -> Self {
        Self { network: network(address), check, target: target.to_owned() }
    }
}

/// The network of an address, as strangers are counted by: /24 for IPv4, /48 for IPv6, which is what one site has.
pub fn network(address: IpAddr) -> Option<IpNet> {
    let address = address.to_canonical();
    IpNet::new(address, if address.is_ipv4() { 24 } else { 48 }).ok().map(|net| net.trunc())
}

impl Tally {
    /// Takes note of one refusal.
    pub(super) fn take(&mut self, key: Key, why: &str, now: Timestamp) -> Step {
        let over = self.over(now);
        self.minute = minute_of(now);
        if !self.counted.contains_key(&key) && self.counted.len() < MOST_KEYS {
            self.counted.insert(key, Count { why: shortened(why), from: now, until: now, count: 0 });
            return Step { over, is_first: true };
        }
        let key = self.place_for(key);
        let count =
            self.counted.entry(key).or_insert_with(|| Count { why: shortened(why), from: now, until: now, count: 0 });
        if count.count == 0 {
            count.from = now;
        }
        count.count += 1;
        count.until = now;
        Step { over, is_first: false }
    }

    /// The key itself if it is held, else one that says less.
    fn place_for(&self, key: Key) -> Key {
        if self.counted.contains_key(&key) {
            return key;
        }
        let elsewhere = Key { network: None, ..key };
        if self.counted.contains_key(&elsewhere) || self.counted.len() < MOST_KEYS + MOST_WITHOUT_NETWORK {
            return elsewhere;
        }
        Key { network: None, check: OTHER, target: OTHER.to_owned() }
    }

    /// What the log is to say of the minute, if it is over.
    pub(super) fn over(&mut self, now: Timestamp) -> Vec<Event> {
        if self.minute == minute_of(now) { Vec::new() } else { self.rest() }
    }

    /// What the log is to say of what was counted; the count begins anew.
    pub(super) fn rest(&mut self) -> Vec<Event> {
        let counted = std::mem::take(&mut self.counted);
        let mut counted: Vec<_> = counted.into_iter().filter(|(_, count)| count.count > 0).collect();
        counted.sort_by_key(|(_, count)| count.from);
        let told = counted.into_iter().map(|(key, count)| Event::Refusals {
            check: key.check.to_owned(),
            why: count.why,
            target: key.target,
            network: key.network.map_or_else(|| OTHER.to_owned(), |network| network.to_string()),
            from: count.from,
            until: count.until,
            count: count.count,
        });
        told.collect()
    }
}

const fn minute_of(now: Timestamp) -> i64 {
    now.seconds().div_euclid(60)
}

/// Each may have two entries in a minute: its first refusal, and the count of the others.
const MOST_KEYS: usize = 512;

/// Then checks and targets only, of which there are few; one entry each.
const MOST_WITHOUT_NETWORK: usize = 64;

const OTHER: &str = "other";

/// What the log calls a network, in words.
pub fn network_words(network: &str) -> &str {
    if network == OTHER { "other networks" } else { network }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros((6_000_000 + seconds) * 1_000_000)
    }

    fn key(address: &str) -> Key {
        Key::of(address.parse().unwrap(), "token", "portal")
    }

    fn counts(events: &[Event]) -> Vec<(String, u64)> {
        let of = |event: &Event| match event {
            Event::Refusals { network, count, .. } => (network.clone(), *count),
            other => panic!("{other:?}"),
        };
        events.iter().map(of).collect()
    }

    #[test]
    fn a_flood_from_one_network_makes_two_entries_in_a_minute() {
        let mut tally = Tally::default();
        let firsts = (0..100_000_u32).filter(|nth| {
            let address = IpAddr::from([192, 0, 2, nth.to_le_bytes()[0]]);
            let step = tally.take(Key::of(address, "token", "portal"), "no token", at(i64::from(nth % 60)));
            assert!(step.over.is_empty());
            step.is_first
        });
        assert_eq!(firsts.count(), 1);
        assert_eq!(tally.over(at(59)), []);
        let told = tally.over(at(60));
        assert_eq!(counts(&told), [("192.0.2.0/24".to_owned(), 99_999)]);
        assert_eq!(tally.over(at(120)), [], "told once");
    }

    #[test]
    fn a_flood_from_everywhere_makes_a_bounded_number_of_entries_with_each_refusal_counted() {
        let mut tally = Tally::default();
        let mut firsts = 0_u64;
        for nth in 0..100_000_u32 {
            let [a, b, c, _] = nth.to_le_bytes();
            let address = IpAddr::from([0x2001, 0xdb8, u16::from_le_bytes([a, b]), u16::from(c) << 8, 0, 0, 0, 1]);
            firsts += u64::from(tally.take(Key::of(address, "token", "portal"), "no token", at(0)).is_first);
        }
        let keys = tally.counted.len();
        let told = counts(&tally.rest());
        assert!(firsts <= MOST_KEYS as u64 && keys <= MOST_KEYS + MOST_WITHOUT_NETWORK + 1);
        assert!(told.len() <= keys);
        assert_eq!(firsts + told.iter().map(|(_, count)| count).sum::<u64>(), 100_000);
        assert!(told.iter().any(|(network, count)| network == OTHER && *count > 90_000), "{told:?}");
    }

    #[test]
    fn networks_checks_targets_and_minutes_are_counted_apart() {
        let mut tally = Tally::default();
        assert!(tally.take(key("192.0.2.1"), "a", at(0)).is_first);
        assert!(!tally.take(key("::ffff:192.0.2.9"), "b", at(1)).is_first, "the same network");
        assert!(tally.take(key("192.0.3.1"), "a", at(2)).is_first);
        assert!(tally.take(key("2001:db8:1::1"), "a", at(3)).is_first);
        assert!(!tally.take(key("2001:db8:1:9::1"), "a", at(3)).is_first);
        assert!(tally.take(Key { check: "path", ..key("192.0.2.1") }, "a", at(3)).is_first);
        assert!(tally.take(Key { target: "wiki".into(), ..key("192.0.2.1") }, "a", at(3)).is_first);
        let next = tally.take(key("192.0.2.1"), "a", at(61));
        assert!(next.is_first, "another minute");
        assert_eq!(counts(&next.over), [("192.0.2.0/24".to_owned(), 1), ("2001:db8:1::/48".to_owned(), 1)]);
        let Event::Refusals { from, until, .. } = &next.over[0] else { panic!() };
        assert_eq!((*from, *until), (at(1), at(1)));
    }

    #[test]
    fn a_target_is_never_what_a_stranger_wrote_at_length() {
        let mut tally = Tally::default();
        tally.take(key("192.0.2.1"), &"x\u{1b}".repeat(9_000), at(0));
        assert!(tally.counted.values().all(|count| count.why.chars().count() <= 300 && !count.why.contains('\u{1b}')));
    }
}
