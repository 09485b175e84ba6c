//! Typed ids: 128 random bits each, so that a login can never be passed where a credential belongs.
//! Drawn from the [`Entropy`] handed in, never from a global source.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Entropy;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh id (RFC 9562 version 4).
            pub fn random(entropy: &dyn Entropy) -> Self {
                Self(uuid::Builder::from_random_bytes(entropy.bytes()).into_uuid())
            }

            /// The id that a stored row carries.
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            /// The value to bind in a query.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )*};
}

ids! {
    /// A person, once known as (issuer, subject).
    PersonId;
    /// One login: from the provider's answer until it ends.
    LoginId;
    /// A browser's session with one protected app.
    AppSessionId;
    /// A credential that was issued: a certificate or a token.
    CredentialId;
    /// A registered passkey's row.
    PasskeyId;
    /// A sign-in or passkey ceremony that has begun.
    CeremonyId;
    /// One request, from its arrival to its outcome.
    RequestId;
    /// One running broker process.
    BrokerId;
    /// One live stream.
    StreamId;
    /// One reading of the log on the command line.
    ReadingId;
    /// One batch of entries that was committed at once.
    BatchId;
}
