//! A small OpenID provider for development: it believes whoever picks a name from a list.
//!
//! Loopback only, and only the demonstration starts it; `serve` has no way to. Otherwise it behaves as a good provider
//! does: authorization code with PKCE S256 only, codes that work once, EdDSA ID tokens, the issuer in its answers
//! (RFC 9207). A `login_hint` that is a persona's name signs in without the page, for tours and tests.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::{
    digest,
    signature::{Ed25519KeyPair, KeyPair},
};
use axum::{
    Form, Json, Router,
    extract::{Query, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

use super::{
    DemoFault,
    page::{provider_page, style},
    personas,
};
use crate::model::{Clock, Entropy, Timestamp};

const CODE_LIFE: Duration = Duration::from_secs(60);
const TOKEN_LIFE: Duration = Duration::from_secs(300);

/// The one client that the provider knows.
#[derive(Clone)]
pub(super) struct Client {
    /// How it is called.
    pub(super) id: String,
    /// What it proves itself with.
    pub(super) secret: String,
    /// Where answers may go, exactly.
    pub(super) redirect: Url,
    /// Where people may go after signing out.
    pub(super) home: Url,
}

/// A provider that is ready to serve.
pub(super) struct Provider {
    issuer: String,
    client: Client,
    key: Ed25519KeyPair,
    key_id: String,
    codes: Mutex<HashMap<String, Grant>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// What a code stands for until it is exchanged.
struct Grant {
    persona: String,
    nonce: Option<String>,
    challenge: String,
    at: Timestamp,
}

#[derive(Clone, Deserialize)]
pub(super) struct Asked {
    client_id: String,
    redirect_uri: String,
    #[serde(default)]
    response_type: String,
    #[serde(default)]
    scope: String,
    state: Option<String>,
    nonce: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
    login_hint: Option<String>,
}

impl Provider {
    pub(super) fn new(
        address: SocketAddr,
        client: Client,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, DemoFault> {
        let key = Ed25519KeyPair::generate().map_err(|_| DemoFault::Crypto)?;
        let key_id = hex::encode(entropy.bytes::<8>());
        let issuer = format!("http://localhost:{}", address.port());
        Ok(Self { issuer, client, key, key_id, codes: Mutex::default(), clock, entropy })
    }

    /// Serves until dropped. `listener` must be on loopback.
    pub(super) async fn serve(self, listener: TcpListener) -> Result<(), DemoFault> {
        let address = listener.local_addr().map_err(DemoFault::Network)?;
        if !address.ip().is_loopback() {
            return Err(DemoFault::Network(std::io::ErrorKind::AddrNotAvailable.into()));
        }
        axum::serve(listener, self.router()).await.map_err(DemoFault::Network)
    }

    fn router(self) -> Router {
        let provider = Arc::new(self);
        Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(keys))
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .route("/end_session", get(end_session))
            .route("/style.css", get(style))
            .layer(middleware::from_fn_with_state(Arc::clone(&provider), only_this_host))
            .with_state(provider)
    }

    fn sign(&self, claims: &Value) -> String {
        let head = json!({ "alg": "EdDSA", "typ": "JWT", "kid": self.key_id });
        let body = format!("{}.{}", BASE64URL.encode(head.to_string()), BASE64URL.encode(claims.to_string()));
        let signature = self.key.sign(body.as_bytes());
        format!("{body}.{}", BASE64URL.encode(signature.as_ref()))
    }

    fn new_code(&self, asked: &Asked, persona: String) -> String {
        let code = BASE64URL.encode(self.entropy.bytes::<32>());
        let now = self.clock.now();
        let challenge = asked.code_challenge.clone().unwrap_or_default();
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|_, grant| now.since(grant.at) < CODE_LIFE);
        codes.insert(code.clone(), Grant { persona, nonce: asked.nonce.clone(), challenge, at: now });
        code
    }

    /// The code's grant, once.
    fn redeem(&self, code: &str) -> Option<Grant> {
        let grant = self.codes.lock().unwrap_or_else(PoisonError::into_inner).remove(code)?;
        (self.clock.now().since(grant.at) < CODE_LIFE).then_some(grant)
    }

    fn answer(&self, asked: &Asked, fields: &[(&str, &str)]) -> Response {
        let mut url = self.client.redirect.clone();
        let mut query = url.query_pairs_mut();
        query.extend_pairs(fields);
        if let Some(state) = &asked.state {
            query.append_pair("state", state);
        }
        query.append_pair("iss", &self.issuer);
        drop(query);
        Redirect::to(url.as_str()).into_response()
    }
}

/// A page elsewhere must not reach us under a name of its own that points to this machine.
async fn only_this_host(State(provider): State<Arc<Provider>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let port = provider.issuer.rsplit(':').next().unwrap_or_default();
    if host.strip_suffix(port).is_some_and(|name| matches!(name, "localhost:" | "127.0.0.1:")) {
        return next.run(request).await;
    }
    (StatusCode::MISDIRECTED_REQUEST, "not this host").into_response()
}

async fn discovery(State(provider): State<Arc<Provider>>) -> Json<Value> {
    let issuer = &provider.issuer;
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "end_session_endpoint": format!("{issuer}/end_session"),
        "scopes_supported": ["openid", "profile", "groups"],
        "claims_supported": ["sub", "name", "preferred_username", "groups", "acr", "auth_time", "sid"],
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    }))
}

async fn keys(State(provider): State<Arc<Provider>>) -> Json<Value> {
    let public = BASE64URL.encode(provider.key.public_key().as_ref());
    Json(json!({ "keys": [{
        "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": provider.key_id, "x": public,
    }]}))
}

async fn authorize(State(provider): State<Arc<Provider>>, request: Request) -> Response {
    let Ok(Query(asked)) = Query::<Asked>::try_from_uri(request.uri()) else {
        return (StatusCode::BAD_REQUEST, "not an authorization request").into_response();
    };
    // An unknown client or address gets no redirect (RFC 6749, section 4.1.2.1).
    if asked.client_id != provider.client.id || asked.redirect_uri != provider.client.redirect.as_str() {
        return (StatusCode::BAD_REQUEST, "unknown client or redirect address").into_response();
    }
    let fault = |error, why| provider.answer(&asked, &[("error", error), ("error_description", why)]);
    if asked.response_type != "code" {
        return fault("unsupported_response_type", "only `code`");
    }
    if !asked.scope.split(' ').any(|scope| scope == "openid") {
        return fault("invalid_scope", "`openid` is missing");
    }
    if asked.code_challenge_method.as_deref() != Some("S256") || asked.code_challenge.is_none() {
        return fault("invalid_request", "PKCE with S256 is required");
    }
    match asked.login_hint.as_deref().filter(|hint| personas::named(hint).is_some()) {
        Some(persona) => provider.answer(&asked, &[("code", &provider.new_code(&asked, persona.to_owned()))]),
        None => provider_page(request.uri().query().unwrap_or_default()).into_response(),
    }
}

#[derive(Deserialize)]
struct Exchange {
    grant_type: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    redirect_uri: String,
    #[serde(default)]
    code_verifier: String,
    client_id: Option<String>,
    client_secret: Option<String>,
}

async fn token(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    Form(exchange): Form<Exchange>,
) -> Result<Response, (StatusCode, Json<Value>)> {
    let fault = |status, error: &str| (status, Json(json!({ "error": error })));
    let given = basic(&headers).or_else(|| exchange.client_id.clone().zip(exchange.client_secret.clone()));
    if given.as_ref().map(|(id, secret)| (id, secret)) != Some((&provider.client.id, &provider.client.secret)) {
        return Err(fault(StatusCode::UNAUTHORIZED, "invalid_client"));
    }
    if exchange.grant_type != "authorization_code" {
        return Err(fault(StatusCode::BAD_REQUEST, "unsupported_grant_type"));
    }
    let invalid = || fault(StatusCode::BAD_REQUEST, "invalid_grant");
    let grant = provider.redeem(&exchange.code).ok_or_else(invalid)?;
    let challenge = BASE64URL.encode(digest::digest(&digest::SHA256, exchange.code_verifier.as_bytes()));
    if challenge != grant.challenge || exchange.redirect_uri != provider.client.redirect.as_str() {
        return Err(invalid());
    }
    let persona = personas::named(&grant.persona).ok_or_else(invalid)?;
    let now = provider.clock.now();
    let claims = json!({
        "iss": provider.issuer,
        "sub": grant.persona,
        "aud": provider.client.id,
        "iat": now.seconds(),
        "exp": now.plus(TOKEN_LIFE).seconds(),
        "auth_time": grant.at.seconds(),
        "nonce": grant.nonce,
        "acr": "urn:bailiwick:demo:chosen-from-a-list",
        "sid": hex::encode(provider.entropy.bytes::<16>()),
        "name": persona.name,
        "preferred_username": grant.persona,
        "groups": persona.groups,
    });
    let answer = json!({
        "access_token": BASE64URL.encode(provider.entropy.bytes::<32>()),
        "token_type": "Bearer",
        "expires_in": TOKEN_LIFE.as_secs(),
        "id_token": provider.sign(&claims),
    });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// `client_secret_basic`: both halves are form-encoded first (RFC 6749, section 2.3.1).
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let plain = |half: &str| {
        let pair = format!("x={half}");
        let value = url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned());
        value.unwrap_or_default()
    };
    Some((plain(id), plain(secret)))
}

#[derive(Deserialize)]
struct Leaving {
    post_logout_redirect_uri: Option<String>,
    state: Option<String>,
}

/// Nothing is kept here between sign-ins, so there is nothing to end; only the way back is checked.
async fn end_session(State(provider): State<Arc<Provider>>, Query(leaving): Query<Leaving>) -> Response {
    let back = leaving.post_logout_redirect_uri.and_then(|back| Url::parse(&back).ok());
    match back.filter(|back| back.origin() == provider.client.home.origin()) {
        Some(mut back) => {
            if let Some(state) = leaving.state {
                back.query_pairs_mut().append_pair("state", &state);
            }
            Redirect::to(back.as_str()).into_response()
        }
        None => "Signed out. You can close this page.".into_response(),
    }
}

#[cfg(test)]
mod tests;
