//! What an entry can tell of: one variant for each kind of thing that happens. A kind may be added and may gain fields
//! that are left out when empty; nothing else about a variant ever changes, because its bytes are in logs for ever.

use serde::{Deserialize, Serialize};

use super::Common;
use crate::model::{
    Action, BrokerId, ClusterName, Context, CredentialId, Decision, Identity, LoginId, PasskeyId, PolicyVersion,
    ProviderName, Reach, ReadingId, StreamId, Timestamp,
};

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
        decision: Common<Decision>,
        /// Which rules they were.
        policy: Common<PolicyVersion>,
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
    /// Refusals of strangers, counted: one entry for each network, check and target in each minute.
    Refusals {
        /// Which check refused them, in a word.
        check: String,
        /// What was wrong with the first of them.
        why: String,
        /// The host or app that they were for.
        target: String,
        /// The network that they came from: /24 for IPv4, /48 for IPv6.
        network: String,
        /// When the first came.
        from: Timestamp,
        /// When the last came.
        until: Timestamp,
        /// How many there were.
        count: u64,
    },
    /// Entries that the log could not take while it was away, counted.
    Gap {
        /// How many.
        lost: u64,
        /// When the first was lost.
        from: Timestamp,
        /// When the last was lost.
        until: Timestamp,
        /// Why.
        why: String,
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
    /// A stream was closed: by the broker, or because its caller or its upstream ended it.
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
        /// Until when an invitation stood that was open already; none when there was none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Timestamp>,
        /// On whose word, where no caller asked: an operator, by name. None in entries of before that was recorded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// Rules were put in force.
    PolicyLoaded {
        /// Which.
        policy: PolicyVersion,
        /// How many.
        rules: u64,
        /// Which were in force before; none for the first of a broker.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<PolicyVersion>,
    },
    /// Rules were offered and not taken; the last good ones stay.
    PolicyRejected {
        /// What was wrong with them.
        errors: Vec<String>,
    },
    /// An operator accepted that the database is not what was published, and the log goes on from what there is.
    EpochBegan {
        /// The new epoch.
        epoch: u64,
        /// How many entries the log goes on from.
        size: u64,
        /// Its root there, in hex.
        root: String,
        /// How many entries were published.
        published_size: u64,
        /// The root that was published, in hex.
        published_root: String,
        /// Who accepted it.
        by: String,
        /// Why.
        why: String,
        /// The verifier key that signs from here on (C2SP signed-note), when those before it are lost: nobody vouches for
        /// it, and nothing that was published is given up.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The verifier keys that are lost: whatever else stands beside ours is not the log's. None in entries of before
        /// they were named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lost: Option<Vec<String>>,
    },
    /// Checkpoints are signed with another key from here on, for which the retired one vouches.
    KeyRotated {
        /// The verifier key that signed so far (C2SP signed-note).
        retired: String,
        /// The one that signs from now on.
        active: String,
        /// The retired key's word for it: its signature, in base64, over a text that can be no checkpoint. Whoever merely
        /// writes into the log cannot make it. None in entries of before there were vouchers, which vouch for nobody.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        voucher: Option<String>,
        /// Who replaced it, by name. None in entries of before that was recorded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// Entries were archived, and their bodies removed from the database; their hashes stay.
    Archived {
        /// The first of them.
        from: u64,
        /// The first one after them.
        until: u64,
        /// The archive's file name.
        file: String,
        /// SHA-256 of the archive, in hex.
        sha256: String,
    },
    /// A search was saved, changed or removed.
    SearchChanged {
        /// Its name.
        name: String,
        /// What it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<String>,
        /// What it is now; none when it was removed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// Entries were exported.
    Exported {
        /// The search, as in a page's address.
        search: String,
        /// csv or ndjson.
        format: String,
        /// How many entries.
        entries: u64,
        /// SHA-256 of the manifest, in hex.
        manifest: String,
    },
    /// Entries were read on the command line, by an account of the database.
    LogRead {
        /// Its id. A reading that ends with a manifest has a second entry with the same one.
        reading: ReadingId,
        /// The account that logged in to the database, as its server knows it.
        account: String,
        /// Where from, as that server knows it; none for a socket in its file system.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<String>,
        /// What the program called itself.
        client: String,
        /// search, tail, follow, export or bundle.
        command: String,
        /// Which entries, as in a page's address.
        search: String,
        /// How many; none when they were not counted yet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        entries: Option<u64>,
        /// SHA-256 of the manifest, in hex, once all of them were written.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        manifest: Option<String>,
    },
    /// A collector did not get entries: it refuses them, or they are gone from the database.
    CollectorSkipped {
        /// Which.
        collector: String,
        /// The first of them.
        from: u64,
        /// The first one after them.
        until: u64,
        /// Why.
        why: String,
    },
    /// A broker started.
    BrokerStarted {
        /// Its version.
        version: String,
        /// SHA-256 of its configuration file, in hex.
        configuration: String,
        /// The verifier key that signs its checkpoints (C2SP signed-note); the first of a log is the one it begins with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
    /// A broker stopped in good order.
    BrokerStopped {},
}

/// Who ended a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

impl Event {
    /// The word in the `kind` column, the same as in the bytes.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Decision { .. } => "decision",
            Self::Outcome { .. } => "outcome",
            Self::NotForwarded { .. } => "not-forwarded",
            Self::UnknownOutcome { .. } => "unknown-outcome",
            Self::Refused { .. } => "refused",
            Self::Refusals { .. } => "refusals",
            Self::Gap { .. } => "gap",
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
            Self::EpochBegan { .. } => "epoch-began",
            Self::KeyRotated { .. } => "key-rotated",
            Self::Archived { .. } => "archived",
            Self::SearchChanged { .. } => "search-changed",
            Self::Exported { .. } => "exported",
            Self::LogRead { .. } => "log-read",
            Self::CollectorSkipped { .. } => "collector-skipped",
            Self::BrokerStarted { .. } => "broker-started",
            Self::BrokerStopped {} => "broker-stopped",
        }
    }
}
