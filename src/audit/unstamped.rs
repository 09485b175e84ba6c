//! Entries that are ready for the log, but for the instant of their recording: encoded once, in the caller's own task,
//! whatever batch they end up in. INVARIANT: the leaf bytes that come out are exactly those of [`Entry::leaf`].

use super::{
    Draft, Entry,
    canonical::CanonicalFault,
    entry::{Columns, Salt},
};
use crate::model::{BrokerId, Timestamp};

/// An entry that lacks only the instant of its recording, which one batch shares and which may change on a retry.
#[derive(Clone, Debug)]
pub(super) struct Unstamped {
    /// The leaf bytes, with 0 for the instant.
    leaf: Vec<u8>,
    /// Where that 0 stands.
    stamp: usize,
    /// The columns; `recorded_at` is the stamp's.
    pub(super) columns: Columns,
}

impl Unstamped {
    /// Encodes what `broker` is to record about `draft`.
    pub(super) fn of(draft: Draft, broker: BrokerId, salt: Salt) -> Result<Self, CanonicalFault> {
        let Draft { caller, event, happened_at, request } = draft;
        let recorded_at = Timestamp::from_micros(0);
        let entry = Entry { broker, caller, event, happened_at, recorded_at, request, salt };
        let leaf = entry.leaf()?;
        // The keys after it are `request` and `salt`, whose values are ids and hex: their length is known.
        let after = if entry.request.is_some() { AFTER_WITH_REQUEST } else { AFTER };
        let stamp = leaf.len().checked_sub(after + 1).ok_or(CanonicalFault::Form)?;
        if leaf.get(..=stamp).is_some_and(|before| before.ends_with(STAMP)) {
            Ok(Self { stamp, columns: Columns::of(&entry), leaf })
        } else {
            Err(CanonicalFault::Form)
        }
    }

    /// The leaf bytes of the entry recorded at `recorded_at`.
    pub(super) fn leaf(&self, recorded_at: Timestamp) -> Vec<u8> {
        let (before, rest) = self.leaf.split_at(self.stamp);
        let mut leaf = Vec::with_capacity(self.leaf.len() + 20);
        leaf.extend_from_slice(before);
        leaf.extend_from_slice(recorded_at.micros().to_string().as_bytes());
        leaf.extend_from_slice(rest.get(1..).unwrap_or_default());
        leaf
    }

    /// Whether it permits something, so that another entry must say what became of it.
    pub(super) fn opens(&self) -> bool {
        self.columns.kind == "decision" && self.columns.verdict == Some("allow") && self.columns.request.is_some()
    }

    /// Whether it says what became of a request.
    pub(super) fn closes(&self) -> bool {
        matches!(self.columns.kind, "outcome" | "not-forwarded" | "unknown-outcome")
    }

    /// How many bytes it has, about.
    pub(super) const fn len(&self) -> usize {
        self.leaf.len()
    }
}

/// The key before the instant of recording, with the stand-in for it.
const STAMP: &[u8] = br#","recorded_at":0"#;

/// How many bytes follow the instant of an entry without a request: `,"request":null,"salt":"…"}`.
const AFTER: usize = br#","request":null,"salt":""}"#.len() + 32;

/// The same with a request, whose id is 36 letters in quotes.
const AFTER_WITH_REQUEST: usize = AFTER - "null".len() + 38;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{audit::Event, model::RequestId};

    fn refused(target: &str) -> Draft {
        let event = Event::Refused {
            check: "path".into(),
            why: "\",\"recorded_at\":0,\"request\":null".into(),
            target: target.into(),
            address: "127.0.0.1".into(),
        };
        Draft { caller: None, event, happened_at: Timestamp::from_micros(7), request: None }
    }

    #[test]
    fn an_entry_is_encoded_once_for_any_instant() {
        let broker = BrokerId::from_uuid(Uuid::from_u128(1));
        let unstamped = Unstamped::of(refused("wiki"), broker, Salt([7; 16])).unwrap();
        for micros in [0, 1, -5, 1_700_000_000_000_000] {
            let leaf = unstamped.leaf(Timestamp::from_micros(micros));
            let entry = Entry::from_leaf(&leaf).unwrap();
            assert_eq!(entry.recorded_at.micros(), micros);
            assert_eq!(entry.leaf().unwrap(), leaf);
        }
        let request = Some(RequestId::from_uuid(Uuid::from_u128(5)));
        let unstamped = Unstamped::of(Draft { request, ..refused("wiki") }, broker, Salt([7; 16])).unwrap();
        assert_eq!(Entry::from_leaf(&unstamped.leaf(Timestamp::from_micros(9))).unwrap().request, request);
    }

    #[test]
    fn its_columns_can_be_stored() {
        let broker = BrokerId::from_uuid(Uuid::from_u128(1));
        let unstamped = Unstamped::of(refused("a\0b"), broker, Salt([7; 16])).unwrap();
        assert_eq!(unstamped.columns.target.as_deref(), Some("a\u{fffd}b"));
    }
}
