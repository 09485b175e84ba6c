//! The words that every room speaks: who calls, what they ask for, what was decided, when.
//! Pure: no I/O, no async, no SQL. What a word means on the wire or in a table is another room's affair.

mod action;
mod caller;
mod clock;
mod decision;
mod id;
mod name;
mod path;
pub mod verifier_key;

pub use action::{
    Action, Attributes, EnrolRequest, IssueRequest, KubernetesRequest, Method, NonResource, PortalAction, Resource,
    Selector, Upgrade, WebRequest,
};
pub use caller::{Assurance, AssuranceLevel, Caller, Identity, Presented, Reach, Scope};
pub use clock::{Clock, Entropy, FrozenClock, SeededEntropy, SystemClock, SystemEntropy, Timestamp};
pub use decision::{Cause, Context, Decision, PolicyVersion, Verdict};
pub use id::{
    AppSessionId, BatchId, BrokerId, CeremonyId, CredentialId, LoginId, PasskeyId, PersonId, ReadingId, RequestId,
    StreamId,
};
pub use name::{AppName, ClusterName, CollectorName, NameFault, ProviderName};
pub use path::{CanonicalPath, PathFault};
