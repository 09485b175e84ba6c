//! `[portal]`: where people sign in.

use url::{Host, Url};

use super::{
    document::Node,
    host::{is_host_name, is_localhost},
    reader::Section,
    value::origin_url,
};

/// The portal's public face.
#[derive(Clone, Debug)]
pub struct Portal {
    /// The address that browsers use: scheme, host and port, nothing more. Its host is the passkeys' relying party id.
    pub url: Url,
}

impl Portal {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let url = section.required("url", portal_url);
        Some(Self { url: url? })
    }

    /// The host: the relying party id, never a parent domain of it.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The exact origin (RFC 6454): what `Origin` headers and passkeys must say.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

/// Passkeys need a host name, and browsers grant them (and `Secure` cookies) over plain HTTP on localhost alone.
fn portal_url(node: &Node) -> Result<Url, String> {
    let url = origin_url(node)?;
    let Some(Host::Domain(host)) = url.host() else {
        return Err("must have a host name, because passkeys are bound to it; an address will not do".to_owned());
    };
    if !is_host_name(host) {
        return Err(format!("`{host}` is not a host name"));
    }
    if url.scheme() == "http" && !is_localhost(host) {
        return Err("must be https, unless its host is localhost or below it".to_owned());
    }
    Ok(url)
}
