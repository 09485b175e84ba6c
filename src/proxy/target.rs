//! Where protected things really are, and what the broker shows there: an app's address, a cluster's kubeconfig, or the
//! service account of the pod that the broker runs in.
//!
//! The broker's own credential in a cluster may impersonate and nothing else, because whatever loses the impersonation
//! fields runs under it. Programs named in a kubeconfig are not run, and certificates are always verified.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::HeaderValue;
use rustls::{
    ClientConfig, RootCertStore, SignatureScheme,
    client::ResolvesClientCert,
    crypto::{CryptoProvider, aws_lc_rs::default_provider},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{dial::Dial, kubeconfig::Kubeconfig};
use crate::config::{App, Cluster, ClusterAccess};

/// Where an upstream is, and what is shown there.
pub struct Target {
    /// How it is reached.
    pub dial: Dial,
    /// `http` or `https`.
    pub scheme: http::uri::Scheme,
    /// Its own `host:port`.
    pub authority: String,
    /// What its paths begin with; empty for most.
    pub prefix: String,
    /// The token that goes with each request.
    pub token: Token,
}

/// A bearer token.
#[derive(Clone)]
pub enum Token {
    /// None: a client certificate, or nothing at all.
    None,
    /// One that stays.
    Fixed(SecretString),
    /// One that is renewed under our feet, and read when it is used.
    File(PathBuf),
}

/// Why an upstream cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetFault {
    /// A file that cannot be read, or does not hold what it should.
    #[error("{path}: {why}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A kubeconfig that asks for what the broker does not do.
    #[error("{path}: {why}", path = path.display())]
    Unsupported {
        /// Which.
        path: PathBuf,
        /// What.
        why: &'static str,
    },
    /// An address that is none.
    #[error("{0} is not the address of an upstream")]
    Address(String),
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Needs no environment, only the cluster's own DNS.
const IN_CLUSTER: &str = "https://kubernetes.default.svc";

impl Target {
    /// An app's upstream.
    pub fn of_app(app: &App) -> Result<Self, TargetFault> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = &app.ca_file {
            add_pem(&mut roots, path, &read(path)?)?;
        }
        Self::new(&app.upstream, roots, None, None, Token::None)
    }

    /// A cluster's API server.
    pub fn of_cluster(cluster: &Cluster) -> Result<Self, TargetFault> {
        match &cluster.access {
            ClusterAccess::Kubeconfig { path, context } => {
                Self::from_kubeconfig(path, &Kubeconfig::read(path)?, context.as_deref())
            }
            ClusterAccess::InCluster => {
                let folder = Path::new(SERVICE_ACCOUNT);
                let mut roots = RootCertStore::empty();
                let authority = folder.join("ca.crt");
                add_pem(&mut roots, &authority, &read(&authority)?)?;
                let server = Url::parse(IN_CLUSTER).map_err(|_| TargetFault::Address(IN_CLUSTER.to_owned()))?;
                Self::new(&server, roots, None, None, Token::File(folder.join("token")))
            }
        }
    }

    fn from_kubeconfig(path: &Path, config: &Kubeconfig, context: Option<&str>) -> Result<Self, TargetFault> {
        let fault = |why: String| TargetFault::File { path: path.to_owned(), why };
        let (cluster, user) = config.context(context).map_err(fault)?;
        if let Some(why) = cluster.unsupported().or(user.unsupported()) {
            return Err(TargetFault::Unsupported { path: path.to_owned(), why });
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        let server = Url::parse(&cluster.server).map_err(|_| TargetFault::Address(cluster.server.clone()))?;
        let mut roots = RootCertStore::empty();
        match Material::of(folder, cluster.authority.as_deref(), cluster.authority_data.as_deref()) {
            Some(authority) => add_pem(&mut roots, path, &authority.read()?)?,
            None => roots.roots.extend_from_slice(webpki_roots::TLS_SERVER_ROOTS),
        }
        let certificate = Material::of(folder, user.certificate.as_deref(), user.certificate_data.as_deref());
        let key = Material::of(folder, user.key.as_deref(), user.key_data.as_deref());
        let shown = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(Shown { certificate, key }),
            (None, None) => None,
            _ => return Err(fault("a client certificate without its key, or a key without its certificate".into())),
        };
        let token = match (&user.token_file, &user.token) {
            (Some(file), _) => Token::File(folder.join(file)),
            (None, Some(token)) => Token::Fixed(SecretString::from(token.as_str())),
            (None, None) => Token::None,
        };
        Self::new(&server, roots, cluster.tls_server_name.as_deref(), shown, token)
    }

    fn new(
        at: &Url,
        roots: RootCertStore,
        name: Option<&str>,
        shown: Option<Shown>,
        token: Token,
    ) -> Result<Self, TargetFault> {
        let fault = || TargetFault::Address(at.to_string());
        let (host, port) = (at.host_str().ok_or_else(fault)?, at.port_or_known_default().ok_or_else(fault)?);
        let (scheme, dial) = match at.scheme() {
            "http" => (http::uri::Scheme::HTTP, Dial::plain(host, port)),
            "https" => {
                let bare = host.trim_start_matches('[').trim_end_matches(']');
                let name = ServerName::try_from(name.unwrap_or(bare).to_owned()).map_err(|_| fault())?;
                (http::uri::Scheme::HTTPS, Dial::tls(host, port, client_config(roots, shown)?, name))
            }
            _ => return Err(fault()),
        };
        let authority = at.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Ok(Self { dial, scheme, authority, prefix: at.path().trim_end_matches('/').to_owned(), token })
    }
}

impl Token {
    /// The `Authorization` field, if there is to be one.
    pub async fn header(&self) -> Result<Option<HeaderValue>, TargetFault> {
        let (path, token) = match self {
            Self::None => return Ok(None),
            Self::Fixed(token) => (PathBuf::new(), token.clone()),
            Self::File(path) => {
                let text = tokio::fs::read_to_string(path).await.map_err(|fault| unreadable(path, &fault))?;
                (path.clone(), SecretString::from(text.trim()))
            }
        };
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
            .map_err(|_| TargetFault::File { path, why: "not a bearer token".to_owned() })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

fn client_config(roots: RootCertStore, shown: Option<Shown>) -> Result<ClientConfig, TargetFault> {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some(shown) => {
            // Read once now, so that a mistake shows at start.
            shown.key(&provider)?;
            builder.with_client_cert_resolver(Arc::new(Reread { shown, provider }))
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// PEM in a file, read when it is used, or in the kubeconfig itself.
#[derive(Clone)]
enum Material {
    File(PathBuf),
    Inline(String),
}

impl Material {
    fn of(folder: &Path, file: Option<&str>, inline: Option<&str>) -> Option<Self> {
        match (inline, file) {
            (Some(data), _) => Some(Self::Inline(data.to_owned())),
            (None, Some(file)) => Some(Self::File(folder.join(file))),
            (None, None) => None,
        }
    }

    fn read(&self) -> Result<Vec<u8>, TargetFault> {
        match self {
            Self::File(path) => read(path),
            Self::Inline(data) => BASE64_STANDARD.decode(data.trim()).map_err(|_| TargetFault::File {
                path: PathBuf::from("kubeconfig"),
                why: "data that is not base64".to_owned(),
            }),
        }
    }
}

/// The client certificate that the broker shows, and its key.
#[derive(Clone)]
struct Shown {
    certificate: Material,
    key: Material,
}

impl Shown {
    fn key(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TargetFault> {
        let fault = |why: &str| TargetFault::File { path: PathBuf::from("client certificate"), why: why.to_owned() };
        let chain = CertificateDer::pem_slice_iter(&self.certificate.read()?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| fault("not PEM"))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key.read()?).map_err(|_| fault("its key is not PEM"))?;
        Ok(CertifiedKey::from_der(chain, key, provider)?)
    }
}

/// Reads the certificate for each handshake, so that a renewed one is taken up.
struct Reread {
    shown: Shown,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Reread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reread")
    }
}

impl ResolvesClientCert for Reread {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        match self.shown.key(&self.provider) {
            Ok(key) => Some(Arc::new(key)),
            Err(fault) => {
                tracing::error!(%fault, "the client certificate for an upstream cannot be read");
                None
            }
        }
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn add_pem(roots: &mut RootCertStore, path: &Path, pem: &[u8]) -> Result<(), TargetFault> {
    let fault = || TargetFault::File { path: path.to_owned(), why: "no usable certificate in it".to_owned() };
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|_| fault())?).map_err(|_| fault())?;
    }
    if roots.len() == before { Err(fault()) } else { Ok(()) }
}

fn read(path: &Path) -> Result<Vec<u8>, TargetFault> {
    std::fs::read(path).map_err(|fault| unreadable(path, &fault))
}

fn unreadable(path: &Path, fault: &io::Error) -> TargetFault {
    TargetFault::File { path: path.to_owned(), why: fault.to_string() }
}
