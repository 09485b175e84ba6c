//! `[[provider]]`: who vouches for people.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use url::Url;

use super::SecretFile;
use crate::model::ProviderName;

/// An OpenID Connect provider.
#[derive(Clone, Debug)]
pub struct Provider {
    /// How pages, policies and the log call it.
    pub name: ProviderName,
    /// Its issuer identifier.
    pub issuer: Issuer,
    /// How it knows us.
    pub client_id: String,
    /// The client secret; none for a public client.
    pub client_secret_file: Option<SecretFile>,
    /// What to ask for; contains `openid`.
    pub scopes: Vec<String>,
    /// The claim that lists groups.
    pub groups_claim: String,
    /// The claim to show as a name.
    pub name_claim: String,
    /// The signature algorithms that an ID token may have.
    pub algorithms: Vec<Algorithm>,
    /// What stands before users and groups when a cluster is told who asks.
    pub kubernetes_prefix: String,
    /// More authorities to trust for the issuer's host, PEM.
    pub ca_file: Option<PathBuf>,
    /// Connect here for the issuer's host, instead of asking DNS.
    pub resolve: Option<SocketAddr>,
}

/// An issuer identifier: compared as text, byte for byte (OpenID Connect Discovery 1.0, section 4.3), so the text is
/// kept as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    text: String,
    url: Url,
}

impl Issuer {
    /// An issuer without query and fragment.
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let plain = url.query().is_none() && url.fragment().is_none() && url.host_str().is_some();
        let no_user = url.username().is_empty() && url.password().is_none();
        (plain && no_user && matches!(url.scheme(), "https" | "http")).then(|| Self { text: text.to_owned(), url })
    }

    /// The identifier, exactly as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same as a URL.
    pub const fn url(&self) -> &Url {
        &self.url
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A signature algorithm for ID tokens (RFC 7518, section 3.1; RFC 8037). `none` and the HMACs are not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA with P-256.
    Es256,
    /// ECDSA with P-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// The registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl FromStr for Algorithm {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name).ok_or(())
    }
}
