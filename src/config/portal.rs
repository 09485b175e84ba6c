//! `[portal]`: where people sign in.

use url::Url;

/// The portal's public face.
#[derive(Clone, Debug)]
pub struct Portal {
    /// The address that browsers use: scheme, host and port, nothing more. Its host is the passkeys' relying party id.
    pub url: Url,
}

impl Portal {
    /// The host: the relying party id, never a parent domain of it.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The exact origin (RFC 6454): what `Origin` headers and passkeys must say.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}
