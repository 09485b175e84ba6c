//! Entries on their way to collectors: at least once, in order, whatever fails on the way.
//! The endpoints here are stand-ins that are stricter than what they stand for; the syslog receivers are a real rsyslog and
//! a real syslog-ng, what speaks for Loki is a real VictoriaLogs, and what takes arrays as Logstash does a real Telegraf.

mod delivery;
mod killed;
mod loki;
mod receiver;
mod refusals;
mod syslog;
mod telegraf;
mod unshipped;
mod whole;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::post,
};
use bailiwick::{
    audit::{Entry, Event, Tasks},
    config::{BatchFormat, Begin, Collector, Destination, HttpCollector, OnReject},
    model::{SystemClock, SystemEntropy, Verdict},
    shipping::collector::{Collectors, Figures, Ground, Pace},
    store::collector::{self, CursorRow},
};
use serde_json::Value;
use sqlx::PgPool;

use crate::support::{
    SOON,
    audit::{ORIGIN, decision, log},
    eventually,
};

/// Short enough for tests.
pub fn pace() -> Pace {
    Pace {
        look: Duration::from_millis(20),
        hold: Duration::from_secs(5),
        first_pause: Duration::from_millis(20),
        longest_pause: Duration::from_millis(100),
        send: Duration::from_secs(20),
    }
}

pub fn to(destination: Destination) -> Collector {
    Collector {
        name: "siem".parse().unwrap(),
        to: destination,
        kinds: Vec::new(),
        from: Begin::Beginning,
        on_reject: OnReject::Stop,
        batch: 32,
    }
}

pub fn http(url: &str, format: BatchFormat) -> Destination {
    Destination::Http(HttpCollector {
        url: url.parse().unwrap(),
        format,
        token_file: None,
        token_scheme: "Bearer".into(),
        headers: vec![("x-test".into(), "yes".into())],
        ca_file: None,
    })
}

/// A broker that ships, and does nothing else.
pub struct Shipper {
    collectors: Collectors,
    _recording: Tasks,
}

/// Ships as a broker of its own would.
pub async fn ship(pool: &PgPool, collector: Collector, pace: Pace) -> Shipper {
    let (log, recording) = log(pool).await;
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let broker = log.broker();
    let ground = Ground { origin: ORIGIN.into(), pool: pool.clone(), log, broker, clock, entropy };
    let collectors = Collectors::start(&[collector], &ground, pace).unwrap_or_else(|mistake| panic!("{mistake}"));
    Shipper { collectors, _recording: recording }
}

impl Shipper {
    /// How it is doing.
    pub fn figures(&self) -> Figures {
        self.collectors.readings()[0].figures()
    }

    pub async fn stop(self) {
        self.collectors.stop(Duration::from_secs(30)).await;
    }
}

/// A log of `count` decisions.
pub async fn fill(pool: &PgPool, count: u64) {
    let (log, tasks) = log(pool).await;
    for n in 0..count {
        drop(log.append(decision(n, Verdict::Deny)).await.unwrap());
    }
    tasks.stop(Duration::from_secs(10)).await;
}

pub async fn cursor(pool: &PgPool) -> Option<CursorRow> {
    collector::list(pool).await.ok()?.into_iter().find(|cursor| cursor.name == "siem")
}

pub async fn until_shipped(pool: &PgPool, leaves: u64) -> CursorRow {
    let shipped = eventually(async || cursor(pool).await.filter(|cursor| cursor.next_leaf == leaves));
    match tokio::time::timeout(SOON * 3 / 4, shipped).await {
        Ok(cursor) => cursor,
        Err(_) => panic!("not at {leaves}, but at {:?}", cursor(pool).await),
    }
}

/// What the log itself says was left out: from, until, and why.
pub async fn skipped(pool: &PgPool) -> Vec<(u64, u64, String)> {
    let told = entries_from(pool).await.into_iter().filter_map(|entry| match entry.event {
        Event::CollectorSkipped { collector, from, until, why } if collector == "siem" => Some((from, until, why)),
        _ => None,
    });
    told.collect()
}

async fn entries_from(pool: &PgPool) -> Vec<Entry> {
    let rows = bailiwick::store::entry::following(pool, 0, 100_000).await.unwrap();
    rows.iter().map(|(_, leaf)| Entry::from_leaf(leaf).unwrap()).collect()
}

pub async fn until_failing(pool: &PgPool) -> CursorRow {
    eventually(async || cursor(pool).await.filter(|cursor| cursor.fault.is_some())).await
}

/// What a stand-in answers to the entries of a batch.
pub type Answer = dyn Fn(Vec<u64>) -> futures::Answering + Send + Sync;

pub mod futures {
    //! The one name of a future in a box.

    pub type Answering = std::pin::Pin<Box<dyn Future<Output = axum::http::StatusCode> + Send>>;
}

/// An HTTP endpoint that takes what collectors take, and nothing that deviates from it.
#[derive(Clone)]
pub struct Endpoint {
    pub url: String,
    taken: Arc<Mutex<Vec<u64>>>,
    answer: Arc<Answer>,
    format: BatchFormat,
}

impl Endpoint {
    pub async fn start(
        format: BatchFormat,
        answer: impl Fn(Vec<u64>) -> futures::Answering + Send + Sync + 'static,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/push", listener.local_addr().unwrap());
        let endpoint = Self { url, taken: Arc::default(), answer: Arc::new(answer), format };
        let routes = Router::new().route("/push", post(take)).with_state(endpoint.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        endpoint
    }

    /// One that takes everything.
    pub async fn willing(format: BatchFormat) -> Self {
        Self::start(format, |_| Box::pin(async { StatusCode::NO_CONTENT })).await
    }

    /// The leaf indexes that it answered with 2xx, in order of arrival.
    pub fn taken(&self) -> Vec<u64> {
        self.taken.lock().unwrap().clone()
    }

    /// That it has every one of `0..leaves`, the first of each in order.
    pub fn assert_complete(&self, leaves: u64) {
        let mut seen = Vec::new();
        for index in self.taken() {
            if !seen.contains(&index) {
                seen.push(index);
            }
        }
        assert_eq!(seen, (0..leaves).collect::<Vec<_>>());
    }
}

async fn take(State(endpoint): State<Endpoint>, headers: HeaderMap, body: Bytes) -> Response {
    assert_eq!(headers["x-test"], "yes");
    let body = String::from_utf8(body.to_vec()).unwrap();
    let events = match endpoint.format {
        BatchFormat::Ndjson => {
            assert_eq!(headers["content-type"], "application/x-ndjson");
            body.strip_suffix('\n').unwrap().split('\n').map(event).collect::<Vec<_>>()
        }
        BatchFormat::JsonArray => {
            assert_eq!(headers["content-type"], "application/json");
            let Value::Array(events) = serde_json::from_str(&body).unwrap() else { panic!("{body}") };
            events.iter().map(|it| event(&it.to_string())).collect()
        }
        BatchFormat::Loki => pushed(&body),
    };
    let indexes: Vec<u64> = events.iter().map(|event| event["unmapped"]["leaf_index"].as_u64().unwrap()).collect();
    let status = (endpoint.answer)(indexes.clone()).await;
    if status.is_success() {
        endpoint.taken.lock().unwrap().extend(indexes);
    }
    status.into_response()
}

/// Loki's push API (grafana.com/docs/loki, "Ingest logs"): label sets of texts, and pairs of nanoseconds and line, both
/// texts.
fn pushed(body: &str) -> Vec<Value> {
    let push: Value = serde_json::from_str(body).unwrap();
    assert_eq!(push.as_object().unwrap().len(), 1);
    let mut events = Vec::new();
    for stream in push["streams"].as_array().unwrap() {
        assert!(stream["stream"].as_object().unwrap().values().all(Value::is_string));
        for pair in stream["values"].as_array().unwrap() {
            let [at, line] = pair.as_array().unwrap().as_slice() else { panic!("{pair}") };
            assert!(at.as_str().unwrap().parse::<u64>().is_ok());
            events.push(event(line.as_str().unwrap()));
        }
    }
    events.sort_by_key(|event| event["unmapped"]["leaf_index"].as_u64());
    events
}

fn event(line: &str) -> Value {
    assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)), "{line}");
    let event: Value = serde_json::from_str(line).unwrap();
    assert!(event["metadata"]["uid"].as_str().unwrap().starts_with(ORIGIN.split('/').next().unwrap()));
    event
}
