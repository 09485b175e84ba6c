//! `[[cluster]]`: a Kubernetes cluster.

use std::{net::SocketAddr, path::PathBuf};

use url::Url;

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
