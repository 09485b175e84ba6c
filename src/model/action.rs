//! What a caller asks for: the thing that policy judges and that a permit later owns.
//! INVARIANT: an action holds everything that the upstream request line is built from, so that what was judged is what
//! is sent. Queries are not judged as text and may carry secrets, so they are never recorded.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{AppName, CanonicalPath, ClusterName, CredentialId, Identity, LoginId};

/// Something that can be permitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Action {
    /// A request to a protected web app.
    Web(WebRequest),
    /// A request to a cluster's API server.
    Kubernetes(KubernetesRequest),
    /// A credential to be issued.
    Issue(IssueRequest),
    /// A first passkey to be registered.
    Enrol(EnrolRequest),
    /// Something in the portal.
    Portal(PortalAction),
}

/// A request to a web app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebRequest {
    /// The app.
    pub app: AppName,
    /// The method.
    pub method: Method,
    /// The path, canonical.
    pub path: CanonicalPath,
    /// The query as it came, without `?`; sent on, never judged or recorded.
    #[serde(skip)]
    pub query: Option<String>,
    /// Whether the connection is to become a stream.
    pub upgrade: Upgrade,
}

/// A request to an API server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubernetesRequest {
    /// The cluster.
    pub cluster: ClusterName,
    /// The method.
    pub method: Method,
    /// The path, checked and sent on byte for byte.
    pub path: String,
    /// The query as it came, without `?`; its meaning for policy is in `attributes`.
    #[serde(skip)]
    pub query: Option<String>,
    /// What the API server will understand.
    pub attributes: Attributes,
    /// Whether the connection is to become a stream.
    pub upgrade: Upgrade,
}

/// What the API server derives from method, path and query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Attributes {
    /// A request about API objects.
    Resource(Resource),
    /// Any other path.
    NonResource(NonResource),
}

/// Attributes of a request about API objects. Empty strings where the API server has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub api_group: String,
    /// The API version.
    pub api_version: String,
    /// get, list, watch, create, update, patch, delete, deletecollection or proxy.
    pub verb: String,
    /// The resource, in the plural.
    pub resource: String,
    /// The subresource.
    pub subresource: String,
    /// The namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// Field selectors of a list or watch.
    pub field_selector: Vec<Selector>,
    /// Label selectors of a list or watch.
    pub label_selector: Vec<Selector>,
}

/// One requirement of a selector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// The field or label.
    pub key: String,
    /// `=`, `!=`, `in`, `notin`, `exists` or `!`.
    pub operator: String,
    /// What it is compared with.
    pub values: Vec<String>,
}

/// Attributes of a request for any other path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NonResource {
    /// The method in lower case.
    pub verb: String,
    /// The path.
    pub path: String,
}

/// A client certificate that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssueRequest {
    /// For which cluster.
    pub cluster: ClusterName,
    /// Only for these namespaces; none listed means all.
    pub namespaces: Vec<String>,
    /// Whether more than reading is asked for.
    pub reach: super::Reach,
    /// For how many seconds.
    pub lifetime: u64,
    /// SHA-256 of the public key's SubjectPublicKeyInfo, in lower-case hex.
    pub key: String,
}

/// A first passkey that someone wants to register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolRequest {
    /// Whether an administrator has invited this person.
    pub invited: bool,
}

/// Something in the portal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum PortalAction {
    /// To see one's own page.
    Home,
    /// To let the command line act for this login.
    AuthorizeCommandLine,
    /// To see logins: everybody's.
    ListSessions,
    /// To end a login.
    EndSession {
        /// Which.
        login: LoginId,
        /// Whose it is.
        owner: Identity,
    },
    /// To revoke a credential.
    RevokeCredential {
        /// Which.
        credential: CredentialId,
        /// Whose it is.
        owner: Identity,
    },
    /// To read the audit log.
    ReadAudit {
        /// What was looked for, as in the page's address; nothing for all of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        search: Option<String>,
    },
    /// To see one entry of the audit log. Asked of every entry that is shown; recorded only where one was asked for by
    /// its place and the answer is no. What the rules judge is that entry, which the place leads to.
    ReadEntry {
        /// Its place in the log.
        leaf: u64,
    },
    /// To take entries of the audit log away in a file.
    ExportAudit {
        /// Which, as in the page's address.
        search: String,
        /// csv, ndjson, bundle or manifest.
        format: String,
    },
    /// To keep a search of the audit log under a name.
    SaveSearch {
        /// The name.
        name: String,
    },
    /// To forget a search that was kept.
    RemoveSearch {
        /// Its name.
        name: String,
    },
    /// To see whether the rules are loaded.
    ReadPolicy,
    /// To invite a person to register a first passkey.
    Invite {
        /// Whom.
        person: Identity,
    },
}

/// Whether a request asks for its connection to become a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Upgrade {
    /// An ordinary request.
    None,
    /// RFC 6455.
    WebSocket,
    /// SPDY/3.1, as older kubectl speaks it.
    Spdy,
}

/// An HTTP method that the broker passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// RFC 9110, section 9.3.1.
    Get,
    /// RFC 9110, section 9.3.2.
    Head,
    /// RFC 9110, section 9.3.3.
    Post,
    /// RFC 9110, section 9.3.4.
    Put,
    /// RFC 9110, section 9.3.5.
    Delete,
    /// RFC 9110, section 9.3.7.
    Options,
    /// RFC 5789.
    Patch,
}

impl Method {
    /// The token on the request line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
        }
    }
}

impl FromStr for Method {
    type Err = ();

    /// Any other method, CONNECT and TRACE among them, is refused.
    fn from_str(token: &str) -> Result<Self, ()> {
        [Self::Get, Self::Head, Self::Post, Self::Put, Self::Delete, Self::Options, Self::Patch]
            .into_iter()
            .find(|method| method.as_str() == token)
            .ok_or(())
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
