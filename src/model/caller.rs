//! Who makes a request, as far as it has been proven, and how far what they presented reaches.
//! A caller is a snapshot of rows that were live when the request arrived; it grants nothing by itself.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{AppName, AppSessionId, ClusterName, CredentialId, LoginId, PersonId, ProviderName, Timestamp};

/// A person who has shown something that belongs to a live login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    /// The person's row.
    pub person: PersonId,
    /// What the provider vouches for.
    pub identity: Identity,
    /// The groups that the provider named at sign-in: sorted, each once.
    pub groups: Vec<String>,
    /// The login that everything hangs on.
    pub login: LoginId,
    /// What was presented with this request.
    pub presented: Presented,
    /// How far it reaches; checked before any policy.
    pub scope: Scope,
    /// How well the person has proven themselves, and when.
    pub assurance: Assurance,
    /// The provider's authentication context class, when it gave one (OpenID Connect Core 1.0, section 2).
    pub acr: Option<String>,
    /// Where the request came from, after listed proxies.
    pub address: IpAddr,
}

/// A person as the provider knows them. INVARIANT: (issuer, subject) is the key; the name is for reading only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The configured name of the provider.
    pub provider: ProviderName,
    /// The provider's issuer identifier.
    pub issuer: String,
    /// The subject within that issuer; never reassigned (OpenID Connect Core 1.0, section 5.7).
    pub subject: String,
    /// What to show on pages.
    pub name: String,
}

/// What came with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "kebab-case")]
pub enum Presented {
    /// The portal's own session cookie.
    Session,
    /// An app's session cookie.
    AppSession(AppSessionId),
    /// A client certificate.
    Certificate(CredentialId),
    /// A command-line token.
    Token(CredentialId),
}

impl Presented {
    /// The word that policies read in `context.credential`.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::AppSession(_) => "app-session",
            Self::Certificate(_) => "certificate",
            Self::Token(_) => "token",
        }
    }

    /// The credential's row, when one was issued.
    pub const fn credential(self) -> Option<CredentialId> {
        match self {
            Self::Certificate(id) | Self::Token(id) => Some(id),
            Self::Session | Self::AppSession(_) => None,
        }
    }
}

/// How far what was presented reaches. Kept on the server; a certificate carries identity, never permission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Scope {
    /// The portal and its API.
    Portal,
    /// One protected app.
    App {
        /// Which.
        app: AppName,
    },
    /// One cluster, or less of it.
    Cluster {
        /// Which.
        cluster: ClusterName,
        /// Only these namespaces; none listed means all.
        namespaces: Vec<String>,
        /// Whether more than reading is covered.
        reach: Reach,
    },
}

impl Scope {
    /// Whether it is this app's.
    pub fn is_app(&self, name: &AppName) -> bool {
        matches!(self, Self::App { app } if app == name)
    }
}

/// Whether a credential covers changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// get, list, watch and logs only.
    ReadOnly,
    /// Whatever policy allows.
    Full,
}

/// How well and when the person proved themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assurance {
    /// How well.
    pub level: AssuranceLevel,
    /// When last.
    pub at: Timestamp,
}

/// The steps of proof, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AssuranceLevel {
    /// The provider vouches; half a login.
    Provider,
    /// A passkey with user verification as well.
    Passkey,
}

impl AssuranceLevel {
    /// The word that policies and rows use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Passkey => "passkey",
        }
    }
}
