//! `bailiwick audit tail`, `search` and `export` as a reviewer types them: the real binary and the read-only role.

#![allow(unused_must_use, reason = "these tests append for the sake of the entry, and no receipt permits anything")]

use std::{
    path::Path,
    process::{Output, Stdio},
};

use bailiwick::{
    audit::{ClosedBy, Draft, Event, Log, SignInStep},
    model::{Timestamp, Verdict},
};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::support::{
    SOON, TestDb,
    audit::{caller, decision, log, request},
    database,
};

/// Three requests, one of them with an outcome; sign-ins; a login that ended; something hostile.
async fn some_history(log: &Log) {
    for n in 0..3 {
        log.append(decision(n, if n == 1 { Verdict::Deny } else { Verdict::Allow })).await.unwrap();
    }
    let outcome = Event::Outcome { status: Some(404), received: 1, sent: 2, duration: 3, closed_by: ClosedBy::Timeout };
    let ended = Event::LoginEnded { login: caller().login, owner: caller().identity, cause: "idle".into() };
    let fault = Some("the passkey is not known".to_owned());
    let address = "192.0.2.7".to_owned();
    let failed = Event::SignIn { step: SignInStep::Passkey, provider: None, fault, address: address.clone() };
    let hostile = Event::Refused {
        check: "path".into(),
        why: "\r\n\u{1b}[2J\0\u{202e}".into(),
        target: "=cmd|' /c calc'!A1".into(),
        address,
    };
    for (n, event) in [(2, outcome), (7, ended), (8, failed), (9, hostile)] {
        let happened_at = Timestamp::from_micros(6);
        log.append(Draft { caller: None, event, happened_at, request: Some(request(n)) }).await.unwrap();
    }
}

#[tokio::test]
async fn tail_and_search_tell_of_entries_in_words() {
    let db = database().await;
    let (log, _tasks) = log(&db.pool).await;
    some_history(&log).await;
    let tail = run(&["tail"], &db).await;
    assert_eq!(tail.status.code(), Some(0), "{tail:?}");
    let text = text(&tail);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 7, "{text}");
    for (line, words) in [
        (1, ["deny", "corp/u-1", "GET wiki/page-1"]),
        (3, ["outcome", "GET wiki/page-2", "404, 2 bytes, ended by timeout"]),
        (4, ["login-ended", "corp/u-1", "login of corp/u-1: idle"]),
        (5, ["sign-in", "passkey, from 192.0.2.7", "the passkey is not known"]),
        (6, ["refused", "=cmd", "path: \u{fffd}\u{fffd}\u{fffd}[2J"]),
    ] {
        assert!(words.iter().all(|word| lines[line].contains(word)), "{words:?}: {}", lines[line]);
        assert_eq!(lines[line].find("T").and_then(|t| lines[line][t..].find('Z')), Some(16), "{}", lines[line]);
    }
    let denied = run(&["tail", "--verdict", "deny", "--who", "corp/u-1", "-n", "5"], &db).await;
    assert_eq!(self::text(&denied).lines().count(), 1);
    let found = run(&["search", "verdict=allow", "--where", "wiki", "-n", "1", "-o", "json"], &db).await;
    let entry: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(entry["leaf_index"], 2);
    assert!(String::from_utf8_lossy(&found.stderr).contains("--before 2"), "{found:?}");
    let found = run(&["search", "verdict=allow", "--before", "2"], &db).await;
    assert!(self::text(&found).contains("page-0") && String::from_utf8_lossy(&found.stderr).contains("1 of 2 entries"));
    for (arguments, told) in [
        (vec!["--who", ""], "who: is empty"),
        (vec!["who=&verdict=deny"], "who: is empty"),
        (vec!["--rule", " ops"], "rule: has white space around it"),
        (vec!["--address", "127.0.0.5/24"], "address: is neither the address 127.0.0.5 nor the network 127.0.0.0/24"),
        (vec!["who=%zz"], "who: has a `%` that escapes no character"),
    ] {
        for command in ["search", "tail", "export"] {
            let refused = run(&[&[command], arguments.as_slice()].concat(), &db).await;
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(refused.status.code() == Some(2) && said.contains(told), "{command} {arguments:?}: {said}");
            assert_eq!(self::text(&refused), "", "{command} {arguments:?}");
        }
    }
    let wrong = run(&["search", "verdict=maybe&caller=x", "--from", "yesterday"], &db).await;
    assert_eq!(wrong.status.code(), Some(2));
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(
        ["verdict: is one of", "caller: is no field", "from: is an instant"].iter().all(|m| said.contains(m)),
        "{said}"
    );
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_said_and_ends_tail_with_1() {
    let db = database().await;
    let (log, _tasks) = log(&db.pool).await;
    some_history(&log).await;
    let spoil = "update entry set leaf = '\\x0122' where leaf_index = 2";
    sqlx::query(spoil).execute(&db.owner).await.unwrap();
    for output in ["table", "json"] {
        let tail = run(&["tail", "-o", output], &db).await;
        assert_eq!(tail.status.code(), Some(1), "{tail:?}");
        assert!(String::from_utf8_lossy(&tail.stderr).contains("entry 2 is not readable"), "{tail:?}");
    }
    let filtered = run(&["tail", "--verdict", "allow"], &db).await;
    assert_eq!(filtered.status.code(), Some(1), "it may be what is asked for: {filtered:?}");
    assert!(String::from_utf8_lossy(&filtered.stderr).contains("entry 2 is not what was recorded"), "{filtered:?}");
}

#[tokio::test]
async fn tail_follows_what_is_recorded_from_then_on() {
    let db = database().await;
    let (log, _tasks) = log(&db.pool).await;
    log.append(decision(1, Verdict::Deny)).await.unwrap();
    let mut tail =
        command(&["tail", "-f", "--verdict", "deny"], &db).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut next = async || {
        let line = tokio::time::timeout(SOON, lines.next_line()).await;
        line.expect("a line comes").unwrap().unwrap()
    };
    assert!(next().await.contains("GET wiki/page-1"));
    log.append(decision(2, Verdict::Allow)).await.unwrap();
    log.append(decision(3, Verdict::Deny)).await.unwrap();
    assert!(next().await.contains("GET wiki/page-3"), "what is not asked for is left out");
    // The database's owner puts an entry where the log will not come for ages.
    let plant = "insert into entry
                 select 9e18::bigint, recorded_at, leaf, happened_at, kind, broker, request, person, login, credential,
                        verdict, target
                   from entry where leaf_index = 0";
    sqlx::raw_sql(plant).execute(&db.owner).await.unwrap();
    for n in 4..6 {
        log.append(decision(n, Verdict::Deny)).await.unwrap();
        assert!(next().await.contains(&format!("GET wiki/page-{n}")), "nothing is passed over for it");
    }
}

#[tokio::test]
async fn tail_names_what_was_swallowed_while_it_follows() {
    let db = database().await;
    let (log, _tasks) = log(&db.pool).await;
    log.append(decision(1, Verdict::Deny)).await.unwrap();
    let swallow = "create function swallow() returns trigger language plpgsql as 'begin return null; end';
                   create trigger swallow before insert on entry for each row when (new.leaf_index = 1)
                   execute function swallow()";
    sqlx::raw_sql(swallow).execute(&db.owner).await.unwrap();
    let mut tail = command(&["tail", "-f"], &db);
    let mut tail = tail.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let first = tokio::time::timeout(SOON, lines.next_line()).await;
    assert!(first.unwrap().unwrap().unwrap().contains("GET wiki/page-1"));
    for n in 2..4 {
        log.append(decision(n, Verdict::Deny)).await.unwrap();
    }
    let mut remarks = BufReader::new(tail.stderr.take().unwrap()).lines();
    let named = async {
        while let Some(line) = remarks.next_line().await.unwrap() {
            if line.contains("entry 1 is missing from the database") {
                return;
            }
        }
        panic!("it ended without a word");
    };
    tokio::time::timeout(SOON, named).await.expect("it is named");
}

#[tokio::test]
async fn an_export_is_inert_and_its_manifest_tells_a_change() {
    let db = database().await;
    let (log, _tasks) = log(&db.pool).await;
    some_history(&log).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("entries.csv");
    let path = file.to_str().unwrap();
    let export = run(&["export", "--format", "csv", "--out", path, "-o", "json"], &db).await;
    assert_eq!(export.status.code(), Some(0), "{export:?}");
    let manifest: Value = serde_json::from_slice(&export.stdout).unwrap();
    assert_eq!(
        (&manifest["entries"], &manifest["first_leaf"], &manifest["last_leaf"]),
        (&7.into(), &0.into(), &6.into())
    );
    let csv = std::fs::read_to_string(&file).unwrap();
    assert_eq!(csv.matches('\n').count(), 8, "{csv}");
    assert!(csv.contains("\"'=cmd|' /c calc'!A1\"") && !csv.contains(['\u{1b}', '\0', '\u{202e}']), "{csv}");
    assert!(csv.lines().nth(4).unwrap().contains("\"GET wiki/page-2\""), "an outcome names its target: {csv}");
    let sum = tokio::process::Command::new("sha256sum").arg(path).output().await.unwrap();
    assert!(text(&sum).starts_with(manifest["files"][0]["sha256"].as_str().unwrap()));

    let beside = format!("{path}.manifest.json");
    let unchanged = text(&run(&["export", "--check", &beside], &db).await);
    assert!(unchanged.starts_with("unchanged: 7 entries"), "{unchanged}");
    let sum = tokio::process::Command::new("sha256sum").arg(&beside).output().await.unwrap();
    assert!(unchanged.contains(text(&sum).split(' ').next().unwrap()), "what the log has of it: {unchanged}");
    let empty = format!("{path}.empty.json");
    let mut of_nothing = manifest.clone();
    of_nothing["files"] = serde_json::json!([]);
    std::fs::write(&empty, of_nothing.to_string()).unwrap();
    let nothing = run(&["export", "--check", &empty], &db).await;
    assert_eq!(nothing.status.code(), Some(1));
    assert!(text(&nothing).contains("changed: the manifest: names 0 files"), "{nothing:?}");
    std::fs::write(&file, csv.replacen("deny", "allo", 1)).unwrap();
    let changed = run(&["export", "--check", &beside], &db).await;
    assert_eq!(changed.status.code(), Some(1));
    assert!(text(&changed).contains("changed: entries.csv: has the SHA-256"), "{changed:?}");
    std::fs::write(&file, &csv[1..]).unwrap();
    assert!(text(&run(&["export", "--check", &beside], &db).await).contains("bytes, not"));
    assert_eq!(run(&["export", "--check", "/nowhere"], &db).await.status.code(), Some(2));
    std::fs::remove_file(&file).unwrap();
    let gone = run(&["export", "--check", &beside], &db).await;
    assert_eq!(gone.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("error: entries.csv: No such file"), "{gone:?}");
}

#[tokio::test]
async fn an_export_as_lines_gives_every_leaf_back() {
    let db = database().await;
    let (log, _tasks) = log(&db.pool).await;
    some_history(&log).await;
    let leaves = bailiwick::store::entry::following(&db.pool, 0, 100).await.unwrap();
    let export = run(&["export", "--where", "wiki"], &db).await;
    let text = text(&export);
    assert_eq!(text.lines().count(), 3, "{text}");
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        let entry: bailiwick::audit::Entry = serde_json::from_value(value["entry"].clone()).unwrap();
        let index = value["leaf_index"].as_u64().unwrap();
        assert_eq!(entry.leaf().unwrap(), leaves[usize::try_from(index).unwrap()].1);
    }
    assert!(String::from_utf8_lossy(&export.stderr).contains("3 entries, SHA-256 "), "{export:?}");
    assert_eq!(self::text(&run(&["export", "--format", "csv", "--who", "corp/nobody"], &db).await).lines().count(), 1);
    assert!(!Path::new("-.manifest.json").exists());
}

fn command(arguments: &[&str], db: &TestDb) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_bailiwick"));
    command.arg("audit").args(arguments).args(["--database", &db.auditor_url]);
    command
}

async fn run(arguments: &[&str], db: &TestDb) -> Output {
    command(arguments, db).output().await.unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}
