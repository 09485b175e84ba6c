//! `[[provider]]`: who vouches for people.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use url::Url;

use super::{
    SecretFile,
    document::Node,
    host::is_localhost,
    reader::Section,
    value::{address, filled, list, parsed, text},
};
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

impl Provider {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let files = section.files();
        let name: Option<ProviderName> = section.required("name", parsed);
        let issuer = section.required("issuer", issuer);
        let client_id = section.required("client_id", filled);
        let client_secret_file = section.optional("client_secret_file", |node| files.secret(node));
        let scopes = section.or("scopes", r#"["openid", "profile", "groups"]"#, scopes);
        let groups_claim = section.or("groups_claim", r#""groups""#, filled);
        let name_claim = section.or("name_claim", r#""preferred_username""#, filled);
        let algorithms = section.or("algorithms", r#"["RS256", "ES256", "EdDSA"]"#, algorithms);
        let kubernetes_prefix = section.optional("kubernetes_prefix", kubernetes_prefix);
        let ca_file = section.optional("ca_file", |node| files.file(node));
        let resolve = section.optional("resolve", address);
        let name = name?;
        Some(Self {
            kubernetes_prefix: kubernetes_prefix.unwrap_or_else(|| format!("{name}:")),
            name,
            issuer: issuer?,
            client_id: client_id?,
            client_secret_file,
            scopes: scopes?,
            groups_claim: groups_claim?,
            name_claim: name_claim?,
            algorithms: algorithms?,
            ca_file,
            resolve,
        })
    }
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

/// Everything else is believed because of this connection, so it is https, or stays on this machine.
fn issuer(node: &Node) -> Result<Issuer, String> {
    let text = filled(node)?;
    let issuer = Issuer::parse(&text).ok_or("must be an https URL without query and fragment")?;
    let is_local = match issuer.url().host() {
        Some(url::Host::Domain(host)) => is_localhost(host),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if issuer.url().scheme() == "https" || is_local {
        Ok(issuer)
    } else {
        Err("must be https, unless its host is this machine".to_owned())
    }
}

fn scopes(node: &Node) -> Result<Vec<String>, String> {
    let scopes = list(filled)(node)?;
    if scopes.iter().any(|scope| scope == "openid") { Ok(scopes) } else { Err("must contain `openid`".to_owned()) }
}

fn algorithms(node: &Node) -> Result<Vec<Algorithm>, String> {
    let known = || Algorithm::ALL.map(Algorithm::as_str).join(", ");
    let one = |node: &Node| {
        let name = filled(node)?;
        name.parse().map_err(|()| format!("`{name}` is not an algorithm that we take; known: {}", known()))
    };
    let algorithms = list(one)(node)?;
    if algorithms.is_empty() { Err("must name one at least".to_owned()) } else { Ok(algorithms) }
}

/// INVARIANT: never empty, so that no provider can name a user or group of another one or of Kubernetes itself.
fn kubernetes_prefix(node: &Node) -> Result<String, String> {
    let prefix = text(node)?;
    let is_plain = prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.:/".contains(&b));
    match prefix.as_str() {
        "" => Err("must not be empty: providers could then name each other's users".to_owned()),
        _ if prefix.starts_with("system:") => Err("`system:` belongs to Kubernetes".to_owned()),
        _ if !is_plain => Err("only lower-case letters, digits and `-_.:/`".to_owned()),
        _ if !prefix.ends_with([':', '/']) => Err("must end with `:` or `/`".to_owned()),
        _ => Ok(prefix),
    }
}
