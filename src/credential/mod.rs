//! Short-lived proofs: the internal certificate authority, the certificates that it issues for keys made elsewhere, and
//! the wrapping of the broker's own keys. A certificate says who; how far it reaches is a row that the gate reads.
//! Nothing is issued without a [`Permit`](crate::access::Permit), and never past the end of the login that it hangs on.

pub mod authority;
pub mod issue;
pub mod keys;
pub mod revoke;
pub mod wrapping;
pub mod x509;

pub use authority::Authority;
pub use issue::{Issued, Issuer};
pub use revoke::Credentials;
pub use wrapping::Wrapping;
pub use x509::CertificateRequest;

use crate::{audit::ChangeFault, config::SecretFault, store::StoreFault};

/// Why no credential came of it.
#[derive(Debug, thiserror::Error)]
pub enum CredentialFault {
    /// A denial: the login that it would hang on has ended.
    #[error("the login has ended; sign in again")]
    LoginEnded,
    /// A denial: the permit is for something else, or for another key.
    #[error("this was not permitted")]
    NotPermitted,
    /// A bad request: what was sent is not a request for a certificate that can be signed.
    #[error("{0}")]
    BadRequest(&'static str),
    /// A failure: a key of ours is missing.
    #[error("there is no {0} key; run `bailiwick key init`")]
    NoKey(&'static str),
    /// A failure: a key of ours cannot be used.
    #[error("the {0} key cannot be used")]
    Key(&'static str),
    /// A failure: the wrapping key cannot be had, or does not fit.
    #[error("the wrapping key: {0}")]
    Wrapping(#[from] wrapping::WrappingFault),
    /// A failure of the database.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// A failure of the log or the database: nothing was changed.
    #[error("not recorded, so not done: {0}")]
    Unrecorded(#[from] ChangeFault),
}

impl From<SecretFault> for CredentialFault {
    fn from(fault: SecretFault) -> Self {
        Self::Wrapping(wrapping::WrappingFault::Secret(fault))
    }
}

/// Which expectation of a change was not met, by the name it was given; the change was undone.
pub(crate) fn unmet(fault: &ChangeFault) -> Option<&'static str> {
    match fault {
        ChangeFault::Store(StoreFault::Rows { what, .. }) => Some(what),
        _ => None,
    }
}
