//! The portal's pages, as the people who open them: what they show, whom they refuse and why, and where they lead.

use axum::body::Body;
use bailiwick::{
    audit::Event,
    model::{CredentialId, Reach, Scope, SystemEntropy},
    portal::FROM_ELSEWHERE,
    store::{
        credential::{self, NewCredential},
        login,
    },
};
use http::{Method, Request, StatusCode, header};

use crate::support::{
    audit, database,
    portal::{TestPortal, from_own_page},
};

const NONCE: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

#[tokio::test]
async fn home_shows_what_the_rules_open() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (developer, _) = portal.signed_in("ada", &["devs"]).await;
    let home = portal.get("/", &developer).await;
    assert_eq!(home.status, StatusCode::OK);
    assert!(home.text.contains("http://wiki.demo.localhost:8080/") && home.text.contains("Firefox on Linux"));
    assert!(!home.text.contains("href=\"/audit\""), "no link that leads nowhere");

    let (guest, _) = portal.signed_in("eve", &["guests"]).await;
    assert!(portal.get("/", &guest).await.text.contains("No app is open to you"));
}

#[tokio::test]
async fn administration_is_for_administrators_and_says_so() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (developer, _) = portal.signed_in("ada", &["devs"]).await;
    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    for path in ["/sessions", "/audit", "/policy"] {
        let denied = portal.get(path, &developer).await;
        assert_eq!(denied.status, StatusCode::FORBIDDEN, "{path}");
        assert!(denied.text.contains("No rule allows this") || denied.text.contains("no rule allows this"), "{path}");
        assert_eq!(portal.get(path, &admin).await.status, StatusCode::OK, "{path}");
    }
    let audit = portal.get("/audit", &admin).await;
    assert!(audit.text.contains("badge no") && audit.text.contains("corp/ada"), "the denials are in the log");
    let hers = portal.get("/audit?who=corp%2Fada", &admin).await;
    assert!(hers.text.contains("who: corp/ada") && !hers.text.contains("who: corp/grace"), "only whom was asked for");
    assert!(portal.get("/audit?until=2020-01-01T00:00", &admin).await.text.contains("No entry matches"));
}

#[tokio::test]
async fn half_a_login_may_enrol_where_the_rules_say_so() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let cookie = portal.half_signed_in("ada").await;
    let page = portal.get("/enrol", &cookie).await;
    assert_eq!(page.status, StatusCode::OK, "the demonstration lets people on this machine enrol");
    assert!(page.text.contains("data-begin=\"/enrol/begin\""));
    let begun = portal.send(
        from_own_page(Method::POST, "/enrol/begin", &cookie).header(header::CONTENT_TYPE, "application/json"),
        Body::from("{\"label\":\"Laptop\"}"),
    );
    let options = begun.await;
    assert_eq!(options.status, StatusCode::OK, "{}", options.text);
    assert!(options.text.contains("\"challenge\"") && options.text.contains("\"auth.demo.localhost\""));
}

#[tokio::test]
async fn a_login_is_ended_from_the_portals_own_pages_only() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (cookie, id) = portal.signed_in("ada", &["devs"]).await;
    let (_, other) = portal.signed_in("ada", &["devs"]).await;
    let (_, foreign) = portal.signed_in("grace", &["admins"]).await;
    let lives = async |id| login::login(&portal.state.pool, id).await.unwrap().unwrap().ended_at.is_none();

    for site in ["cross-site", "same-site"] {
        let path = format!("/sessions/{other}/end");
        let request = Request::post(path.as_str()).header(header::COOKIE, &cookie).header("sec-fetch-site", site);
        let request = request.header(header::ORIGIN, "http://wiki.demo.localhost:8080");
        assert_eq!(portal.send(request, Body::empty()).await.status, StatusCode::FORBIDDEN);
    }
    assert!(lives(other).await, "a sibling host changed something");

    assert_eq!(portal.post(&format!("/sessions/{foreign}/end"), &cookie, "").await.status, StatusCode::FORBIDDEN);
    assert!(lives(foreign).await, "another's login was ended");
    assert_eq!(portal.post(&format!("/sessions/{other}/end"), &cookie, "").await.header("location"), "/");
    assert!(!lives(other).await && lives(id).await);

    let out = portal.post("/sign-out", &cookie, "").await;
    assert_eq!((out.status, out.header("location")), (StatusCode::SEE_OTHER, "/signed-out"));
    assert!(out.header("set-cookie").contains("Max-Age=0"), "the cookie is taken back");
    assert!(!lives(id).await);
    assert_eq!(portal.get("/", &cookie).await.header("location"), "/sign-in", "the old cookie is worth nothing");
}

#[tokio::test]
async fn what_was_issued_is_shown_to_its_owner_and_revoked_by_whom_the_rules_let() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (ada, login) = portal.signed_in("ada", &["devs"]).await;
    let (eve, _) = portal.signed_in("eve", &["devs"]).await;
    let (grace, _) = portal.signed_in("grace", &["admins"]).await;
    let of_ada = login::login(&portal.state.pool, login).await.unwrap().unwrap();
    let issued = async |cluster: &str| {
        let (id, now) = (CredentialId::random(&SystemEntropy), portal.state.clock.now());
        let scope = Scope::Cluster {
            cluster: cluster.parse().unwrap(),
            namespaces: vec!["payments".to_owned()],
            reach: Reach::ReadOnly,
        };
        let new = NewCredential {
            id,
            login,
            person: of_ada.person,
            serial: Some(id.uuid().as_bytes().to_vec()),
            key_hash: id.uuid().as_bytes().to_vec(),
            scope,
            issued_at: now,
            not_after: now.plus(std::time::Duration::from_secs(600)),
        };
        credential::insert(&portal.state.pool, &new).await.unwrap();
        id
    };
    let (first, second) = (issued("demo").await, issued("prod").await);
    let home = async |cookie: &str| portal.get("/", cookie).await.text;
    let page = home(&ada).await;
    assert!(page.contains("certificate for demo, only payments, read-only"), "{page}");
    assert!(!home(&eve).await.contains("certificate for"), "another's are nobody's business");
    assert!(portal.get("/sessions", &grace).await.text.contains("certificate for prod"), "the admins' they are");

    let revoke =
        async |id: CredentialId, cookie: &str| portal.post(&format!("/credentials/{id}/revoke"), cookie, "").await;
    assert_eq!(revoke(first, &eve).await.status, StatusCode::FORBIDDEN);
    assert!(home(&ada).await.contains("certificate for demo"), "another's was revoked");
    assert_eq!(revoke(first, &ada).await.header("location"), "/");
    assert_eq!(revoke(second, &grace).await.header("location"), "/sessions");
    assert!(!home(&ada).await.contains("certificate for"));
    assert_eq!(revoke(first, &ada).await.header("location"), "/", "again is no mistake");
    let unknown = revoke(CredentialId::random(&SystemEntropy), &ada).await;
    assert!(unknown.status == StatusCode::NOT_FOUND && unknown.text.contains("No credential has this id."));
    let by_whom: Vec<_> = audit::entries(&db.pool)
        .await
        .into_iter()
        .filter_map(|entry| match entry.event {
            Event::CredentialRevoked { credential, .. } => {
                Some((credential, entry.caller.unwrap().identity.subject.clone()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(by_whom, [(first, "ada".to_owned()), (second, "grace".to_owned())]);
}

#[tokio::test]
async fn links_on_other_sites_lead_to_signing_in_and_nowhere_else() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (cookie, _) = portal.signed_in("ada", &["admins"]).await;
    for (path, site) in [("/", "cross-site"), ("/audit?before=3", "same-site"), ("/sessions", "cross-site")] {
        let request = Request::get(path).header(header::COOKIE, &cookie).header("sec-fetch-site", site);
        let answer = portal.send(request, Body::empty()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert!(answer.text.contains(&format!("href=\"{path}\"")), "{path} can be opened properly");
        assert!(!answer.text.contains("corp/"), "{path} shows nothing");
    }
    for path in FROM_ELSEWHERE {
        let request = Request::get(path).header("sec-fetch-site", "cross-site");
        let answer = portal.send(request, Body::empty()).await;
        assert_ne!(answer.status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn a_login_is_carried_to_configured_apps_and_to_no_other_host() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (cookie, _) = portal.signed_in("ada", &["devs"]).await;
    for back in ["/docs?a=b", "//evil.example", "https://evil.example", "/%5cevil.example", "/\\evil.example", ""] {
        let back: String = url::form_urlencoded::byte_serialize(back.as_bytes()).collect();
        let path = format!("/handover?app=wiki&nonce={NONCE}&return={back}");
        let request = Request::get(path).header(header::COOKIE, &cookie).header("sec-fetch-site", "same-site");
        let answer = portal.send(request, Body::empty()).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        assert!(answer.header("location").starts_with("http://wiki.demo.localhost:8080/.bailiwick/handover?code="));
    }
    let kept: Vec<(String,)> =
        sqlx::query_as("select distinct return_to from handover order by 1").fetch_all(&db.owner).await.unwrap();
    assert_eq!(kept, [("/".to_owned(),), ("/docs?a=b".to_owned(),)]);
    assert_eq!(portal.get(&format!("/handover?app=evil&nonce={NONCE}"), &cookie).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn whoever_has_to_sign_in_first_gets_where_they_wanted_to_go() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let turned_away = portal.get("/audit", "").await;
    assert_eq!(turned_away.header("location"), "/sign-in");
    let anonymous = turned_away.header("set-cookie").split(';').next().unwrap().to_owned();
    assert!(portal.get("/sign-in", &anonymous).await.text.contains("the audit log"));
}

#[tokio::test]
async fn the_command_line_is_let_in_once_and_only_on_this_computer() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (cookie, _) = portal.signed_in("ada", &["devs"]).await;
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let asks = "/command-line?challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&state=0123456789abcdef&port=40000\
                &host=ada-laptop";
    let page = portal.get(asks, &cookie).await;
    assert!(page.text.contains("ada-laptop") && page.text.contains("127.0.0.1:40000"), "{}", page.text);
    let number = page.text.split("name=\"request\" value=\"").nth(1).unwrap().split('"').next().unwrap();

    let wrong = portal.post("/command-line", &cookie, "request=another&answer=yes").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "an answer to something that was not shown");
    let page = portal.get(asks, &cookie).await;
    let number_now = page.text.split("name=\"request\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_ne!(number, number_now);
    let answer = portal.post("/command-line", &cookie, &format!("request={number_now}&answer=yes")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let code = answer.text.split("code=").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert!(answer.text.contains("url=http://127.0.0.1:40000/callback?state=0123456789abcdef&#38;code="));

    let exchange = async |verifier: &str| {
        let request = Request::post("/api/v1/command-line/token").header(header::CONTENT_TYPE, "application/json");
        portal.send(request, format!("{{\"code\":\"{code}\",\"verifier\":\"{verifier}\"}}")).await
    };
    let token = exchange(verifier).await;
    assert_eq!(token.status, StatusCode::OK, "{}", token.text);
    assert_eq!(exchange(verifier).await.status, StatusCode::FORBIDDEN, "a code is used once");

    let token: serde_json::Value = serde_json::from_str(&token.text).unwrap();
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    let api = async |method: Method, path: &str| {
        let request = Request::builder().method(method).uri(path).header(header::AUTHORIZATION, &bearer);
        portal.send(request.header(header::CONTENT_TYPE, "application/json"), Body::from("{}")).await
    };
    let status = api(Method::GET, "/api/v1/status").await;
    assert!(status.text.contains("\"person\":\"corp/ada\""), "{}", status.text);
    let sessions = api(Method::GET, "/api/v1/sessions").await;
    assert!(sessions.text.contains("\"current\":true"), "{}", sessions.text);
    assert_eq!(api(Method::GET, "/api/v1/clusters").await.text, "{\"clusters\":[]}");
    assert_eq!(api(Method::POST, "/api/v1/sign-out").await.status, StatusCode::OK);
    assert_eq!(api(Method::GET, "/api/v1/status").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        portal.get("/", &cookie).await.header("location"),
        "/sign-in",
        "the login has ended, not the token alone"
    );
}

#[tokio::test]
async fn without_the_log_nothing_is_shown_and_nothing_is_done() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (cookie, _) = portal.signed_in("ada", &["admins"]).await;
    db.cut_off().await;
    for path in ["/", "/audit", "/sessions", "/policy"] {
        let answer = portal.get(path, &cookie).await;
        assert!(answer.status.is_server_error(), "{path}: {}", answer.status);
        assert!(answer.text.contains("Incident") && !answer.text.contains("bailiwick_broker"), "{path}");
    }
    db.restore().await;
}

#[tokio::test]
async fn a_step_up_leads_back_to_the_app_that_asked_for_it() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (cookie, _) = portal.signed_in("ada", &["devs"]).await;
    let from_app =
        |path: &str| Request::get(path).header(header::COOKIE, &cookie).header("sec-fetch-site", "same-site");
    let page = portal.send(from_app("/step-up?app=wiki&return=%2Fnotes%3Fa%3Db"), Body::empty()).await;
    assert!(page.text.contains("<strong>wiki</strong>") && page.text.contains("data-begin=\"/step-up/begin\""));
    assert_eq!(portal.get("/onward", &cookie).await.header("location"), "http://wiki.demo.localhost:8080/notes?a=b");
    assert_eq!(portal.get("/onward", &cookie).await.header("location"), "/", "a way is gone once");

    portal.send(from_app("/step-up?app=wiki&return=%2F%2Fevil.example"), Body::empty()).await;
    assert_eq!(portal.get("/onward", &cookie).await.header("location"), "http://wiki.demo.localhost:8080/");
    assert_eq!(portal.get("/step-up?app=evil", &cookie).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_way_back_from_a_refused_app_is_a_page_that_goes_on_by_itself() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (cookie, _) = portal.signed_in("ada", &["devs"]).await;
    let request = Request::get("/sign-in").header(header::COOKIE, &cookie).header("sec-fetch-site", "same-site");
    let answer = portal.send(request, Body::empty()).await;
    assert!(answer.status == StatusCode::OK && answer.text.contains("content=\"0;url=/onward\""));
}
