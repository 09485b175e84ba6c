//! Who is this? The provider's word (`oidc`), a passkey (`webauthn`), the login that both make (`login`), and what is
//! presented with each request (`presented`) become a [`Caller`](crate::model::Caller), or nobody.
//! Says nothing about what a caller may do, and knows no page.

pub mod command_line;
pub mod handover;
pub mod invitation;
mod known;
pub mod login;
pub mod maintenance;
pub mod oidc;
pub mod presented;
mod secret;
pub mod session;
pub mod webauthn;

pub use command_line::{CommandLines, Token};
pub use handover::{AppCookie, Handovers};
pub use invitation::Invitations;
pub use login::{HalfLogin, Logins, Visit};
pub use maintenance::Maintenance;
pub use oidc::{Answer, Provider};
pub use presented::{Callers, NotPresented};
pub use session::Sessions;
pub use webauthn::Passkeys;

use crate::{
    audit::{ChangeFault, Unrecorded},
    credential::CredentialFault,
    store::StoreFault,
};

/// Why somebody is not who they would be, or why it could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum IdentityFault {
    /// Expected, recorded, shown to the person.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The peer's request makes no sense.
    #[error("{0}")]
    BadRequest(&'static str),
    /// The provider does not answer, or not as it must.
    #[error("the provider: {0}")]
    Provider(String),
    /// Something of ours that should not happen.
    #[error("{0}")]
    Internal(&'static str),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The log, or the database under it: nothing was changed.
    #[error("not recorded, so not done: {0}")]
    Unchanged(#[from] ChangeFault),
    /// The log did not take an entry.
    #[error("not recorded: {0}")]
    Unrecorded(#[from] Unrecorded),
    /// The credential room.
    #[error(transparent)]
    Credential(#[from] CredentialFault),
}

/// What was shown does not prove it. The sentences are ours: nothing of what was sent is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// No ceremony has begun here, or it was used, or it is too late, or it is another login's.
    #[error("this sign-in step has expired or was used before; begin again")]
    NoCeremony,
    /// `state` is not ours.
    #[error("the answer does not belong to this sign-in")]
    State,
    /// The answer comes from another issuer (RFC 9207), or does not say from which though it must.
    #[error("the answer comes from another provider than the one that was asked")]
    Issuer,
    /// The provider refused.
    #[error("the provider refused the sign-in")]
    ProviderRefused,
    /// The provider does not know the code.
    #[error("the provider did not accept the sign-in code")]
    Code,
    /// The ID token is missing or does not hold.
    #[error("the ID token does not hold: {0}")]
    IdToken(&'static str),
    /// A name that could be taken for another, or for more than one.
    #[error("the provider's {0} has characters that are not accepted")]
    Claim(&'static str),
    /// The passkey's answer does not hold.
    #[error("the passkey's answer does not hold: {0}")]
    Passkey(&'static str),
    /// The authenticator's counter went back: it may have been copied.
    #[error("this passkey's counter went back; it may have been copied, and is refused")]
    Counter,
    /// The credential id belongs to somebody, or to a removed passkey.
    #[error("this passkey is registered already")]
    PasskeyTaken,
    /// The person has had a passkey: enrolment never reopens.
    #[error("a passkey was registered for you before; another one needs a full sign-in")]
    AlreadyEnrolled,
    /// There is no passkey to assert.
    #[error("no passkey is registered for you")]
    NoPasskey,
    /// The invitation that the permit counted on is gone.
    #[error("the invitation has expired or was used")]
    NotInvited,
    /// The login has ended.
    #[error("the login has ended; sign in again")]
    LoginEnded,
    /// The permit is for something else.
    #[error("this was not permitted")]
    NotPermitted,
    /// A one-time code that is unknown, used, too old or another's.
    #[error("this code has expired or was used before; begin again")]
    OneTimeCode,
}
