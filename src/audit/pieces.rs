//! A leaf taken apart at its members, without reading any: they are found by the text that stands between them.
//! INVARIANT: nothing is believed of the pieces. Whoever finds each of them to be the canonical bytes of a value of its
//! member's type has shown that the leaf is the canonical bytes of the entry of these values, because writing that entry
//! puts between them exactly what stands there. A leaf that is cut in a wrong place has a piece that no type accepts.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::entry::VERSION;

/// The members of a leaf.
#[derive(Debug)]
pub(super) struct Pieces<'l> {
    pub(super) broker: &'l [u8],
    pub(super) caller: &'l [u8],
    pub(super) event: EventPieces<'l>,
    pub(super) happened_at: &'l [u8],
    pub(super) recorded_at: &'l [u8],
    pub(super) request: &'l [u8],
    pub(super) salt: &'l [u8],
}

/// The members of the event: a decision, what became of it, or something else, which is left whole.
#[derive(Debug)]
pub(super) enum EventPieces<'l> {
    Decision { action: &'l [u8], context: ContextPieces<'l>, ruling: &'l [u8] },
    Outcome { closed_by: &'l [u8], duration: &'l [u8], received: &'l [u8], sent: &'l [u8], status: &'l [u8] },
    Other(&'l [u8]),
}

/// The context of a decision, whose numbers are hardly ever the same twice.
#[derive(Debug)]
pub(super) struct ContextPieces<'l> {
    /// All members that come first, from the brace on.
    pub(super) front: &'l [u8],
    pub(super) assurance_age: &'l [u8],
    pub(super) credential: &'l [u8],
    pub(super) time: &'l [u8],
}

/// What was decided, and by which rules: what stands between is the same in all decisions, so both come again as one.
#[derive(Debug)]
pub(super) struct RulingPieces<'l> {
    pub(super) decision: &'l [u8],
    pub(super) policy: &'l [u8],
}

/// The members of a caller: who it is comes again with every request, with this or that presented.
#[derive(Debug)]
pub(super) struct CallerPieces<'l> {
    /// All members that come first, from the brace on.
    pub(super) front: &'l [u8],
    pub(super) presented: &'l [u8],
    pub(super) scope: &'l [u8],
}

/// The members of a request to a web app.
#[derive(Debug)]
pub(super) struct WebPieces<'l> {
    /// All members that come first, from the brace on.
    pub(super) front: &'l [u8],
    pub(super) path: &'l [u8],
    pub(super) upgrade: &'l [u8],
}

/// The members of a request about an object in a cluster.
#[derive(Debug)]
pub(super) struct ObjectPieces<'l> {
    /// All members that come before the object's name, from the brace on.
    pub(super) front: &'l [u8],
    pub(super) name: &'l [u8],
    pub(super) namespace: &'l [u8],
    /// Those between namespace and path.
    pub(super) middle: &'l [u8],
    pub(super) path: &'l [u8],
    pub(super) upgrade: &'l [u8],
}

impl<'l> Pieces<'l> {
    /// Takes `leaf` apart, from both ends: what stands there has a length that is known.
    pub(super) fn of(leaf: &'l [u8]) -> Option<Self> {
        let (&VERSION, body) = leaf.split_first()? else { return None };
        let mut rest = Rest(body);
        rest.skip_last(b"}")?;
        let salt = rest.last(SALT)?;
        rest.skip_last(br#","salt":"#)?;
        let request = if rest.0.ends_with(b"null") { rest.last(NULL)? } else { rest.last(ID)? };
        rest.skip_last(br#","request":"#)?;
        let recorded_at = rest.last_integer()?;
        rest.skip_last(br#","recorded_at":"#)?;
        let happened_at = rest.last_integer()?;
        rest.skip_last(br#","happened_at":"#)?;
        rest.skip(br#"{"broker":"#)?;
        let broker = rest.first(ID)?;
        rest.skip(br#","caller":"#)?;
        let caller = rest.until(&BETWEEN.event)?;
        let event = EventPieces::of(rest.0)?;
        Some(Self { broker, caller, event, happened_at, recorded_at, request, salt })
    }
}

impl<'l> EventPieces<'l> {
    fn of(event: &'l [u8]) -> Option<Self> {
        let (between, mut rest) = (&*BETWEEN, Rest(event));
        if rest.skip(br#"{"action":"#).is_some() {
            let action = rest.until(&between.context)?;
            let front = rest.until(&between.assurance_age)?;
            let assurance_age = rest.integer()?;
            rest.skip(br#","credential":"#)?;
            let credential = rest.until(&between.time)?;
            let time = rest.integer()?;
            rest.skip(br#"},"decision":"#)?;
            rest.skip_last(b"}")?;
            let context = ContextPieces { front, assurance_age, credential, time };
            return Some(Self::Decision { action, context, ruling: rest.0 });
        }
        if rest.skip(br#"{"closed_by":"#).is_some() {
            let closed_by = rest.until(&between.duration)?;
            let duration = rest.integer()?;
            rest.skip(br#","kind":"outcome","received":"#)?;
            let received = rest.integer()?;
            rest.skip(br#","sent":"#)?;
            let sent = rest.integer()?;
            rest.skip(br#","status":"#)?;
            rest.skip_last(b"}")?;
            return Some(Self::Outcome { closed_by, duration, received, sent, status: rest.0 });
        }
        Some(Self::Other(event))
    }
}

impl<'l> RulingPieces<'l> {
    /// Takes `ruling` apart.
    pub(super) fn of(ruling: &'l [u8]) -> Option<Self> {
        let mut rest = Rest(ruling);
        let decision = rest.until(&BETWEEN.policy)?;
        Some(Self { decision, policy: rest.0 })
    }
}

impl<'l> CallerPieces<'l> {
    /// Takes `caller` apart.
    pub(super) fn of(caller: &'l [u8]) -> Option<Self> {
        let (between, mut rest) = (&*BETWEEN, Rest(caller));
        let front = rest.until(&between.presented)?;
        let presented = rest.until(&between.scope)?;
        Some(Self { front, presented, scope: rest.0.strip_suffix(b"}")? })
    }
}

impl<'l> WebPieces<'l> {
    /// Takes `action` apart, if it has the members of a request to a web app in their places.
    pub(super) fn of(action: &'l [u8]) -> Option<Self> {
        if !action.starts_with(br#"{"app":"#) {
            return None;
        }
        let (between, mut rest) = (&*BETWEEN, Rest(action));
        let front = rest.until(&between.path)?;
        let path = rest.until(&between.upgrade)?;
        Some(Self { front, path, upgrade: rest.0.strip_suffix(b"}")? })
    }
}

impl<'l> ObjectPieces<'l> {
    /// Takes `action` apart, if it has the members of a request about an object in their places.
    pub(super) fn of(action: &'l [u8]) -> Option<Self> {
        if !action.starts_with(br#"{"attributes":"#) {
            return None;
        }
        let (between, mut rest) = (&*BETWEEN, Rest(action));
        let front = rest.until(&between.name)?;
        let name = rest.until(&between.namespace)?;
        let namespace = rest.until(&between.resource)?;
        let middle = rest.until(&between.path)?;
        let path = rest.until(&between.upgrade)?;
        Some(Self { front, name, namespace, middle, path, upgrade: rest.0.strip_suffix(b"}")? })
    }
}

/// What is not taken apart yet.
struct Rest<'l>(&'l [u8]);

impl<'l> Rest<'l> {
    fn skip(&mut self, text: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    fn skip_last(&mut self, text: &[u8]) -> Option<()> {
        self.0 = self.0.strip_suffix(text)?;
        Some(())
    }

    fn first(&mut self, length: usize) -> Option<&'l [u8]> {
        self.0.split_off(..length)
    }

    fn last(&mut self, length: usize) -> Option<&'l [u8]> {
        self.0.split_off(self.0.len().checked_sub(length)?..)
    }

    /// What stands before `text`, which is skipped.
    fn until(&mut self, text: &Finder<'_>) -> Option<&'l [u8]> {
        let (piece, rest) = self.0.split_at_checked(text.find(self.0)?)?;
        self.0 = rest.strip_prefix(text.needle())?;
        Some(piece)
    }

    /// What looks like an integer.
    fn integer(&mut self) -> Option<&'l [u8]> {
        let length = self.0.iter().position(|byte| !is_of_integer(*byte)).unwrap_or(self.0.len());
        self.first(length)
    }

    fn last_integer(&mut self) -> Option<&'l [u8]> {
        let start = self.0.iter().rposition(|byte| !is_of_integer(*byte)).map_or(0, |at| at + 1);
        self.0.split_off(start..)
    }
}

const fn is_of_integer(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-')
}

/// The length of an id in quotes.
const ID: usize = 38;

/// The length of a salt in quotes.
const SALT: usize = 34;

/// The length of `null`.
const NULL: usize = 4;

/// Defines what stands between two members: the end of one, the name of the next.
macro_rules! between {
    ($($name:ident $text:literal;)*) => {
        struct Between { $($name: Finder<'static>,)* }

        static BETWEEN: LazyLock<Between> = LazyLock::new(|| Between { $($name: Finder::new($text),)* });
    };
}

between! {
    event r#","event":"#;
    presented r#","presented":"#;
    scope r#","scope":"#;
    name r#","name":"#;
    namespace r#","namespace":"#;
    resource r#","resource":"#;
    path r#","path":"#;
    upgrade r#","upgrade":"#;
    context r#","context":"#;
    assurance_age r#","assurance_age":"#;
    time r#","time":"#;
    policy r#","kind":"decision","policy":"#;
    duration r#","duration":"#;
}
