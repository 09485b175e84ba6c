//! What an auditor of one app is not given, by whatever address it is asked for, and what the log says of the asking.

use bailiwick::{
    access::judge::replay_reading,
    audit::{
        Draft, Event,
        bundle::{Kept, check},
        entry::Entry,
    },
    model::{Action, PortalAction, Verdict},
};
use http::StatusCode;

use super::{SCOPED, all, asked, listed, recorded};
use crate::support::{database, eventually, portal::TestPortal};

/// A request to the wiki that was judged by the rules in force, whose texts are in the store.
fn judged(portal: &TestPortal) -> Draft {
    let mut draft = asked("wiki", 1, Verdict::Allow);
    if let Event::Decision { decision, policy, .. } = &mut draft.event {
        let mut said = decision.to_value();
        said.policies = vec!["admins-look-after-the-portal".to_owned()];
        (*decision, *policy) = (said.into(), portal.state.gate.live().rules().version().clone());
    }
    draft
}

#[tokio::test]
async fn the_texts_of_rules_are_in_no_evidence_of_those_who_may_not_read_rules() {
    let db = database().await;
    let portal = TestPortal::open_with(&db, SCOPED).await;
    let (auditor, _) = portal.signed_in("olga", &["auditors"]).await;
    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    recorded(&portal, [judged(&portal)]).await;
    let about = |entry: &Entry| matches!(&entry.event, Event::Decision { action: Action::Web(_), .. });
    let index = all(&db).await.iter().position(about).unwrap();
    let address = format!("/audit/entries/{index}");
    let taken = async |cookie: &str| {
        let evidence = async || portal.get(&format!("{address}/evidence"), cookie).await;
        eventually(async || Some(evidence().await).filter(|answer| answer.status == StatusCode::OK)).await
    };
    let (hers, whole) = (taken(&auditor).await, taken(&admin).await);
    for text in ["\"text\":", "permit (", "appliesTo"] {
        assert!(!hers.text.contains(text), "{text}: {}", hers.text);
    }
    assert_eq!(whole.text.matches("{\"text\":").count(), 3, "{}", whole.text);
    for (file, texts) in [(&hers, 0), (&whole, 3)] {
        let proven = check(&mut file.bytes.as_slice(), &Kept::default()).unwrap();
        assert_eq!((proven.entries, proven.texts_named, proven.texts), (1, 3, texts), "the proof is the same");
    }
    let (hers, whole) = (portal.get(&address, &auditor).await, portal.get(&address, &admin).await);
    assert!(hers.text.contains("those whom a rule gives readPolicy") && hers.text.contains("without the texts"));
    assert!(!hers.text.contains("not kept here") && !hers.text.contains("permit ("), "{}", hers.text);
    assert!(whole.text.contains("permit (") && !whole.text.contains("readPolicy."), "{}", whole.text);
}

#[tokio::test]
async fn whoever_asks_for_an_entry_that_they_may_not_read_is_denied_in_the_log() {
    let db = database().await;
    let hides = r#"@id("billing-is-for-nobody") @reason("The books are closed.")
        forbid (principal in Group::"auditors", action == Action::"readEntry", resource in App::"billing");"#;
    let portal = TestPortal::open_with(&db, &format!("{SCOPED}{hides}")).await;
    let (auditor, _) = portal.signed_in("olga", &["auditors"]).await;
    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    recorded(&portal, [asked("billing", 1, Verdict::Allow), asked("wiki", 2, Verdict::Allow)]).await;
    let place = |app: &str, entries: &[Entry]| {
        let about = |entry: &Entry| matches!(&entry.event, Event::Decision { action: Action::Web(web), .. } if web.app.as_str() == app);
        entries.iter().position(about).unwrap()
    };
    let entries = all(&db).await;
    let (hidden, open) = (place("billing", &entries), place("wiki", &entries));
    for file in ["", "/proof", "/evidence"] {
        let answer = portal.get(&format!("/audit/entries/{hidden}{file}"), &auditor).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        // The answer came after it: nothing to wait for.
        let request = answer.header("bailiwick-request").to_owned();
        let own = |entry: &Entry| entry.request.is_some_and(|id| id.to_string() == request);
        let now = all(&db).await;
        let said: Vec<&Entry> = now.iter().filter(|entry| own(entry)).collect();
        let denied = said.iter().find_map(|entry| match &entry.event {
            Event::Decision { action: Action::Portal(PortalAction::ReadEntry { leaf }), decision, .. } => {
                Some((*entry, *leaf, decision))
            }
            _ => None,
        });
        let (denial, leaf, decision) = denied.unwrap_or_else(|| panic!("{file}: {said:?}"));
        assert_eq!((leaf, decision.verdict), (hidden as u64, Verdict::Deny));
        let texts = portal.state.gate.live().rules().texts().clone();
        let replayed = replay_reading(denial, Some(&now[hidden]), texts).unwrap();
        assert!(!replayed.policies.is_empty());
        assert_eq!((decision.verdict, decision.cause), (replayed.verdict, replayed.cause));
        assert!(decision.policies.is_empty() && decision.reasons.is_empty(), "which rule hides it would tell of it");
    }
    let found = portal.get("/audit?verdict=deny&who=corp%2Folga", &admin).await;
    assert_eq!(listed(&found).len(), 3, "{}", found.text);
    assert!(found.text.contains(&format!("read entry {hidden} of the audit log")), "{}", found.text);
    assert!(listed(&portal.get("/audit?verdict=deny", &auditor).await).is_empty(), "it tells her nothing");

    assert_eq!(portal.get(&format!("/audit/entries/{open}"), &auditor).await.status, StatusCode::OK);
    let denials = all(&db).await.into_iter().filter(|entry| {
        matches!(&entry.event, Event::Decision { action: Action::Portal(PortalAction::ReadEntry { .. }), .. })
    });
    assert_eq!(denials.count(), 3, "what she may read is said by the reading's own entry");
}

#[tokio::test]
async fn an_auditor_of_one_app_finds_the_manifest_of_her_own_export_and_of_no_other() {
    let db = database().await;
    let portal = TestPortal::open_with(&db, SCOPED).await;
    let (auditor, _) = portal.signed_in("olga", &["auditors"]).await;
    let (other, _) = portal.signed_in("otto", &["auditors"]).await;
    recorded(&portal, [asked("wiki", 1, Verdict::Allow)]).await;
    assert!(!portal.get("/audit", &auditor).await.text.contains("Manifest of"));
    let export = portal.get("/audit/export?format=csv", &auditor).await;
    let (link, request) = (export.header("link").to_owned(), export.header("bailiwick-request").to_owned());
    assert_eq!(link, format!("</audit/manifests/{request}>; rel=\"describedby\""));
    let address = link[1..].split('>').next().unwrap();
    let manifest = portal.get(address, &auditor).await;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &export.bytes);
    assert!(manifest.status == StatusCode::OK && manifest.text.contains(&hex::encode(digest)), "{}", manifest.text);
    assert_eq!(portal.get(address, &other).await.status, StatusCode::NOT_FOUND);
    assert_eq!(portal.get("/audit/manifests/x", &auditor).await.status, StatusCode::NOT_FOUND);

    let page = portal.get("/audit", &auditor).await;
    let named = page.text.split("href=\"/audit/manifests/").nth(1).expect("the page names it");
    assert!(named.contains(&format!("audit-{request}.csv")), "{named}");
    let named = portal.get(&format!("/audit/manifests/{}", named.split('"').next().unwrap()), &auditor).await;
    assert_eq!(named.bytes, manifest.bytes);
    assert!(!portal.get("/audit", &other).await.text.contains("Manifest of"), "each their own");
}
