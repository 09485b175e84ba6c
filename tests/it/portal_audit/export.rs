//! Entries that are taken away from the page: what is in the file, what is not, and what the log says of it.

use std::time::Duration;

use axum::body::Body;
use bailiwick::{
    audit::{Draft, Event, entry::Entry},
    model::Verdict,
};
use http::StatusCode;
use http_body_util::BodyExt as _;

use super::{HOSTILE, SCOPED, all, asked, recorded};
use crate::support::{SOON, TestDb, database, eventually, portal::TestPortal, rows};

#[tokio::test]
async fn an_export_holds_what_the_reader_may_read_and_is_recorded_with_its_manifest() {
    let db = database().await;
    let portal = TestPortal::open_with(&db, SCOPED).await;
    let (auditor, _) = portal.signed_in("olga", &["auditors"]).await;
    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    recorded(&portal, (0..3).map(|n| asked("wiki", n, Verdict::Allow))).await;
    recorded(&portal, (3..6).map(|n| asked("billing", n, Verdict::Deny))).await;
    let page = portal.get("/audit?verdict=allow", &auditor).await;
    assert!(page.text.contains("href=\"/audit/export?verdict=allow&#38;format=csv\""), "{}", page.text);
    for (format, kind) in [("csv", "text/csv"), ("ndjson", "application/x-ndjson")] {
        let hers = portal.get(&format!("/audit/export?format={format}"), &auditor).await;
        assert!(hers.status == StatusCode::OK && hers.header("content-type").starts_with(kind), "{}", hers.text);
        assert!(hers.header("content-disposition").starts_with("attachment; filename=\"audit-"));
        assert_eq!(hers.text.lines().count(), 3 + usize::from(format == "csv"), "{}", hers.text);
        assert!(!hers.text.contains("billing") && hers.text.contains("page-2"));
        let all_of_it = portal.get(&format!("/audit/export?format={format}"), &admin).await;
        assert!(all_of_it.text.contains("billing") && all_of_it.text.contains("page-2"));

        let request = hers.header("bailiwick-request").to_owned();
        let entries = eventually(async || {
            let own = |entry: &Entry| entry.request.is_some_and(|id| id.to_string() == request);
            let own: Vec<Entry> = all(&db).await.into_iter().filter(own).collect();
            Some(own).filter(|own| own.len() == 3)
        })
        .await;
        let exported = entries.iter().find_map(|entry| match &entry.event {
            Event::Exported { format: said, entries: 3, manifest, .. } if said == format => Some(manifest.clone()),
            _ => None,
        });
        let outcome = entries.iter().find_map(|entry| match &entry.event {
            Event::Outcome { sent, .. } => Some(*sent),
            _ => None,
        });
        assert_eq!(outcome, Some(hers.bytes.len() as u64));
        let address = format!("/audit/manifests/{}", exported.expect("the export is in the log"));
        let manifest = portal.get(&address, &auditor).await;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &hers.bytes);
        assert!(manifest.text.contains(&hex::encode(digest)), "{}", manifest.text);
        assert_eq!(portal.get(&address, &admin).await.status, StatusCode::NOT_FOUND, "it is for whoever exported");
    }
    for bad in ["", "?format=xml", "?format=csv&verdict=maybe", "?format=csv&before=7", "?format=csv&format=csv"] {
        assert_eq!(portal.get(&format!("/audit/export{bad}"), &auditor).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    let (developer, _) = portal.signed_in("ada", &["devs"]).await;
    assert_eq!(portal.get("/audit/export?format=csv", &developer).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn what_an_attacker_wrote_is_inert_in_exports() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    let text = || HOSTILE.to_owned();
    let event = Event::Refused { check: text(), why: format!("={HOSTILE}"), target: text(), address: text() };
    recorded(&portal, [Draft { caller: None, event, happened_at: rows::NOON, request: None }]).await;
    for (format, end) in [("csv", "\r\n"), ("ndjson", "\n")] {
        let file = portal.get(&format!("/audit/export?format={format}&what=refused"), &admin).await;
        let lines = file.text.matches(end).count();
        assert_eq!(lines, 1 + usize::from(format == "csv"), "{:?}", file.text);
        let rest = file.text.replace(end, "");
        assert!(!rest.contains(|c: char| c.is_control()), "{format}: {rest:?}");
        if format == "csv" {
            assert!(!rest.contains(['\u{202e}', '\u{2066}']) && rest.contains("\"'="), "{rest:?}");
        }
    }
}

/// A log of so many entries, and an export of all of them that has just begun: its first piece, and the rest.
async fn begun(portal: &TestPortal, format: &str) -> (String, Body, String) {
    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    crate::log_tiles::fill(&portal.log, MANY).await;
    let answer = portal.begin(&format!("/audit/export?format={format}"), &admin).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let request = answer.headers()["bailiwick-request"].to_str().unwrap().to_owned();
    let mut body = answer.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    (String::from_utf8(first.to_vec()).unwrap(), body, request)
}

/// What follows, and whether it came to a good end.
async fn rest(mut body: Body) -> (String, bool) {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend(frame.into_data().unwrap()),
            Err(_) => return (String::from_utf8(bytes).unwrap(), false),
        }
    }
    (String::from_utf8(bytes).unwrap(), true)
}

async fn was_recorded(db: &TestDb, request: &str) -> bool {
    let own = |entry: &Entry| entry.request.is_some_and(|id| id.to_string() == request);
    // Its outcome is the last that is said of it.
    let own = eventually(async || {
        let own: Vec<Entry> = all(db).await.into_iter().filter(own).collect();
        own.iter().any(|entry| matches!(entry.event, Event::Outcome { .. })).then_some(own)
    });
    own.await.iter().any(|entry| matches!(entry.event, Event::Exported { .. }))
}

#[tokio::test]
async fn an_export_is_cut_with_a_last_line_that_says_so_when_the_log_takes_no_entries() {
    for (format, last) in [("csv", "\"incomplete: this"), ("ndjson", "{\"incomplete\":")] {
        let db = database().await;
        let portal = TestPortal::open(&db).await;
        let (first, body, request) = begun(&portal, format).await;
        portal.log.hold(Some("for a test".to_owned()));
        let (rest, is_whole) = rest(body).await;
        portal.log.hold(None);
        let lines: Vec<&str> = first.lines().chain(rest.lines()).collect();
        assert!(!is_whole && lines.last().unwrap().starts_with(last), "{:?}", lines.last());
        assert!((lines.len() as u64) < MANY, "all {} lines came although nothing could be recorded", lines.len());
        assert!(!was_recorded(&db, &request).await, "nothing was exported");
    }
}

#[tokio::test]
async fn a_broker_that_stops_lets_an_export_finish_for_a_while_and_cuts_it_after_that() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (_, body, request) = begun(&portal, "ndjson").await;
    let (_, (_, is_whole)) = tokio::join!(portal.state.errands.finish(SOON), rest(body));
    assert!(is_whole && was_recorded(&db, &request).await);

    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (_, body, request) = begun(&portal, "ndjson").await;
    portal.state.errands.finish(Duration::ZERO).await;
    let (rest, is_whole) = rest(body).await;
    assert!(!is_whole && rest.ends_with("{\"incomplete\":\"this export was cut off here\"}\n"), "{rest}");
    assert!(!was_recorded(&db, &request).await);
}

/// Entries: more pages than are read ahead.
const MANY: u64 = 5_000;
