//! The rooms of one broker without its doors: a log, a gate with rules of the test's own, logins at the bendable issuer,
//! passkeys, the authority. For tests of the rooms themselves; whole requests are tested at the doors.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use bailiwick::{
    access::{Gate, Live, Permit},
    audit::{Entry, Event, Limits, Log, Tasks, checkpoint::CheckpointSigner},
    config,
    credential::{self, Authority, Wrapping, keys},
    identity::{
        Answer, Callers, CommandLines, HalfLogin, IdentityFault, Invitations, Logins, Passkeys, Provider, Sessions,
        Visit, session::LOGIN,
    },
    model::{Action, BrokerId, Caller, CeremonyId, EnrolRequest, FrozenClock, LoginId, RequestId, SystemEntropy},
    outbound::{Outbound, Plain, Route},
    store::feed::Feed,
};
use secrecy::ExposeSecret as _;
use serde_json::json;
use tower_sessions::Session;
use url::Url;
use webauthn_authenticator_rs::{AuthenticatorBackendHashedClientData, softpasskey::SoftPasskey};
use webauthn_rs_proto::{
    CreationChallengeResponse, PublicKeyCredential, RegisterPublicKeyCredential, RequestChallengeResponse,
};

use super::{
    TestDb, database,
    issuer::Evil,
    rows::{HOME, limits},
};

/// Where the portal of the bench would be.
pub const ORIGIN: &str = "http://auth.demo.localhost:8080";

const RULES: &str = r#"
@id("whoever-is-invited-enrols")
permit (principal, action == Action::"enrol", resource) when { context.invited };
@id("people-issue")
permit (principal, action == Action::"issue", resource) when { context.assurance == "passkey" };
@id("people-use-the-portal")
permit (principal, action, resource is Portal)
when { context.assurance == "passkey" } unless { action == Action::"enrol" };
@id("people-end-sessions")
permit (principal, action in [Action::"endSession", Action::"revokeCredential"], resource) when { context.assurance == "passkey" };
"#;

/// The rooms.
pub struct Bench {
    pub db: TestDb,
    pub clock: Arc<FrozenClock>,
    pub issuer: Evil,
    pub log: Log,
    pub gate: Gate,
    pub logins: Logins,
    pub passkeys: Passkeys,
    pub callers: Callers,
    pub command_lines: CommandLines,
    pub invitations: Invitations,
    pub certificates: credential::Issuer,
    pub credentials: credential::Credentials,
    pub sessions: Arc<Sessions>,
    _log: Tasks,
    _files: tempfile::TempDir,
}

/// The passkey that a person carries; says that its user was verified.
pub struct Device(pub SoftPasskey);

impl Bench {
    pub async fn new() -> Self {
        let (db, issuer, files) = (database().await, Evil::start().await, tempfile::tempdir().unwrap());
        let (clock, entropy) = (issuer.clock.clone(), Arc::new(SystemEntropy));
        let wrapping = wrapping(files.path());
        let mut connection = db.pool.acquire().await.unwrap();
        let now = bailiwick::model::Clock::now(&*clock);
        keys::init(&mut connection, &wrapping, "auth.demo.localhost", now, &*entropy).await.unwrap();
        let key = keys::checkpoint(&mut connection, &wrapping).await.unwrap();
        let signer = CheckpointSigner::from_seed("bench/audit", key.id, key.seed.expose_secret()).unwrap();
        let authority = Arc::new(Authority::load(&mut connection, &wrapping).await.unwrap());
        drop(connection);

        let (pool, broker) = (db.pool.clone(), BrokerId::random(&*entropy));
        let signers = super::audit::signed_by(signer);
        let log = Log::open(pool.clone(), signers, broker, clock.clone(), entropy.clone(), Limits::default()).await;
        let (log, tasks) = log.unwrap();
        let (live, _) = Live::open(rules(files.path()), pool.clone(), log.clone(), clock.clone()).await.unwrap();
        let (feed, _) = Feed::open(pool.clone()).await.unwrap();
        let gate = Gate::new(live, log.clone(), feed, clock.clone());

        let portal = config::Portal { url: Url::parse(ORIGIN).unwrap() };
        let outbound = Outbound::new(Route { plain: Plain::Loopback, ..Route::default() }).unwrap();
        let settings = crate::identity_oidc::settings(&issuer.issuer, "bailiwick", None);
        let provider = Provider::new(settings, &portal, outbound, clock.clone(), entropy.clone()).unwrap();
        let authority_der = authority.certificate().to_vec();
        let callers = Callers::new(pool.clone(), clock.clone(), limits(), Some(&authority_der));
        Self {
            logins: Logins::new(pool.clone(), log.clone(), clock.clone(), entropy.clone(), limits(), vec![provider]),
            passkeys: Passkeys::new(&portal, pool.clone(), log.clone(), clock.clone(), entropy.clone()).unwrap(),
            command_lines: CommandLines::new(
                pool.clone(),
                log.clone(),
                clock.clone(),
                entropy.clone(),
                callers.clone(),
            ),
            invitations: Invitations::new(log.clone(), clock.clone(), entropy.clone()),
            certificates: credential::Issuer::new(
                authority,
                pool.clone(),
                log.clone(),
                clock.clone(),
                entropy.clone(),
                limits(),
            ),
            credentials: credential::Credentials::new(pool.clone(), log.clone(), clock.clone()),
            sessions: Arc::new(Sessions::new(pool, clock.clone(), entropy, limits().absolute)),
            _log: tasks,
            _files: files,
            callers,
            clock,
            db,
            gate,
            issuer,
            log,
        }
    }

    /// Begins at the provider; the answer is the ceremony and the query that would come back.
    pub async fn begin(&self, subject: &str) -> (CeremonyId, Answer) {
        let (url, ceremony) = self.logins.begin(&"corp".parse().unwrap(), &visit()).await.unwrap();
        let sent = |wanted: &str| url.query_pairs().find(|(name, _)| name == wanted).unwrap().1.into_owned();
        let mut token = self.issuer.token(&sent("nonce"));
        token.claims["sub"] = json!(subject);
        for claim in ["exp", "iat"] {
            let now = bailiwick::model::Clock::now(&*self.clock).seconds();
            token.claims[claim] = json!(if claim == "exp" { now + 60 } else { now });
        }
        self.issuer.says(token);
        (ceremony, serde_json::from_value(json!({ "code": "c", "state": sent("state") })).unwrap())
    }

    /// Through the provider.
    pub async fn half(&self, subject: &str) -> (HalfLogin, Caller) {
        let (ceremony, answer) = self.begin(subject).await;
        let half = self.logins.finish(ceremony, &answer, &visit()).await.unwrap();
        let caller = self.caller(half.login).await;
        (half, caller)
    }

    /// Whoever a session with this login is.
    pub async fn caller(&self, login: LoginId) -> Caller {
        let session = Session::new(None, self.sessions.clone(), None);
        session.insert(LOGIN, login).await.unwrap();
        self.callers.from_session(&session, HOME).await.unwrap()
    }

    /// Invites somebody, as an operator.
    pub async fn invite(&self, caller: &Caller) {
        self.invitations.invite_as_operator(&caller.identity, "an operator").await.unwrap();
    }

    /// The gate's leave to enrol, as the portal asks for it.
    pub async fn may_enrol(&self, caller: &Caller) -> Option<Permit> {
        let asked: EnrolRequest = self.passkeys.enrol_request(caller).await.unwrap();
        self.may(caller, Action::Enrol(asked)).await
    }

    /// The gate's leave, if it gives any.
    pub async fn may(&self, caller: &Caller, action: Action) -> Option<Permit> {
        self.gate.ask(caller, RequestId::random(&SystemEntropy), action).await.ok()
    }

    /// Enrols with this device.
    pub async fn enrol(&self, caller: &Caller, device: &mut Device) -> Result<(), IdentityFault> {
        let (ceremony, options) = self.passkeys.begin_enrolment(self.may_enrol(caller).await.unwrap()).await?;
        let answer = device.register(options, ORIGIN);
        let permit = self.may_enrol(caller).await.unwrap();
        self.passkeys.finish_enrolment(permit, ceremony, &answer, "laptop", &visit()).await.map(|_| ())
    }

    /// A whole login with its device: provider, invitation, passkey.
    pub async fn whole(&self, subject: &str) -> (Caller, Device) {
        let (half, caller) = self.half(subject).await;
        self.invite(&caller).await;
        let mut device = Device::new();
        self.enrol(&caller, &mut device).await.unwrap();
        (self.caller(half.login).await, device)
    }

    /// What the log holds, oldest first.
    pub async fn events(&self) -> Vec<Event> {
        let rows: Vec<(Vec<u8>,)> =
            sqlx::query_as("select leaf from entry order by leaf_index").fetch_all(&self.db.owner).await.unwrap();
        rows.iter().map(|(leaf,)| Entry::from_leaf(leaf).unwrap().event).collect()
    }
}

impl Device {
    pub fn new() -> Self {
        Self(SoftPasskey::new(true))
    }

    /// Registers as a browser at `origin` would.
    pub fn register(&mut self, options: CreationChallengeResponse, origin: &str) -> RegisterPublicKeyCredential {
        let data = client_data("webauthn.create", &options.public_key.challenge, origin, false);
        let hash = digest(&SHA256, &data).as_ref().to_vec();
        let mut answer = self.0.perform_register(hash, options.public_key, 60_000).unwrap();
        answer.response.client_data_json = data;
        answer
    }

    /// Asserts as a browser at `origin` would.
    pub fn assert(&mut self, options: RequestChallengeResponse, origin: &str) -> PublicKeyCredential {
        let data = client_data("webauthn.get", &options.public_key.challenge, origin, false);
        self.assert_over(options, data)
    }

    /// Asserts over client data of the test's own making.
    pub fn assert_over(&mut self, options: RequestChallengeResponse, data: Vec<u8>) -> PublicKeyCredential {
        let hash = digest(&SHA256, &data).as_ref().to_vec();
        let mut answer = self.0.perform_auth(hash, options.public_key, 60_000).unwrap();
        answer.response.client_data_json = data;
        answer
    }
}

/// What a browser puts before the authenticator (WebAuthn Level 3, section 5.8.1).
pub fn client_data(kind: &str, challenge: &[u8], origin: &str, cross_origin: bool) -> Vec<u8> {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let challenge = URL_SAFE_NO_PAD.encode(challenge);
    json!({ "type": kind, "challenge": challenge, "origin": origin, "crossOrigin": cross_origin }).to_string().into()
}

/// A request of the sign-in pages.
pub fn visit() -> Visit {
    Visit { address: HOME, agent: "a test".to_owned(), request: RequestId::random(&SystemEntropy) }
}

/// A wrapping key in `folder`.
pub fn wrapping(folder: &Path) -> Wrapping {
    let file = folder.join("wrapping-key");
    fs::write(&file, "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    Wrapping::new(config::SecretFile::private(file))
}

fn rules(folder: &Path) -> config::Policy {
    let policies = folder.join("policies");
    fs::create_dir(&policies).unwrap();
    fs::write(policies.join("bench.cedar"), RULES).unwrap();
    let entities = folder.join("entities.json");
    fs::write(&entities, "[]").unwrap();
    config::Policy { folder: policies, entities }
}
