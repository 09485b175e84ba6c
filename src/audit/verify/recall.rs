//! The columns of an entry, read from its leaf piece by piece, with the pieces remembered that come again and again: who
//! asked, for what, what was said and under which rules. What makes an entry of its own, its numbers and ids, is read
//! each time. INVARIANT: a piece is only ever remembered once the full reading took it for the canonical bytes of its
//! type, and it is known again by all of its bytes. What is not read here is no fault: it is left to the full reading.

use std::borrow::Cow;

use uuid::Uuid;

use super::memo::Memo;
use crate::{
    audit::{
        canonical::from_canonical,
        columns::{Columns, Whose, is_stored_as_it_is, storable, summary},
        entry::{ClosedBy, Event},
        pieces::{CallerPieces, ContextPieces, EventPieces, ObjectPieces, Pieces, RulingPieces, WebPieces},
    },
    model::{
        Action, Caller, CanonicalPath, Context, CredentialId, Decision, PolicyVersion, Presented, Scope, Timestamp,
    },
};

/// The pieces that are remembered. They take some megabytes at most.
#[derive(Default)]
pub(super) struct Recall {
    callers: Callers,
    apps: Memo<String>,
    paths: Memo<String>,
    objects: Memo<(String, String)>,
    actions: Memo<String>,
    contexts: Memo<()>,
    rulings: Memo<&'static str>,
    endings: Memo<()>,
}

/// What callers are made of. Whole ones are not remembered: there are too many of them to stay near a core.
#[derive(Default)]
struct Callers {
    people: Memo<Whose>,
    presented: Memo<Option<Uuid>>,
    scopes: Memo<()>,
}

/// What the target column says, still in its parts.
#[derive(Debug)]
pub(super) enum Target<'r> {
    /// A summary: these texts, one after the other.
    Joined(&'r str, Cow<'r, str>, &'r str, Cow<'r, str>),
    /// The column itself.
    Whole(String),
}

impl Target<'_> {
    /// Whether `column` says the same.
    pub(super) fn is(&self, column: &[u8]) -> bool {
        let Self::Joined(one, two, three, four) = self else { return self.column().as_bytes() == column };
        let rest = [*one, two, three].into_iter().try_fold(column, |rest, part| rest.strip_prefix(part.as_bytes()));
        let is_joined = rest == Some(four.as_bytes());
        is_joined && is_stored_as_it_is(column) || self.column().as_bytes() == column
    }

    /// What stands in the column.
    pub(super) fn column(&self) -> Cow<'_, str> {
        match self {
            Self::Joined(one, two, three, four) => storable(format!("{one}{two}{three}{four}")).into(),
            Self::Whole(column) => column.into(),
        }
    }
}

/// What the columns say of the event.
type Said<'r> = (&'static str, Option<&'static str>, Option<Target<'r>>);

impl Recall {
    /// The columns of the entry in `leaf`, if it is one in its one form. What it tells of the log itself is not for here.
    pub(super) fn columns<'r>(&'r mut self, leaf: &'r [u8]) -> Option<Columns<Target<'r>>> {
        let pieces = Pieces::of(leaf)?;
        let whose = nullable(pieces.caller, |caller| self.callers.whose(caller))?;
        let (happened_at, recorded_at) = (moment(pieces.happened_at)?, moment(pieces.recorded_at)?);
        let (broker, request) = (id(pieces.broker)?, nullable(pieces.request, id)?);
        is_salt(pieces.salt).then_some(())?;
        if let EventPieces::Other(event) = pieces.event {
            let event = from_canonical::<Event>(event).ok().filter(|event| !event.is_of_the_log())?;
            let columns = Columns::of_event(broker, whose, &event, happened_at, recorded_at, request);
            return Some(columns.map_target(Target::Whole));
        }
        let (kind, verdict, target) = self.event(&pieces.event)?;
        Some(Columns {
            happened_at,
            recorded_at,
            kind,
            broker,
            request,
            person: whose.map(|whose| whose.person),
            login: whose.map(|whose| whose.login),
            credential: whose.and_then(|whose| whose.credential),
            verdict,
            target,
        })
    }

    fn event<'r>(&'r mut self, event: &EventPieces<'r>) -> Option<Said<'r>> {
        match event {
            EventPieces::Decision { action, context, ruling } => {
                self.context(context)?;
                let verdict = *self.rulings.read(ruling, || {
                    let RulingPieces { decision, policy } = RulingPieces::of(ruling)?;
                    from_canonical::<PolicyVersion>(policy).ok()?;
                    Some(from_canonical::<Decision>(decision).ok()?.verdict.as_str())
                })?;
                Some(("decision", Some(verdict), Some(self.action(action)?)))
            }
            EventPieces::Outcome { closed_by, duration, received, sent, status } => {
                self.endings.read(closed_by, || from_canonical::<ClosedBy>(closed_by).ok().map(drop))?;
                for count in [duration, received, sent] {
                    integer::<u64>(count)?;
                }
                nullable(status, integer::<u16>)?;
                Some(("outcome", None, None))
            }
            EventPieces::Other(_) => None,
        }
    }

    fn action<'r>(&'r mut self, action: &'r [u8]) -> Option<Target<'r>> {
        if let Some(web) = WebPieces::of(action) {
            return self.web(&web);
        }
        if let Some(object) = ObjectPieces::of(action)
            && let Some(name) = text(object.name).filter(|name| !name.is_empty())
            && let Some(namespace) = text(object.namespace)
        {
            return self.object(&object, name, namespace);
        }
        let summary = self.actions.read(action, || Some(summary(&from_canonical::<Action>(action).ok()?)))?;
        Some(Target::Joined(summary, Cow::Borrowed(""), "", Cow::Borrowed("")))
    }

    /// A request about an object is read with another name, namespace and path, the first two bytes that show their places
    /// in the summary.
    fn object<'r>(
        &'r mut self,
        object: &ObjectPieces<'r>,
        name: Cow<'r, str>,
        namespace: Cow<'r, str>,
    ) -> Option<Target<'r>> {
        let ObjectPieces { front, middle, path, upgrade, .. } = object;
        text(path)?;
        let (named, end) = match &*namespace {
            "" => (br#","name":"\u0001","namespace":"","resource":"#.as_slice(), ""),
            _ => (br#","name":"\u0001","namespace":"\u0002","resource":"#.as_slice(), "\u{2}"),
        };
        let parts = [front, named, middle, br#","path":"","upgrade":"#, upgrade];
        let (before, between) = self.objects.read_parts(&parts, || {
            let whole = [&parts.concat(), b"}".as_slice()].concat();
            let summary = summary(&from_canonical::<Action>(&whole).ok()?);
            let (before, rest) = summary.split_once('\u{1}')?;
            let between = rest.strip_suffix(end).filter(|between| !between.contains(['\u{1}', '\u{2}']))?;
            Some((before.to_owned(), between.to_owned()))
        })?;
        Some(Target::Joined(before, name, between, namespace))
    }

    /// A request to an app is read with another path: the members of a request do not depend on each other either.
    fn web<'r>(&'r mut self, web: &WebPieces<'r>) -> Option<Target<'r>> {
        let WebPieces { front, path, upgrade } = web;
        let parts = [front, br#","path":"/","upgrade":"#.as_slice(), upgrade];
        let app = self.apps.read_parts(&parts, || {
            let whole = [&parts.concat(), b"}".as_slice()].concat();
            Some(summary(&from_canonical::<Action>(&whole).ok()?).strip_suffix('/')?.to_owned())
        })?;
        let path = match simple_path(path) {
            Some(path) => path,
            None => self.paths.read(path, || Some(CanonicalPath::parse(&text(path)?).ok()?.into()))?,
        };
        Some(Target::Joined(app, Cow::Borrowed(path), "", Cow::Borrowed("")))
    }

    /// A context is read with other numbers in it: they are integers of 64 bits, whatever stands beside them.
    fn context(&mut self, context: &ContextPieces<'_>) -> Option<()> {
        let ContextPieces { front, assurance_age, credential, time } = context;
        integer::<i64>(assurance_age)?;
        moment(time)?;
        text(credential)?;
        let known = self.contexts.read(front, || {
            let whole = [front, br#","assurance_age":0,"credential":"","time":0}"#.as_slice()].concat();
            from_canonical::<Context>(&whole).ok().map(drop)
        });
        known.copied()
    }
}

impl Callers {
    /// A person is read with something else presented: the members of a caller do not depend on each other.
    fn whose(&mut self, caller: &[u8]) -> Option<Whose> {
        let CallerPieces { front, presented, scope } = CallerPieces::of(caller)?;
        let whose = *self.people.read(front, || {
            let whole = [front, br#","presented":{"kind":"session"},"scope":{"kind":"portal"}}"#.as_slice()].concat();
            Some(Whose::of(&from_canonical::<Caller>(&whole).ok()?))
        })?;
        self.scopes.read(scope, || from_canonical::<Scope>(scope).ok().map(drop))?;
        let credential = *self.presented.read(presented, || {
            let presented = from_canonical::<Presented>(presented).ok()?;
            Some(presented.credential().map(CredentialId::uuid))
        })?;
        Some(Whose { credential, ..whose })
    }
}

fn nullable<T>(piece: &[u8], read: impl FnOnce(&[u8]) -> Option<T>) -> Option<Option<T>> {
    if piece == b"null" { Some(None) } else { read(piece).map(Some) }
}

/// A text in its one spelling.
fn text(piece: &[u8]) -> Option<Cow<'_, str>> {
    let stands_for_itself = |byte: &u8| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~');
    match quoted(piece)? {
        inner if inner.iter().all(stands_for_itself) => str::from_utf8(inner).ok().map(Cow::Borrowed),
        _ => from_canonical::<String>(piece).ok().map(Cow::Owned),
    }
}

/// A path that is canonical at sight: segments of letters, digits and hyphens alone.
fn simple_path(piece: &[u8]) -> Option<&str> {
    let path = quoted(piece).filter(|path| path.starts_with(b"/") && path.len() <= CanonicalPath::LONGEST)?;
    let is_simple = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'/');
    let has_empty_segment = path.array_windows().any(|pair| pair == b"//");
    if has_empty_segment || !path.iter().all(is_simple) { None } else { str::from_utf8(path).ok() }
}

/// An integer in its one spelling.
fn integer<T: TryFrom<i128>>(piece: &[u8]) -> Option<T> {
    let digits = piece.strip_prefix(b"-").unwrap_or(piece);
    let is_usual = match digits {
        [b'0'] => digits.len() == piece.len(),
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_usual.then_some(())?;
    // Nineteen digits are never too many for 64 bits.
    let value: u64 = match digits.len() {
        ..=19 => digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')),
        _ => str::from_utf8(digits).ok()?.parse().ok()?,
    };
    T::try_from(if digits.len() == piece.len() { value.into() } else { -i128::from(value) }).ok()
}

fn moment(piece: &[u8]) -> Option<Timestamp> {
    integer(piece).map(Timestamp::from_micros)
}

/// An id in its one spelling: with hyphens and without capitals.
fn id(piece: &[u8]) -> Option<Uuid> {
    let inner: &[u8; 36] = quoted(piece)?.try_into().ok()?;
    let has_capitals = inner.iter().fold(false, |any, byte| any | byte.is_ascii_uppercase());
    if has_capitals { None } else { Uuid::try_parse_ascii(inner).ok() }
}

fn is_salt(piece: &[u8]) -> bool {
    let inner = quoted(piece).unwrap_or_default();
    inner.len() == 32 && inner.iter().fold(true, |all, byte| all & matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn quoted(piece: &[u8]) -> Option<&[u8]> {
    piece.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

#[cfg(test)]
#[path = "recall_tests.rs"]
mod tests;
