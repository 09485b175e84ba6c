//! The real doors behind the real listener, over a court of a test's own, before an upstream that writes down what arrives.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use bailiwick::{
    audit::Refusals,
    config::{self, ClusterAccess, Issuer},
    identity::{Callers, Handovers},
    listener::{HostTable, Limits, Listener, Options, ServerKey, ServerNames, Service, Trust, server_config},
    model::{AppSessionId, Caller, Clock as _, CredentialId, Reach, Scope},
    proxy::{KubernetesDoor, Rooms, WebDoor},
    store::{app_session, credential},
};
use rustls::ClientConfig;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    pki::{Authority, Pair, dial},
    wire::exchange,
};
use crate::support::{court::Court, rows::limits};

pub const ORIGIN: &str = "http://wiki.test";
pub const COOKIE: &str = "a-cookie-of-the-wiki";

fn rooms(court: &Court, authority: Option<&[u8]>) -> Rooms {
    let callers =
        Callers::new(court.db.pool.clone(), court.clock.clone(), limits(), authority).remembering(court.feed.clone());
    let (clock, entropy) = (court.clock.clone(), court.entropy.clone());
    Rooms {
        handovers: Handovers::new(court.db.pool.clone(), clock.clone(), entropy.clone(), callers.clone()),
        callers,
        gate: court.gate.clone(),
        log: court.log.clone(),
        refusals: Refusals::new(court.log.clone(), clock.clone()),
        streams: court.streams.clone(),
        clock,
        entropy,
    }
}

fn hash(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

fn portal() -> config::Portal {
    config::Portal { url: Url::parse("http://auth.test:8080").unwrap() }
}

async fn listen(host: &str, service: Service, names: Option<ServerNames>) -> SocketAddr {
    let mut table = HostTable::default();
    table.insert(host, service).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let (http, https) = if names.is_some() { (None, vec![any]) } else { (Some(any), vec![]) };
    let options = Options { http, https, limits: Limits::default(), trust: Trust::default() };
    let names = names.map(|names| Arc::new(ArcSwap::from_pointee(names)));
    let listener = Listener::bind(&options, names, table, Arc::new(|_| {})).await.unwrap();
    let address = listener.addresses()[0];
    tokio::spawn(listener.serve(CancellationToken::new()));
    address
}

/// The wiki behind its door, and somebody with a session there.
pub struct Wiki {
    pub court: Court,
    pub rooms: Rooms,
    pub caller: Caller,
    pub front: SocketAddr,
}

impl Wiki {
    pub async fn at(upstream: SocketAddr, rules: &str) -> Self {
        Self::waiting(Duration::from_secs(120), upstream, rules).await
    }

    /// Where the app may keep everybody waiting only for so long.
    pub async fn waiting(patience: Duration, upstream: SocketAddr, rules: &str) -> Self {
        let court = Court::under(rules).await;
        let app = config::App {
            name: "wiki".parse().unwrap(),
            host: "wiki.test".parse().unwrap(),
            upstream: Url::parse(&format!("http://{upstream}")).unwrap(),
            ca_file: None,
            forward_identity: true,
        };
        let caller = court.caller("alice").await;
        let id = AppSessionId::random(court.entropy.as_ref());
        let now = court.clock.now();
        let cookie = hash(COOKIE.as_bytes());
        app_session::insert(&court.db.pool, id, &cookie, caller.login, &app.name, now).await.unwrap();
        let rooms = rooms(&court, None);
        let door = WebDoor::new(&app, &portal(), rooms.clone(), patience).unwrap();
        let front = listen("wiki.test", door.service(), None).await;
        Self { court, rooms, caller, front }
    }

    /// A request with the session's cookie; `fields` are whole lines.
    pub fn request(&self, line: &str, fields: &str, body: &str) -> String {
        let cookie = format!("Cookie: theirs=1; __Host-bailiwick-app={COOKIE}; more=2\r\n");
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        format!("{line} HTTP/1.1\r\nHost: wiki.test\r\n{cookie}{fields}{length}\r\n{body}")
    }

    /// The same, once, to the end of the connection.
    pub async fn ask(&self, line: &str, fields: &str, body: &str) -> String {
        exchange(self.front, &self.request(line, &format!("{fields}Connection: close\r\n"), body)).await
    }

    /// The same on a connection that stays open.
    pub async fn open(&self, line: &str, fields: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.front).await.unwrap();
        stream.write_all(self.request(line, fields, "").as_bytes()).await.unwrap();
        stream
    }
}

/// A cluster behind its door, and somebody with a certificate for it.
pub struct Cluster {
    pub court: Court,
    pub caller: Caller,
    pub pair: Pair,
    pub credential: CredentialId,
    public: Authority,
    front: SocketAddr,
    _folder: tempfile::TempDir,
}

const SERIAL: [u8; 16] = [0x5a; 16];

impl Cluster {
    /// `upstream` speaks TLS with a certificate of `api` for `api.test`.
    pub async fn at(upstream: SocketAddr, api: &Authority, rules: &str) -> Self {
        let court = Court::under(rules).await;
        let (public, internal) = (Authority::new("public"), Authority::new("internal"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        std::fs::write(folder.path().join("ca.pem"), api.pem()).unwrap();
        std::fs::write(&path, kubeconfig(upstream)).unwrap();
        let cluster = config::Cluster {
            name: "demo".parse().unwrap(),
            host: "cluster.test".to_owned(),
            listen: None,
            access: ClusterAccess::Kubeconfig { path, context: None },
            server_url: None,
        };
        let caller = court.caller("alice").await;
        let pair = internal.client(&SERIAL);
        let credential = certificate(&court, &caller, &pair, "demo").await;
        let rooms = rooms(&court, Some(&internal.certificate()));
        let door = KubernetesDoor::new(&cluster, &[provider()], rooms).unwrap();
        let shown = public.server(&["cluster.test"]);
        let shown = ServerKey { chain: vec![shown.certificate], key: shown.key };
        let mut names = ServerNames::new(server_config(&shown, None).unwrap());
        names.insert("cluster.test", server_config(&shown, Some(&[internal.certificate()])).unwrap()).unwrap();
        let front = listen("cluster.test", door.service(), Some(names)).await;
        Self { court, caller, pair, credential, public, front, _folder: folder }
    }

    /// A request with the certificate, or without, on a connection that stays open.
    pub async fn open(&self, line: &str, fields: &str, pair: Option<&Pair>) -> TlsStream<TcpStream> {
        let config: Arc<ClientConfig> = Arc::new(self.public.client_config(pair));
        let mut stream = dial(self.front, &config, "cluster.test").await.unwrap();
        let request = format!("{line} HTTP/1.1\r\nHost: cluster.test\r\n{fields}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// The same to the end of the connection.
    pub async fn ask(&self, line: &str, fields: &str, pair: Option<&Pair>) -> String {
        let mut stream = self.open(line, &format!("{fields}Connection: close\r\n"), pair).await;
        let mut answer = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

async fn certificate(court: &Court, caller: &Caller, pair: &Pair, cluster: &str) -> CredentialId {
    let now = court.clock.now();
    let id = CredentialId::random(court.entropy.as_ref());
    let new = credential::NewCredential {
        id,
        login: caller.login,
        person: caller.person,
        serial: Some(SERIAL.to_vec()),
        key_hash: hash(&pair.key_info),
        scope: Scope::Cluster { cluster: cluster.parse().unwrap(), namespaces: vec![], reach: Reach::Full },
        issued_at: now,
        not_after: now.plus(std::time::Duration::from_secs(3600)),
    };
    credential::insert(&court.db.pool, &new).await.unwrap();
    id
}

fn provider() -> config::Provider {
    config::Provider {
        name: "corp".parse().unwrap(),
        issuer: Issuer::parse("https://idp.example").unwrap(),
        client_id: "bailiwick".to_owned(),
        client_secret_file: None,
        scopes: vec![],
        groups_claim: "groups".to_owned(),
        name_claim: "preferred_username".to_owned(),
        algorithms: vec![],
        kubernetes_prefix: "corp:".to_owned(),
        ca_file: None,
        resolve: None,
    }
}

fn kubeconfig(at: SocketAddr) -> String {
    format!(
        "current-context: it\n\
         contexts: [{{name: it, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: 'https://{at}', certificate-authority: ca.pem, tls-server-name: api.test}}}}]\n\
         users: [{{name: u, user: {{token: the-brokers-own}}}}]\n"
    )
}
