//! `bailiwick audit` as an auditor types it: the real binary, the read-only role, exit codes and lines.

#![allow(unused_must_use, reason = "these tests append for the sake of the entry, and no receipt permits anything")]

use std::{process::Output, time::Duration};

use bailiwick::{
    audit::published::Record,
    model::{Timestamp, Verdict},
};

use crate::support::{
    audit::{decision, log, signer, stopped},
    database, eventually,
};

#[tokio::test]
async fn verify_says_sound_then_names_the_entry_that_was_changed() {
    let db = database().await;
    let (log, tasks) = log(&db.pool).await;
    for n in 0..9 {
        log.append(decision(n, Verdict::Allow)).await.unwrap();
    }
    tasks.stop(Duration::from_secs(10)).await;
    let note = eventually(async || bailiwick::store::checkpoint::newest(&db.pool).await.unwrap()).await.note;
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept.txt");
    std::fs::write(&kept, &note).unwrap();
    let key = signer().verifier().to_string();
    let arguments = ["verify", "--database", &db.auditor_url, "--key", &key, "--checkpoint", kept.to_str().unwrap()];

    let sound = run(&arguments).await;
    assert_eq!(sound.status.code(), Some(0), "{sound:?}");
    assert!(text(&sound).starts_with("sound: 9 entries\n"), "{}", text(&sound));

    let list = folder.path().join("checkpoints");
    let publish = |notes: &[&str]| {
        let line = |note: &&str| Record { at: Timestamp::from_micros(1), note: (*note).to_owned() }.line();
        std::fs::write(&list, notes.iter().map(line).collect::<String>()).unwrap();
    };
    let published = [arguments.as_slice(), &["--published", list.to_str().unwrap()]].concat();
    publish(&[&note, &note]);
    let compared = run(&published).await;
    assert_eq!(compared.status.code(), Some(0), "{compared:?}");
    assert!(text(&compared).contains("(2 published), up to entry 9"), "{}", text(&compared));
    for (size, told) in [(5, "whose checkpoint was published"), (12, "12 entries were signed, 9 are there")] {
        publish(&[&note, &signer().sign(0, size, [3; 32])]);
        let differs = run(&published).await;
        assert_eq!(differs.status.code(), Some(1), "{differs:?}");
        assert!(text(&differs).contains(told), "{}", text(&differs));
    }
    std::fs::write(&list, "nothing of ours\n").unwrap();
    assert_eq!(run(&published).await.status.code(), Some(2));
    std::fs::write(&list, "").unwrap();
    let silent = run(&published).await;
    let told = String::from_utf8_lossy(&silent.stderr);
    assert!(silent.status.code() == Some(2) && told.contains("it says nothing"), "{silent:?}");

    let flip = "update entry set leaf = set_byte(leaf, 50, get_byte(leaf, 50) # 1) where leaf_index = 4";
    sqlx::query(flip).execute(&db.owner).await.unwrap();
    let broken = run(&arguments).await;
    assert_eq!(broken.status.code(), Some(1));
    assert!(text(&broken).starts_with("broken: entry 4: its bytes were changed"), "{}", text(&broken));
    let json = run(&[arguments.as_slice(), &["-o", "json"]].concat()).await;
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(report["broken"]["place"], serde_json::json!({ "kind": "leaf", "index": 4 }));

    sqlx::query("create schema elsewhere").execute(&db.owner).await.unwrap();
    let foreign = format!("{}&options=-csearch_path%3Delsewhere", db.auditor_url);
    let foreign = run(&["verify", "--database", &foreign]).await;
    let told = String::from_utf8_lossy(&foreign.stderr);
    assert!(foreign.status.code() == Some(2) && told.contains("it has none of our tables"), "{foreign:?}");
    let nowhere = run(&["verify", "--database", "postgres://nobody@localhost/none?host=/nonexistent"]).await;
    assert_eq!(nowhere.status.code(), Some(2));
}

#[tokio::test]
async fn tail_prints_one_line_for_each_of_the_newest_entries() {
    let db = database().await;
    let (log, _tasks) = log(&db.pool).await;
    log.append(decision(1, Verdict::Allow)).await.unwrap();
    log.append(decision(2, Verdict::Deny)).await.unwrap();
    log.append(stopped()).await.unwrap();
    let tail = run(&["tail", "-n", "2", "--database", &db.auditor_url]).await;
    assert_eq!(tail.status.code(), Some(0), "{tail:?}");
    let text = text(&tail);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].contains("deny") && lines[0].contains("corp/u-1") && lines[0].contains("GET wiki/page-2"),
        "{text}"
    );
    assert!(lines[1].contains("broker-stopped"), "{text}");
    let json = run(&["tail", "-n", "1", "-o", "json", "--database", &db.auditor_url]).await;
    let entry: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&entry["leaf_index"], &entry["entry"]["event"]["kind"]), (&2.into(), &"broker-stopped".into()));
}

async fn run(arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_bailiwick"));
    command.arg("audit").args(arguments).output().await.unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}
