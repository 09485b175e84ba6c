//! Entries that are taken away from the page: what is in the file, what is not, and what the log says of it.

use bailiwick::{
    audit::{Draft, Event, entry::Entry},
    model::Verdict,
};
use http::StatusCode;

use super::{HOSTILE, SCOPED, all, asked, recorded};
use crate::support::{database, eventually, portal::TestPortal, rows};

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
