//! One line of the log, and its leaf bytes: a version byte, then canonical JSON with fixed keys, integers only.
//!
//! INVARIANT: the leaf bytes are the entry. Every column is derived from them by [`Columns::of`], so that verification
//! can derive them again. Every entry carries 128 random bits, because leaf hashes are public and must not be guessable.
//! No secret has a place here: no query, no cookie, no token, no key.

use serde::{Deserialize, Serialize};

pub use super::columns::{Columns, summary};

use super::canonical::{CanonicalFault, from_canonical, to_canonical};
use crate::model::{
    Action, BrokerId, Caller, ClusterName, Context, CredentialId, Decision, Identity, LoginId, PasskeyId,
    PolicyVersion, ProviderName, Reach, RequestId, StreamId, Timestamp,
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
#[allow(clippy::large_enum_variant, reason = "decisions are most of the log, so a box would cost more than it saves")]
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
    /// The login was carried from the portal to an app, which gave the browser a session of its own.
    HandOver,
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
}
