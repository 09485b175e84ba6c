//! The columns beside a leaf, for searching: derived from the entry here and nowhere else, so that verification can derive
//! them again. Promises that whatever a peer puts into a path or a name, the columns can be stored and shown.

use uuid::Uuid;

use super::{Common, Entry, Event};
use crate::model::{
    Action, Attributes, BrokerId, Caller, CredentialId, Decision, LoginId, PortalAction, RequestId, Timestamp,
};

/// The typed columns beside a leaf, the target in whatever form is at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns<T = String> {
    /// `happened_at`.
    pub happened_at: Timestamp,
    /// `recorded_at`.
    pub recorded_at: Timestamp,
    /// The event's kind.
    pub kind: &'static str,
    /// The broker.
    pub broker: Uuid,
    /// The request.
    pub request: Option<Uuid>,
    /// The caller's person.
    pub person: Option<Uuid>,
    /// The caller's login, or the login that ended.
    pub login: Option<Uuid>,
    /// The credential presented, issued or revoked.
    pub credential: Option<Uuid>,
    /// The verdict of a decision.
    pub verdict: Option<&'static str>,
    /// What it was about, in a few words.
    pub target: Option<T>,
}

/// What the columns say of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whose {
    pub(super) person: Uuid,
    pub(super) login: Uuid,
    pub(super) credential: Option<Uuid>,
}

impl Whose {
    /// Derives it from the caller.
    pub(super) fn of(caller: &Caller) -> Self {
        Self {
            person: caller.person.uuid(),
            login: caller.login.uuid(),
            credential: caller.presented.credential().map(CredentialId::uuid),
        }
    }
}

impl Columns {
    /// Derives the columns from the entry.
    pub fn of(entry: &Entry) -> Self {
        let Entry { broker, caller, event, happened_at, recorded_at, request, .. } = entry;
        Self::of_parts(*broker, caller.as_ref(), event, *happened_at, *recorded_at, *request)
    }

    /// The same, from the parts of an entry that has not been put together.
    pub(super) fn of_parts(
        broker: BrokerId,
        caller: Option<&Caller>,
        event: &Event,
        happened_at: Timestamp,
        recorded_at: Timestamp,
        request: Option<RequestId>,
    ) -> Self {
        let (whose, request) = (caller.map(Whose::of), request.map(RequestId::uuid));
        Self::of_event(broker.uuid(), whose, event, happened_at, recorded_at, request)
    }

    /// The same, from what the columns say of broker, caller and request, and the event.
    pub(super) fn of_event(
        broker: Uuid,
        whose: Option<Whose>,
        event: &Event,
        happened_at: Timestamp,
        recorded_at: Timestamp,
        request: Option<Uuid>,
    ) -> Self {
        let credential = event.credential().map(CredentialId::uuid);
        Self {
            happened_at,
            recorded_at,
            kind: event.kind(),
            broker,
            request,
            person: whose.map(|whose| whose.person),
            login: event.login().map(LoginId::uuid).or(whose.map(|whose| whose.login)),
            credential: credential.or(whose.and_then(|whose| whose.credential)),
            verdict: match event {
                Event::Decision { decision, .. } => Some(decision.verdict.as_str()),
                _ => None,
            },
            target: event.target().map(storable),
        }
    }

    /// The same columns, with the target in another form.
    pub(super) fn map_target<T>(self, form: impl FnOnce(String) -> T) -> Columns<T> {
        let Self { happened_at, recorded_at, kind, broker, request, person, login, credential, verdict, target } = self;
        let target = target.map(form);
        Columns { happened_at, recorded_at, kind, broker, request, person, login, credential, verdict, target }
    }
}

impl Event {
    /// Whether it tells of the log itself, or of what is kept beside it: an epoch that began, another key, an archive, rules.
    pub(super) const fn is_of_the_log(&self) -> bool {
        matches!(
            self,
            Self::EpochBegan { .. }
                | Self::KeyRotated { .. }
                | Self::Archived { .. }
                | Self::PolicyLoaded { .. }
                | Self::Gap { .. }
        )
    }

    /// Whether it tells what became of something that was permitted.
    pub(super) const fn follows_a_decision(&self) -> bool {
        matches!(
            self,
            Self::Outcome { .. }
                | Self::NotForwarded { .. }
                | Self::UnknownOutcome { .. }
                | Self::StreamOpened { .. }
                | Self::StreamClosed { .. }
        )
    }

    /// What was decided.
    pub(super) const fn decision(&self) -> Option<&Common<Decision>> {
        match self {
            Self::Decision { decision, .. } => Some(decision),
            _ => None,
        }
    }

    const fn login(&self) -> Option<LoginId> {
        match self {
            Self::LoginEnded { login, .. } => Some(*login),
            _ => None,
        }
    }

    const fn credential(&self) -> Option<CredentialId> {
        match self {
            Self::CredentialIssued { credential, .. } | Self::CredentialRevoked { credential, .. } => Some(*credential),
            _ => None,
        }
    }

    fn target(&self) -> Option<String> {
        match self {
            Self::Decision { action, .. } => Some(summary(action)),
            Self::Refused { target, .. } | Self::Refusals { target, .. } => Some(target.clone()),
            _ => None,
        }
    }
}

/// `target`, made shorter and printable where it is not.
pub(super) fn storable(target: String) -> String {
    if is_stored_as_it_is(target.as_bytes()) { target } else { printable(shortened(&target)) }
}

/// Whether a target stands in its column as it is.
pub(super) fn is_stored_as_it_is(target: &[u8]) -> bool {
    // All bytes, whatever was seen before, which is many at a time.
    target.len() <= LONGEST_TARGET && target.iter().fold(true, |plain, byte| plain & is_plain(*byte))
}

const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// `text` with nothing in it that moves a cursor, turns a line around or stops Postgres, which has no NUL.
pub fn printable(text: &str) -> String {
    if text.bytes().all(is_plain) {
        return text.to_owned();
    }
    let is_bidi = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || is_bidi(c) { '\u{fffd}' } else { c }).collect()
}

fn shortened(text: &str) -> &str {
    if text.len() <= LONGEST_TARGET {
        return text;
    }
    text.char_indices().nth(LONGEST_TARGET).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// In characters; the bytes have all of it.
const LONGEST_TARGET: usize = 500;

/// What an action is about, in a few words: `GET wiki/docs`, `list pods in demo/default`.
pub fn summary(action: &Action) -> String {
    match action {
        Action::Web(web) => [web.method.as_str(), " ", web.app.as_str(), web.path.as_str()].concat(),
        Action::Kubernetes(kubernetes) => match &kubernetes.attributes {
            Attributes::Resource(at) => {
                let part =
                    |mark: &str, text: &str| if text.is_empty() { String::new() } else { format!("{mark}{text}") };
                let what = format!("{}{}{}", at.resource, part("/", &at.subresource), part(" ", &at.name));
                format!("{} {what} in {}{}", at.verb, kubernetes.cluster, part("/", &at.namespace))
            }
            Attributes::NonResource(at) => format!("{} {} in {}", at.verb, at.path, kubernetes.cluster),
        },
        Action::Issue(issue) => format!("issue a certificate for {}", issue.cluster),
        Action::Enrol(_) => "register a first passkey".to_owned(),
        Action::Portal(action) => match action {
            PortalAction::Home => "see the portal".to_owned(),
            PortalAction::AuthorizeCommandLine => "authorize the command line".to_owned(),
            PortalAction::ListSessions => "list sessions".to_owned(),
            PortalAction::EndSession { owner, .. } => format!("end a session of {}", owner.name),
            PortalAction::RevokeCredential { owner, .. } => format!("revoke a credential of {}", owner.name),
            PortalAction::ReadAudit { search: None } => "read the audit log".to_owned(),
            PortalAction::ReadAudit { search: Some(search) } => format!("read the audit log: {search}"),
            PortalAction::ReadEntry { leaf } => format!("read entry {leaf} of the audit log"),
            PortalAction::ExportAudit { search, format } => format!("export the audit log as {format}: {search}"),
            PortalAction::SaveSearch { name } => format!("save the search {name}"),
            PortalAction::RemoveSearch { name } => format!("remove the search {name}"),
            PortalAction::ReadPolicy => "see the state of the rules".to_owned(),
            PortalAction::Invite { person } => format!("invite {}", person.subject),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_can_neither_stop_the_log_nor_move_a_cursor() {
        assert_eq!(printable("a\0b\u{1b}[2Jc\r\n\u{202e}d"), "a\u{fffd}b\u{fffd}[2Jc\u{fffd}\u{fffd}\u{fffd}d");
        assert_eq!(shortened(&"x".repeat(9_000)).len(), LONGEST_TARGET);
        assert_eq!(shortened(&"é".repeat(501)), "é".repeat(500));
        assert_eq!(shortened(&"é".repeat(400)), "é".repeat(400));
    }
}
