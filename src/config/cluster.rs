//! `[[cluster]]`: a Kubernetes cluster.

use std::{net::SocketAddr, path::PathBuf};

use url::Url;

use super::{
    document::Node,
    host::is_host_name,
    reader::Section,
    value::{address, boolean, filled, origin_url, parsed},
};
use crate::model::ClusterName;

/// A Kubernetes cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// How policies and the log call it.
    pub name: ClusterName,
    /// Its own host name: the server name of TLS and the authority of requests.
    pub host: String,
    /// A TLS port of its own; none: the `https` port of the listener.
    pub listen: Option<SocketAddr>,
    /// With what the broker reaches it.
    pub access: ClusterAccess,
    /// What clients dial, for their kubeconfig; none: `https://<host>` and the port.
    pub server_url: Option<Url>,
}

/// With what the broker reaches a cluster: `kubeconfig` and `context`, or `in_cluster = true`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterAccess {
    /// A kubeconfig file, and one of its contexts; none: its current one.
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// The context.
        context: Option<String>,
    },
    /// The service account that the broker runs under.
    InCluster,
}

impl Cluster {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let files = section.files();
        let name = section.required("name", parsed);
        let host = section.required("host", host);
        let listen = section.optional("listen", address);
        let has_kubeconfig = section.has("kubeconfig");
        let kubeconfig = section.optional("kubeconfig", |node| files.file(node));
        let context = section.optional("context", filled);
        let in_cluster = section.or("in_cluster", "false", boolean)?;
        let server_url = section.optional("server_url", https_url);
        match (has_kubeconfig, in_cluster) {
            (true, true) => {
                section.wrong("in_cluster", "`kubeconfig` and `in_cluster` exclude each other", "one too many")
            }
            (false, false) => {
                section.wrong("", "a cluster needs `kubeconfig` or `in_cluster = true`", "needs `kubeconfig`")
            }
            _ => {}
        }
        if context.is_some() && !has_kubeconfig {
            section.wrong("context", "`context` is one of a `kubeconfig`, which is missing", "of which file?");
        }
        let access = if in_cluster {
            ClusterAccess::InCluster
        } else {
            ClusterAccess::Kubeconfig { path: kubeconfig?, context }
        };
        Some(Self { name: name?, host: host?, listen, access, server_url })
    }
}

fn host(node: &Node) -> Result<String, String> {
    let text = filled(node)?;
    if is_host_name(&text) { Ok(text) } else { Err(format!("`{text}` is not a host name in lower case")) }
}

fn https_url(node: &Node) -> Result<Url, String> {
    let url = origin_url(node)?;
    if url.scheme() == "https" { Ok(url) } else { Err("must be https".to_owned()) }
}
