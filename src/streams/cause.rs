//! Why a stream is closed, and what a stream hangs on.

use std::fmt;

use uuid::Uuid;

use crate::{
    audit::ClosedBy,
    model::{Caller, Presented},
    store::feed::RevokedKind,
};

/// Why a stream is closed by the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Something that it hangs on has ended.
    Ended {
        /// What.
        kind: RevokedKind,
        /// Why, in the words of whoever ended it.
        why: String,
    },
    /// Its login has reached a time limit.
    Expired,
    /// The rules no longer allow it.
    RuleChanged,
    /// Nobody knows what has ended meanwhile.
    FeedStale,
    /// Nothing can be recorded.
    LogDead,
    /// The broker is stopping.
    Stopping,
    /// Nobody holds its place any more.
    Forgotten,
}

impl Cause {
    /// For the outcome's entry.
    pub const fn closed_by(&self) -> ClosedBy {
        match self {
            Self::Ended { .. } | Self::Expired | Self::RuleChanged => ClosedBy::Revocation,
            Self::FeedStale | Self::LogDead | Self::Stopping | Self::Forgotten => ClosedBy::Broker,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Ended { kind, why } => {
                let kind = match kind {
                    RevokedKind::Login => "login",
                    RevokedKind::Credential => "credential",
                    RevokedKind::AppSession => "app session",
                    RevokedKind::Person => "person's access",
                };
                return write!(f, "the {kind} has ended: {why}");
            }
            Self::Expired => "the login has reached its time limit",
            Self::RuleChanged => "the rules no longer allow it",
            Self::FeedStale => "the revocation feed is stale",
            Self::LogDead => "the audit log does not answer",
            Self::Stopping => "the broker is stopping",
            Self::Forgotten => "the stream has lost its place",
        };
        f.write_str(what)
    }
}

/// What a stream of `caller` hangs on.
pub(super) fn targets(caller: &Caller) -> Vec<(RevokedKind, Uuid)> {
    let mut targets = vec![(RevokedKind::Login, caller.login.uuid()), (RevokedKind::Person, caller.person.uuid())];
    match caller.presented {
        Presented::Session => {}
        Presented::AppSession(id) => targets.push((RevokedKind::AppSession, id.uuid())),
        Presented::Certificate(id) | Presented::Token(id) => targets.push((RevokedKind::Credential, id.uuid())),
    }
    targets
}
