//! Evidence bundles: written by the real binary, checked by it and by the independent verifier in `docs`, which agree on
//! what is sound, on what is broken, and on what neither of them can look at.

#![allow(unused_must_use, reason = "these tests append for the sake of the entry, and no receipt permits anything")]

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use bailiwick::{
    audit::{
        Event,
        bundle::{Kept, check},
        checkpoint::{CheckpointSigner, Verifier},
    },
    model::{PolicyVersion, Timestamp, Verdict},
    store::{self, policy_text::TextKind},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    TestDb,
    audit::{ORIGIN, caller, decision, log, request, signer},
    database, eventually,
    ledger::{cli, fill, keep_key, tamper},
};

#[tokio::test]
async fn a_bundle_proves_its_entries_offline_with_the_binary_and_without_it() {
    let (db, folder) = (recorded().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("evidence.jsonl");
    let kept = folder.path().join("kept.txt");
    std::fs::write(&kept, signer().sign(0, 0, bailiwick::audit::tree::empty_root())).unwrap();
    let (file, kept, key) = (file.to_str().unwrap(), kept.to_str().unwrap(), signer().verifier().to_string());
    let id = request(700_001).to_string();
    let selection = ["--leaf", "7", "--leaf", "40-49", "--request", &id, "--checkpoint", kept];
    let written =
        cli(&[&["audit", "bundle", "--database", &db.auditor_url, "--file", file], &selection[..]].concat()).await;
    assert_eq!(written.code, 0, "{written:?}");
    for expected in ["a broker puts it into the log", "12 entries and 3 texts, proven by the checkpoint at 303 entries"]
    {
        assert!(written.err.contains(expected), "{written:?}");
    }

    let told = cli(&["audit", "verify", "--bundle", file, "--key", &key, "--checkpoint", kept]).await;
    assert_eq!(told.code, 0, "{told:?}");
    for expected in [
        "sound: 12 entries of auth.example.test/audit\n",
        "  entries      7, 40-49, 301: unchanged, and at these places in the log\n",
        "  rules        3 of the 6 texts that the entries name are here, unchanged\n",
        "  continues    the log as it was at 0 entries\n",
        "the key that was given\n",
    ] {
        assert!(told.out.contains(expected), "{expected:?} is not in {}", told.out);
    }
    let untold = cli(&["audit", "verify", "--bundle", file]).await;
    assert!(untold.code == 0 && untold.err.contains("The key came from the file itself"), "{untold:?}");
    let json = cli(&["audit", "verify", "--bundle", file, "--key", &key, "-o", "json"]).await;
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((&json["sound"], &json["proven"]["signed"]["from"]), (&json!(true), &json!("given")));

    let (code, out) = python(&[file, "--key", &key, "--checkpoint", kept]);
    assert!(code == 0 && out.starts_with("sound: 12 entries of auth.example.test/audit\n"), "{out}");
    assert!(out.contains("3 of the 6 texts") && out.contains("the key that was given"), "{out}");
    assert!(python(&[file]).1.contains("a key out of the file itself"));

    let thief = CheckpointSigner::from_seed(ORIGIN, Uuid::nil(), &[8; 32]).unwrap().verifier().to_string();
    for (arguments, code) in [
        (vec!["--key", &thief], 1),
        (vec!["--key", "junk"], 2),
        (vec!["--key", &key, "--checkpoint", "/nonexistent"], 2),
    ] {
        let told = cli(&[&["audit", "verify", "--bundle", file], arguments.as_slice()].concat()).await;
        assert_eq!((told.code, python(&[&[file], arguments.as_slice()].concat()).0), (code, code), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_kept_checkpoint_must_be_continued_and_silence_is_no_proof() {
    let (db, folder) = (recorded().await, tempfile::tempdir().unwrap());
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let key = signer().verifier().to_string();
    let mut reader = db.pool.acquire().await.unwrap();
    let root = bailiwick::audit::proof::root(&mut reader, 100).await.unwrap();
    std::fs::write(at("kept"), signer().sign(0, 100, root)).unwrap();
    std::fs::write(at("forked"), signer().sign(0, 100, [9; 32])).unwrap();
    std::fs::write(at("later"), signer().sign(0, 101, [9; 32])).unwrap();
    let bundle = async |file: &str, more: &[&str]| {
        let arguments = ["audit", "bundle", "--leaf", "7-299", "--database", &db.auditor_url, "--file", file];
        cli(&[&arguments, more].concat()).await
    };
    let (whole, few) = (at("whole"), at("few"));
    assert_eq!(bundle(&whole, &["--checkpoint", &at("kept")]).await.code, 0);
    let arguments = ["audit", "bundle", "--leaf", "250", "--database", &db.auditor_url, "--file", &few];
    assert_eq!(cli(&arguments).await.code, 0);
    std::fs::write(at("beyond"), signer().sign(0, 304, [9; 32])).unwrap();
    let short = bundle(&at("none"), &["--checkpoint", &at("beyond")]).await;
    assert!(short.code == 2 && short.err.contains("cannot continue the checkpoint at 304 entries"), "{short:?}");
    let refused = bundle(&at("none"), &["--checkpoint", &at("forked")]).await;
    assert!(refused.code == 1 && refused.err.contains("does not continue the checkpoint at 100"), "{refused:?}");
    assert!(!Path::new(&at("none")).exists() && !Path::new(&at("none.part")).exists());
    for (file, kept, code) in [(&whole, "kept", 0), (&whole, "forked", 1), (&whole, "later", 1), (&few, "kept", 2)] {
        let told = cli(&["audit", "verify", "--bundle", file, "--key", &key, "--checkpoint", &at(kept)]).await;
        let (python, said) = python(&[file, "--key", &key, "--checkpoint", &at(kept)]);
        assert_eq!((told.code, python), (code, code), "{kept}: {told:?}, {said}");
    }
}

#[tokio::test]
async fn a_log_that_proves_nothing_gives_no_bundle() {
    let db = recorded().await;
    let all = ["audit", "bundle", "--all", "--database", &db.auditor_url];
    let whole = cli(&all).await;
    assert_eq!((whole.code, whole.out.lines().count()), (0, 1 + 303 + 3), "{}", whole.err);
    tamper(&db, "update entry set leaf = set_byte(leaf, 50, get_byte(leaf, 50) # 1) where leaf_index = 9").await;
    let edited = cli(&all).await;
    assert!(edited.code == 1 && edited.err.contains("verify the log"), "{edited:?}");
    tamper(&db, "delete from entry where leaf_index = 9").await;
    let gone = cli(&all).await;
    assert!(gone.code == 1 && gone.err.contains("entry 9 is missing from the database"), "{gone:?}");
    let beyond = cli(&["audit", "bundle", "--leaf", "303", "--database", &db.auditor_url]).await;
    assert!(beyond.code == 2 && beyond.err.contains("the log has no entry 303: it has 303 entries"), "{beyond:?}");
}

#[tokio::test]
async fn both_verifiers_agree_on_every_way_to_tamper_with_a_bundle() {
    let (db, folder) = (recorded().await, tempfile::tempdir().unwrap());
    let arguments = ["audit", "bundle", "--leaf", "7", "--leaf", "300-301", "--database", &db.auditor_url];
    let sound = cli(&arguments).await.out;
    let mut table = tampered(&sound);
    let odd = misspelt(&sound);
    assert_eq!(odd.len(), 8, "each of them is in this bundle");
    table.extend(odd);

    agree(&table, signer().verifier(), folder.path());
}

/// Both verifiers say of each file what is expected of it, or at least the same.
pub fn agree(table: &[(String, Vec<u8>, Option<i32>)], key: &Verifier, folder: &Path) {
    for (nth, (_, bytes, _)) in table.iter().enumerate() {
        std::fs::write(folder.join(nth.to_string()), bytes).unwrap();
    }
    let call =
        |nth: usize| [folder.join(nth.to_string()).to_str().unwrap().to_owned(), "--key".into(), key.to_string()];
    let calls: Vec<_> = (0..table.len()).map(|nth| call(nth).to_vec()).collect();
    let theirs = verdicts_of_python(&calls);
    let mut unseen = 0;
    for ((what, bytes, expected), theirs) in table.iter().zip(theirs) {
        let ours = ours(bytes, key);
        assert_eq!(ours, theirs, "the binary and the script disagree: {what}");
        match expected {
            Some(expected) => assert_eq!(ours, *expected, "{what}"),
            None => assert_ne!(ours, 0, "{what}"),
        }
        unseen += usize::from(ours == 2);
    }
    assert!(table.len() > 300 && unseen < table.len() / 2, "{} drills, {unseen} of them unreadable", table.len());
}

/// A sound file, and every way to tamper with it: what was done, the file, and the exit code if it must be that one.
pub fn tampered(sound: &str) -> Vec<(String, Vec<u8>, Option<i32>)> {
    let mut table = vec![("as it was".to_owned(), sound.to_owned().into_bytes(), Some(0))];
    tampered_lines(sound, &mut table);
    tampered_fields(sound, &mut table);
    tampered_bytes(sound, &mut table);
    table
}

/// Every line dropped, doubled, swapped with the next, and the file cut before it.
fn tampered_lines(sound: &str, table: &mut Vec<(String, Vec<u8>, Option<i32>)>) {
    let lines: Vec<&str> = sound.split_inclusive('\n').collect();
    for at in 0..lines.len() {
        let is_text = lines[at].starts_with("{\"text\"");
        let mut dropped = lines.clone();
        dropped.remove(at);
        // A text that is not there is said to be not there; the entries are proven all the same.
        table.push((format!("line {at} dropped"), dropped.concat().into_bytes(), is_text.then_some(0)));
        let mut doubled = lines.clone();
        doubled.insert(at, lines[at]);
        let is_note = lines[at].starts_with("{\"checkpoint\"");
        table.push((format!("line {at} twice"), doubled.concat().into_bytes(), Some(i32::from(!is_note))));
        if at + 1 < lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(at, at + 1);
            let is_harmless = lines[at + 1].starts_with("{\"text\"") && at > 0;
            table.push((format!("line {at} swapped"), swapped.concat().into_bytes(), is_harmless.then_some(0)));
        }
        let cut = lines[..at].concat().into_bytes();
        let left = lines[..at].iter().any(|line| line.starts_with("{\"text\"")) || is_text;
        table.push((format!("cut before line {at}"), cut, left.then_some(0)));
    }
    table.push(("nothing".into(), Vec::new(), Some(2)));
    table.push(("another kind of file".into(), b"{\"hello\":1}\n".to_vec(), Some(2)));
    table.push(("another version".into(), sound.replacen("\"version\":1", "\"version\":2", 1).into_bytes(), Some(2)));
    table.push(("a blank line".into(), sound.replacen('\n', "\n\n", 1).into_bytes(), Some(2)));
}

/// Every value in every line changed: numbers by one, strings and hashes in a character, arrays by an element.
fn tampered_fields(sound: &str, table: &mut Vec<(String, Vec<u8>, Option<i32>)>) {
    let lines: Vec<Value> = sound.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (at, line) in lines.iter().enumerate() {
        let (kind, fields) = line.as_object().unwrap().iter().next().unwrap();
        for (field, value) in fields.as_object().unwrap() {
            for (how, other) in others(value) {
                let mut changed = lines.clone();
                changed[at][kind][field] = other;
                // The keys in the file do not matter to whoever has one.
                let expected = (field == "keys" && !how.starts_with("type")).then_some(0);
                let text: String = changed.iter().map(|line| format!("{line}\n")).collect();
                table.push((format!("line {at}: {kind} {field} {how}"), text.into_bytes(), expected));
            }
            let mut missing = lines.clone();
            missing[at][kind].as_object_mut().unwrap().remove(field);
            let text: String = missing.iter().map(|line| format!("{line}\n")).collect();
            table.push((format!("line {at}: {kind} without {field}"), text.into_bytes(), Some(2)));
        }
        let mut more = lines.clone();
        more[at][kind]["more"] = json!(1);
        let text: String = more.iter().map(|line| format!("{line}\n")).collect();
        table.push((format!("line {at}: {kind} with more"), text.into_bytes(), Some(2)));
    }
}

fn others(value: &Value) -> Vec<(String, Value)> {
    match value {
        Value::Number(number) => {
            let number = number.as_u64().unwrap();
            let mut others =
                vec![("plus one".to_owned(), json!(number + 1)), ("type".into(), json!(number.to_string()))];
            others.extend(number.checked_sub(1).map(|less| ("minus one".to_owned(), json!(less))));
            others
        }
        Value::String(text) => {
            let characters: Vec<char> = text.chars().collect();
            let mut others = vec![("type".to_owned(), json!(1)), ("emptied".into(), json!(""))];
            for at in [0, characters.len() / 3, characters.len() / 2, characters.len() - 2, characters.len() - 1] {
                let mut changed = characters.clone();
                changed[at] = char::from_u32(changed[at] as u32 ^ 1).unwrap();
                others.push((format!("character {at}"), json!(changed.iter().collect::<String>())));
                changed.remove(at);
                others.push((format!("without character {at}"), json!(changed.iter().collect::<String>())));
            }
            others
        }
        Value::Array(items) => {
            let mut others = vec![("emptied".to_owned(), json!([])), ("type".into(), json!(1))];
            for at in 0..items.len() {
                let mut fewer = items.clone();
                fewer.remove(at);
                others.push((format!("without {at}"), json!(fewer)));
                let mut twice = items.clone();
                twice.insert(at, items[at].clone());
                others.push((format!("{at} twice"), json!(twice)));
                let mut changed = items.clone();
                let text = changed[at].as_str().unwrap();
                changed[at] = json!(text.replacen(|c: char| c != 'a', "a", 1));
                others.push((format!("{at} changed"), json!(changed)));
            }
            others.retain(|(_, other)| other != value);
            others
        }
        _ => Vec::new(),
    }
}

/// What one reader of JSON takes and another does not: no line of a bundle.
fn misspelt(sound: &str) -> Vec<(String, Vec<u8>, Option<i32>)> {
    let spellings = [
        ("\"from\":0,", "\"from\":-0,"),
        ("\"from\":0,", "\"from\":-1,"),
        ("\"from\":0,", "\"from\":0.0,"),
        ("\"from\":0,", "\"from\":18446744073709551616,"),
        ("\"body\":\"", "\"body\":\"\\ud800"),
        ("\"kind\":\"", "\"kind\":\"\\udfff"),
        ("\"keys\":[", "\"keys\":[1,"),
        ("}\n", "}\u{c}\n"),
    ];
    let changed = spellings.into_iter().map(|(from, to)| (to, sound.replacen(from, to, 1)));
    let changed = changed.filter(|(_, text)| text != sound);
    changed.map(|(to, text)| (format!("{to:?}"), text.into_bytes(), Some(2))).collect()
}

/// Bits flipped all over the file.
fn tampered_bytes(sound: &str, table: &mut Vec<(String, Vec<u8>, Option<i32>)>) {
    let keys = sound.find("\"keys\"").unwrap()..sound.find("\"checkpoint\"").unwrap();
    for step in 0..400 {
        let at = step * sound.len() / 400;
        if keys.contains(&at) {
            continue;
        }
        let mut bytes = sound.as_bytes().to_vec();
        bytes[at] ^= 1 << (step % 8);
        table.push((format!("bit {} of byte {at}", step % 8), bytes, None));
    }
}

/// A log of 303 entries: 300 of one person's, two decisions of one with a strange name under rules that are kept, and a
/// load of those rules.
async fn recorded() -> TestDb {
    let db = database().await;
    let (log, tasks) = log(&db.pool).await;
    fill(&log, 300).await;
    let mut reader = db.owner.acquire().await.unwrap();
    let mut hashes = Vec::new();
    for (kind, body) in [
        (TextKind::Entities, "[]"),
        (TextKind::Policies, "// \u{e9}\u{1f511}\npermit (principal, action, resource);\r\n"),
        (TextKind::Schema, "entity Person;\t\"\\\""),
    ] {
        store::policy_text::keep_policy_text(&mut reader, kind, body, Timestamp::from_micros(1)).await.unwrap();
        hashes.push(sha256(body));
    }
    let rules = PolicyVersion { entities: hashes[0].clone(), policies: hashes[1].clone(), schema: hashes[2].clone() };
    for n in 700_000..700_002 {
        let mut draft = decision(n, Verdict::Allow);
        let mut hostile = caller();
        hostile.identity.name = "\u{e9}\u{1f511}\u{7f}\u{1}\n\"\\\u{2028}\u{202e}<b>".into();
        draft.caller = Some(hostile.into());
        if let Event::Decision { policy, .. } = &mut draft.event {
            *policy = (&rules).into();
        }
        log.append(draft).await.unwrap();
    }
    let mut load = decision(1, Verdict::Allow);
    load.event = Event::PolicyLoaded { policy: rules.clone(), rules: 1, before: Some(rules) };
    log.append(load).await.unwrap();
    eventually(async || (log.health().signed == 303).then_some(())).await;
    tasks.stop(Duration::from_secs(20)).await;
    keep_key(&db, &signer(), "active").await;
    db
}

fn sha256(text: &str) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()))
}

fn ours(bytes: &[u8], key: &Verifier) -> i32 {
    let kept = Kept { keys: vec![key.clone()], checkpoints: Vec::new() };
    match check(&mut &*bytes, &kept) {
        Ok(_) => 0,
        Err(broken) if broken.is_unseen() => 2,
        Err(_) => 1,
    }
}

/// The exit code of `docs/verify_bundle.py`, and what it printed.
pub fn python(arguments: &[&str]) -> (i32, String) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/verify_bundle.py");
    let output = Command::new("python3").arg(script).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[test]
fn the_independent_verifier_says_which_python_it_takes() {
    let old = "import sys, runpy\nsys.version_info = (3, 7, 17)\nsys.argv = sys.argv[1:]\n\
               runpy.run_path(sys.argv[0], run_name='__main__')";
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/verify_bundle.py");
    let output = Command::new("python3").args(["-c", old, script, "none"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && told.contains("Python 3.8 or later"), "{told}");
}

/// Its exit codes for these calls, in one process.
pub fn verdicts_of_python(calls: &[Vec<String>]) -> Vec<i32> {
    let code = "import sys, contextlib, functools, io, json\nimport verify_bundle as v\ncodes = []\n\
                v.is_signed = functools.lru_cache(None)(v.is_signed)\nfor call in json.load(sys.stdin):\n \
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):\n  \
                codes.append(v.main(call))\nprint(*codes)";
    let mut command = Command::new("python3");
    command.args(["-B", "-c", code]).env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/docs"));
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    serde_json::to_writer(process.stdin.take().unwrap(), calls).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(|code| code.parse().unwrap()).collect()
}
