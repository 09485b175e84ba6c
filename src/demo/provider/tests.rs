//! The development provider, asked as a relying party asks it.

use axum::body::Body;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;
use crate::model::{FrozenClock, SeededEntropy};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn provider() -> Router {
    let client = Client {
        id: "bailiwick".into(),
        secret: "s:e%c".into(),
        redirect: Url::parse("http://auth.demo.localhost:1/sign-in/callback").unwrap(),
        home: Url::parse("http://auth.demo.localhost:1").unwrap(),
    };
    let address = SocketAddr::from(([127, 0, 0, 1], 2));
    let clock = Arc::new(FrozenClock::at(Timestamp::from_micros(1_800_000_000_000_000)));
    Provider::new(address, client, clock, Arc::new(SeededEntropy::new(1))).unwrap().router()
}

fn question(changes: &[(&str, &str)]) -> String {
    let mut fields = vec![
        ("client_id", "bailiwick"),
        ("redirect_uri", "http://auth.demo.localhost:1/sign-in/callback"),
        ("response_type", "code"),
        ("scope", "openid profile groups"),
        ("state", "st"),
        ("nonce", "no"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    fields.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    fields.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    format!("/authorize?{query}")
}

async fn get_page(provider: &Router, path: &str) -> Response {
    let request = Request::get(path).header(header::HOST, "localhost:2").body(Body::empty()).unwrap();
    provider.clone().oneshot(request).await.unwrap()
}

/// The query of the redirect that answers.
async fn answer(provider: &Router, path: &str) -> HashMap<String, String> {
    let response = get_page(provider, path).await;
    let target = Url::parse(response.headers()[header::LOCATION].to_str().unwrap()).unwrap();
    target.query_pairs().into_owned().collect()
}

async fn exchange(provider: &Router, code: &str, verifier: &str, secret: &str) -> (StatusCode, Value) {
    let body = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "authorization_code")
        .append_pair("code", code)
        .append_pair("redirect_uri", "http://auth.demo.localhost:1/sign-in/callback")
        .append_pair("code_verifier", verifier)
        .finish();
    let request = Request::post("/token")
        .header(header::HOST, "localhost:2")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::AUTHORIZATION, format!("Basic {}", BASE64_STANDARD.encode(format!("bailiwick:{secret}"))))
        .body(Body::from(body))
        .unwrap();
    let response = provider.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn a_hint_signs_in_and_the_code_gives_a_signed_token_once() {
    let provider = provider();
    let answer = answer(&provider, &question(&[("login_hint", "alice")])).await;
    assert_eq!((answer["state"].as_str(), answer["iss"].as_str()), ("st", "http://localhost:2"));
    let (status, token) = exchange(&provider, &answer["code"], VERIFIER, "s%3Ae%25c").await;
    assert_eq!(status, StatusCode::OK, "{token}");

    let keys = get_page(&provider, "/jwks").await.into_body().collect().await.unwrap().to_bytes();
    let keys: Value = serde_json::from_slice(&keys).unwrap();
    let public = BASE64URL.decode(keys["keys"][0]["x"].as_str().unwrap()).unwrap();
    let (signed, signature) = token["id_token"].as_str().unwrap().rsplit_once('.').unwrap();
    aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, public)
        .verify(signed.as_bytes(), &BASE64URL.decode(signature).unwrap())
        .unwrap();
    let claims = BASE64URL.decode(signed.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["sub"], "alice");
    assert_eq!(claims["nonce"], "no");
    assert_eq!(claims["groups"], json!(["devs"]));

    let (status, again) = exchange(&provider, &answer["code"], VERIFIER, "s%3Ae%25c").await;
    assert_eq!((status, &again["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_grant")));
}

#[tokio::test]
async fn a_wrong_verifier_or_secret_gives_nothing() {
    let provider = provider();
    let code = answer(&provider, &question(&[("login_hint", "alice")])).await["code"].clone();
    assert_eq!(exchange(&provider, &code, VERIFIER, "guess").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(exchange(&provider, &code, CHALLENGE, "s%3Ae%25c").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(exchange(&provider, &code, VERIFIER, "s%3Ae%25c").await.0, StatusCode::BAD_REQUEST, "used up");
}

#[tokio::test]
async fn pkce_is_not_optional_and_strangers_get_no_redirect() {
    let provider = provider();
    for change in [("code_challenge", ""), ("code_challenge_method", "plain"), ("scope", "profile")] {
        let answer = answer(&provider, &question(&[change, ("login_hint", "alice")])).await;
        assert!(answer.contains_key("error") && !answer.contains_key("code"), "{change:?}");
    }
    for change in [("redirect_uri", "http://evil.example/"), ("client_id", "other")] {
        let response = get_page(&provider, &question(&[change])).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert!(!response.headers().contains_key(header::LOCATION));
    }
}

#[tokio::test]
async fn without_a_known_hint_the_page_asks_and_other_hosts_are_refused() {
    let provider = provider();
    let page = get_page(&provider, &question(&[("login_hint", "nobody")])).await;
    let page = page.into_body().collect().await.unwrap().to_bytes();
    assert!(std::str::from_utf8(&page).unwrap().contains("login_hint=olivia"));
    let request = Request::get("/jwks").header(header::HOST, "evil.example:2").body(Body::empty()).unwrap();
    assert_eq!(provider.oneshot(request).await.unwrap().status(), StatusCode::MISDIRECTED_REQUEST);
}
