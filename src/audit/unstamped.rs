//! Entries that are ready for the log, but for the instant of their recording: encoded once, in the caller's own task,
//! whatever batch they end up in. INVARIANT: the leaf bytes that come out are exactly those of [`super::Entry::leaf`].

use std::ops::Range;

use super::{
    Asker, Draft, Event,
    canonical::{CanonicalFault, Object, write_object},
    entry::{Columns, Salt, USUAL_LENGTH, VERSION},
};
use crate::model::{BrokerId, RequestId, Timestamp};

/// An entry that lacks only the instant of its recording, which one batch shares and which may change on a retry.
#[derive(Debug)]
pub(super) struct Unstamped {
    /// The leaf bytes, with 0 for the instant at first.
    leaf: Vec<u8>,
    /// Where the instant stands.
    stamp: Range<usize>,
    /// The columns; `recorded_at` is the stamp's.
    pub(super) columns: Columns,
    /// What it says, for those who would otherwise have to read the bytes.
    pub(super) said: Said,
}

/// What an entry says, as it was said.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) caller: Option<Asker>,
    pub(super) event: Event,
}

/// Something that was permitted, and that another entry must say the end of.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) caller: Option<Asker>,
    pub(super) request: RequestId,
}

impl Unstamped {
    /// Encodes what `broker` is to record about `draft`.
    pub(super) fn of(draft: Draft, broker: BrokerId, salt: Salt) -> Result<Self, CanonicalFault> {
        let Draft { caller, event, happened_at, request } = draft;
        let recorded_at = Timestamp::from_micros(0);
        let (mut leaf, mut stamp) = (Vec::with_capacity(USUAL_LENGTH), 0);
        leaf.push(VERSION);
        let mut hex = [0; 32];
        hex::encode_to_slice(salt.0, &mut hex).map_err(|_| CanonicalFault::Form)?;
        // The members of `Entry`, in the order of their names.
        write_object(&mut leaf, |entry| {
            entry.member("broker", &broker)?;
            match &caller {
                Some(caller) => entry.written("caller", caller.canonical()?),
                None => entry.member("caller", &())?,
            }
            write_event(entry, &event)?;
            entry.member("happened_at", &happened_at)?;
            entry.member("recorded_at", &recorded_at)?;
            stamp = entry.len() - 1;
            entry.member("request", &request)?;
            entry.member("salt", std::str::from_utf8(&hex).unwrap_or_default())
        })?;
        if leaf.get(stamp) != Some(&b'0') {
            return Err(CanonicalFault::Form);
        }
        let columns = Columns::of_parts(broker, caller.as_deref(), &event, happened_at, recorded_at, request);
        Ok(Self { leaf, stamp: stamp..stamp + 1, columns, said: Said { caller, event } })
    }

    /// Says when the entry is recorded, whatever was said of that before.
    pub(super) fn stamp(&mut self, recorded_at: Timestamp) {
        let digits = recorded_at.micros().to_string();
        let (start, end) = (self.stamp.start, self.stamp.start + digits.len());
        self.leaf.splice(std::mem::replace(&mut self.stamp, start..end), digits.into_bytes());
    }

    /// The leaf bytes of the entry, recorded when it was said last.
    pub(super) fn leaf(&self) -> &[u8] {
        &self.leaf
    }

    /// What it permits, if it permits something, so that another entry must say what became of it.
    pub(super) fn opened(&self) -> Option<Opened> {
        let request = self.columns.request.filter(|_| self.opens())?;
        Some(Opened { caller: self.said.caller.clone(), request: RequestId::from_uuid(request) })
    }

    /// Whether it permits something.
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

/// The event, with what its caller has in common with others as it stands.
fn write_event(entry: &mut Object<'_, '_>, event: &Event) -> Result<(), CanonicalFault> {
    let Event::Decision { action, context, decision, policy } = event else { return entry.member("event", event) };
    entry.object("event", |event| {
        event.member("action", action)?;
        event.member("context", context)?;
        event.written("decision", decision.canonical()?);
        event.member("kind", "decision")?;
        event.written("policy", policy.canonical()?);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::audit::Entry;

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
        let mut unstamped = Unstamped::of(refused("wiki"), broker, Salt([7; 16])).unwrap();
        for micros in [0, 1, -5, 1_700_000_000_000_000, 3] {
            unstamped.stamp(Timestamp::from_micros(micros));
            let leaf = unstamped.leaf();
            let entry = Entry::from_leaf(leaf).unwrap();
            assert_eq!(entry.recorded_at.micros(), micros);
            assert_eq!(entry.leaf().unwrap(), leaf);
        }
        let request = Some(RequestId::from_uuid(Uuid::from_u128(5)));
        let mut unstamped = Unstamped::of(Draft { request, ..refused("wiki") }, broker, Salt([7; 16])).unwrap();
        unstamped.stamp(Timestamp::from_micros(9));
        assert_eq!(Entry::from_leaf(unstamped.leaf()).unwrap().request, request);
    }

    #[test]
    fn its_columns_can_be_stored() {
        let broker = BrokerId::from_uuid(Uuid::from_u128(1));
        let unstamped = Unstamped::of(refused("a\0b"), broker, Salt([7; 16])).unwrap();
        assert_eq!(unstamped.columns.target.as_deref(), Some("a\u{fffd}b"));
    }
}
