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

/// The members of the event: a decision, or what became of it.
#[derive(Debug)]
pub(super) enum EventPieces<'l> {
    Decision { action: &'l [u8], context: ContextPieces<'l>, decision: &'l [u8], policy: &'l [u8] },
    Outcome { closed_by: &'l [u8], duration: &'l [u8], received: &'l [u8], sent: &'l [u8], status: &'l [u8] },
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
    /// Those between name and path.
    pub(super) middle: &'l [u8],
    pub(super) path: &'l [u8],
    pub(super) upgrade: &'l [u8],
}

impl<'l> Pieces<'l> {
    /// Takes `leaf` apart, if it is a decision or an outcome: most leaves are.
    pub(super) fn of(leaf: &'l [u8]) -> Option<Self> {
        let (&VERSION, body) = leaf.split_first()? else { return None };
        let (between, mut rest) = (&*BETWEEN, Rest(body));
        rest.skip(b"{\"broker\":")?;
        let broker = rest.until(&between.caller)?;
        let caller = rest.until(&between.event)?;
        let event = rest.until(&between.happened_at)?;
        let happened_at = rest.until(&between.recorded_at)?;
        let recorded_at = rest.until(&between.request)?;
        let request = rest.until(&between.salt)?;
        let salt = rest.0.strip_suffix(b"}")?;
        let event = EventPieces::of(event)?;
        Some(Self { broker, caller, event, happened_at, recorded_at, request, salt })
    }
}

impl<'l> EventPieces<'l> {
    fn of(event: &'l [u8]) -> Option<Self> {
        let (between, mut rest) = (&*BETWEEN, Rest(event));
        if rest.skip(b"{\"action\":").is_some() {
            let action = rest.until(&between.context)?;
            let front = rest.until(&between.assurance_age)?;
            let assurance_age = rest.until(&between.credential)?;
            let credential = rest.until(&between.time)?;
            let time = rest.until(&between.decision)?;
            let decision = rest.until(&between.policy)?;
            let context = ContextPieces { front, assurance_age, credential, time };
            return Some(Self::Decision { action, context, decision, policy: rest.0.strip_suffix(b"}")? });
        }
        if rest.skip(b"{\"closed_by\":").is_some() {
            let closed_by = rest.until(&between.duration)?;
            let duration = rest.until(&between.received)?;
            let received = rest.until(&between.sent)?;
            let sent = rest.until(&between.status)?;
            return Some(Self::Outcome { closed_by, duration, received, sent, status: rest.0.strip_suffix(b"}")? });
        }
        None
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
        let (between, mut rest) = (&*BETWEEN, Rest(action));
        let front = rest.until(&between.path).filter(|_| action.starts_with(b"{\"app\":"))?;
        let path = rest.until(&between.upgrade)?;
        Some(Self { front, path, upgrade: rest.0.strip_suffix(b"}")? })
    }
}

impl<'l> ObjectPieces<'l> {
    /// Takes `action` apart, if it has the members of a request about an object in their places.
    pub(super) fn of(action: &'l [u8]) -> Option<Self> {
        let (between, mut rest) = (&*BETWEEN, Rest(action));
        let front = rest.until(&between.name).filter(|_| action.starts_with(b"{\"attributes\":"))?;
        let name = rest.until(&between.namespace)?;
        let middle = rest.until(&between.path)?;
        let path = rest.until(&between.upgrade)?;
        Some(Self { front, name, middle, path, upgrade: rest.0.strip_suffix(b"}")? })
    }
}

/// What is not taken apart yet.
struct Rest<'l>(&'l [u8]);

impl<'l> Rest<'l> {
    fn skip(&mut self, text: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    /// What stands before `text`, which is skipped.
    fn until(&mut self, text: &Finder<'_>) -> Option<&'l [u8]> {
        let (piece, rest) = self.0.split_at_checked(text.find(self.0)?)?;
        self.0 = rest.strip_prefix(text.needle())?;
        Some(piece)
    }
}

/// Defines what stands between two members: the end of one, the name of the next.
macro_rules! between {
    ($($name:ident $text:literal;)*) => {
        struct Between { $($name: Finder<'static>,)* }

        static BETWEEN: LazyLock<Between> = LazyLock::new(|| Between { $($name: Finder::new($text),)* });
    };
}

between! {
    caller r#","caller":"#;
    event r#","event":"#;
    happened_at r#","happened_at":"#;
    recorded_at r#","recorded_at":"#;
    request r#","request":"#;
    salt r#","salt":"#;
    presented r#","presented":"#;
    scope r#","scope":"#;
    name r#","name":"#;
    namespace r#","namespace":"#;
    path r#","path":"#;
    upgrade r#","upgrade":"#;
    context r#","context":"#;
    assurance_age r#","assurance_age":"#;
    credential r#","credential":"#;
    time r#","time":"#;
    decision r#"},"decision":"#;
    policy r#","kind":"decision","policy":"#;
    duration r#","duration":"#;
    received r#","kind":"outcome","received":"#;
    sent r#","sent":"#;
    status r#","status":"#;
}
