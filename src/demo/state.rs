//! What the demonstration keeps between runs, below one folder: its ports, keys, certificates, rules and configuration.
//!
//! Made once and used again: the wrapping key, the authority, the rules (yours to edit). Made anew at each start, from
//! the same ports: the configuration, the server's certificate, `demo.json` and the kubeconfig. None of it is secure
//! enough for anything but a demonstration on one's own machine.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::ErrorKind,
    net::{Ipv4Addr, TcpListener as Socket},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;

use super::{Cluster, DemoFault, files, personas};
use crate::model::{Clock, Entropy};

/// The portal's host: passkeys are bound to it.
pub(super) const PORTAL_HOST: &str = "auth.demo.localhost";
/// The wiki's host.
pub(super) const WIKI_HOST: &str = "wiki.demo.localhost";
/// The server name of the cluster's port.
pub(super) const CLUSTER_HOST: &str = "cluster.demo.localhost";
/// How the one cluster is called.
pub(super) const CLUSTER: &str = "demo";

const CERTIFICATE_LIFE: Duration = Duration::from_secs(90 * 86_400);
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);
const POLICIES: [(&str, &str); 5] = [
    ("10-portal.cedar", include_str!("policies/10-portal.cedar")),
    ("20-wiki.cedar", include_str!("policies/20-wiki.cedar")),
    ("30-kubernetes.cedar", include_str!("policies/30-kubernetes.cedar")),
    ("40-issue.cedar", include_str!("policies/40-issue.cedar")),
    ("entities.json", include_str!("policies/entities.json")),
];

/// The folder, held by this process alone.
pub(super) struct State {
    pub(super) folder: PathBuf,
    pub(super) ports: Ports,
    /// Taken as soon as they are chosen, so that a demonstration that starts beside this one chooses others.
    held: Mutex<HashMap<u16, Socket>>,
    _lock: File,
}

/// The ports on 127.0.0.1, chosen at the first start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ports {
    pub(super) portal: u16,
    pub(super) provider: u16,
    pub(super) wiki: u16,
    pub(super) cluster: u16,
    pub(super) status: u16,
}

impl State {
    /// Opens the folder, making what is missing.
    pub(super) fn open(folder: &Path, entropy: &dyn Entropy) -> Result<Self, DemoFault> {
        files::make_folder(folder)?;
        let folder = fs::canonicalize(folder).map_err(|source| DemoFault::file("find", folder, source))?;
        let lock = lock(&folder)?;
        let (ports, held) = ports(&folder)?;
        let state = Self { folder, ports, held: Mutex::new(held), _lock: lock };
        let key = || BASE64_STANDARD.encode(entropy.bytes::<32>()).into_bytes();
        files::write_once(&state.at("wrapping.key"), key)?;
        let secret = || BASE64URL.encode(entropy.bytes::<24>()).into_bytes();
        files::write_once(&state.at("provider.secret"), secret)?;
        files::make_folder(&state.at("policies"))?;
        for (name, text) in POLICIES {
            files::write_once(&state.at("policies").join(name), || text.into())?;
        }
        Ok(state)
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The listener on one of the ports, to be served here.
    pub(super) fn listener(&self, port: u16) -> Result<TcpListener, DemoFault> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&port);
        let socket = held.ok_or_else(|| DemoFault::Network(ErrorKind::AddrInUse.into()))?;
        socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket)).map_err(DemoFault::Network)
    }

    /// Lets go of all other ports, for the broker to take them.
    pub(super) fn let_go(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn portal(&self) -> String {
        format!("http://{PORTAL_HOST}:{}", self.ports.portal)
    }

    pub(super) fn wiki(&self) -> String {
        format!("http://{WIKI_HOST}:{}", self.ports.portal)
    }

    pub(super) fn cluster_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.cluster)
    }

    /// Writes the server's certificate, signed by the demonstration's own authority.
    pub(super) fn write_certificate(&self, clock: &dyn Clock) -> Result<(), DemoFault> {
        if !self.at("ca.key").exists() {
            let key = new_key()?;
            let mut authority = certificate("Bailiwick demonstration", clock, AUTHORITY_LIFE);
            authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            let signed = authority.self_signed(&key).map_err(|_| DemoFault::Crypto)?;
            files::write(&self.at("ca.pem"), signed.pem())?;
            files::write(&self.at("ca.key"), key.serialize_pem())?;
        }
        let authority = files::read(&self.at("ca.pem"))?;
        let key = KeyPair::from_pem(&files::read(&self.at("ca.key"))?).map_err(|_| DemoFault::Crypto)?;
        let issuer = Issuer::from_ca_cert_pem(&authority, key).map_err(|_| DemoFault::Crypto)?;

        let key = new_key()?;
        let mut server = certificate(PORTAL_HOST, clock, CERTIFICATE_LIFE);
        let names = [PORTAL_HOST, WIKI_HOST, CLUSTER_HOST, "localhost", "127.0.0.1"].map(str::to_owned);
        server.subject_alt_names = CertificateParams::new(names).map_err(|_| DemoFault::Crypto)?.subject_alt_names;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let signed = server.signed_by(&key, &issuer).map_err(|_| DemoFault::Crypto)?;
        files::write(&self.at("server.pem"), signed.pem() + &authority)?;
        files::write(&self.at("server.key"), key.serialize_pem())
    }

    /// Writes the configuration that the broker runs with, and says where it is.
    pub(super) fn write_configuration(
        &self,
        broker: &str,
        auditor: &str,
        cluster: Option<&Cluster>,
    ) -> Result<PathBuf, DemoFault> {
        let local = |port: u16| format!("127.0.0.1:{port}");
        let Ports { portal, provider, wiki, status, .. } = self.ports;
        let mut configuration = json!({
            "portal": { "url": self.portal() },
            "listener": { "http": local(portal), "status": local(status) },
            "database": { "url": broker, "auditor_url": auditor },
            "keys": { "wrapping_key_file": self.at("wrapping.key") },
            "policy": { "folder": self.at("policies"), "entities": self.at("policies").join("entities.json") },
            "provider": [{
                "name": "demo",
                "issuer": format!("http://localhost:{provider}"),
                "client_id": "bailiwick",
                "client_secret_file": self.at("provider.secret"),
                "resolve": local(provider),
            }],
            "app": [{
                "name": "wiki",
                "host": format!("{WIKI_HOST}:{portal}"),
                "upstream": format!("http://{}", local(wiki)),
            }],
        });
        if let (Some(cluster), Some(sections)) = (cluster, configuration.as_object_mut()) {
            let mut section = json!({
                "name": CLUSTER,
                "host": CLUSTER_HOST,
                "listen": local(self.ports.cluster),
                "server_url": self.cluster_url(),
                "kubeconfig": cluster.kubeconfig,
            });
            if let (Some(context), Some(fields)) = (&cluster.context, section.as_object_mut()) {
                fields.insert("context".to_owned(), context.as_str().into());
            }
            sections.insert("cluster".to_owned(), json!([section]));
            if let Some(listener) = sections.get_mut("listener").and_then(|it| it.as_object_mut()) {
                listener.insert("certificate_file".to_owned(), json!(self.at("server.pem")));
                listener.insert("key_file".to_owned(), json!(self.at("server.key")));
            }
        }
        let text = toml::to_string(&configuration).map_err(|fault| DemoFault::Broker(fault.to_string()))?;
        let path = self.at("bailiwick.toml");
        files::write(&path, format!("# Written anew by every start of `bailiwick demo`.\n\n{text}"))?;
        Ok(path)
    }

    /// Writes a kubeconfig whose context asks `program` for credentials.
    pub(super) fn write_kubeconfig(&self, program: &Path) -> Result<PathBuf, DemoFault> {
        let authority = BASE64_STANDARD.encode(files::read(&self.at("ca.pem"))?);
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "demo",
            "clusters": [{ "name": "demo", "cluster": {
                "server": self.cluster_url(),
                "tls-server-name": CLUSTER_HOST,
                "certificate-authority-data": authority,
            }}],
            "users": [{ "name": "demo", "user": { "exec": {
                "apiVersion": "client.authentication.k8s.io/v1",
                "command": program,
                "args": ["kube", "credential", CLUSTER, "--portal", self.portal()],
                "interactiveMode": "Never",
                "provideClusterInfo": false,
            }}}],
            "contexts": [{ "name": "demo", "context": { "cluster": "demo", "user": "demo" }}],
        });
        let text = serde_yaml_ng::to_string(&kubeconfig).map_err(|fault| DemoFault::Broker(fault.to_string()))?;
        let path = self.at("kubeconfig");
        files::write(&path, text)?;
        Ok(path)
    }

    /// Writes what scripts need to know.
    pub(super) fn write_summary(
        &self,
        database: &str,
        verifier: &str,
        kubeconfig: Option<&Path>,
    ) -> Result<(), DemoFault> {
        let users: Vec<_> = personas::LISTED
            .iter()
            .map(|(subject, it)| json!({ "subject": subject, "name": it.name, "groups": it.groups }))
            .collect();
        let summary = json!({
            "portal": self.portal(),
            "apps": [{ "name": "wiki", "url": self.wiki() }],
            "cluster": kubeconfig.map(|_| json!({
                "name": CLUSTER, "server": self.cluster_url(), "tls_server_name": CLUSTER_HOST,
            })),
            "ca_file": kubeconfig.map(|_| self.at("ca.pem")),
            "config_file": self.at("bailiwick.toml"),
            "database": database,
            "kubeconfig": kubeconfig,
            "log": self.at("broker.log"),
            "pid": std::process::id(),
            "policy_folder": self.at("policies"),
            "provider": format!("http://localhost:{}", self.ports.provider),
            "status": format!("http://127.0.0.1:{}", self.ports.status),
            "users": users,
            "verifier_key": verifier,
        });
        files::write(&self.at("demo.json"), format!("{summary:#}\n"))
    }
}

/// One demonstration per folder at a time. The lock goes with the process, however that ends.
fn lock(folder: &Path) -> Result<File, DemoFault> {
    let path = folder.join("lock");
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| DemoFault::file("write", &path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => Err(DemoFault::Running(folder.to_owned())),
    }
}

/// The ports of the first start, taken. Others would be other addresses to browsers, and another issuer to the broker.
fn ports(folder: &Path) -> Result<(Ports, HashMap<u16, Socket>), DemoFault> {
    let path = folder.join("ports.json");
    let mut held = HashMap::new();
    if path.exists() {
        let odd = |fault: serde_json::Error| DemoFault::file("read", &path, fault.into());
        let ports: Ports = serde_json::from_str(&files::read(&path)?).map_err(odd)?;
        let Ports { portal, provider, wiki, cluster, status } = ports;
        for port in [portal, provider, wiki, cluster, status] {
            let taken = |_| DemoFault::PortTaken { port, folder: folder.to_owned() };
            held.insert(port, Socket::bind((Ipv4Addr::LOCALHOST, port)).map_err(taken)?);
        }
        return Ok((ports, held));
    }
    let mut free = |preferred: u16| -> Result<u16, DemoFault> {
        let socket = Socket::bind((Ipv4Addr::LOCALHOST, preferred)).or_else(|_| Socket::bind((Ipv4Addr::LOCALHOST, 0)));
        let socket = socket.map_err(DemoFault::Network)?;
        let port = socket.local_addr().map_err(DemoFault::Network)?.port();
        held.insert(port, socket);
        Ok(port)
    };
    let ports = Ports {
        portal: free(8080)?,
        provider: free(8081)?,
        wiki: free(8082)?,
        cluster: free(8443)?,
        status: free(9090)?,
    };
    files::write(&path, json!(ports).to_string())?;
    Ok((ports, held))
}

fn certificate(name: &str, clock: &dyn Clock, life: Duration) -> CertificateParams {
    let now = clock.now();
    let mut parameters = CertificateParams::default();
    parameters.not_before = now.minus(Duration::from_secs(3600)).to_datetime();
    parameters.not_after = now.plus(life).to_datetime();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters
}

fn new_key() -> Result<KeyPair, DemoFault> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| DemoFault::Crypto)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Settings,
        model::{SeededEntropy, SystemClock},
    };

    #[test]
    fn a_second_start_finds_what_the_first_left_and_the_configuration_is_sound() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("demo");
        let state = State::open(&folder, &SeededEntropy::new(1)).unwrap();
        assert!(matches!(State::open(&folder, &SeededEntropy::new(2)), Err(DemoFault::Running(_))));
        state.write_certificate(&SystemClock).unwrap();
        fs::write(place.path().join("kubeconfig"), "{}").unwrap();
        let cluster = Cluster { kubeconfig: place.path().join("kubeconfig"), context: Some("it".to_owned()) };
        let address = "postgres://demo_broker@localhost/bailiwick?host=/nowhere";
        let path = state.write_configuration(address, address, Some(&cluster)).unwrap();
        let settings = Settings::load(&path).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        assert_eq!(settings.portal.host(), PORTAL_HOST);
        assert_eq!(settings.cluster.len(), 1);

        let (ports, key) = (state.ports, fs::read(state.at("wrapping.key")).unwrap());
        fs::write(state.at("policies").join("10-portal.cedar"), "// mine").unwrap();
        drop(state);
        let state = State::open(&folder, &SeededEntropy::new(3)).unwrap();
        assert_eq!((state.ports, fs::read(state.at("wrapping.key")).unwrap()), (ports, key));
        assert_eq!(fs::read_to_string(state.at("policies").join("10-portal.cedar")).unwrap(), "// mine");
    }

    #[test]
    fn the_kubeconfig_names_the_port_the_server_and_no_secret() {
        let place = tempfile::tempdir().unwrap();
        let state = State::open(place.path(), &SeededEntropy::new(1)).unwrap();
        state.write_certificate(&SystemClock).unwrap();
        let text = fs::read_to_string(state.write_kubeconfig(Path::new("/bin/bailiwick")).unwrap()).unwrap();
        assert!(text.contains("tls-server-name: cluster.demo.localhost") && text.contains("command: /bin/bailiwick"));
        assert!(!text.contains("token") && !text.contains("client-key"), "{text}");
    }
}
