//! Sign-in at a provider: the certified one of npm for what must work, and an issuer of our own, bent in one way at a
//! time, for what must not.

use std::{sync::Arc, time::Duration};

use bailiwick::{
    config::{self, Algorithm, Issuer, SecretFile},
    identity::{Answer, Denial, IdentityFault, Provider, oidc::ProviderLogin},
    model::{Clock, SystemClock, SystemEntropy},
    outbound::{Outbound, Plain, Route},
};
use serde_json::{Value, json};
use url::Url;

use crate::support::{
    issuer::{Evil, Keys, NOW, Signing, Token},
    provider::{CertifiedProvider, Surfer},
};

const PORTAL: &str = "http://auth.demo.localhost:8080";

fn answer(query: Value) -> Answer {
    serde_json::from_value(query).unwrap()
}

pub fn settings(issuer: &str, client_id: &str, secret: Option<SecretFile>) -> config::Provider {
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
    let login = sign_in(&Evil::start().await, |_| ()).await.unwrap();
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
        let result = sign_in(&evil, bend).await;
        assert!(matches!(result, Err(IdentityFault::Denied(_) | IdentityFault::Provider(_))), "{what}: {result:?}");
        assert_eq!(evil.strange_calls(), 0, "{what}: nothing that a token names is called");
    }
}

#[tokio::test]
async fn clocks_may_differ_by_half_a_minute() {
    for (claim, at) in [("exp", NOW - 29), ("iat", NOW + 29), ("nbf", NOW + 29)] {
        let result = sign_in(&Evil::start().await, move |token| token.claims[claim] = json!(at)).await;
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
    sign_in_at(&evil, &provider, |_| ()).await.unwrap();
    let before = evil.key_calls();

    evil.set(|it| it.kid = "second".to_owned());
    sign_in_at(&evil, &provider, |_| ()).await.unwrap();
    assert_eq!(evil.key_calls(), before + 1);

    for made_up in ["x", "y", "z"] {
        let result = sign_in_at(&evil, &provider, move |token| token.header["kid"] = json!(made_up)).await;
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

async fn sign_in(evil: &Evil, bend: impl Fn(&mut Token)) -> Result<ProviderLogin, IdentityFault> {
    let provider = provider(settings(&evil.issuer, "bailiwick", None), evil.clock.clone());
    sign_in_at(evil, &provider, bend).await
}

async fn sign_in_at(
    evil: &Evil,
    provider: &Provider,
    bend: impl Fn(&mut Token),
) -> Result<ProviderLogin, IdentityFault> {
    let (url, state) = provider.begin().await?;
    let sent = |wanted: &str| url.query_pairs().find(|(name, _)| name == wanted).unwrap().1.into_owned();
    let mut token = evil.token(&sent("nonce"));
    bend(&mut token);
    evil.says(token);
    provider.finish(&answer(json!({ "code": "c", "state": sent("state") })), &state).await
}
