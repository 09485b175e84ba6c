//! An issuer of our own, which can be bent in one way at a time: what a certified provider would never say.

use std::sync::{Arc, Mutex};

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
use bailiwick::model::{FrozenClock, Timestamp};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// The second in which its tokens are issued.
pub const NOW: i64 = 1_800_000_000;

/// An issuer that can be bent.
pub struct Evil {
    pub issuer: String,
    pub clock: Arc<FrozenClock>,
    state: Arc<Mutex<Bent>>,
}

pub struct Bent {
    issuer: String,
    pub named_issuer: Option<String>,
    pub metadata_status: u16,
    pub announces_iss: bool,
    pub kid: String,
    pub keys: Keys,
    id_token: String,
    key_calls: usize,
    strange_calls: usize,
    pair: Arc<Ed25519KeyPair>,
}

#[derive(Clone, Copy)]
pub enum Keys {
    Good,
    Redirected,
    Endless,
}

pub struct Token {
    pub header: Value,
    pub claims: Value,
    pub signing: Signing,
}

pub enum Signing {
    Good,
    None,
    Hmac,
    Bent,
    Embedded,
}

type Shared = State<Arc<Mutex<Bent>>>;

impl Evil {
    pub async fn start() -> Self {
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

    pub fn set(&self, change: impl FnOnce(&mut Bent)) {
        change(&mut self.state.lock().unwrap());
    }

    pub fn key_calls(&self) -> usize {
        self.state.lock().unwrap().key_calls
    }

    pub fn strange_calls(&self) -> usize {
        self.state.lock().unwrap().strange_calls
    }

    /// What a good token for this nonce is made of.
    pub fn token(&self, nonce: &str) -> Token {
        Token {
            header: json!({ "alg": "EdDSA", "kid": self.state.lock().unwrap().kid, "typ": "JWT" }),
            claims: json!({
                "iss": self.issuer, "sub": "mallory", "aud": "bailiwick", "exp": NOW + 60, "iat": NOW,
                "nonce": nonce, "groups": ["staff"], "preferred_username": "Mallory",
            }),
            signing: Signing::Good,
        }
    }

    /// What it answers next when a code is exchanged.
    pub fn says(&self, token: Token) {
        let pair = Arc::clone(&self.state.lock().unwrap().pair);
        self.set(|it| it.id_token = token.sign(&pair, &self.issuer));
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
