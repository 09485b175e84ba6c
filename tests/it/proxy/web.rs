//! The door to a web app: what the app sees, and what it never sees.

use std::sync::Arc;

use bailiwick::{
    audit::{ClosedBy, Event},
    model::{AssuranceLevel, Presented},
};
use tokio::{io::AsyncWriteExt, sync::Notify};

use super::{
    doors::{COOKIE, ORIGIN, Wiki},
    wire::{OK, Recorder, answers, exchange, read_until, reply, status},
};
use crate::support::{audit::entries, eventually};

pub const ALL: &str = r#"@id("all") permit (principal, action, resource in App::"wiki");"#;
const READ: &str = r#"
@id("read") permit (principal, action in Action::"read", resource in App::"wiki");
@id("not-admin") @reason("The back room is closed.") forbid (principal, action, resource in Path::"wiki/admin");"#;

async fn wiki() -> (Wiki, Recorder) {
    let upstream = Recorder::start().await;
    (Wiki::at(upstream.address, ALL).await, upstream)
}

#[tokio::test]
async fn the_app_is_told_who_asks_and_by_nobody_else() {
    let (wiki, upstream) = wiki().await;
    for smuggled in [
        "Bailiwick-User: admin\r\n",
        "bailiwick_user: admin\r\n",
        "BAILIWICK.USER: admin\r\n",
        "Bailiwick-User: admin\r\nBailiwick-User: root\r\n",
        "Connection: Bailiwick-User\r\n",
        "Connection: keep-alive, BAILIWICK-USER, x-forwarded-for\r\n",
        "connection: bailiwick-groups\r\nConnection: bailiwick-user\r\n",
        "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Host: evil\r\nForwarded: for=10.0.0.1\r\n",
        "X_Forwarded_For: 10.0.0.1\r\nX-Forwarded_User: admin\r\nX-Real-IP: 10.0.0.1\r\n",
        "X-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\nX-HTTP-Method-Override: DELETE\r\n",
        "Remote-User: admin\r\nX-Remote-User: admin\r\nImpersonate-User: admin\r\nImpersonate-Uid: 0\r\n",
    ] {
        let answer = wiki.ask("GET /page?q=1", smuggled, "").await;
        assert_eq!(status(&answer), 200, "{smuggled:?}: {answer}");
        let seen = upstream.seen().pop().unwrap();
        assert_eq!(seen.line(), "GET /page?q=1 HTTP/1.1");
        assert_eq!(seen.values("bailiwick-user"), ["corp/alice"], "{smuggled:?}: {}", seen.head);
        assert_eq!(seen.values("x-forwarded-for"), ["127.0.0.1"], "{smuggled:?}");
        assert_eq!(seen.values("x-forwarded-host"), ["wiki.test"]);
        assert_eq!(seen.values("host"), ["wiki.test"]);
        for claim in ["admin", "root", "evil", "10.0.0.1", "DELETE"] {
            assert!(!seen.head.contains(claim), "{smuggled:?}: {}", seen.head);
        }
    }
}

#[tokio::test]
async fn our_cookies_stay_with_us_and_theirs_pass() {
    let upstream = Recorder::scripted(|_, mut wire| async move {
        let cookies = "Set-Cookie: __Host-bailiwick-app=evil; Secure; Path=/\r\nSet-Cookie: __HOST-bailiwick=x\r\nSet-Cookie: theirs=2\r\n";
        reply(&mut wire, &OK.replace("Connection", &format!("{cookies}Connection"))).await;
    })
    .await;
    let wiki = Wiki::at(upstream.address, ALL).await;
    let answer = wiki.ask("GET /", "Authorization: Bearer theirs\r\n", "").await;
    let seen = upstream.seen().pop().unwrap();
    assert_eq!(seen.values("cookie"), ["theirs=1; more=2"]);
    assert_eq!(seen.values("authorization"), ["Bearer theirs"]);
    assert!(!seen.head.contains(COOKIE));
    assert!(answer.contains("theirs=2") && !answer.to_lowercase().contains("__host-"), "{answer}");
}

#[tokio::test]
async fn a_path_that_can_be_read_in_two_ways_goes_nowhere() {
    let (wiki, upstream) = wiki().await;
    for path in [
        "/a/../admin",
        "/a/%2e%2e/admin",
        "/a/.%2e/admin",
        "/a/..%2fadmin",
        "/a/..%5cadmin",
        "/a/..\\admin",
        "/a/..;/admin",
        "/admin;x",
        "/;/admin",
        "/%252e%252e%252fadmin",
        "/%c0%ae%c0%ae/admin",
        "/%u002e",
        "/%ef%bc%8e",
        "/a/%23/../../admin",
        "//admin",
        "/a//../admin",
        "/%41dmin",
        "/a%00",
        "/a%0a",
        "/a%7f",
        "/a/.",
        "/a/..",
        "/%zz",
        "/a%",
        "/caf%e9",
        "/a%20b/..",
        "/\u{85}",
        "/a%C2%A0",
    ] {
        let answer = wiki.ask(&format!("GET {path}"), "", "").await;
        assert_eq!(status(&answer), 400, "{path}: {answer}");
    }
    assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
    let answer = wiki.ask("GET /a#/../admin", "", "").await;
    if status(&answer) == 200 {
        assert_eq!(upstream.seen().pop().unwrap().line(), "GET /a HTTP/1.1", "what was judged is what is sent");
    }
}

#[tokio::test]
async fn one_request_comes_out_of_one_request() {
    let (wiki, upstream) = wiki().await;
    let inner = "GET /smuggled HTTP/1.1\r\nHost: wiki.test\r\n\r\n";
    for (framing, body) in [
        (format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", inner.len() + 5), format!("0\r\n\r\n{inner}")),
        (
            "Transfer-Encoding: chunked\r\n".to_owned(),
            format!("0\r\nTrailer: x\r\nBailiwick-User: admin\r\n\r\n{inner}"),
        ),
        (format!("Content-Length: {}\r\n", inner.len()), inner.to_owned()),
    ] {
        let fields = format!("Origin: {ORIGIN}\r\n{framing}");
        let request = format!("{}{body}", wiki.request("POST /post", &format!("{fields}Connection: close\r\n"), ""));
        let answer = exchange(wiki.front, &request).await;
        assert_eq!(answers(&answer), 1, "{answer}");
        let seen = upstream.seen().pop().unwrap();
        assert_eq!(seen.line(), "POST /post HTTP/1.1");
        assert!(!seen.head.contains("Trailer") && !String::from_utf8_lossy(&seen.body).contains("admin"), "{seen:?}");
        assert!(seen.values("content-length").len() + seen.values("transfer-encoding").len() == 1, "{}", seen.head);
    }
    assert_eq!(upstream.seen().len(), 3);
}

#[tokio::test]
async fn a_denied_request_leaves_its_body_behind() {
    let upstream = Recorder::start().await;
    let wiki = Wiki::at(upstream.address, READ).await;
    let inner = wiki.request("GET /smuggled", "", "");
    let answer = exchange(wiki.front, &wiki.request("POST /post", &format!("Origin: {ORIGIN}\r\n"), &inner)).await;
    assert_eq!((status(&answer), answers(&answer)), (403, 1), "{answer}");
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_person_reads_the_rules_own_reason_and_a_script_problem_details() {
    let upstream = Recorder::start().await;
    let wiki = Wiki::at(upstream.address, READ).await;
    let page = wiki.ask("GET /admin/users", "Accept: text/html\r\n", "").await;
    assert_eq!(status(&page), 403);
    assert!(
        page.contains("The back room is closed.") && page.contains("not-admin") && page.contains("<!doctype html>")
    );
    assert!(page.contains("frame-ancestors 'none'") && page.contains("http://auth.test:8080"));
    let problem = wiki.ask("GET /admin/users", "Accept: */*\r\n", "").await;
    assert!(problem.contains("application/problem+json") && problem.contains("The back room is closed."), "{problem}");
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn whoever_has_no_session_is_sent_to_the_portal_or_told_so() {
    let (wiki, upstream) = wiki().await;
    let plain =
        |fields: &str| format!("GET /page?q=1 HTTP/1.1\r\nHost: wiki.test\r\nConnection: close\r\n{fields}\r\n");
    let answer = exchange(wiki.front, &plain("Sec-Fetch-Mode: navigate\r\n")).await;
    assert_eq!(status(&answer), 303);
    assert!(answer.contains("http://auth.test:8080/handover?app=wiki&nonce="), "{answer}");
    assert!(answer.contains("return=%2Fpage%3Fq%3D1"), "{answer}");
    assert!(answer.contains("__Host-bailiwick-nonce=") && answer.contains("; Path=/; Secure; HttpOnly; SameSite=Lax"));
    for fields in
        ["", "User-Agent: kube-probe/1.0\r\n", "Cookie: __Host-bailiwick-app=wrong\r\n", "X-Forwarded-Uri: /\r\n"]
    {
        let answer = exchange(wiki.front, &plain(fields)).await;
        assert_eq!(status(&answer), 401, "{fields}");
        assert!(answer.contains("problem+json") && !answer.contains("location:"), "{answer}");
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_login_comes_over_from_the_portal_once_and_in_its_own_browser() {
    let (wiki, upstream) = wiki().await;
    let mut caller = wiki.caller.clone();
    caller.presented = Presented::Session;
    assert_eq!(caller.assurance.level, AssuranceLevel::Passkey);
    let (nonce, hash) = wiki.rooms.handovers.nonce();
    let app = "wiki".parse().unwrap();
    let begin = async || wiki.rooms.handovers.begin(&caller, &app, &hash, "/page?q=1").await.unwrap();
    let finish = async |code: &str, cookie: &str| {
        let line = format!("GET /.bailiwick/handover?code={code} HTTP/1.1\r\nHost: wiki.test\r\nConnection: close\r\n");
        exchange(wiki.front, &format!("{line}{cookie}\r\n")).await
    };
    let code = begin().await;
    let ours = format!("Cookie: __Host-bailiwick-nonce={nonce}\r\n");
    let answer = finish(&code, &ours).await;
    assert_eq!(status(&answer), 303, "{answer}");
    assert!(answer.contains("http://wiki.test/page?q=1"), "{answer}");
    let cookie = answer.split("__Host-bailiwick-app=").nth(1).unwrap().split(';').next().unwrap().to_owned();
    assert!(answer.contains("__Host-bailiwick-nonce=; ") && answer.contains("Max-Age=0"));
    assert_eq!(status(&finish(&code, &ours).await), 400, "a code is used once");
    for other in ["Cookie: __Host-bailiwick-nonce=other\r\n", ""] {
        assert_eq!(status(&finish(&begin().await, other).await), 400, "another browser");
    }
    let session = format!("Cookie: __Host-bailiwick-app={cookie}\r\nConnection: close\r\n");
    let answer = exchange(wiki.front, &format!("GET / HTTP/1.1\r\nHost: wiki.test\r\n{session}\r\n")).await;
    assert_eq!(status(&answer), 200);
    assert_eq!(upstream.seen().len(), 1, "the app never sees what is ours");
    let out = |origin: &str| {
        format!(
            "POST /.bailiwick/sign-out HTTP/1.1\r\nHost: wiki.test\r\nOrigin: {origin}\r\nContent-Length: 0\r\n{session}\r\n"
        )
    };
    assert_eq!(status(&exchange(wiki.front, &out("http://evil.test")).await), 403);
    assert_eq!(status(&exchange(wiki.front, &out(ORIGIN)).await), 303);
    let answer = exchange(wiki.front, &format!("GET / HTTP/1.1\r\nHost: wiki.test\r\n{session}\r\n")).await;
    assert_eq!(status(&answer), 401, "signed out");
}

#[tokio::test]
async fn only_the_apps_own_pages_change_anything() {
    let (wiki, upstream) = wiki().await;
    for (fields, expected) in [
        ("Origin: http://evil.test\r\nSec-Fetch-Site: same-site\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
        ("Origin: null\r\n", 403),
        ("", 403),
        ("Origin: http://wiki.test\r\nSec-Fetch-Site: same-origin\r\n", 200),
    ] {
        assert_eq!(status(&wiki.ask("POST /post", fields, "x").await), expected, "{fields}");
    }
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn what_is_refused_whoever_asks_has_an_entry_with_whoever_did() {
    let (wiki, upstream) = wiki().await;
    for (line, expected) in
        [("PROPFIND /", 405), ("PROPFIND /", 405), ("GET /.bailiwick/x", 404), ("GET /%2e%2e/", 400)]
    {
        let own = "Origin: http://wiki.test\r\n";
        assert_eq!(status(&wiki.ask(line, own, "").await), expected, "{line}");
    }
    let refused = eventually(async || {
        let all = entries(&wiki.court.db.pool).await.into_iter().filter_map(|entry| match entry.event {
            Event::Refused { check, target, .. } => Some((entry.caller?.identity.subject.clone(), check, target)),
            _ => None,
        });
        Some(all.collect::<Vec<_>>()).filter(|all| all.len() == 4)
    })
    .await;
    let of = |check: &str| ("alice".to_owned(), check.to_owned(), "wiki".to_owned());
    assert_eq!(refused, ["method", "method", "address", "path"].map(of));
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn each_piece_of_an_answer_arrives_when_it_is_sent() {
    let go = Arc::new(Notify::new());
    let wait = Arc::clone(&go);
    let upstream = Recorder::scripted(move |_, mut wire| {
        let wait = Arc::clone(&wait);
        async move {
            reply(&mut wire, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
            wait.notified().await;
            reply(&mut wire, "6\r\nsecond\r\n0\r\nBailiwick-User: x\r\n\r\n").await;
        }
    })
    .await;
    let wiki = Wiki::at(upstream.address, ALL).await;
    let mut stream = wiki.open("GET /events", "").await;
    read_until(&mut stream, "first").await;
    go.notify_one();
    let rest = read_until(&mut stream, "0\r\n\r\n").await;
    assert!(rest.contains("second") && !rest.contains("Bailiwick-User"), "{rest}");
}

#[tokio::test]
async fn how_it_ended_is_in_the_log() {
    let (wiki, upstream) = wiki().await;
    let answer = wiki.ask("POST /post", &format!("Origin: {ORIGIN}\r\n"), "seven b").await;
    assert_eq!(status(&answer), 200);
    let request = upstream.seen()[0].values("bailiwick-request")[0].parse().unwrap();
    let entry = wiki.court.entry(request, |event| matches!(event, Event::Outcome { .. })).await;
    let Event::Outcome { status, received, sent, closed_by, .. } = entry.event else { unreachable!() };
    assert_eq!((status, received, sent, closed_by), (Some(200), 7, 5, ClosedBy::Upstream));
    assert!(matches!(wiki.court.entries(request).await[0].event, Event::Decision { .. }), "the decision comes first");
}

#[tokio::test]
async fn what_could_not_be_forwarded_is_in_the_log_as_such() {
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], crate::support::free_port()));
    let wiki = Wiki::at(nobody, ALL).await;
    let answer = wiki.ask("GET /", "", "").await;
    assert_eq!(status(&answer), 502, "{answer}");
    let request = answer.split("\"request\":\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
    wiki.court.entry(request, |event| matches!(event, Event::NotForwarded { .. })).await;
}

#[tokio::test]
async fn without_a_log_nothing_is_forwarded() {
    let (wiki, upstream) = wiki().await;
    wiki.court.db.cut_off().await;
    let answer = wiki.ask("GET /", "", "").await;
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(upstream.seen().is_empty());
    wiki.court.db.restore().await;
    crate::support::eventually(async || (status(&wiki.ask("GET /", "", "").await) == 200).then_some(())).await;
}

#[tokio::test]
async fn a_caller_who_goes_away_ends_the_request_upstream() {
    let gone = Arc::new(Notify::new());
    let tell = Arc::clone(&gone);
    let upstream = Recorder::scripted(move |_, mut wire| {
        let tell = Arc::clone(&tell);
        async move {
            reply(&mut wire, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
            let mut rest = Vec::new();
            let _ = tokio::io::AsyncReadExt::read_to_end(&mut wire, &mut rest).await;
            tell.notify_one();
        }
    })
    .await;
    let wiki = Wiki::at(upstream.address, ALL).await;
    let mut stream = wiki.open("GET /events", "").await;
    read_until(&mut stream, "first").await;
    stream.shutdown().await.unwrap();
    drop(stream);
    tokio::time::timeout(super::wire::SOON, gone.notified()).await.expect("the upstream is hung up on");
}
