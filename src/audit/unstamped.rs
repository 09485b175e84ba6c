//! Entries that are ready for the log, but for the instant of their recording: encoded once, in the caller's own task,
//! whatever batch they end up in. INVARIANT: the leaf bytes that come out are exactly those of [`super::Entry::leaf`].

use std::ops::Range;

use super::{
    Asker, ClosedBy, Common, Draft, Event,
    canonical::{CanonicalFault, Object, name, write_object},
    entry::{Columns, Salt, USUAL_LENGTH, VERSION},
    tree::{Hash, LEAF, hash_of_marked},
};
use crate::{
    model::{Action, BrokerId, Context, Decision, Method, RequestId, Timestamp, Upgrade, WebRequest},
    store::entry::Row,
};

/// An entry that lacks only the instant of its recording, which one batch shares and which may change on a retry.
#[derive(Debug)]
pub(super) struct Unstamped {
    /// What is hashed: the mark of a leaf, and then the leaf bytes, at first with the instant when it happened.
    marked: Vec<u8>,
    /// Where the instant stands.
    stamp: Range<usize>,
    /// The columns; `recorded_at` is the stamp's.
    pub(super) columns: Columns,
    /// What it says, for those who would otherwise have to read the bytes.
    pub(super) said: Said,
}

/// The instant when a batch is recorded, as it stands in leaves.
pub(super) struct Stamp(String);

/// What an entry says, as far as it can be found by that.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) caller: Option<Asker>,
    pub(super) what: What,
}

/// What happened. Most of the log are requests to apps and what became of them, and little of an event is looked for.
#[derive(Debug)]
pub(super) enum What {
    /// A request to a web app was judged. The target column says all of how, which app and which path, so it is kept here.
    Web { method: Method, upgrade: Upgrade, target: String, decision: Common<Decision> },
    /// A response has ended.
    Ended { status: Option<u16>, closed_by: ClosedBy },
    /// Something else.
    Other(Box<Event>),
}

impl Said {
    /// Takes the target column along where it says all that is needed of it.
    pub(super) fn of(caller: Option<&Asker>, event: &Event, column: &mut Option<String>) -> Self {
        let what = match (event, column.take()) {
            (Event::Decision { action: Action::Web(web), decision, .. }, Some(target)) if is_whole(&target, web) => {
                What::Web { method: web.method, upgrade: web.upgrade, target, decision: decision.clone() }
            }
            (Event::Outcome { status, closed_by, .. }, None) => What::Ended { status: *status, closed_by: *closed_by },
            (other, target) => {
                *column = target;
                What::Other(Box::new(other.clone()))
            }
        };
        Self { caller: caller.cloned(), what }
    }

    fn target(&self) -> Option<&str> {
        match &self.what {
            What::Web { target, .. } => Some(target),
            _ => None,
        }
    }
}

/// Whether nothing of what was asked had to be left out.
fn is_whole(target: &str, web: &WebRequest) -> bool {
    target.len() == web.method.as_str().len() + " ".len() + web.app.as_str().len() + web.path.as_str().len()
}

/// Something that was permitted, and that another entry must say the end of.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) caller: Option<Asker>,
    pub(super) request: RequestId,
}

impl From<Timestamp> for Stamp {
    fn from(recorded_at: Timestamp) -> Self {
        Self(recorded_at.micros().to_string())
    }
}

impl Unstamped {
    /// Encodes what `broker` is to record about `draft`.
    pub(super) fn of(draft: &Draft, broker: &Common<BrokerId>, salt: Salt) -> Result<Self, CanonicalFault> {
        let Draft { caller, event, happened_at, request } = draft;
        let (happened_at, request) = (*happened_at, *request);
        let (mut marked, mut stamp) = (Vec::with_capacity(room(caller.as_ref(), event)?), 0..0);
        marked.extend_from_slice(&[LEAF, VERSION]);
        // The members of `Entry`, in the order of their names.
        write_object(&mut marked, |entry| {
            entry.written(name!("broker"), broker.canonical()?);
            match caller {
                Some(caller) => entry.written(name!("caller"), caller.canonical()?),
                None => entry.member(name!("caller"), &())?,
            }
            write_event(entry, event)?;
            entry.member(name!("happened_at"), &happened_at)?;
            let before = entry.len();
            entry.member(name!("recorded_at"), &happened_at)?;
            stamp = before + br#","recorded_at":"#.len()..entry.len();
            entry.id(name!("request"), request.map(RequestId::uuid));
            entry.hex(name!("salt"), &salt.0);
            Ok(())
        })?;
        let mut columns = Columns::of_parts(**broker, caller.as_deref(), event, happened_at, happened_at, request);
        let said = Said::of(caller.as_ref(), event, &mut columns.target);
        Ok(Self { marked, stamp, columns, said })
    }

    /// Says when the entry is recorded, whatever was said of that before.
    pub(super) fn stamp(&mut self, Stamp(digits): &Stamp) {
        match self.marked.get_mut(self.stamp.clone()) {
            Some(place) if place.len() == digits.len() => place.copy_from_slice(digits.as_bytes()),
            _ => {
                let stamp = self.stamp.start..self.stamp.start + digits.len();
                self.marked.splice(std::mem::replace(&mut self.stamp, stamp), digits.bytes());
            }
        }
    }

    /// The leaf bytes of the entry, recorded when it was said last.
    pub(super) fn leaf(&self) -> &[u8] {
        self.marked.get(1..).unwrap_or_default()
    }

    /// What the store keeps of it.
    pub(super) fn row(&self) -> Row<'_> {
        let Columns { happened_at, kind, request, person, login, credential, verdict, ref target, .. } = self.columns;
        let target = self.said.target().or(target.as_deref());
        Row { leaf: self.leaf(), happened_at, kind, request, person, login, credential, verdict, target }
    }

    /// The hash of the leaf bytes.
    pub(super) fn hash(&self) -> Hash {
        hash_of_marked(&self.marked)
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
        self.marked.len()
    }
}

/// How many bytes an entry takes, or a few more. An allocator is quickest where it is asked for little.
fn room(caller: Option<&Asker>, event: &Event) -> Result<usize, CanonicalFault> {
    let caller = caller.map_or(Ok(0), |caller| caller.canonical().map(<[u8]>::len))?;
    let event = match event {
        Event::Decision { action: Action::Web(web), decision, policy, .. } => {
            web.path.as_str().len() + decision.canonical()?.len() + policy.canonical()?.len()
        }
        Event::Outcome { .. } => 0,
        _ => USUAL_LENGTH,
    };
    Ok(ROOM_FOR_THE_REST + caller + event)
}

/// The event. Most of the log are requests to apps and what became of them, so these are written member by member, with
/// what they have in common with others as it stands.
fn write_event(entry: &mut Object<'_>, event: &Event) -> Result<(), CanonicalFault> {
    match event {
        Event::Decision { action, context, decision, policy } => entry.object(name!("event"), |event| {
            match action {
                Action::Web(web) => event.object(name!("action"), |action| write_web(action, web))?,
                other => event.member(name!("action"), other)?,
            }
            event.object(name!("context"), |members| write_context(members, context))?;
            event.written(name!("decision"), decision.canonical()?);
            event.written(name!("kind"), br#""decision""#);
            event.written(name!("policy"), policy.canonical()?);
            Ok(())
        }),
        Event::Outcome { status, received, sent, duration, closed_by } => entry.object(name!("event"), |event| {
            event.member(name!("closed_by"), closed_by)?;
            event.member(name!("duration"), duration)?;
            event.written(name!("kind"), br#""outcome""#);
            event.member(name!("received"), received)?;
            event.member(name!("sent"), sent)?;
            event.member(name!("status"), status)
        }),
        other => entry.member(name!("event"), other),
    }
}

fn write_web(action: &mut Object<'_>, web: &WebRequest) -> Result<(), CanonicalFault> {
    let WebRequest { app, method, path, query: _, upgrade } = web;
    action.member(name!("app"), app.as_str())?;
    action.written(name!("kind"), br#""web""#);
    action.member(name!("method"), method)?;
    action.member(name!("path"), path.as_str())?;
    action.member(name!("upgrade"), upgrade)
}

fn write_context(members: &mut Object<'_>, context: &Context) -> Result<(), CanonicalFault> {
    let Context { acr, address, assurance, assurance_age, credential, time } = context;
    members.member(name!("acr"), acr)?;
    members.address(name!("address"), *address)?;
    members.member(name!("assurance"), assurance)?;
    members.member(name!("assurance_age"), assurance_age)?;
    members.member(name!("credential"), credential)?;
    members.member(name!("time"), time)
}

/// What an entry has besides.
const ROOM_FOR_THE_REST: usize = 512;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::audit::{Entry, tree::leaf_hash};

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
        let broker = Common::from(BrokerId::from_uuid(Uuid::from_u128(1)));
        let mut unstamped = Unstamped::of(&refused("wiki"), &broker, Salt([7; 16])).unwrap();
        for micros in [0, 1, -5, 1_700_000_000_000_000, 3] {
            unstamped.stamp(&Timestamp::from_micros(micros).into());
            let leaf = unstamped.leaf();
            let entry = Entry::from_leaf(leaf).unwrap();
            assert_eq!(entry.recorded_at.micros(), micros);
            assert_eq!(entry.leaf().unwrap(), leaf);
        }
        let request = Some(RequestId::from_uuid(Uuid::from_u128(5)));
        let mut unstamped = Unstamped::of(&Draft { request, ..refused("wiki") }, &broker, Salt([7; 16])).unwrap();
        unstamped.stamp(&Timestamp::from_micros(9).into());
        assert_eq!(Entry::from_leaf(unstamped.leaf()).unwrap().request, request);
    }

    #[test]
    fn an_entry_of_any_kind_has_the_bytes_of_the_whole_written_at_once() {
        let golden = include_str!("../../tests/it/golden/leaves.txt").lines().filter(|line| !line.starts_with('#'));
        let is_hostile = [false, true];
        for (line, is_hostile) in golden.flat_map(|line| is_hostile.map(|is_hostile| (line, is_hostile))) {
            let mut entry = Entry::from_leaf(&[&[VERSION], line.as_bytes()].concat()).unwrap();
            if let (true, Event::Decision { context, .. }) = (is_hostile, &mut entry.event) {
                (context.acr, context.assurance) = (Some("\"\n\u{e9}".to_owned()), "\\\u{7}".into());
            }
            let whole = entry.leaf().unwrap();
            let Entry { broker, caller, event, happened_at, recorded_at, request, salt } = entry;
            let draft = Draft { caller: caller.map(Asker::from), event, happened_at, request };
            let mut unstamped = Unstamped::of(&draft, &broker.into(), salt).unwrap();
            unstamped.stamp(&recorded_at.into());
            assert_eq!(String::from_utf8_lossy(unstamped.leaf()), String::from_utf8_lossy(&whole));
            assert_eq!(unstamped.hash(), leaf_hash(&whole));
        }
    }

    #[test]
    fn its_columns_can_be_stored() {
        let broker = Common::from(BrokerId::from_uuid(Uuid::from_u128(1)));
        let unstamped = Unstamped::of(&refused("a\0b"), &broker, Salt([7; 16])).unwrap();
        assert_eq!(unstamped.columns.target.as_deref(), Some("a\u{fffd}b"));
    }
}
