//! Callers that were found once, for the next request that shows the same: no row is read and no certificate parsed.
//!
//! INVARIANT: nobody is known for longer than their rows say the same. The feed's position is noted before the rows are
//! read; at each use the feed must be fresh and must have told nothing since about the login, the person, or the
//! credential or session itself. Limits of time are kept by the clock, at each use. Only those who were found are
//! known: there is nothing here to be filled with guesses.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::digest;
use uuid::Uuid;

use crate::{
    audit::Asker,
    model::{Caller, Presented, Timestamp},
    store::feed::{Feed, Noted},
};

/// Who was found. Cheap to clone; without a feed it knows nobody.
#[derive(Clone, Default)]
pub(super) struct Known(Option<Arc<Parts>>);

struct Parts {
    feed: Feed,
    found: Mutex<HashMap<Shown, Entry>>,
}

/// What was shown, by its SHA-256, and as what: a token shown as a cookie is not that cookie.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Shown(Kind, [u8; 32]);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    AppCookie,
    Certificate,
    Token,
}

/// A caller, and the instants between which nothing about them need be looked up.
pub(super) struct Found {
    pub(super) caller: Asker,
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
}

struct Entry {
    found: Found,
    noted: Noted,
    hangs_on: [Uuid; 3],
}

/// About 1 KiB each. Whoever is forgotten is found again in their rows.
const MOST: usize = 16_384;

impl Shown {
    pub(super) fn app_cookie(value: &str) -> Self {
        Self::of(Kind::AppCookie, value.as_bytes())
    }

    pub(super) fn certificate(der: &[u8]) -> Self {
        Self::of(Kind::Certificate, der)
    }

    pub(super) fn token(value: &str) -> Self {
        Self::of(Kind::Token, value.as_bytes())
    }

    /// SHA-256 of what was shown.
    pub(super) const fn hash(&self) -> &[u8; 32] {
        &self.1
    }

    fn of(kind: Kind, shown: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, shown).as_ref());
        Self(kind, hash)
    }
}

impl Known {
    pub(super) fn until_told_by(feed: Feed) -> Self {
        Self(Some(Arc::new(Parts { feed, found: Mutex::default() })))
    }

    /// See [`Feed::catch_up`].
    pub(super) async fn catch_up(&self) {
        if let Some(parts) = &self.0 {
            parts.feed.catch_up().await;
        }
    }

    /// To be called before the rows are read. None: what is read cannot be remembered.
    pub(super) fn note(&self) -> Option<Noted> {
        self.0.as_ref().and_then(|parts| parts.feed.note().ok())
    }

    /// Who showed this before, as they come now from `address`, if that still holds.
    pub(super) fn caller(&self, shown: &Shown, now: Timestamp, address: IpAddr) -> Option<Asker> {
        let parts = self.0.as_ref()?;
        let mut all = parts.found();
        let entry = all.get_mut(shown)?;
        let Found { caller, since, until } = &mut entry.found;
        if *since <= now && now < *until && parts.feed.holds(&entry.noted, &entry.hangs_on) {
            if caller.address != address {
                *caller = Caller { address, ..caller.to_value() }.into();
            }
            return Some(caller.clone());
        }
        all.remove(shown);
        None
    }

    /// Remembers whose rows were read after `noted`.
    pub(super) fn remember(&self, shown: Shown, noted: Option<Noted>, found: Found) {
        let (Some(parts), Some(noted)) = (&self.0, noted) else { return };
        let caller = &found.caller;
        let own = match caller.presented {
            Presented::Session => caller.login.uuid(),
            Presented::AppSession(id) => id.uuid(),
            Presented::Certificate(id) | Presented::Token(id) => id.uuid(),
        };
        let hangs_on = [caller.login.uuid(), caller.person.uuid(), own];
        let mut all = parts.found();
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(shown, Entry { found, noted, hangs_on });
    }
}

impl Parts {
    fn found(&self) -> MutexGuard<'_, HashMap<Shown, Entry>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
