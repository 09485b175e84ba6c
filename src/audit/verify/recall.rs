//! The columns of an entry, read from its leaf from one end to the other, with the pieces remembered that come again and again:
//! who asked, for what, what was said and under which rules. A piece reaches from one thing that makes an entry of its own, a
//! number or an id, to the next, and is known again where it begins; the numbers and ids are read each time.
//!
//! INVARIANT: a piece is only ever remembered once the full reading took each value in it for the canonical bytes of its
//! type, and it is known again by all of its bytes, those between the values among them, in the one place of leaves that its
//! table is for. What is not read here is no fault: it is left to the full reading.

use std::{borrow::Cow, sync::LazyLock};

use memchr::memmem::Finder;
use uuid::Uuid;

use super::{memo::Memo, rest::Rest};
use crate::{
    audit::{
        canonical::from_canonical,
        columns::{Columns, Whose, is_stored_as_it_is, storable, summary},
        entry::{ClosedBy, Event, VERSION},
    },
    model::{
        Action, Caller, CanonicalPath, Context, CredentialId, Decision, PolicyVersion, Presented, Scope, Timestamp,
        Upgrade,
    },
};

/// The pieces that are remembered. They take some megabytes at most.
#[derive(Default)]
pub(super) struct Recall {
    brokers: Memo<Uuid>,
    callers: Callers,
    actions: Actions,
    /// From how a connection is to be upgraded, which ends the request, to the context's first number.
    upgrades: Memo<()>,
    /// From the end of any other action to the context's first number.
    contexts: Memo<()>,
    rulings: Memo<&'static str>,
    endings: Memo<()>,
}

/// What callers are made of. Whole ones are not remembered: there are too many of them to stay near a core.
#[derive(Default)]
struct Callers {
    people: Memo<Whose>,
    /// What was presented, and what for.
    presented: Memo<Option<Uuid>>,
}

/// What is asked for.
#[derive(Default)]
struct Actions {
    requests: Requests,
    others: Memo<String>,
}

/// What requests to apps and about objects are made of.
#[derive(Default)]
struct Requests {
    apps: Memo<String>,
    paths: Memo<()>,
    /// What stands before the name of an object.
    selectors: Memo<()>,
    /// What stands between the name of an object and its path: what is done to it, and where.
    objects: Memo<(String, String)>,
}

/// What the target column says, still in its parts.
#[derive(Debug)]
pub(super) enum Target<'r> {
    /// A summary: these texts, one after the other.
    Joined([&'r [u8]; 6]),
    /// The column itself.
    Whole(String),
}

impl Target<'_> {
    /// Whether `column` says the same.
    pub(super) fn is(&self, column: &[u8]) -> bool {
        let Self::Joined(parts) = self else { return self.column().as_bytes() == column };
        let rest = parts.iter().try_fold(column, |rest, part| rest.strip_prefix(*part));
        rest.is_some_and(<[u8]>::is_empty) && is_stored_as_it_is(column) || self.column().as_bytes() == column
    }

    /// What stands in the column.
    pub(super) fn column(&self) -> Cow<'_, str> {
        match self {
            Self::Joined(parts) => storable(String::from_utf8_lossy(&parts.concat()).into_owned()).into(),
            Self::Whole(column) => column.into(),
        }
    }
}

/// What the columns say of the event.
type Said<'r> = (&'static str, Option<&'static str>, Option<Target<'r>>);

impl Recall {
    /// The columns of the entry in `leaf`, if it is one in its one form. What it tells of the log itself is not for here.
    pub(super) fn columns<'r>(&'r mut self, leaf: &'r [u8]) -> Option<Columns<Target<'r>>> {
        let mut rest = Rest(leaf);
        rest.skip(&[VERSION])?;
        rest.skip_last(b"}")?;
        rest.skip_last_salt()?;
        rest.skip_last(br#","salt":"#)?;
        let request = if rest.skip_last(b"null").is_some() { None } else { Some(rest.last_id()?) };
        rest.skip_last(br#","request":"#)?;
        let recorded_at = Timestamp::from_micros(rest.last_integer()?);
        rest.skip_last(br#","recorded_at":"#)?;
        let happened_at = Timestamp::from_micros(rest.last_integer()?);
        rest.skip_last(br#","happened_at":"#)?;
        rest.skip(br#"{"broker":"#)?;
        let broker = *self.brokers.next(rest.head(37), &mut rest, Rest::id)?;
        rest.skip(br#","caller":"#)?;
        let whose = match rest.skip(br#"null,"event":"#) {
            Some(()) => None,
            None => Some(self.callers.whose(&mut rest)?),
        };
        if !is_usual(rest) {
            let event = from_canonical::<Event>(rest.0).ok().filter(|event| !event.is_of_the_log())?;
            let columns = Columns::of_event(broker, whose, &event, happened_at, recorded_at, request);
            return Some(columns.map_target(Target::Whole));
        }
        let (kind, verdict, target) = self.event(rest)?;
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

    /// A decision, or what became of it.
    fn event<'r>(&'r mut self, mut rest: Rest<'r>) -> Option<Said<'r>> {
        let Self { actions: Actions { requests, others }, upgrades, contexts, rulings, endings, .. } = self;
        if rest.skip(br#"{"action":"#).is_none() {
            return outcome(endings, rest);
        }
        let target = match requests.summary(&mut rest) {
            Some(parts) => {
                upgrades.next(rest.head(80), &mut rest, |rest| {
                    rest.skip(br#","upgrade":"#)?;
                    from_canonical::<Upgrade>(rest.until(&BETWEEN.context_of_request)?).ok()?;
                    context(rest)
                })?;
                parts
            }
            None => {
                let summary = other(others, &mut rest)?;
                contexts.next(rest.head(64), &mut rest, |rest| {
                    rest.skip(br#","context":"#)?;
                    context(rest)
                })?;
                summary
            }
        };
        rest.integer::<i64>()?;
        rest.skip(br#","credential":"#)?;
        rest.text()?;
        rest.skip(br#","time":"#)?;
        rest.integer::<i64>()?;
        let verdict = *rulings.next(rest.head(160), &mut rest, ruling)?;
        rest.0.is_empty().then_some(("decision", Some(verdict), Some(Target::Joined(target))))
    }
}

/// Whether this is an event that most entries are of.
fn is_usual(event: Rest<'_>) -> bool {
    event.0.starts_with(br#"{"action":"#) || event.0.starts_with(br#"{"closed_by":"#)
}

fn outcome<'r>(endings: &mut Memo<()>, mut rest: Rest<'_>) -> Option<Said<'r>> {
    endings.next(rest.head(32), &mut rest, |rest| {
        rest.skip(br#"{"closed_by":"#)?;
        from_canonical::<ClosedBy>(rest.until(&BETWEEN.duration)?).ok().map(drop)
    })?;
    rest.integer::<u64>()?;
    rest.skip(br#","kind":"outcome","received":"#)?;
    rest.integer::<u64>()?;
    rest.skip(br#","sent":"#)?;
    rest.integer::<u64>()?;
    rest.skip(br#","status":"#)?;
    if rest.skip(b"null").is_none() {
        rest.integer::<u16>()?;
    }
    (rest.0 == b"}").then_some(("outcome", None, None))
}

/// A context up to its first number is read with other numbers in it: they are integers of 64 bits, whatever stands beside them.
fn context(rest: &mut Rest<'_>) -> Option<()> {
    let front = rest.until(&BETWEEN.assurance_age)?;
    let whole = [front, br#","assurance_age":0,"credential":"","time":0}"#.as_slice()].concat();
    from_canonical::<Context>(&whole).ok().map(drop)
}

/// What was decided, and by which rules: all that is left. Where a known piece is only the beginning of it, something is left.
fn ruling(rest: &mut Rest<'_>) -> Option<&'static str> {
    rest.skip(br#"},"decision":"#)?;
    let decision = rest.until(&BETWEEN.policy)?;
    let policy = std::mem::take(&mut rest.0).strip_suffix(b"}")?;
    from_canonical::<PolicyVersion>(policy).ok()?;
    Some(from_canonical::<Decision>(decision).ok()?.verdict.as_str())
}

impl Callers {
    /// A person is read with something else presented: the members of a caller do not depend on each other.
    fn whose(&mut self, rest: &mut Rest<'_>) -> Option<Whose> {
        let whose = *self.people.next(rest.head(128), rest, |rest| {
            let front = rest.until(&BETWEEN.presented)?;
            let whole = [front, br#","presented":{"kind":"session"},"scope":{"kind":"portal"}}"#.as_slice()].concat();
            Some(Whose::of(&from_canonical::<Caller>(&whole).ok()?))
        })?;
        let all = { *rest }.until(&BETWEEN.event)?;
        let credential = *self.presented.next(all, rest, |rest| {
            let presented = from_canonical::<Presented>(rest.until(&BETWEEN.scope)?).ok()?;
            from_canonical::<Scope>(rest.until(&BETWEEN.event)?).ok()?;
            Some(presented.credential().map(CredentialId::uuid))
        })?;
        Some(Whose { credential, ..whose })
    }
}

impl Requests {
    /// A request to an app or about an object, up to how its connection is to be upgraded.
    fn summary<'r>(&'r mut self, rest: &mut Rest<'r>) -> Option<[&'r [u8]; 6]> {
        let before = *rest;
        let Self { apps, paths, selectors, objects, .. } = self;
        let found = match () {
            () if rest.0.starts_with(br#"{"app":"#) => web((apps, paths), rest),
            () if rest.0.starts_with(br#"{"attributes":{"api_group":"#) => object((selectors, objects), rest),
            () => None,
        };
        if found.is_none() {
            *rest = before;
        }
        found
    }
}

/// Any other action is read as a whole.
fn other<'r>(others: &'r mut Memo<String>, rest: &mut Rest<'r>) -> Option<[&'r [u8]; 6]> {
    let action = { *rest }.until(&BETWEEN.context)?;
    let summary = others.next(action, rest, |rest| {
        let action = rest.0.split_off(..action.len())?;
        Some(summary(&from_canonical::<Action>(action).ok()?))
    })?;
    Some([summary.as_bytes(), b"", b"", b"", b"", b""])
}

/// A request to an app is read with another path: the members of a request do not depend on each other.
fn web<'r>((apps, paths): (&'r mut Memo<String>, &mut Memo<()>), rest: &mut Rest<'r>) -> Option<[&'r [u8]; 6]> {
    let app = apps.next(rest.head(46), rest, |rest| {
        let front = rest.until(&BETWEEN.path)?;
        let whole = [front, br#","path":"/","upgrade":"none"}"#.as_slice()].concat();
        Some(summary(&from_canonical::<Action>(&whole).ok()?).strip_suffix('/')?.to_owned())
    })?;
    let before = *rest;
    let path = rest.text()?;
    if !is_simple(path) {
        *rest = before;
        paths.next(path, rest, |rest| CanonicalPath::parse(str::from_utf8(rest.text()?).ok()?).ok().map(drop))?;
    }
    Some([app.as_bytes(), path, b"", b"", b"", b""])
}

/// A request about an object is read in two halves, each with another half, and with another name, namespace and path. The name
/// shows its place in the summary.
fn object<'r>(
    (selectors, objects): (&mut Memo<()>, &'r mut Memo<(String, String)>),
    rest: &mut Rest<'r>,
) -> Option<[&'r [u8]; 6]> {
    selectors.next(rest.head(96), rest, |rest| {
        let front = rest.until(&BETWEEN.name)?;
        let other = br#","name":"","namespace":"","resource":"","subresource":"","verb":""},"cluster":"c","kind":"kubernetes","method":"GET","path":"","upgrade":"none"}"#;
        from_canonical::<Action>(&[front, other.as_slice()].concat()).ok().map(drop)
    })?;
    let name = rest.text()?;
    rest.skip(br#","namespace":"#)?;
    let namespace = rest.text()?;
    let (what, place) = objects.next(rest.head(80), rest, |rest| {
        let middle = rest.until(&BETWEEN.path)?;
        let other = br#"{"attributes":{"api_group":"","api_version":"","field_selector":[],"kind":"resource","label_selector":[],"name":"\u0001","namespace":"""#;
        let whole = [other.as_slice(), middle, br#","path":"","upgrade":"none"}"#].concat();
        let summary = summary(&from_canonical::<Action>(&whole).ok()?);
        let (what, place) = summary.split_once(" \u{1}")?;
        (!place.contains('\u{1}')).then(|| (what.to_owned(), place.to_owned()))
    })?;
    rest.text()?;
    let before = |text: &[u8], mark: &'static [u8]| if text.is_empty() { b"".as_slice() } else { mark };
    Some([what.as_bytes(), before(name, b" "), name, place.as_bytes(), before(namespace, b"/"), namespace])
}

/// Whether a path is canonical at sight: segments of letters, digits and hyphens alone.
fn is_simple(path: &[u8]) -> bool {
    let is_simple = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'/');
    let has_empty_segment = path.array_windows().any(|pair| pair == b"//");
    path.starts_with(b"/") && path.len() <= CanonicalPath::LONGEST && !has_empty_segment && path.iter().all(is_simple)
}

/// Defines what stands between two members: the end of one, the name of the next.
macro_rules! between {
    ($($name:ident $text:literal;)*) => {
        struct Between { $($name: Finder<'static>,)* }

        static BETWEEN: LazyLock<Between> = LazyLock::new(|| Between { $($name: Finder::new($text),)* });
    };
}

between! {
    presented r#","presented":"#;
    scope r#","scope":"#;
    event r#"},"event":"#;
    name r#","name":"#;
    path r#","path":"#;
    context r#","context":"#;
    context_of_request r#"},"context":"#;
    assurance_age r#","assurance_age":"#;
    policy r#","kind":"decision","policy":"#;
    duration r#","duration":"#;
}

#[cfg(test)]
#[path = "recall_tests.rs"]
mod tests;
