//! What the commands that show entries say of a log that somebody has been at: what is missing or damaged is named, in
//! searches and exports as well, and the exit code is 1. And what the search index hides is found by checking it.

use bailiwick::{
    audit::search::{Turn, take_turn},
    store::policy_text::{TextKind, keep_policy_text},
};
use serde_json::Value;

use super::*;
use crate::support::{eventually, ledger::filled};

#[tokio::test]
async fn what_is_missing_or_damaged_is_named_by_searches_and_exports() {
    let db = filled(1_100).await;
    indexed(&db).await;
    for is_indexed in [true, false] {
        let copy = db.copy().await;
        if !is_indexed {
            tamper(&copy, "truncate posting, search_block").await;
        }
        tamper(&copy, "delete from entry where leaf_index = 21").await;
        tamper(&copy, "update entry set leaf = set_byte(leaf, 9, 255) where leaf_index in (23, 1090)").await;
        for (command, query, shown) in
            [("search", "verdict=deny", 1_097), ("tail", "what=get", 1_097), ("search", "", 1_099)]
        {
            let count = if command == "search" { "-n" } else { "--lines" };
            let said = run(&copy, &[command, query, count, "2000"]).await;
            assert_eq!(
                (said.code, said.out.lines().count() + 2 * usize::from(query.is_empty())),
                (1, shown),
                "{}",
                said.err
            );
            let missing =
                "entry 21 is missing from the database; its hash is still in the log: run bailiwick audit verify";
            assert!(said.err.contains(missing) && !said.err.contains("archived"), "{}", said.err);
            for damaged in ["23", "1090"] {
                assert!(said.err.contains(damaged), "{damaged}: {}", said.err);
            }
        }
        assert!(run(&copy, &["search", "", "-n", "2000"]).await.err.contains("1099 of 1100 entries"), "tallies fit");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out.ndjson");
        for (query, entries) in [("verdict=deny", 1_097), ("", 1_099)] {
            let said = run(&copy, &["export", query, "--out", file.to_str().unwrap(), "-o", "json"]).await;
            let manifest: Value = serde_json::from_str(&said.out).unwrap();
            assert_eq!((said.code, &manifest["entries"]), (1, &entries.into()), "{}", said.err);
            let lost = ["archived", "missing", "damaged"].map(|name| manifest[name].as_u64().unwrap());
            assert_eq!(lost, [0, 1, 2], "{query}");
            assert!(said.err.contains("entry 21 is missing"), "{}", said.err);
        }
        let bundle = run(&copy, &["bundle", "--leaf", "21"]).await;
        assert!(bundle.code == 1 && bundle.err.contains("entry 21 is missing from the database"), "{bundle:?}");
        assert_eq!(run(&copy, &["search", "--before", "21", "-n", "5"]).await.code, 0, "what is asked for is whole");
    }
}

#[tokio::test]
async fn what_the_search_index_hides_is_found_by_checking_it() {
    let db = filled(1_100).await;
    keep_key(&db, &signer(), "active").await;
    indexed(&db).await;
    let sound = run(&db, &["verify", "--index"]).await;
    assert!(sound.code == 0 && sound.out.contains("  index        1 of 1 complete blocks are sound\n"), "{sound:?}");
    tamper(&db, "delete from posting where term in (select term from posting limit 3)").await;
    let hidden = run(&db, &["verify", "--index"]).await;
    assert!(hidden.code == 1 && hidden.out.contains("broken: the search index: 3 terms of block 0"), "{hidden:?}");
    assert_eq!(run(&db, &["verify"]).await.code, 0, "the log is as it was");
    let told = run(&db, &["verify", "--index", "-o", "json"]).await;
    let told: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!((&told["size"], &told["index"]["blocks"], &told["broken"]), (&1_100.into(), &1.into(), &Value::Null));
    assert!(told["index"]["broken"].as_str().unwrap().contains("block 0"), "{told}");
    tamper(&db, "delete from entry where leaf_index = 7").await;
    let broken = run(&db, &["verify", "--index"]).await;
    assert!(broken.code == 1 && broken.err.contains("The search index was not checked"), "{broken:?}");
}

#[tokio::test]
async fn a_bundle_has_no_text_that_was_not_in_force() {
    let db = database().await;
    let (log, _tasks) = log(&db.pool).await;
    let body = "permit (principal, action, resource);";
    let mut owner = db.owner.acquire().await.unwrap();
    keep_policy_text(&mut owner, TextKind::Policies, body, Timestamp::from_micros(1)).await.unwrap();
    let mut draft = decision(1, Verdict::Allow);
    if let bailiwick::audit::Event::Decision { policy, .. } = &mut draft.event {
        let sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes());
        let version =
            bailiwick::model::PolicyVersion { policies: hex::encode(sha256), entities: "e".into(), schema: "s".into() };
        *policy = (&version).into();
    }
    let _receipt = log.append(draft).await.unwrap();
    eventually(async || (log.health().signed == 1).then_some(())).await;
    let whole = run(&db, &["bundle", "--all"]).await;
    assert!(whole.code == 0 && whole.out.contains("\"text\":") && whole.err.contains("1 texts"), "{whole:?}");
    tamper(&db, "alter table policy_text drop constraint policy_text_hash_is_true").await;
    tamper(&db, "update policy_text set body = replace(body, 'permit', 'forbid')").await;
    let without = run(&db, &["bundle", "--all"]).await;
    assert_eq!(without.code, 1, "{without:?}");
    assert!(!without.out.contains("forbid") && !without.out.contains("\"text\":"), "{without:?}");
    assert!(without.err.contains("is not the one that was in force, and was left out"), "{without:?}");
}

/// Has every complete block indexed.
async fn indexed(db: &TestDb) {
    let mut broker = db.pool.acquire().await.unwrap();
    while take_turn(&mut broker, 4).await.unwrap() != Turn::Complete {}
    broker.close().await.unwrap();
}

async fn run(db: &TestDb, arguments: &[&str]) -> Said {
    cli(&[&["audit", arguments[0], "--database", &db.auditor_url], &arguments[1..]].concat()).await
}
