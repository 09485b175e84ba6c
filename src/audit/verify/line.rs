//! The line of keys that the entries of a log tell of: who replaced whom, with whose word. Pure, and judged at the end,
//! because what was archived may be heard of late.
//!
//! INVARIANT: a link that nobody but the owner of the database stands for is found: its voucher does not hold, or it does not
//! continue the line, or the line leads to no key that is trusted.

use super::report::Broken;
use crate::audit::checkpoint::Verifier;

/// See the head of this file.
#[derive(Default)]
pub(super) struct Line {
    links: Vec<Link>,
    /// The key that signs from here on, as far as an entry has said so.
    signs: Option<String>,
    /// The first link that is none.
    fault: Option<Broken>,
}

/// An entry by which one key replaces another.
pub(super) struct Link {
    pub(super) index: u64,
    pub(super) retired: Verifier,
    pub(super) active: Verifier,
    /// The retired key's word for it holds. There is none in entries of before there were vouchers.
    pub(super) is_vouched: bool,
}

impl Line {
    /// The entry `index` says that the second of the keys `named` replaces the first, in this epoch of the log `origin`.
    /// Returns both, if they are keys of that log.
    pub(super) fn hear(
        &mut self,
        (index, epoch, origin): (u64, u64, &str),
        named: (&str, &str),
        voucher: Option<&str>,
    ) -> Option<[Verifier; 2]> {
        let read = |key: &str| key.parse().ok().filter(|key: &Verifier| key.name() == origin);
        let before = self.signs.replace(named.1.to_owned());
        let keys = read(named.0).zip(read(named.1));
        let what = match (&keys, voucher) {
            (None, _) => Some("what it names are no keys of this log"),
            _ if before.is_some_and(|before| before != named.0) => {
                Some("the key that it says was replaced had been replaced before")
            }
            (Some((retired, active)), Some(voucher)) if !retired.has_vouched_for(active, epoch, voucher) => {
                Some("the key that it says was replaced has not signed its voucher")
            }
            (_, None) if self.links.iter().any(|link| link.is_vouched) => {
                Some("it has no voucher, and key rotations before it have one")
            }
            _ => None,
        };
        if let Some(what) = what {
            self.fault.get_or_insert_with(|| Broken::leaf(index, format!("it is forged: {what}")));
        }
        let (retired, active) = keys?;
        if what.is_none() {
            let (retired, active) = (retired.clone(), active.clone());
            self.links.push(Link { index, retired, active, is_vouched: voucher.is_some() });
        }
        Some([retired, active])
    }

    /// An epoch begins with a key that nobody vouches for, because those before it are lost.
    pub(super) fn begin(&mut self, key: &str) {
        self.signs = Some(key.to_owned());
    }

    /// The links, in the order of the log.
    pub(super) fn links(&self) -> &[Link] {
        &self.links
    }

    /// Every link must be one of a line that one of `trusted` is in.
    pub(super) fn judge(&self, trusted: &[Verifier]) -> Result<(), Broken> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let mut line: Vec<&Verifier> = trusted.iter().collect();
        for link in self.links.iter().filter(|link| link.is_vouched) {
            if line.contains(&&link.retired) {
                line.push(&link.active);
            }
        }
        for link in self.links.iter().rev() {
            if line.contains(&&link.active) {
                line.push(&link.retired);
            }
        }
        let Some(stray) = self.links.iter().find(|link| !line.contains(&&link.active)) else { return Ok(()) };
        let Link { index, retired, active, is_vouched } = stray;
        let what = match is_vouched {
            true => format!("it says that {active} replaces {retired}, and no trusted key leads to either"),
            false => format!(
                "it says that {active} replaces {retired}, which has not vouched for it: it is forged, or older than \
                 vouchers; in that case give {active} as well (--key)"
            ),
        };
        Err(Broken::leaf(*index, what))
    }
}
