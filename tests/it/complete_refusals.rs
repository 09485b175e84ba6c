//! The census of refusals: an outsider tries every way in that is not one, against a whole broker, and the log tells of
//! each. Then the same for somebody who is known, whose refusals have an entry each with their name.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use axum::body::Body;
use bailiwick::{
    app,
    audit::{Entry, Event},
    config::Settings,
    model::{SystemClock, SystemEntropy},
};
use http::{Method, Request, header};
use sqlx::PgPool;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    proxy::{
        pki::{Authority, Pair, dial},
        wire::exchange,
    },
    support::{
        Site,
        audit::entries,
        database, eventually,
        portal::{TestPortal, from_own_page},
    },
};

const CLUSTER: &str = "demo.k8s.test.localhost";

/// How often strangers were refused, by check and target.
type Census = BTreeMap<(String, String), u64>;

/// A broker with portal, wiki and a cluster, and an outsider who speaks plain HTTP and TLS to it.
struct Outsider {
    site: Site,
    public: Authority,
    http: SocketAddr,
    https: SocketAddr,
    running: app::Running,
    expected: Census,
}

impl Outsider {
    async fn arrive() -> Self {
        let site = Site::prepare(database().await, "").await;
        let ports = site.first_ports();
        let public = Authority::new("public");
        let shown = public.server(&["auth.test.localhost", "wiki.test.localhost", CLUSTER]);
        site.write("tls.crt", &pem("CERTIFICATE", &shown.certificate));
        site.write("tls.key", &pem("PRIVATE KEY", shown.key.secret_der()));
        let kubeconfig = "current-context: it\ncontexts: [{name: it, context: {cluster: c, user: u}}]\n\
                          clusters: [{name: c, cluster: {server: 'https://127.0.0.1:9'}}]\n\
                          users: [{name: u, user: {token: ours}}]\n";
        let kubeconfig = site.write("kubeconfig", kubeconfig);
        let config = std::fs::read_to_string(site.configure(ports, None)).unwrap();
        let cluster = format!(
            "[[cluster]]\nname = \"demo\"\nhost = \"{CLUSTER}\"\nlisten = \"127.0.0.1:{}\"\nkubeconfig = {kubeconfig:?}\n",
            ports.cluster
        );
        let file = site.write("bailiwick-with-cluster.toml", &format!("{config}\n{cluster}"));
        let settings = Settings::load(&file).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        let running = app::start(settings, Arc::new(SystemClock), Arc::new(SystemEntropy)).await.unwrap();
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (http, https) = (at(ports.http), at(ports.cluster));
        Self { site, public, http, https, running, expected: Census::new() }
    }

    /// Sends a whole request over plain HTTP, and expects the refusal in the log.
    async fn tries(&mut self, (check, target): (&str, &str), line: &str, fields: &str, body: &str) -> String {
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let request = format!("{line} HTTP/1.1\r\n{fields}{length}Connection: close\r\n\r\n{body}");
        let answer = exchange(self.http, &request).await;
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        assert!(!status.starts_with('2'), "{line} {fields}: {answer}");
        self.expect(check, target);
        status
    }

    /// The same over TLS.
    async fn tries_tls(&mut self, (check, target): (&str, &str), name: &str, host: &str, shown: Option<&Pair>) {
        let config = Arc::new(self.public.client_config(shown));
        if let Ok(mut stream) = dial(self.https, &config, name).await {
            let request = format!("GET /api HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(request.as_bytes()).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            assert!(!answer.starts_with(b"HTTP/1.1 2"), "{name} {host}");
        }
        self.expect(check, target);
    }

    fn expect(&mut self, check: &str, target: &str) {
        *self.expected.entry((check.to_owned(), target.to_owned())).or_default() += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_in_that_is_none_is_in_the_log() {
    let mut outsider = Outsider::arrive().await;
    let portal = format!("Host: {}\r\n", authority(outsider.site.portal.as_str()));
    let wiki = format!("Host: {}\r\n", authority(outsider.site.wiki.as_str()));
    let own = format!("{portal}Sec-Fetch-Site: same-origin\r\n");
    let from = |site: &str| format!("{portal}Sec-Fetch-Site: {site}\r\n");
    let json = format!("{portal}Content-Type: application/json\r\n");
    let o = &mut outsider;

    // The command line's API.
    o.tries(("token", "portal"), "GET /api/v1/status", &portal, "").await;
    o.tries(("token", "portal"), "GET /api/v1/sessions", &format!("{portal}Authorization: Bearer no\r\n"), "").await;
    o.tries(("api", "portal"), "GET /api/v1/status", &format!("{portal}Cookie: a=b\r\n"), "").await;
    let exchange = "POST /api/v1/command-line/token";
    o.tries(("proof", "portal"), exchange, &json, r#"{"code":"x","verifier":"y"}"#).await;
    o.tries(("request", "portal"), exchange, &json, "{").await;
    o.tries(("size", "portal"), exchange, &json, &format!("{{\"code\":\"{}\"}}", "x".repeat(70_000))).await;
    // The portal's pages.
    o.tries(("session", "portal"), "GET /", &portal, "").await;
    o.tries(("session", "portal"), "POST /passkey/begin", &own, "").await;
    o.tries(("session", "portal"), "GET /audit", &format!("{portal}Cookie: __Host-bailiwick=x\r\n"), "").await;
    o.tries(("origin", "portal"), "POST /sign-out", &from("cross-site"), "").await;
    o.tries(("navigation", "portal"), "GET /audit", &from("cross-site"), "").await;
    let two = format!("{portal}Cookie: __Host-bailiwick=a; __Host-bailiwick=b\r\n");
    o.tries(("cookies", "portal"), "GET /", &two, "").await;
    o.tries(("request", "portal"), "GET /sign-in/callback?code=x&state=y", &portal, "").await;
    o.tries(("request", "portal"), "GET /command-line?port=1", &portal, "").await;
    o.tries(("address", "portal"), "GET /wp-login.php", &portal, "").await;
    o.tries(("method", "portal"), "PUT /sign-in", &own, "").await;
    // The wiki's door.
    o.tries(("app-session", "wiki"), "GET /", &wiki, "").await;
    o.tries(("app-session", "wiki"), "GET /", &format!("{wiki}Cookie: __Host-bailiwick-app=x\r\n"), "").await;
    o.tries(("path", "wiki"), "GET /a/%2e%2e/b", &wiki, "").await;
    o.tries(("origin", "wiki"), "POST /", &format!("{wiki}Origin: http://evil.test\r\n"), "x").await;
    o.tries(("handover", "wiki"), "GET /.bailiwick/handover?code=x", &wiki, "").await;
    let nonce = format!("{wiki}Cookie: __Host-bailiwick-nonce=x\r\n");
    o.tries(("handover", "wiki"), "GET /.bailiwick/handover?code=x", &nonce, "").await;
    o.tries(("address", "wiki"), "GET /.bailiwick/x", &wiki, "").await;
    let own_wiki = format!("{wiki}Sec-Fetch-Site: same-origin\r\nOrigin: {}\r\n", outsider_origin(&o.site));
    o.tries(("method", "wiki"), "POST /.bailiwick/handover", &own_wiki, "x").await;
    // The listener.
    o.tries(("method", "wiki.test.localhost"), "TRACE /", &wiki, "").await;
    o.tries(("host", "unknown host"), "GET /", "Host: elsewhere.test\r\n", "").await;
    o.tries(("framing", "wiki.test.localhost"), "GET /", &format!("{wiki}Transfer_Encoding: chunked\r\n"), "").await;
    let coding = format!("{wiki}Transfer-Encoding: gzip, chunked\r\n");
    o.tries(("framing", "wiki.test.localhost"), "POST /", &coding, "").await;
    let many: String = (0..70).map(|nth| format!("X-{nth}: 1\r\n")).collect();
    o.tries(("size", "auth.test.localhost"), "GET /", &format!("{portal}{many}"), "").await;
    o.tries(("framing", "unknown host"), "\u{16}\u{3}\u{1}", "", "").await;
    // The cluster's door.
    let stranger = Authority::new("stranger").client(&[1; 16]);
    o.tries_tls(("certificate", "demo"), CLUSTER, CLUSTER, None).await;
    o.tries_tls(("certificate", CLUSTER), CLUSTER, CLUSTER, Some(&stranger)).await;
    o.tries_tls(("host", CLUSTER), "auth.test.localhost", CLUSTER, None).await;
    o.tries_tls(("host", "unknown host"), CLUSTER, "elsewhere.test", None).await;

    let Outsider { site, running, expected, .. } = outsider;
    running.stop().await;
    let (found, alone) = census(&site.database.pool).await;
    assert_eq!(found, expected);
    // In each minute the first of each is there at once, and one more may follow alone.
    let minutes = minutes(&site.database.pool).await;
    assert!(alone >= expected.len() && alone <= 2 * minutes * expected.len(), "{alone} in {minutes} minutes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_strangers_leaves_a_few_entries_that_count_all_of_it() {
    let outsider = Outsider::arrive().await;
    let host = authority(outsider.site.portal.as_str());
    let request = format!("GET /api/v1/status HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let flood = (0..4).map(|_| {
        let (request, at) = (request.clone(), outsider.http);
        tokio::spawn(async move {
            let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
            for _ in 0..250 {
                stream.write_all(request.as_bytes()).await.unwrap();
                let mut answer = vec![0; 4096];
                let read = stream.read(&mut answer).await.unwrap();
                assert!(answer[..read].starts_with(b"HTTP/1.1 401"));
            }
        })
    });
    for one in flood.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    let Outsider { site, running, .. } = outsider;
    running.stop().await;
    let (found, _) = census(&site.database.pool).await;
    assert_eq!(found, Census::from([(("token".to_owned(), "portal".to_owned()), 1_000)]));
    let kinds: Vec<_> = entries(&site.database.pool).await.iter().map(|entry| entry.event.kind()).collect();
    let noted = kinds.iter().filter(|kind| kind.starts_with("refus")).count();
    let minutes = minutes(&site.database.pool).await;
    assert!(noted <= 3 * minutes, "{minutes} minutes: {kinds:?}");
}

#[tokio::test]
async fn whoever_is_known_has_an_entry_for_each_refusal() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let half = portal.half_signed_in("hal").await;
    let (whole, _) = portal.signed_in("ada", &["admins"]).await;
    for _ in 0..3 {
        assert_eq!(portal.post("/step-up/begin", &half, "").await.status, 401);
    }
    portal.get("/sign-in/callback?code=x&state=y", &half).await;
    let asked = format!("/command-line?challenge={}&state=0123456789abcdef&port=40000&host=a", "c".repeat(43));
    let page = portal.get(&asked, &whole).await.text;
    let request = page.split("name=\"request\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    portal.post("/command-line", &whole, &format!("request={request}&answer=no")).await;
    assert_eq!(portal.post("/command-line", &whole, "request=x&answer=yes").await.status, 400);
    let wrong = from_own_page(Method::POST, "/passkey/finish", &half).header(header::CONTENT_TYPE, "application/json");
    assert_eq!(portal.send(wrong, Body::from("{}")).await.status, 422);
    // A page elsewhere makes their browser ask, and what comes is theirs all the same.
    let asked = |method: Method, path: &str| Request::builder().method(method).uri(path).header(header::COOKIE, &whole);
    let evil = asked(Method::POST, "/audit/searches").header(header::ORIGIN, "http://evil.example");
    let led = asked(Method::GET, "/audit").header("sec-fetch-site", "cross-site");
    let unknown = Method::from_bytes(b"PROPFIND").unwrap();
    for (request, status) in [
        (asked(Method::POST, "/sessions/x/end"), 403),
        (evil, 403),
        (led, 403),
        (asked(Method::GET, "/nosuch"), 404),
        (from_own_page(Method::PUT, "/sign-in", &whole), 405),
        (from_own_page(unknown, "/", &whole), 405),
    ] {
        assert_eq!(portal.send(request, Body::empty()).await.status, status);
    }
    // Nothing of it is a use, and a cookie that is nobody's names nobody.
    let seen = async || sqlx::query_as("select max(active_at) from login").fetch_one(&db.pool).await.unwrap();
    let before: (time::OffsetDateTime,) = seen().await;
    portal.time.advance(Duration::from_secs(300));
    assert_eq!(portal.send(asked(Method::GET, "/nosuch"), Body::empty()).await.status, 404);
    let made_up =
        Request::builder().uri("/nosuch").header(header::COOKIE, format!("__Host-bailiwick={}", "A".repeat(22)));
    assert_eq!(portal.send(made_up, Body::empty()).await.status, 404);
    assert_eq!(seen().await, before);
    let known = async || {
        let refused = entries(&db.pool).await.into_iter().filter_map(|entry| match (entry.caller, entry.event) {
            (Some(caller), Event::Refused { check, target, .. }) => {
                assert!(entry.request.is_some() && target == "portal");
                Some(format!("{} {check}", caller.identity.subject))
            }
            _ => None,
        });
        let refused: Vec<_> = refused.collect();
        (refused.len() >= 14).then_some(refused)
    };
    let mut expected = vec!["hal passkey", "hal passkey", "hal passkey", "hal request"];
    expected.extend(["ada command-line", "ada request", "hal request"]);
    expected.extend([
        "ada origin",
        "ada origin",
        "ada navigation",
        "ada address",
        "ada method",
        "ada method",
        "ada address",
    ]);
    assert_eq!(eventually(known).await, expected);
}

#[tokio::test]
async fn a_network_that_begins_too_many_sign_ins_waits_and_the_log_says_so() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (cookie, _) = portal.signed_in("ada", &[]).await;
    let mut refused = 0;
    for _ in 0..70 {
        // The provider is away, so that each ends quickly; it counts all the same. Whose session comes along is not looked up
        // for those that are too many, so the log names nobody.
        let answer = portal.post("/sign-in", &cookie, "provider=corp").await;
        if answer.status == 429 {
            assert_eq!(answer.header("retry-after"), "1");
            refused += 1;
        }
    }
    assert_eq!(refused, 10);
    portal.state.refusals.finish();
    let pace = || ("pace".to_owned(), "portal".to_owned());
    eventually(async || (census(&db.pool).await.0.get(&pace()) == Some(&10)).then_some(())).await;
}

/// What the log tells of strangers, and how many of them have an entry alone.
async fn census(pool: &PgPool) -> (Census, usize) {
    let (mut census, mut alone) = (Census::new(), 0);
    for Entry { caller, event, .. } in entries(pool).await {
        let (check, target, count) = match event {
            Event::Refused { check, target, .. } => (check, target, 1),
            Event::Refusals { check, target, count, network, .. } => {
                assert_eq!(network, "127.0.0.0/24");
                (check, target, count)
            }
            _ => continue,
        };
        assert!(caller.is_none());
        alone += usize::from(count == 1);
        *census.entry((check, target)).or_default() += count;
    }
    (census, alone)
}

/// How many minutes of the clock the log touches.
async fn minutes(pool: &PgPool) -> usize {
    let minute = |entry: &Entry| entry.recorded_at.micros() / 60_000_000;
    let minutes: std::collections::BTreeSet<_> = entries(pool).await.iter().map(minute).collect();
    minutes.last().unwrap().abs_diff(*minutes.first().unwrap()) as usize + 1
}

fn authority(url: &str) -> &str {
    url.trim_start_matches("http://").trim_end_matches('/')
}

fn outsider_origin(site: &Site) -> String {
    site.wiki.origin().ascii_serialization()
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
