//! How fast strangers may begin to sign in: each beginning costs a row and an entry, and asks nobody for anything.
//! A network has so many at once and so many a minute after that; an attacker with very many networks shares one
//! allowance with everybody whose network is not known yet, so that memory stays bounded.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ipnet::IpNet;

use crate::{audit::refusals::network, model::Timestamp};

/// Who has begun how often lately: for each network the moment at which it has its whole allowance again.
#[derive(Debug, Default)]
pub struct Pace(Mutex<HashMap<Option<IpNet>, Timestamp>>);

impl Pace {
    /// Takes one from the allowance of `address`. An error says how long to wait.
    pub fn take(&self, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        let mut whole_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = network(address);
        if !whole_at.contains_key(&key) && whole_at.len() >= MOST_NETWORKS {
            whole_at.retain(|_, at| *at > now);
            if whole_at.len() >= MOST_NETWORKS {
                key = None;
            }
        }
        let at = whole_at.entry(key).or_insert(now);
        let after = (*at).max(now).plus(EACH);
        let debt = after.since(now);
        match debt.checked_sub(EACH * AT_ONCE) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                *at = after;
                Ok(())
            }
        }
    }
}

/// A whole office may come through one network in the morning.
const AT_ONCE: u32 = 60;

/// One more after so long.
const EACH: Duration = Duration::from_secs(1);

const MOST_NETWORKS: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_000).plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_network_begins_so_often_at_once_and_then_in_its_own_time() {
        let pace = Pace::default();
        let begun = |host: u8, seconds| pace.take(IpAddr::from([192, 0, 2, host]), at(seconds)).is_ok();
        assert_eq!((0..200).filter(|&host| begun(host, 0)).count(), 60);
        assert_eq!(pace.take(IpAddr::from([192, 0, 2, 1]), at(0)), Err(EACH));
        assert!(pace.take(IpAddr::from([192, 0, 3, 1]), at(0)).is_ok(), "another network is not held back");
        assert_eq!((0..200).filter(|&host| begun(host, 5)).count(), 5);
        assert_eq!((0..200).filter(|&host| begun(host, 3_600)).count(), 60);
    }

    #[test]
    fn a_flood_from_everywhere_takes_bounded_memory_and_spares_those_who_came_before() {
        let pace = Pace::default();
        let stranger = |nth: u32| IpAddr::from([0x2001, 0xdb8, (nth >> 8) as u16, nth as u16, 0, 0, 0, 1]);
        let known = IpAddr::from([192, 0, 2, 1]);
        assert!(pace.take(known, at(0)).is_ok());
        let begun = (0..65_536).filter(|&nth| pace.take(stranger(nth << 8), at(0)).is_ok()).count();
        assert!(begun <= MOST_NETWORKS + 60, "{begun}");
        assert!(pace.0.lock().unwrap().len() <= MOST_NETWORKS + 1);
        assert!(pace.take(known, at(0)).is_ok());
        assert!(pace.take(stranger(1 << 30), at(7_200)).is_ok(), "those that are whole again are forgotten");
    }
}
