//! Collectors of a whole broker: what goes to standard output, what `/metrics` says of them, and a token that is rotated.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use axum::http::{HeaderMap, StatusCode};
use bailiwick::{
    app,
    config::{BatchFormat, Destination, SecretFile, Settings},
    model::{SystemClock, SystemEntropy},
};

use super::{Endpoint, fill, http, killed::configure, pace, ship, to, until_failing, until_shipped};
use crate::{
    proxy::wire::exchange,
    support::{database, eventually},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standard_output_gets_every_entry_as_a_line_and_nothing_else() {
    let db = database().await;
    let folder = tempfile::tempdir().unwrap();
    let config = configure(folder.path(), &db, "stdout");
    let program = || Command::new(env!("CARGO_BIN_EXE_bailiwick"));
    assert!(program().args(["key", "init", "--config"]).arg(&config).output().unwrap().status.success());
    let mut serve = program();
    let mut broker =
        serve.args(["serve", "--config"]).arg(&config).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(broker.stdout.take().unwrap()).lines().map_while(Result::ok);
    let reading = tokio::task::spawn_blocking(move || {
        let mut kinds = Vec::new();
        for (nth, line) in lines.enumerate() {
            let event = super::event(&line);
            assert_eq!(event["metadata"]["sequence"], nth);
            kinds.push(event["metadata"]["event_code"].as_str().unwrap().to_owned());
            if kinds.last().is_some_and(|kind| kind == "broker-started") {
                return kinds;
            }
        }
        kinds
    });
    let kinds = reading.await.unwrap();
    assert_eq!(kinds, ["policy-loaded", "broker-started"]);
    broker.kill().unwrap();
    broker.wait().unwrap();
}

#[tokio::test]
async fn metrics_say_how_far_a_collector_is_and_that_it_fails() {
    let db = database().await;
    let folder = tempfile::tempdir().unwrap();
    let is_up = Arc::new(Mutex::new(false));
    let up = Arc::clone(&is_up);
    let endpoint = Endpoint::start(BatchFormat::Ndjson, move |_| {
        let status = if *up.lock().unwrap() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        Box::pin(async move { status })
    })
    .await;
    let config = configure(folder.path(), &db, &endpoint.url);
    let init = Command::new(env!("CARGO_BIN_EXE_bailiwick")).args(["key", "init", "--config"]).arg(&config).output();
    assert!(init.unwrap().status.success());
    let settings = Settings::load(&config).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    let running = app::start(settings, Arc::new(SystemClock), Arc::new(SystemEntropy)).await.unwrap();
    let status = running.status.unwrap();
    let says = async |line: &str| {
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        exchange(status, request).await.lines().any(|said| said.starts_with(line)).then_some(())
    };
    for line in ["collector_held", "collector_failing"] {
        eventually(async || says(&format!("bailiwick_{line}{{collector=\"siem\"}} 1")).await).await;
    }
    assert!(says("bailiwick_collector_position{collector=\"siem\"} 0").await.is_some());
    assert!(says("bailiwick_collector_lag{collector=\"siem\"} 0").await.is_none());
    assert!(says("bailiwick_collector_failures_total{collector=\"siem\"} 0").await.is_none());
    *is_up.lock().unwrap() = true;
    for line in ["failing{collector=\"siem\"} 0", "lag{collector=\"siem\"} 0", "shipped_total{collector=\"siem\"} 2"] {
        eventually(async || says(&format!("bailiwick_collector_{line}")).await).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_token_is_read_from_its_file_for_each_batch_so_that_it_can_be_rotated() {
    let db = database().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "the-first\n").unwrap();
    // A secret that others can read is none.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (wanted, seen) = (Arc::new(Mutex::new("Splunk the-first")), Arc::<Mutex<Vec<String>>>::default());
    let (expected, tell) = (Arc::clone(&wanted), Arc::clone(&seen));
    let take = async move |headers: HeaderMap| {
        let given = headers["authorization"].to_str().unwrap().to_owned();
        let is_known = given == *expected.lock().unwrap();
        tell.lock().unwrap().push(given);
        if is_known { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/push", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/push", axum::routing::post(take));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let Destination::Http(plain) = http(&url, BatchFormat::Ndjson) else { unreachable!() };
    let with_token = bailiwick::config::HttpCollector {
        token_file: Some(SecretFile::new(&file)),
        token_scheme: "Splunk".into(),
        ..plain
    };
    fill(&db.pool, 3).await;
    let _collectors = ship(&db.pool, to(Destination::Http(with_token)), pace()).await;
    until_shipped(&db.pool, 3).await;
    // The endpoint takes another from now on; what is sent with the old one stays here until the file has the new one.
    *wanted.lock().unwrap() = "Splunk the-second";
    fill(&db.pool, 3).await;
    assert!(until_failing(&db.pool).await.fault.unwrap().contains("401"));
    std::fs::write(&file, "the-second\n").unwrap();
    until_shipped(&db.pool, 6).await;
    let seen = seen.lock().unwrap();
    assert_eq!(
        (seen.first().unwrap().as_str(), seen.last().unwrap().as_str()),
        ("Splunk the-first", "Splunk the-second")
    );
}
