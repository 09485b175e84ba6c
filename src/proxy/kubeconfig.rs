//! The part of a kubeconfig that says where a cluster is and what to show there (k8s.io/client-go, tools/clientcmd).

use std::path::Path;

use serde::Deserialize;

use super::target::TargetFault;

/// A kubeconfig file.
#[derive(Deserialize)]
pub(super) struct Kubeconfig {
    #[serde(default)]
    clusters: Vec<Named<ClusterEntry>>,
    #[serde(default)]
    users: Vec<Named<UserEntry>>,
    #[serde(default)]
    contexts: Vec<Named<ContextEntry>>,
    #[serde(default, rename = "current-context")]
    current: String,
}

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(alias = "cluster", alias = "user", alias = "context")]
    entry: T,
}

/// Where a cluster is.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ClusterEntry {
    pub(super) server: String,
    #[serde(rename = "certificate-authority")]
    pub(super) authority: Option<String>,
    #[serde(rename = "certificate-authority-data")]
    pub(super) authority_data: Option<String>,
    pub(super) tls_server_name: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
    proxy_url: Option<String>,
}

/// What is shown there.
#[derive(Default, Deserialize)]
pub(super) struct UserEntry {
    #[serde(rename = "client-certificate")]
    pub(super) certificate: Option<String>,
    #[serde(rename = "client-certificate-data")]
    pub(super) certificate_data: Option<String>,
    #[serde(rename = "client-key")]
    pub(super) key: Option<String>,
    #[serde(rename = "client-key-data")]
    pub(super) key_data: Option<String>,
    pub(super) token: Option<String>,
    #[serde(rename = "tokenFile")]
    pub(super) token_file: Option<String>,
    exec: Option<serde_yaml_ng::Value>,
    #[serde(rename = "auth-provider")]
    auth_provider: Option<serde_yaml_ng::Value>,
    username: Option<String>,
    #[serde(rename = "as")]
    impersonate: Option<String>,
}

#[derive(Deserialize)]
struct ContextEntry {
    cluster: String,
    #[serde(default)]
    user: String,
}

impl Kubeconfig {
    pub(super) fn read(path: &Path) -> Result<Self, TargetFault> {
        let fault = |why: String| TargetFault::File { path: path.to_owned(), why };
        let text = std::fs::read_to_string(path).map_err(|source| fault(source.to_string()))?;
        Self::parse(&text).map_err(fault)
    }

    fn parse(text: &str) -> Result<Self, String> {
        // The parser's own words could echo a secret; its place in the file cannot.
        serde_yaml_ng::from_str(text).map_err(|fault| match fault.location() {
            Some(at) => format!("not a kubeconfig, at line {} column {}", at.line(), at.column()),
            None => "not a kubeconfig".to_owned(),
        })
    }

    /// The cluster and user of a context: the current one, if none is named.
    pub(super) fn context(&self, name: Option<&str>) -> Result<(&ClusterEntry, &UserEntry), String> {
        let name = name.unwrap_or(&self.current);
        let context = find(&self.contexts, name).ok_or_else(|| format!("there is no context {name:?}"))?;
        let cluster = find(&self.clusters, &context.cluster)
            .ok_or_else(|| format!("there is no cluster {:?}", context.cluster))?;
        let user = find(&self.users, &context.user).ok_or_else(|| format!("there is no user {:?}", context.user))?;
        Ok((cluster, user))
    }
}

impl ClusterEntry {
    pub(super) fn unsupported(&self) -> Option<&'static str> {
        if self.insecure_skip_tls_verify {
            Some("insecure-skip-tls-verify: the broker does not talk to a cluster that it cannot verify")
        } else if self.proxy_url.is_some() {
            Some("proxy-url: the broker reaches clusters directly")
        } else if !self.server.starts_with("https://") {
            Some("server: the broker reaches clusters by https only")
        } else {
            None
        }
    }
}

impl UserEntry {
    pub(super) fn unsupported(&self) -> Option<&'static str> {
        if self.exec.is_some() {
            Some("exec: the broker runs no credential plugins; give it a client certificate, a token or a tokenFile")
        } else if self.auth_provider.is_some() {
            Some("auth-provider: give the broker a client certificate, a token or a tokenFile")
        } else if self.username.is_some() {
            Some("username: give the broker a client certificate, a token or a tokenFile")
        } else if self.impersonate.is_some() {
            Some("as: the broker impersonates whoever asks, nobody else")
        } else {
            None
        }
    }
}

fn find<'a, T>(entries: &'a [Named<T>], name: &str) -> Option<&'a T> {
    entries.iter().find(|entry| entry.name == name).map(|entry| &entry.entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
apiVersion: v1
kind: Config
current-context: a
preferences: {}
clusters:
- {name: one, cluster: {server: 'https://127.0.0.1:6443', certificate-authority-data: Zm9v, tls-server-name: api}}
- {name: two, cluster: {server: 'https://b', insecure-skip-tls-verify: true}}
users:
- {name: cert, user: {client-certificate: c.pem, client-key: k.pem}}
- {name: plugin, user: {exec: {command: aws}}}
- {name: file, user: {tokenFile: /run/token}}
contexts:
- {name: a, context: {cluster: one, user: cert, namespace: x}}
- {name: b, context: {cluster: two, user: plugin}}
- {name: c, context: {cluster: three, user: file}}
";

    #[test]
    fn a_context_names_a_cluster_and_what_is_shown_there() {
        let config = Kubeconfig::parse(FILE).unwrap();
        let (cluster, user) = config.context(None).unwrap();
        assert_eq!(
            (cluster.server.as_str(), cluster.tls_server_name.as_deref()),
            ("https://127.0.0.1:6443", Some("api"))
        );
        assert_eq!((user.certificate.as_deref(), user.key.as_deref()), (Some("c.pem"), Some("k.pem")));
        assert!(cluster.unsupported().is_none() && user.unsupported().is_none());
    }

    #[test]
    fn what_the_broker_does_not_do_is_said_plainly() {
        let config = Kubeconfig::parse(FILE).unwrap();
        let (cluster, user) = config.context(Some("b")).unwrap();
        assert!(cluster.unsupported().unwrap().contains("insecure-skip-tls-verify"));
        assert!(user.unsupported().unwrap().contains("exec"));
        assert!(config.context(Some("c")).is_err_and(|why| why.contains("three")));
        assert!(config.context(Some("d")).is_err_and(|why| why.contains("\"d\"")));
        let secret = Kubeconfig::parse("users: [{name: x, user: {token: [hunter2]}}]").err().unwrap();
        assert!(!secret.contains("hunter2") && secret.contains("line"), "{secret}");
    }
}
