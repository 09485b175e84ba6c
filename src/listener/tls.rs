//! Which TLS configuration answers to which server name.
//!
//! INVARIANT: client certificates are asked for on cluster names only, by configurations that never resume a session, so
//! that every connection there proves its key anew (a resumed one would skip a changed authority). A certificate that
//! does not verify ends the handshake; none at all is left to the door, which answers in the words of its protocol.

use std::{collections::HashMap, path::Path, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs::default_provider,
    server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier},
    version::{TLS12, TLS13},
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};

use super::canonical_host;

/// The certificate that the broker shows, and its key.
#[derive(Debug)]
pub struct ServerKey {
    /// The certificate, then its issuers.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key.
    pub key: PrivateKeyDer<'static>,
}

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// A file that does not hold what it should.
    #[error("cannot read {path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why not.
        source: pem::Error,
    },
    /// The certificate and the key do not fit, or one is unusable.
    #[error("the server's certificate or key cannot be used: {0}")]
    Key(#[from] rustls::Error),
    /// The authority for client certificates is unusable.
    #[error("the authority for client certificates cannot be used: {0}")]
    Authority(#[from] VerifierBuilderError),
    /// Something that is not a host name.
    #[error("{0:?} is not a host name")]
    NotAHost(String),
}

impl ServerKey {
    /// From two PEM files.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsFault> {
        let at = |path: &Path| {
            let path = path.display().to_string();
            |source| TlsFault::File { path, source }
        };
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(at(certificate))?;
        Ok(Self { chain, key: PrivateKeyDer::from_pem_file(key).map_err(at(key))? })
    }
}

/// A configuration for the portal and the apps; with `client_authorities`, for clusters.
pub fn server_config(
    shown: &ServerKey,
    client_authorities: Option<&[CertificateDer<'static>]>,
) -> Result<Arc<ServerConfig>, TlsFault> {
    let provider = Arc::new(default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[&TLS13, &TLS12])?;
    let builder = match client_authorities {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            for authority in authorities {
                roots.add(authority.clone())?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.allow_unauthenticated().build()?)
        }
    };
    let mut config = builder.with_single_cert(shown.chain.clone(), shown.key.clone_key())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if client_authorities.is_some() {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

/// Whose name a handshake gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A cluster's.
    Cluster,
    /// The portal's, an app's, or nobody's.
    Other,
}

/// Server name to configuration. Swapped whole when a certificate changes.
#[derive(Clone, Debug)]
pub struct ServerNames {
    default: Arc<ServerConfig>,
    clusters: HashMap<String, Arc<ServerConfig>>,
}

impl ServerNames {
    /// `default` answers to every name that is not a cluster's; what is no name of ours then gets 421.
    pub fn new(default: Arc<ServerConfig>) -> Self {
        Self { default, clusters: HashMap::new() }
    }

    /// Gives a cluster's host (a port after it is ignored) its own configuration.
    pub fn insert(&mut self, host: &str, config: Arc<ServerConfig>) -> Result<(), TlsFault> {
        let name = canonical_host(host).ok_or_else(|| TlsFault::NotAHost(host.to_owned()))?;
        self.clusters.insert(name, config);
        Ok(())
    }

    /// The configuration for a server name, which may come in any case, and whose name it is.
    pub(super) fn choose(&self, name: Option<&str>) -> (Arc<ServerConfig>, Named) {
        match name.and_then(|name| self.clusters.get(&name.to_ascii_lowercase())) {
            Some(config) => (Arc::clone(config), Named::Cluster),
            None => (Arc::clone(&self.default), Named::Other),
        }
    }
}
