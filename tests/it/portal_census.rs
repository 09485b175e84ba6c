//! The census: every route of the portal, as nobody and as half a login. Whatever is not listed as open refuses, and
//! the list is the one that the router is made of.

use axum::body::Body;
use bailiwick::portal::{Openness, Route, routes};
use http::{Method, StatusCode, header};

use crate::support::{
    database,
    portal::{Answer, TestPortal, from_own_page},
};

const ID: &str = "0b54ad30-7d3c-4c80-9d0f-3f1f4ac7a0b1";
const NONCE: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// The address of a route, with what it needs in order to get as far as asking who calls.
fn address(route: &Route) -> String {
    let path = route
        .path
        .replace("{id}", ID)
        .replace("{leaf}", "0")
        .replace("{sha256}", &"0".repeat(64))
        .replace("{cluster}", "prod")
        .replace("{file}", "portal.css")
        .replace("{*path}", "nothing");
    match (route.method.as_str(), route.path) {
        (_, "/handover") => format!("{path}?app=wiki&nonce={NONCE}&return=/docs"),
        ("GET", "/command-line") => format!("{path}?challenge={CHALLENGE}&state=0123456789abcdef&port=40000&host=a"),
        _ => path,
    }
}

async fn ask(portal: &TestPortal, route: &Route, cookie: &str) -> Answer {
    let api = route.path.starts_with("/api/");
    let request = if api {
        http::Request::builder().method(route.method.clone()).uri(address(route))
    } else {
        from_own_page(route.method.clone(), &address(route), cookie)
    };
    portal.send(request.header(header::CONTENT_TYPE, "application/json"), Body::from("{}")).await
}

#[tokio::test]
async fn nobody_gets_in_anywhere_that_is_not_open() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    for route in routes() {
        let name = format!("{} {}", route.method, route.path);
        let answer = ask(&portal, &route, "").await;
        match route.openness {
            Openness::Open => {
                assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{name}");
                assert_ne!(answer.header("location"), "/sign-in", "{name}");
            }
            Openness::Token => assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}"),
            _ if route.method == Method::GET => {
                assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/sign-in"), "{name}");
            }
            _ => assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}"),
        }
    }
}

#[tokio::test]
async fn half_a_login_reaches_the_sign_in_pages_and_nothing_else() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let cookie = portal.half_signed_in("ada").await;
    for route in routes().iter().filter(|route| route.path != "/sign-out") {
        let name = format!("{} {}", route.method, route.path);
        let answer = ask(&portal, route, &cookie).await;
        match route.openness {
            Openness::Open | Openness::HalfSignedIn => {
                assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{name}");
                assert_ne!(answer.header("location"), "/sign-in", "{name}");
            }
            Openness::Token => assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}"),
            Openness::SignedIn if route.method == Method::GET => {
                assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/passkey"), "{name}");
            }
            Openness::SignedIn => assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}"),
        }
    }
}

#[tokio::test]
async fn a_session_cookie_opens_nothing_of_the_api() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (cookie, _) = portal.signed_in("ada", &["admins"]).await;
    for route in routes().iter().filter(|route| route.path.starts_with("/api/")) {
        let request = from_own_page(route.method.clone(), &address(route), &cookie);
        let answer = portal.send(request.header(header::AUTHORIZATION, "Bearer x"), Body::from("{}")).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{} {}", route.method, route.path);
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
}

#[tokio::test]
async fn every_answer_carries_the_headers_that_keep_pages_apart() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (cookie, _) = portal.signed_in("ada", &["admins"]).await;
    for route in routes().iter().filter(|route| route.path != "/sign-out") {
        for cookie in ["", &cookie] {
            let (name, answer) = (route.path, ask(&portal, route, cookie).await);
            let policy = answer.header("content-security-policy");
            assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{name}");
            assert!(!policy.contains("unsafe"), "{name}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{name}");
            assert_eq!(answer.header("referrer-policy"), "same-origin", "{name}");
            assert_eq!(answer.header("bailiwick-request").len(), 36, "{name}");
            let kept = route.path.starts_with("/static/");
            assert_eq!(answer.header("cache-control") == "no-store", !kept, "{name}");
            for cookie in answer.headers.get_all("set-cookie") {
                let text = cookie.to_str().unwrap();
                assert!(text.starts_with("__Host-bailiwick=") && text.contains("Secure") && text.contains("HttpOnly"));
                assert!(text.contains("SameSite=Lax") && text.contains("Path=/") && !text.contains("Domain"), "{text}");
            }
        }
    }
}
