//! How fast strangers may ask for what costs us something and asks nobody for anything: to begin a sign-in, which is a row
//! and an entry, or for a tile of the log. A network has so many at once and so many a second after that; an attacker with very many networks shares one
//! allowance with everybody whose network is not known yet, so that memory stays bounded.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ipnet::IpNet;

use crate::{audit::refusals::network, model::Timestamp};

/// Who has asked how often lately: for each network the moment at which it has its whole allowance again.
#[derive(Debug)]
pub struct Pace {
    at_once: u32,
    each: Duration,
    whole_at: Mutex<HashMap<Option<IpNet>, Timestamp>>,
}

impl Pace {
    /// For beginning to sign in. A whole office may come through one network in the morning.
    pub fn of_sign_ins() -> Self {
        Self { at_once: 60, each: Duration::from_secs(1), whole_at: Mutex::default() }
    }

    /// For tiles and checkpoints of the log. Whoever follows it takes a few; whoever copies the tree of ten million
    /// entries is through in a quarter of an hour.
    pub fn of_tiles() -> Self {
        Self { at_once: 1_000, each: Duration::from_millis(20), whole_at: Mutex::default() }
    }

    /// Takes one from the allowance of `address`. An error says how long to wait.
    pub fn take(&self, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        let mut whole_at = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = network(address);
        if !whole_at.contains_key(&key) && whole_at.len() >= MOST_NETWORKS {
            whole_at.retain(|_, at| *at > now);
            if whole_at.len() >= MOST_NETWORKS {
                key = None;
            }
        }
        let at = whole_at.entry(key).or_insert(now);
        let after = (*at).max(now).plus(self.each);
        let debt = after.since(now);
        match debt.checked_sub(self.each * self.at_once) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                *at = after;
                Ok(())
            }
        }
    }
}

const MOST_NETWORKS: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_000).plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_network_begins_so_often_at_once_and_then_in_its_own_time() {
        let pace = Pace::of_sign_ins();
        let begun = |host: u8, seconds| pace.take(IpAddr::from([192, 0, 2, host]), at(seconds)).is_ok();
        assert_eq!((0..200).filter(|&host| begun(host, 0)).count(), 60);
        assert_eq!(pace.take(IpAddr::from([192, 0, 2, 1]), at(0)), Err(Duration::from_secs(1)));
        assert!(pace.take(IpAddr::from([192, 0, 3, 1]), at(0)).is_ok(), "another network is not held back");
        assert_eq!((0..200).filter(|&host| begun(host, 5)).count(), 5);
        assert_eq!((0..200).filter(|&host| begun(host, 3_600)).count(), 60);
    }

    #[test]
    fn tiles_have_an_allowance_of_their_own() {
        let pace = Pace::of_tiles();
        let taken =
            |seconds| (0..5_000).filter(|_| pace.take(IpAddr::from([192, 0, 2, 1]), at(seconds)).is_ok()).count();
        assert_eq!((taken(0), taken(1), taken(1)), (1_000, 50, 0));
    }

    #[test]
    fn a_flood_from_everywhere_takes_bounded_memory_and_spares_those_who_came_before() {
        let pace = Pace::of_sign_ins();
        let stranger = |nth: u32| IpAddr::from([0x2001, 0xdb8, (nth >> 8) as u16, nth as u16, 0, 0, 0, 1]);
        let known = IpAddr::from([192, 0, 2, 1]);
        assert!(pace.take(known, at(0)).is_ok());
        let begun = (0..65_536).filter(|&nth| pace.take(stranger(nth << 8), at(0)).is_ok()).count();
        assert!(begun <= MOST_NETWORKS + 60, "{begun}");
        assert!(pace.whole_at.lock().unwrap().len() <= MOST_NETWORKS + 1);
        assert!(pace.take(known, at(0)).is_ok());
        assert!(pace.take(stranger(1 << 30), at(7_200)).is_ok(), "those that are whole again are forgotten");
    }
}
