//! Sign-in at a provider: the certified one of npm for what must work, and an issuer of our own, bent in one way at a
//! time, for what must not.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_lc_rs::{
    hmac,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bailiwick::{
    config::{self, Algorithm, Issuer, SecretFile},
    identity::{Answer, Denial, IdentityFault, Provider, oidc::ProviderLogin},
    model::{Clock, FrozenClock, SystemClock, SystemEntropy, Timestamp},
    outbound::{Outbound, Plain, Route},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use url::Url;

use crate::support::provider::{CertifiedProvider, Surfer};

const PORTAL: &str = "http://auth.demo.localhost:8080";
const NOW: i64 = 1_800_000_000;

fn answer(query: Value) -> Answer {
    serde_json::from_value(query).unwrap()
}

fn settings(issuer: &str, client_id: &str, secret: Option<SecretFile>) -> config::Provider {
    config::Provider {
        name: "corp".parse().unwrap(),
        issuer: Issuer::parse(issuer).unwrap(),
        client_id: client_id.to_owned(),
        client_secret_file: secret,
        scopes: ["openid", "profile", "groups"].map(str::to_owned).to_vec(),
        groups_claim: "groups".to_owned(),
        name_claim: "preferred_username".to_owned(),
        algorithms: vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa],
        kubernetes_prefix: "corp:".to_owned(),
        ca_file: None,
        resolve: None,
    }
}

fn provider(settings: config::Provider, clock: Arc<dyn Clock>) -> Provider {
    let portal = config::Portal { url: Url::parse(PORTAL).unwrap() };
    let outbound = Outbound::new(Route { plain: Plain::Loopback, ..Route::default() }).unwrap();
    Provider::new(settings, &portal, outbound, clock, Arc::new(SystemEntropy)).unwrap()
}

#[tokio::test]
async fn a_person_signs_in_and_out_at_a_certified_provider() {
    let certified = CertifiedProvider::start(&format!("{PORTAL}/sign-in/callback"), &format!("{PORTAL}/"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), certified.client.1).unwrap();
    let settings = settings(&certified.issuer, certified.client.0, Some(SecretFile::new(file.path())));
    let provider = provider(settings, Arc::new(SystemClock));

    let (url, state) = provider.begin().await.unwrap();
    let sent: Vec<String> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
    for parameter in ["state", "nonce", "code_challenge", "scope"] {
        assert!(sent.iter().any(|name| name == parameter), "{parameter} is missing in {url}");
    }
    assert!(url.query().unwrap().contains("code_challenge_method=S256"));

    let mut surfer = Surfer::default();
    let back = surfer.sign_in(url, "alice").await;
    assert!(back.as_str().starts_with(&format!("{PORTAL}/sign-in/callback?")));
    let query: serde_json::Map<String, Value> =
        back.query_pairs().map(|(name, value)| (name.into_owned(), json!(value))).collect();
    let query = Value::Object(query);

    let login = provider.finish(&answer(query.clone()), &state).await.unwrap();
    assert_eq!((login.identity.issuer.as_str(), login.identity.subject.as_str()), (&*certified.issuer, "alice"));
    assert_eq!(login.identity.name, "alice");
    assert_eq!(login.groups, ["admins", "staff"], "sorted, each once");
    assert!(login.authenticated_at.is_some());

    let again = provider.finish(&answer(query), &state).await;
    assert!(matches!(again, Err(IdentityFault::Denied(Denial::Code))), "a code counts once: {again:?}");

    let back = Url::parse(&format!("{PORTAL}/")).unwrap();
    let out = provider.sign_out_url(&login.id_token, &back).await.unwrap();
    assert_eq!(surfer.fetch(http::Method::GET, &out, "").await.status(), 200, "{out}");
}

#[tokio::test]
async fn a_provider_that_is_down_is_tried_again() {
    let evil = Evil::start().await;
    evil.set(|it| it.metadata_status = 503);
    let provider = provider(settings(&evil.issuer, "bailiwick", None), evil.clock.clone());
    assert!(matches!(provider.begin().await, Err(IdentityFault::Provider(_))));
    assert!(provider.begin().await.is_err(), "and not at once");
    evil.set(|it| it.metadata_status = 200);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3)).await;
    tokio::time::resume();
    provider.begin().await.unwrap();
}

#[tokio::test]
async fn metadata_of_another_issuer_is_refused() {
    let evil = Evil::start().await;
    for other in ["https://other.example".to_owned(), format!("{}/", evil.issuer)] {
        evil.set(|it| it.named_issuer = Some(other.clone()));
        let provider = provider(settings(&evil.issuer, "bailiwick", None), evil.clock.clone());
        assert!(matches!(provider.begin().await, Err(IdentityFault::Provider(_))), "{other}");
    }
}

#[tokio::test]
async fn a_good_token_of_the_small_issuer_is_taken() {
    let login = Evil::start().await.sign_in(|_| ()).await.unwrap();
    assert_eq!(login.identity.subject, "mallory");
}

#[tokio::test]
async fn tokens_that_do_not_hold_are_refused() {
    let set = |claim: &'static str, value: Value| move |token: &mut Token| token.claims[claim] = value.clone();
    let unset =
        |claim: &'static str| move |token: &mut Token| drop(token.claims.as_object_mut().unwrap().remove(claim));
    let head = |field: &'static str, value: Value| move |token: &mut Token| token.header[field] = value.clone();
    type Bend = Box<dyn Fn(&mut Token)>;
    let bends: Vec<(&str, Bend)> = vec![
        ("another audience", Box::new(set("aud", json!("somebody")))),
        ("no audience", Box::new(unset("aud"))),
        ("a second audience", Box::new(set("aud", json!(["bailiwick", "somebody"])))),
        ("another authorized party", Box::new(set("azp", json!("somebody")))),
        ("another issuer", Box::new(set("iss", json!("https://other.example")))),
        ("no issuer", Box::new(unset("iss"))),
        ("another nonce", Box::new(set("nonce", json!("other")))),
        ("no nonce", Box::new(unset("nonce"))),
        ("expired", Box::new(set("exp", json!(NOW - 31)))),
        ("no expiry", Box::new(unset("exp"))),
        ("issued in the future", Box::new(set("iat", json!(NOW + 31)))),
        ("valid in the future", Box::new(set("nbf", json!(NOW + 31)))),
        ("no subject", Box::new(unset("sub"))),
        ("an empty subject", Box::new(set("sub", json!("")))),
        ("a subject with a comma", Box::new(set("sub", json!("a,b")))),
        ("a subject with a newline", Box::new(set("sub", json!("a\nb")))),
        ("a name with an escape", Box::new(set("preferred_username", json!("\u{1b}[2J")))),
        ("a group with NUL", Box::new(set("groups", json!(["ops\u{0}"])))),
        ("a group with a comma", Box::new(set("groups", json!(["ops,admins"])))),
        ("groups as text", Box::new(set("groups", json!("admins")))),
        ("another access token", Box::new(set("at_hash", json!("AAAA")))),
        ("a critical extension", Box::new(head("crit", json!(["exp"])))),
        ("another type", Box::new(head("typ", json!("at+jwt")))),
        ("a nested token", Box::new(head("cty", json!("JWT")))),
        ("no algorithm", Box::new(|token| token.signing = Signing::None)),
        ("the public key as a secret", Box::new(|token| token.signing = Signing::Hmac)),
        ("a bent signature", Box::new(|token| token.signing = Signing::Bent)),
        ("a key of its own", Box::new(|token| token.signing = Signing::Embedded)),
    ];
    for (what, bend) in bends {
        let evil = Evil::start().await;
        let result = evil.sign_in(bend).await;
        assert!(matches!(result, Err(IdentityFault::Denied(_) | IdentityFault::Provider(_))), "{what}: {result:?}");
        assert_eq!(evil.strange_calls(), 0, "{what}: nothing that a token names is called");
    }
}

#[tokio::test]
async fn clocks_may_differ_by_half_a_minute() {
    for (claim, at) in [("exp", NOW - 29), ("iat", NOW + 29), ("nbf", NOW + 29)] {
        let result = Evil::start().await.sign_in(move |token| token.claims[claim] = json!(at)).await;
        assert!(result.is_ok(), "{claim}: {result:?}");
    }
}

#[tokio::test]
async fn answers_of_another_sign_in_or_provider_are_refused() {
    let evil = Evil::start().await;
    let provider = provider(settings(&evil.issuer, "bailiwick", None), evil.clock.clone());
    let (_, state) = provider.begin().await.unwrap();
    let (url, _) = provider.begin().await.unwrap();
    let other = url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    for query in [json!({ "code": "c" }), json!({ "code": "c", "state": "" }), json!({ "code": "c", "state": other })] {
        let result = provider.finish(&answer(query.clone()), &state).await;
        assert!(matches!(result, Err(IdentityFault::Denied(Denial::State))), "{query}: {result:?}");
    }

    let (url, state) = provider.begin().await.unwrap();
    let own = url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    for iss in [json!("https://other.example"), json!(format!("{}/", evil.issuer)), json!("")] {
        let query = json!({ "code": "c", "state": own, "iss": iss });
        let result = provider.finish(&answer(query), &state).await;
        assert!(matches!(result, Err(IdentityFault::Denied(Denial::Issuer))), "{iss}: {result:?}");
    }
    let refused = provider.finish(&answer(json!({ "error": "access_denied", "state": own })), &state).await;
    assert!(matches!(refused, Err(IdentityFault::Denied(Denial::ProviderRefused))));
    assert!(serde_urlencoded_twice("code=a&code=b&state=s").is_err(), "what is said twice is not read at all");
}

fn serde_urlencoded_twice(query: &str) -> Result<Answer, impl std::fmt::Debug> {
    let uri: http::Uri = format!("http://x/?{query}").parse().unwrap();
    axum::extract::Query::<Answer>::try_from_uri(&uri).map(|query| query.0)
}

#[tokio::test]
async fn an_announced_issuer_must_come_with_the_answer() {
    let evil = Evil::start().await;
    evil.set(|it| it.announces_iss = true);
    let provider = provider(settings(&evil.issuer, "bailiwick", None), evil.clock.clone());
    let (url, state) = provider.begin().await.unwrap();
    let own = url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let result = provider.finish(&answer(json!({ "code": "c", "state": own })), &state).await;
    assert!(matches!(result, Err(IdentityFault::Denied(Denial::Issuer))));
}

#[tokio::test]
async fn a_rotated_key_is_found_and_made_up_keys_do_not_become_calls() {
    let evil = Evil::start().await;
    let provider = provider(settings(&evil.issuer, "bailiwick", None), evil.clock.clone());
    evil.sign_in_at(&provider, |_| ()).await.unwrap();
    let before = evil.key_calls();

    evil.set(|it| it.kid = "second".to_owned());
    evil.sign_in_at(&provider, |_| ()).await.unwrap();
    assert_eq!(evil.key_calls(), before + 1);

    for made_up in ["x", "y", "z"] {
        let result = evil.sign_in_at(&provider, move |token| token.header["kid"] = json!(made_up)).await;
        assert!(matches!(result, Err(IdentityFault::Denied(Denial::IdToken(_)))));
    }
    assert_eq!(evil.key_calls(), before + 1, "at most one call in ten seconds");
}

#[tokio::test]
async fn keys_are_not_fetched_from_where_a_redirect_points_nor_without_end() {
    for bend in [Keys::Redirected, Keys::Endless] {
        let evil = Evil::start().await;
        evil.set(|it| it.keys = bend);
        let provider = provider(settings(&evil.issuer, "bailiwick", None), evil.clock.clone());
        assert!(matches!(provider.begin().await, Err(IdentityFault::Provider(_))));
        assert_eq!(evil.strange_calls(), 0);
    }
}

/// An issuer that can be bent.
struct Evil {
    issuer: String,
    clock: Arc<FrozenClock>,
    state: Arc<Mutex<Bent>>,
}

struct Bent {
    issuer: String,
    named_issuer: Option<String>,
    metadata_status: u16,
    announces_iss: bool,
    kid: String,
    keys: Keys,
    id_token: String,
    key_calls: usize,
    strange_calls: usize,
    pair: Arc<Ed25519KeyPair>,
}

#[derive(Clone, Copy)]
enum Keys {
    Good,
    Redirected,
    Endless,
}

struct Token {
    header: Value,
    claims: Value,
    signing: Signing,
}

enum Signing {
    Good,
    None,
    Hmac,
    Bent,
    Embedded,
}

type Shared = State<Arc<Mutex<Bent>>>;

impl Evil {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let state = Arc::new(Mutex::new(Bent {
            issuer: issuer.clone(),
            named_issuer: None,
            metadata_status: 200,
            announces_iss: false,
            kid: "first".to_owned(),
            keys: Keys::Good,
            id_token: String::new(),
            key_calls: 0,
            strange_calls: 0,
            pair: Arc::new(Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()),
        }));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .fallback(strange)
            .with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let clock = Arc::new(FrozenClock::at(Timestamp::from_micros(NOW * 1_000_000)));
        Self { issuer, clock, state }
    }

    fn set(&self, change: impl FnOnce(&mut Bent)) {
        change(&mut self.state.lock().unwrap());
    }

    fn key_calls(&self) -> usize {
        self.state.lock().unwrap().key_calls
    }

    fn strange_calls(&self) -> usize {
        self.state.lock().unwrap().strange_calls
    }

    async fn sign_in(&self, bend: impl Fn(&mut Token)) -> Result<ProviderLogin, IdentityFault> {
        let provider = provider(settings(&self.issuer, "bailiwick", None), self.clock.clone());
        self.sign_in_at(&provider, bend).await
    }

    async fn sign_in_at(&self, provider: &Provider, bend: impl Fn(&mut Token)) -> Result<ProviderLogin, IdentityFault> {
        let (url, state) = provider.begin().await?;
        let sent = |wanted: &str| url.query_pairs().find(|(name, _)| name == wanted).unwrap().1.into_owned();
        let kid = self.state.lock().unwrap().kid.clone();
        let mut token = Token {
            header: json!({ "alg": "EdDSA", "kid": kid, "typ": "JWT" }),
            claims: json!({
                "iss": self.issuer, "sub": "mallory", "aud": "bailiwick", "exp": NOW + 60, "iat": NOW,
                "nonce": sent("nonce"), "groups": ["staff"], "preferred_username": "Mallory",
            }),
            signing: Signing::Good,
        };
        bend(&mut token);
        let pair = Arc::clone(&self.state.lock().unwrap().pair);
        self.set(|it| it.id_token = token.sign(&pair, &self.issuer));
        provider.finish(&answer(json!({ "code": "c", "state": sent("state") })), &state).await
    }
}

impl Token {
    fn sign(mut self, pair: &Ed25519KeyPair, issuer: &str) -> String {
        match self.signing {
            Signing::None => self.header["alg"] = json!("none"),
            Signing::Hmac => self.header["alg"] = json!("HS256"),
            Signing::Embedded => {
                let own = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
                self.header["kid"] = json!("own");
                self.header["jwk"] = jwk(&own, "own");
                self.header["jku"] = json!(format!("{issuer}/own-keys"));
                return Self { signing: Signing::Good, ..self }.sign(&own, issuer);
            }
            Signing::Good | Signing::Bent => {}
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(&self.header), part(&self.claims));
        let signature = match self.signing {
            Signing::None => Vec::new(),
            Signing::Hmac => {
                let public = hmac::Key::new(hmac::HMAC_SHA256, pair.public_key().as_ref());
                hmac::sign(&public, input.as_bytes()).as_ref().to_vec()
            }
            Signing::Bent => pair.sign(b"something else").as_ref().to_vec(),
            Signing::Good | Signing::Embedded => pair.sign(input.as_bytes()).as_ref().to_vec(),
        };
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn jwk(pair: &Ed25519KeyPair, kid: &str) -> Value {
    let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x })
}

async fn metadata(State(state): Shared) -> Response {
    let it = state.lock().unwrap();
    let body = json!({
        "issuer": it.named_issuer.as_ref().unwrap_or(&it.issuer),
        "authorization_endpoint": format!("{}/authorize", it.issuer),
        "token_endpoint": format!("{}/token", it.issuer),
        "jwks_uri": format!("{}/keys", it.issuer),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
        "authorization_response_iss_parameter_supported": it.announces_iss,
    });
    (http::StatusCode::from_u16(it.metadata_status).unwrap(), Json(body)).into_response()
}

async fn keys(State(state): Shared) -> Response {
    let mut it = state.lock().unwrap();
    it.key_calls += 1;
    match it.keys {
        Keys::Good => Json(json!({ "keys": [jwk(&it.pair, &it.kid)] })).into_response(),
        Keys::Redirected => axum::response::Redirect::temporary("/elsewhere").into_response(),
        Keys::Endless => vec![b' '; 2 << 20].into_response(),
    }
}

async fn token(State(state): Shared) -> Response {
    let id_token = state.lock().unwrap().id_token.clone();
    Json(json!({ "access_token": "a", "token_type": "Bearer", "expires_in": 60, "id_token": id_token })).into_response()
}

async fn strange(State(state): Shared) -> http::StatusCode {
    state.lock().unwrap().strange_calls += 1;
    http::StatusCode::NOT_FOUND
}
