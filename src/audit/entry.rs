//! One line of the log, and its leaf bytes: a version byte, then canonical JSON with fixed keys, integers only.
//!
//! INVARIANT: the leaf bytes are the entry. Every column is derived from them by [`Columns::of`], so that verification
//! can derive them again. Every entry carries 128 random bits, because leaf hashes are public and must not be guessable.
//! No secret has a place here: no query, no cookie, no token, no key.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::canonical::{CanonicalFault, from_canonical, to_canonical};
use crate::model::{
    Action, Attributes, BrokerId, Caller, ClusterName, Context, CredentialId, Decision, Identity, LoginId, PasskeyId,
    PolicyVersion, PortalAction, ProviderName, Reach, RequestId, StreamId, Timestamp,
};

/// The first byte of every leaf of this form.
pub const VERSION: u8 = 1;

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The broker that wrote it.
    pub broker: BrokerId,
    /// Who asked, where that is known.
    pub caller: Option<Caller>,
    /// What happened.
    pub event: Event,
    /// When it happened, by the broker's clock.
    pub happened_at: Timestamp,
    /// When it was recorded: the same for a whole batch, never earlier than the batch before.
    pub recorded_at: Timestamp,
    /// The request that it belongs to.
    pub request: Option<RequestId>,
    /// 128 random bits, in hex.
    pub salt: Salt,
}

/// What a room hands to the log; the log adds who writes it, when, and the salt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Who asked, where that is known.
    pub caller: Option<Caller>,
    /// What happened.
    pub event: Event,
    /// When it happened.
    pub happened_at: Timestamp,
    /// The request that it belongs to.
    pub request: Option<RequestId>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// A request was judged. Holds every input, so that it can be judged again.
    Decision {
        /// What was asked for.
        action: Action,
        /// What else the rules could read.
        context: Context,
        /// What they said.
        decision: Decision,
        /// Which rules they were.
        policy: PolicyVersion,
    },
    /// The response of a forwarded request has ended.
    Outcome {
        /// The status that the upstream gave; none when it gave none.
        status: Option<u16>,
        /// Bytes of body received from the caller.
        received: u64,
        /// Bytes of body sent to the caller.
        sent: u64,
        /// From the decision to the end, in microseconds.
        duration: u64,
        /// Who ended it.
        closed_by: ClosedBy,
    },
    /// A request was permitted and recorded, and then not forwarded.
    NotForwarded {
        /// Why not.
        why: String,
    },
    /// Its broker died, so nobody knows what became of it.
    UnknownOutcome {
        /// The broker that died.
        of: BrokerId,
    },
    /// A request was refused before any rule was asked.
    Refused {
        /// Which check refused it, in a word.
        check: String,
        /// What was wrong, without echoing it.
        why: String,
        /// The host or app that it was for.
        target: String,
        /// Where it came from.
        address: String,
    },
    /// A step of a sign-in.
    SignIn {
        /// Which step.
        step: SignInStep,
        /// At which provider.
        provider: Option<ProviderName>,
        /// Whether it succeeded, and why not.
        fault: Option<String>,
        /// Where it came from.
        address: String,
    },
    /// A passkey was registered.
    Enrolled {
        /// Its row.
        passkey: PasskeyId,
        /// Whether it is the person's first.
        first: bool,
        /// The relying party id.
        rp_id: String,
    },
    /// A login has ended.
    LoginEnded {
        /// Which.
        login: LoginId,
        /// Whose.
        owner: Identity,
        /// Why.
        cause: String,
    },
    /// A credential was issued.
    CredentialIssued {
        /// Its row.
        credential: CredentialId,
        /// For which cluster; none for the command line's token.
        cluster: Option<ClusterName>,
        /// Only for these namespaces.
        namespaces: Vec<String>,
        /// Whether it covers changes.
        reach: Reach,
        /// The certificate's serial, in hex.
        serial: Option<String>,
        /// When it ends.
        not_after: Timestamp,
    },
    /// A credential was revoked.
    CredentialRevoked {
        /// Its row.
        credential: CredentialId,
        /// Why.
        cause: String,
    },
    /// A connection became a stream.
    StreamOpened {
        /// Its id.
        stream: StreamId,
    },
    /// A stream was closed by the broker.
    StreamClosed {
        /// Its id.
        stream: StreamId,
        /// Why.
        cause: String,
    },
    /// A person was invited to register a first passkey.
    Invited {
        /// Who.
        person: Identity,
        /// Until when.
        expires_at: Timestamp,
    },
    /// Rules were put in force.
    PolicyLoaded {
        /// Which.
        policy: PolicyVersion,
        /// How many.
        rules: u64,
    },
    /// Rules were offered and not taken; the last good ones stay.
    PolicyRejected {
        /// What was wrong with them.
        errors: Vec<String>,
    },
    /// A broker started.
    BrokerStarted {
        /// Its version.
        version: String,
        /// SHA-256 of its configuration file, in hex.
        configuration: String,
    },
    /// A broker stopped in good order.
    BrokerStopped {},
}

/// Who ended a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClosedBy {
    /// It was complete.
    Upstream,
    /// The caller went away.
    Caller,
    /// The login or credential ended, or a rule no longer allows it.
    Revocation,
    /// A time limit.
    Timeout,
    /// The broker is stopping, or has lost the log or the feed.
    Broker,
    /// The upstream failed.
    UpstreamFault,
}

/// A step of a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignInStep {
    /// The browser was sent to the provider.
    Begun,
    /// The provider's answer was checked.
    Provider,
    /// A passkey was asserted.
    Passkey,
    /// A passkey was asserted again, for fresh assurance.
    StepUp,
    /// The person signed out.
    SignOut,
}

/// 128 random bits, in lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Salt(#[serde(with = "hex::serde")] pub [u8; 16]);

impl Entry {
    /// The leaf bytes.
    pub fn leaf(&self) -> Result<Vec<u8>, CanonicalFault> {
        let mut leaf = vec![VERSION];
        leaf.extend(to_canonical(self)?);
        Ok(leaf)
    }

    /// Reads leaf bytes, refusing every form but the canonical one.
    pub fn from_leaf(leaf: &[u8]) -> Result<Self, CanonicalFault> {
        match leaf.split_first() {
            Some((&VERSION, body)) => from_canonical(body),
            _ => Err(CanonicalFault::Form),
        }
    }
}

/// The typed columns beside a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
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
    pub target: Option<String>,
}

impl Columns {
    /// Derives the columns from the entry.
    pub fn of(entry: &Entry) -> Self {
        let caller = entry.caller.as_ref();
        Self {
            happened_at: entry.happened_at,
            recorded_at: entry.recorded_at,
            kind: entry.event.kind(),
            broker: entry.broker.uuid(),
            request: entry.request.map(RequestId::uuid),
            person: caller.map(|caller| caller.person.uuid()),
            login: entry.event.login().or(caller.map(|caller| caller.login)).map(LoginId::uuid),
            credential: entry
                .event
                .credential()
                .or(caller.and_then(|caller| caller.presented.credential()))
                .map(CredentialId::uuid),
            verdict: match &entry.event {
                Event::Decision { decision, .. } => Some(decision.verdict.as_str()),
                _ => None,
            },
            target: entry.event.target(),
        }
    }
}

impl Event {
    /// The word in the `kind` column, the same as in the bytes.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Decision { .. } => "decision",
            Self::Outcome { .. } => "outcome",
            Self::NotForwarded { .. } => "not-forwarded",
            Self::UnknownOutcome { .. } => "unknown-outcome",
            Self::Refused { .. } => "refused",
            Self::SignIn { .. } => "sign-in",
            Self::Enrolled { .. } => "enrolled",
            Self::LoginEnded { .. } => "login-ended",
            Self::CredentialIssued { .. } => "credential-issued",
            Self::CredentialRevoked { .. } => "credential-revoked",
            Self::StreamOpened { .. } => "stream-opened",
            Self::StreamClosed { .. } => "stream-closed",
            Self::Invited { .. } => "invited",
            Self::PolicyLoaded { .. } => "policy-loaded",
            Self::PolicyRejected { .. } => "policy-rejected",
            Self::BrokerStarted { .. } => "broker-started",
            Self::BrokerStopped {} => "broker-stopped",
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
            Self::Refused { target, .. } => Some(target.clone()),
            _ => None,
        }
    }
}

/// What an action is about, in a few words: `GET wiki/docs`, `list pods in demo/default`.
pub fn summary(action: &Action) -> String {
    match action {
        Action::Web(web) => format!("{} {}{}", web.method, web.app, web.path),
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
            PortalAction::ReadAudit => "read the audit log".to_owned(),
            PortalAction::ReadPolicy => "see the state of the rules".to_owned(),
            PortalAction::Invite { person } => format!("invite {}", person.subject),
        },
    }
}
