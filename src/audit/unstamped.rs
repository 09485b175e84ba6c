//! Entries that are ready for the log, but for the instant of their recording: encoded once, in the caller's own task,
//! whatever batch they end up in. INVARIANT: the leaf bytes that come out are exactly those of [`Entry::leaf`].

use super::{
    Draft, Entry,
    canonical::CanonicalFault,
    entry::{Columns, Salt},
};
use crate::model::{BrokerId, Timestamp};

/// An entry that lacks only the instant of its recording, which one batch shares and which may change on a retry: the
/// leaf bytes on both sides of it, encoded once.
#[derive(Clone, Debug)]
pub(super) struct Unstamped {
    before: Vec<u8>,
    after: Vec<u8>,
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
        // The keys after it are `request` and `salt`, whose values are ids and hex, so the last match is the key itself.
        let at = leaf.windows(STAMP.len()).rposition(|window| window == STAMP).ok_or(CanonicalFault::Form)?;
        let (before, rest) = leaf.split_at(at + STAMP.len() - 1);
        let after = rest.get(1..).unwrap_or_default();
        Ok(Self { before: before.to_vec(), after: after.to_vec(), columns: Columns::of(&entry) })
    }

    /// The leaf bytes of the entry recorded at `recorded_at`.
    pub(super) fn leaf(&self, recorded_at: Timestamp) -> Vec<u8> {
        [&self.before, recorded_at.micros().to_string().as_bytes(), &self.after].concat()
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
        self.before.len() + self.after.len()
    }
}

/// The key before the instant of recording, with the stand-in for it.
const STAMP: &[u8] = br#","recorded_at":0"#;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::audit::Event;

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
    }

    #[test]
    fn its_columns_can_be_stored() {
        let broker = BrokerId::from_uuid(Uuid::from_u128(1));
        let unstamped = Unstamped::of(refused("a\0b"), broker, Salt([7; 16])).unwrap();
        assert_eq!(unstamped.columns.target.as_deref(), Some("a\u{fffd}b"));
    }
}
