//! A portal over a test's database, as a service: the demonstration's rules, one app, one cluster, a provider that is
//! never called. Callers are handed out as cookies; who they are is arranged in rows.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::Arc,
};

use axum::{Router, body::Body};
use bailiwick::{
    access::{Gate, Live},
    audit::{Log, Refusals, Tasks, checkpoint::CheckpointSigner},
    config::Settings,
    credential::{Authority, Credentials, Issuer, Wrapping, keys},
    identity::{Callers, CommandLines, Handovers, Logins, Passkeys, Provider, Sessions, session::LOGIN},
    listener::Peer,
    model::{BrokerId, Caller, Clock, Entropy, FrozenClock, LoginId, SystemEntropy},
    outbound::{Outbound, Plain, Route},
    portal::{PortalState, errands::Errands, pace::Pace, router},
    shipping::{Shipping, ShippingTasks},
    store::{feed::Feed, login, person},
};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use secrecy::ExposeSecret as _;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;
use tower_sessions::Session;

use super::{TestDb, rows};

/// The portal's own origin.
pub const ORIGIN: &str = "http://auth.demo.localhost:8080";

/// A portal that answers requests handed to it.
pub struct TestPortal {
    /// What it stands on.
    pub state: Arc<PortalState>,
    /// The log that it records into.
    pub log: Log,
    /// Its time.
    pub time: Arc<FrozenClock>,
    /// What ships its checkpoints.
    _shipping: ShippingTasks,
    router: Router,
    watching: Vec<JoinHandle<()>>,
    _recording: Tasks,
    _folder: tempfile::TempDir,
}

/// An answer, read to its end.
pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub text: String,
    pub bytes: Vec<u8>,
}

impl Answer {
    /// A header's value, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl TestPortal {
    /// Opens a portal over `db`.
    pub async fn open(db: &TestDb) -> Self {
        Self::open_with(db, "").await
    }

    /// Opens a portal over `db`, with a few rules more.
    pub async fn open_with(db: &TestDb, rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Arc::new(settings(folder.path(), db, rules));
        let nowhere = bailiwick::config::Shipping::default();
        let pool = db.pool.clone();
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let frozen = rows::clock();
        let time: Arc<dyn Clock> = Arc::<FrozenClock>::clone(&frozen);
        let both = || (Arc::clone(&time), Arc::clone(&entropy));

        let wrapping = Wrapping::new(settings.keys.wrapping_key_file.clone());
        let mut connection = pool.acquire().await.unwrap();
        keys::init(&mut connection, &wrapping, "auth.demo.localhost", rows::NOON, &*entropy).await.unwrap();
        let authority = Arc::new(Authority::load(&mut connection, &wrapping).await.unwrap());
        let key = keys::checkpoint(&mut connection, &wrapping).await.unwrap();
        drop(connection);

        let signer = CheckpointSigner::from_seed(&settings.audit.origin, key.id, key.seed.expose_secret()).unwrap();
        let broker = BrokerId::random(&*entropy);
        let (log, recording) = Log::open(
            pool.clone(),
            super::audit::signed_by(signer),
            broker,
            both().0,
            both().1,
            super::audit::patience(),
        )
        .await
        .unwrap();
        let (shipping, shipped) = Shipping::open(&nowhere, &[], &log, &pool, &time).unwrap();
        let (live, rules) = Live::open(settings.policy.clone(), pool.clone(), log.clone(), both().0).await.unwrap();
        let (feed, polling) = Feed::open_within(pool.clone(), super::audit::STALE_AFTER).await.unwrap();
        let gate = Gate::new(live, log.clone(), feed.clone(), both().0);

        let (limits, portal) = (settings.login.clone(), settings.portal.clone());
        let callers = Callers::new(pool.clone(), both().0, limits.clone(), Some(authority.certificate().as_ref()))
            .remembering(feed);
        let outbound = Outbound::new(Route { plain: Plain::Loopback, ..Route::default() }).unwrap();
        let provider = Provider::new(settings.provider[0].clone(), &portal, outbound, both().0, both().1).unwrap();
        let kept = log.clone();
        let state = Arc::new(PortalState {
            settings,
            gate,
            refusals: Refusals::new(log.clone(), both().0),
            log: log.clone(),
            pace: Pace::of_sign_ins(),
            answer_pace: Pace::of_sign_ins(),
            tile_pace: Pace::of_tiles(),
            logins: Logins::new(pool.clone(), log.clone(), both().0, both().1, limits.clone(), vec![provider]),
            passkeys: Passkeys::new(&portal, pool.clone(), log.clone(), both().0, both().1).unwrap(),
            handovers: Handovers::new(pool.clone(), both().0, both().1, callers.clone()),
            command_lines: CommandLines::new(pool.clone(), log.clone(), both().0, both().1, callers.clone()),
            credentials: Credentials::new(pool.clone(), log.clone(), both().0),
            issuer: Issuer::new(authority, pool.clone(), log, both().0, both().1, limits.clone()),
            sessions: Sessions::new(pool.clone(), both().0, both().1, limits.absolute),
            callers,
            pool,
            errands: Errands::default(),
            shipping,
            clock: time,
            entropy,
        });
        let watching = vec![rules, polling];
        let router = router(Arc::clone(&state));
        Self {
            state,
            log: kept,
            time: frozen,
            _shipping: shipped,
            router,
            watching,
            _recording: recording,
            _folder: folder,
        }
    }

    /// Sends a request, as the listener would hand it over.
    pub async fn send(&self, request: http::request::Builder, body: impl Into<Body>) -> Answer {
        let mut request: Request<Body> = request.body(body.into()).unwrap();
        let peer =
            Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), certificate: None, server_name: None, secure: false };
        request.extensions_mut().insert(peer);
        let response: Response<Body> = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status,
            headers: head.headers,
            text: String::from_utf8_lossy(&bytes).into_owned(),
            bytes: bytes.to_vec(),
        }
    }

    /// The same, answered piece by piece.
    pub async fn begin(&self, path: &str, cookie: &str) -> Response<Body> {
        let mut request = from_own_page(Method::GET, path, cookie).body(Body::empty()).unwrap();
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        request.extensions_mut().insert(Peer { address, certificate: None, server_name: None, secure: false });
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// A navigation that the person began by hand.
    pub async fn get(&self, path: &str, cookie: &str) -> Answer {
        self.send(from_own_page(Method::GET, path, cookie), Body::empty()).await
    }

    /// A form of the portal's own pages.
    pub async fn post(&self, path: &str, cookie: &str, form: &str) -> Answer {
        let request =
            from_own_page(Method::POST, path, cookie).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request, form.to_owned()).await
    }

    /// A cookie for a session that carries `caller`'s login.
    pub async fn cookie_of(&self, caller: &Caller) -> String {
        let session = Session::new(None, Arc::new(self.state.sessions.clone()), None);
        session.insert(LOGIN, caller.login).await.unwrap();
        session.save().await.unwrap();
        format!("__Host-bailiwick={}", session.id().unwrap())
    }

    /// Somebody with half a login.
    pub async fn half_signed_in(&self, subject: &str) -> String {
        let caller = rows::half_login(&self.state.pool, subject).await;
        self.cookie_of(&caller).await
    }

    /// Somebody with a whole login and these groups.
    pub async fn signed_in(&self, subject: &str, groups: &[&str]) -> (String, LoginId) {
        let (pool, caller) = (&self.state.pool, rows::half_login(&self.state.pool, subject).await);
        let login = login::NewLogin {
            id: LoginId::random(&SystemEntropy),
            person: caller.person,
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
            acr: None,
            provider_session: None,
            address: rows::HOME,
            agent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned(),
            started_at: rows::NOON,
            expires_at: rows::NOON.plus(rows::limits().absolute),
        };
        login::insert(pool, &login).await.unwrap();
        assert!(login::assure(pool, login.id, rows::NOON).await.unwrap());
        person::mark_enrolled(pool, caller.person, rows::NOON).await.unwrap();
        (self.cookie_of(&Caller { login: login.id, ..caller }).await, login.id)
    }
}

impl Drop for TestPortal {
    fn drop(&mut self) {
        self.watching.iter().for_each(JoinHandle::abort);
    }
}

/// A request as a page of the portal's makes it.
pub fn from_own_page(method: Method, path: &str, cookie: &str) -> http::request::Builder {
    let request = Request::builder().method(method.clone()).uri(path).header("sec-fetch-site", "same-origin");
    let request = if method == Method::GET { request } else { request.header(header::ORIGIN, ORIGIN) };
    if cookie.is_empty() { request } else { request.header(header::COOKIE, cookie) }
}

fn settings(folder: &Path, db: &TestDb, rules: &str) -> Settings {
    let policies = folder.join("policies");
    fs::create_dir(&policies).unwrap();
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo/policies")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), policies.join(file.file_name())).unwrap();
    }
    if !rules.is_empty() {
        fs::write(policies.join("90-test.cedar"), rules).unwrap();
    }
    let (key, kubeconfig) = (folder.join("wrapping.key"), folder.join("kubeconfig"));
    fs::write(&key, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&kubeconfig, "apiVersion: v1\nkind: Config\n").unwrap();
    let file = folder.join("bailiwick.toml");
    let text = format!(
        r#"
[portal]
url = "{ORIGIN}"
[listener]
http = "127.0.0.1:8080"
[database]
url = "{url}"
[keys]
wrapping_key_file = "{key}"
[[provider]]
name = "corp"
issuer = "http://localhost:1"
client_id = "bailiwick"
[policy]
folder = "{policies}"
entities = "{policies}/entities.json"
[[app]]
name = "wiki"
host = "wiki.demo.localhost:8080"
upstream = "http://127.0.0.1:9"
"#,
        url = db.broker_url,
        key = key.display(),
        policies = policies.display(),
    );
    fs::write(&file, text).unwrap();
    match Settings::load(&file) {
        Ok(settings) => settings,
        Err(mistakes) => panic!("{mistakes:?}"),
    }
}
