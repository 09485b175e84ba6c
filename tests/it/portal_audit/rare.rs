//! A reviewer whose rules show one app in ten thousand entries: every page says how far it looked, and one click leads on.

use bailiwick::model::Verdict;

use super::{SCOPED, all, asked, keep, links, listed, recorded};
use crate::support::{database, portal::TestPortal};

#[tokio::test]
async fn an_auditor_whose_entries_are_rare_is_led_to_them_and_told_how_far_was_looked() {
    let db = database().await;
    let portal = TestPortal::open_with(&db, SCOPED).await;
    let (auditor, _) = portal.signed_in("olga", &["auditors"]).await;
    recorded(&portal, [asked("wiki", 7, Verdict::Allow)]).await;
    for _ in 0..21 {
        let mut waiting = tokio::task::JoinSet::new();
        for n in 0..500 {
            let log = portal.log.clone();
            waiting.spawn(async move { log.append(asked("billing", n, Verdict::Deny)).await.map(drop) });
        }
        assert!(waiting.join_all().await.iter().all(Result::is_ok));
    }
    let size = all(&db).await.len() as u64;
    let page = portal.get("/audit", &auditor).await;
    keep("real_rare", &page);
    // Fifty first, then ten times a thousand.
    let reached = size - 10_050;
    assert!(listed(&page).is_empty() && page.text.contains("None found yet"), "{}", page.text);
    let told = page.text.split("Looked back as far as entry ").nth(1).unwrap();
    let looked: u64 = told.split(' ').next().unwrap().parse().unwrap();
    assert!((reached - 2..=reached + 2).contains(&looked), "{looked}, {reached}");
    assert!(links(&page).contains(&format!("/audit?before={looked}")), "{:?}", links(&page));
    let older = portal.get(&format!("/audit?before={looked}"), &auditor).await;
    assert_eq!(older.text.matches("GET wiki/page-").count(), 1, "it is reached by going on");
    // And at once by the place, which is offered: hers and no other.
    assert!(links(&page).contains(&"/audit?where=wiki".to_owned()), "{:?}", links(&page));
    assert_eq!(portal.get("/audit?where=wiki", &auditor).await.text.matches("GET wiki/page-").count(), 1);
    let (stranger, _) = portal.signed_in("eve", &["guests"]).await;
    assert!(!portal.get("/audit", &stranger).await.text.contains("where=wiki"));
    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    assert!(!links(&portal.get("/audit", &admin).await).contains(&"/audit?where=wiki".to_owned()));
}
