//! The columns of an entry, read from its leaf piece by piece, with the pieces remembered that come again and again: who
//! asked, for what, what was said and under which rules. What makes an entry of its own, its numbers and ids, is read
//! each time. INVARIANT: a piece is only ever remembered once the full reading took it for the canonical bytes of its
//! type, and it is known again by all of its bytes. What is not read here is no fault: it is left to the full reading.

use uuid::Uuid;

use super::memo::Memo;
use crate::{
    audit::{
        canonical::from_canonical,
        columns::{Columns, Whose, storable, summary},
        entry::ClosedBy,
        pieces::{CallerPieces, ContextPieces, EventPieces, ObjectPieces, Pieces, WebPieces},
    },
    model::{
        Action, Caller, CanonicalPath, Context, CredentialId, Decision, PolicyVersion, Presented, Scope, Timestamp,
        Upgrade,
    },
};

/// The pieces that are remembered. They take some megabytes at most.
#[derive(Default)]
pub(super) struct Recall {
    people: Memo<Whose>,
    presented: Memo<Option<Uuid>>,
    scopes: Memo<()>,
    apps: Memo<String>,
    paths: Memo<String>,
    upgrades: Memo<()>,
    objects: Memo<(String, String)>,
    actions: Memo<String>,
    contexts: Memo<()>,
    words: Memo<()>,
    decisions: Memo<&'static str>,
    policies: Memo<()>,
    endings: Memo<()>,
}

/// What the columns say of the event.
type Said = (&'static str, Option<&'static str>, Option<String>);

impl Recall {
    /// The columns of the entry in `leaf`, if it is a decision or an outcome in its one form.
    pub(super) fn columns(&mut self, leaf: &[u8]) -> Option<Columns> {
        let pieces = Pieces::of(leaf)?;
        let (kind, verdict, target) = self.event(&pieces.event)?;
        let whose = nullable(pieces.caller, |caller| self.whose(&CallerPieces::of(caller)?))?;
        is_salt(pieces.salt).then_some(())?;
        Some(Columns {
            happened_at: moment(pieces.happened_at)?,
            recorded_at: moment(pieces.recorded_at)?,
            kind,
            broker: id(pieces.broker)?,
            request: nullable(pieces.request, id)?,
            person: whose.map(|whose| whose.person),
            login: whose.map(|whose| whose.login),
            credential: whose.and_then(|whose| whose.credential),
            verdict,
            target,
        })
    }

    fn event(&mut self, event: &EventPieces<'_>) -> Option<Said> {
        match event {
            EventPieces::Decision { action, context, decision, policy } => {
                let target = self.action(action)?;
                self.context(context)?;
                let verdict = self.decisions.read(decision, || {
                    from_canonical::<Decision>(decision).ok().map(|decision| decision.verdict.as_str())
                })?;
                self.policies.read(policy, || from_canonical::<PolicyVersion>(policy).ok().map(drop))?;
                Some(("decision", Some(verdict), Some(target)))
            }
            EventPieces::Outcome { closed_by, duration, received, sent, status } => {
                self.endings.read(closed_by, || from_canonical::<ClosedBy>(closed_by).ok().map(drop))?;
                for count in [duration, received, sent] {
                    integer::<u64>(count)?;
                }
                nullable(status, integer::<u16>)?;
                Some(("outcome", None, None))
            }
        }
    }

    /// A person is read with something else presented: the members of a caller do not depend on each other.
    fn whose(&mut self, caller: &CallerPieces<'_>) -> Option<Whose> {
        let CallerPieces { front, presented, scope } = caller;
        let whose = self.people.read(front, || {
            let whole = [front, br#","presented":{"kind":"session"},"scope":{"kind":"portal"}}"#.as_slice()].concat();
            Some(Whose::of(&from_canonical::<Caller>(&whole).ok()?))
        })?;
        self.scopes.read(scope, || from_canonical::<Scope>(scope).ok().map(drop))?;
        let credential = self.presented.read(presented, || {
            let presented = from_canonical::<Presented>(presented).ok()?;
            Some(presented.credential().map(CredentialId::uuid))
        })?;
        Some(Whose { credential, ..whose })
    }

    fn action(&mut self, action: &[u8]) -> Option<String> {
        if let Some(web) = WebPieces::of(action) {
            return self.web(&web);
        }
        if let Some(target) = ObjectPieces::of(action).and_then(|object| self.object(&object)) {
            return Some(target);
        }
        self.actions.read(action, || Some(storable(summary(&from_canonical::<Action>(action).ok()?))))
    }

    /// A request about an object is read with another name and path, the name a byte that shows its place in the summary.
    fn object(&mut self, object: &ObjectPieces<'_>) -> Option<String> {
        let ObjectPieces { front, name, middle, path, upgrade } = object;
        let name = from_canonical::<String>(name).ok().filter(|name| !name.is_empty())?;
        self.words.read(path, || from_canonical::<String>(path).ok().map(drop))?;
        self.upgrades.read(upgrade, || from_canonical::<Upgrade>(upgrade).ok().map(drop))?;
        let whole = [front, br#","name":"\u0001","namespace":"#.as_slice(), middle, br#","path":"","upgrade":"none"}"#];
        let whole = whole.concat();
        let (before, after) = self.objects.read(&whole, || {
            let summary = summary(&from_canonical::<Action>(&whole).ok()?);
            let (before, after) = summary.split_once('\u{1}').filter(|(_, after)| !after.contains('\u{1}'))?;
            Some((before.to_owned(), after.to_owned()))
        })?;
        Some(storable(format!("{before}{name}{after}")))
    }

    /// A request to an app is read with another path: neither do the members of a request.
    fn web(&mut self, web: &WebPieces<'_>) -> Option<String> {
        let WebPieces { front, path, upgrade } = web;
        let app = self.apps.read(front, || {
            let whole = [front, br#","path":"/","upgrade":"none"}"#.as_slice()].concat();
            Some(summary(&from_canonical::<Action>(&whole).ok()?).strip_suffix('/')?.to_owned())
        })?;
        let path = self.paths.read(path, || from_canonical::<CanonicalPath>(path).ok().map(String::from))?;
        self.upgrades.read(upgrade, || from_canonical::<Upgrade>(upgrade).ok().map(drop))?;
        Some(storable(format!("{app}{path}")))
    }

    /// A context is read with other numbers in it: they are integers of 64 bits, whatever stands beside them.
    fn context(&mut self, context: &ContextPieces<'_>) -> Option<()> {
        let ContextPieces { front, assurance_age, credential, time } = context;
        integer::<i64>(assurance_age)?;
        moment(time)?;
        self.words.read(credential, || from_canonical::<String>(credential).ok().map(drop))?;
        self.contexts.read(front, || {
            let whole = [front, br#","assurance_age":0,"credential":"","time":0}"#.as_slice()].concat();
            from_canonical::<Context>(&whole).ok().map(drop)
        })
    }
}

fn nullable<T>(piece: &[u8], read: impl FnOnce(&[u8]) -> Option<T>) -> Option<Option<T>> {
    if piece == b"null" { Some(None) } else { read(piece).map(Some) }
}

/// An integer in its one spelling.
fn integer<T: std::str::FromStr>(piece: &[u8]) -> Option<T> {
    let digits = piece.strip_prefix(b"-").unwrap_or(piece);
    let is_usual = match digits {
        [b'0'] => digits.len() == piece.len(),
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if is_usual { str::from_utf8(piece).ok()?.parse().ok() } else { None }
}

fn moment(piece: &[u8]) -> Option<Timestamp> {
    integer(piece).map(Timestamp::from_micros)
}

/// An id in its one spelling: with hyphens and without capitals.
fn id(piece: &[u8]) -> Option<Uuid> {
    let inner = quoted(piece).filter(|inner| inner.len() == 36 && !inner.iter().any(u8::is_ascii_uppercase))?;
    Uuid::try_parse_ascii(inner).ok()
}

fn is_salt(piece: &[u8]) -> bool {
    quoted(piece)
        .is_some_and(|inner| inner.len() == 32 && inner.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

fn quoted(piece: &[u8]) -> Option<&[u8]> {
    piece.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

#[cfg(test)]
#[path = "recall_tests.rs"]
mod tests;
