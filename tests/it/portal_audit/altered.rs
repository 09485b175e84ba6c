//! What a reviewer is shown of a log that somebody has been at: never a text or an entry in the place of another, and
//! never that one was archived which the log does not say was.

use bailiwick::{
    audit::{
        Event,
        bundle::{Kept, check},
        checkpoint::CheckpointSigner,
        proof,
    },
    model::Verdict,
    store::{checkpoint, head},
};
use http::StatusCode;
use uuid::Uuid;

use super::{SCOPED, all, asked, keep, listed, recorded};
use crate::support::{
    database, eventually,
    ledger::{keep_key, tamper},
    portal::TestPortal,
};

#[tokio::test]
async fn rules_that_were_not_in_force_are_not_shown_and_are_in_no_evidence() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    portal.get("/sessions", &admin).await;
    let decided = |event: &Event| matches!(event, Event::Decision { decision, .. } if !decision.policies.is_empty());
    let index = all(&db).await.iter().position(|entry| decided(&entry.event)).unwrap();
    let address = format!("/audit/entries/{index}");
    let proven = async || {
        let page = portal.get(&address, &admin).await;
        Some(page).filter(|page| page.text.contains(">proven</span>"))
    };
    let page = eventually(proven).await;
    assert!(page.text.contains("permit (") && !page.text.contains("not the one that was in force"), "{}", page.text);

    tamper(&db, "alter table policy_text drop constraint policy_text_hash_is_true").await;
    tamper(&db, "update policy_text set body = replace(body, 'permit (', 'permit (/* forged */')").await;
    let page = eventually(proven).await;
    keep("real_altered_rules", &page);
    assert!(page.text.contains("is not the one that was in force, so it is not shown"), "{}", page.text);
    assert!(!page.text.contains("forged") && !page.text.contains("permit ("), "{}", page.text);

    let bundle = portal.get(&format!("{address}/evidence"), &admin).await;
    assert_eq!(bundle.status, StatusCode::OK, "{}", bundle.text);
    assert!(!bundle.text.contains("forged") && !bundle.text.contains("\"kind\":\"policies\""), "{}", bundle.text);
    let kept = Kept { keys: Vec::new(), checkpoints: Vec::new() };
    check(&mut bundle.text.as_bytes(), &kept).unwrap();
}

#[tokio::test]
async fn a_key_that_somebody_put_into_the_database_proves_no_entry() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    portal.get("/sessions", &admin).await;
    let mut reading = db.owner.acquire().await.unwrap();
    let (head, root) = (head::newest(&mut *reading).await.unwrap(), proof::root(&mut reading, 1).await.unwrap());
    let thief = CheckpointSigner::from_seed(&head.origin, Uuid::from_u128(8), &[8; 32]).unwrap();
    keep_key(&db, &thief, "retired").await;
    let (note, root) = (thief.sign(0, 1, root), root.to_vec());
    let signed_at = head.recorded_at;
    let row = checkpoint::Checkpoint { epoch: 0, size: 1, key: thief.key(), root, note, signed_at };
    tamper(&db, "delete from checkpoint").await;
    checkpoint::insert(&db.owner, &row).await.unwrap();

    // Beside those that the broker signs meanwhile.
    let page = eventually(async || {
        let page = portal.get("/audit/entries/0", &admin).await;
        Some(page).filter(|page| page.text.contains(">proven</span>"))
    })
    .await;
    assert!(!page.text.contains(&thief.verifier().to_string()), "{}", page.text);
    assert!(portal.log.keys().iter().any(|(_, key)| page.text.contains(&key.to_string())), "{}", page.text);
}

#[tokio::test]
async fn an_entry_that_was_removed_is_missing_and_not_archived() {
    let db = database().await;
    let portal = TestPortal::open_with(&db, SCOPED).await;
    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    let (auditor, _) = portal.signed_in("edsger", &["auditors"]).await;
    recorded(&portal, (0..6).map(|n| asked("wiki", n, Verdict::Deny))).await;
    let all = all(&db).await;
    let denied = |event: &Event| matches!(event, Event::Decision { decision, .. } if decision.verdict == Verdict::Deny);
    let first = all.iter().position(|entry| denied(&entry.event)).unwrap();
    let (gone, broken) = (first + 2, first + 4);
    tamper(&db, &format!("delete from entry where leaf_index = {gone}")).await;
    tamper(&db, &format!("update entry set leaf = '\\x01ff' where leaf_index = {broken}")).await;

    let page = portal.get(&format!("/audit/entries/{gone}"), &admin).await;
    keep("real_missing", &page);
    assert_eq!(page.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(
        page.text.contains("This entry is missing") && page.text.contains("run bailiwick audit verify"),
        "{}",
        page.text
    );
    assert!(!page.text.contains("in the archive"), "{}", page.text);

    let page = portal.get("/audit?verdict=deny", &admin).await;
    keep("real_losses", &page);
    assert!(!listed(&page).contains(&(gone as u64)) && listed(&page).contains(&(first as u64)), "{}", page.text);
    for said in
        [format!("entry {gone} is missing from the database"), format!("entry {broken} is not what was recorded")]
    {
        assert!(page.text.contains(&said), "{said}: {}", page.text);
    }
    let theirs = portal.get("/audit?verdict=deny", &auditor).await;
    assert_eq!(theirs.status, StatusCode::OK);
    assert!(!theirs.text.contains("missing from") && !listed(&theirs).is_empty(), "nobody knows whose these were");
}
