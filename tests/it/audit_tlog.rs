//! Notes and proofs as the Go project's `sumdb/note` and `sumdb/tlog` see them: code that knows nothing of ours must take
//! what our command line prints, and must not take it once anything in it was changed.

use std::{io::Write as _, process::Stdio};

use bailiwick::store::entry;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::support::{
    audit::signer,
    ledger::{cli, filled},
};

#[tokio::test]
async fn the_packages_of_go_take_our_notes_and_proofs_and_no_altered_ones() {
    let db = filled(600).await;
    let leaves = entry::following(&db.owner, 0, 1_000).await.unwrap();
    let key = signer().verifier().to_string();
    let note = cli(&["audit", "checkpoint", "--database", &db.auditor_url]).await.out;
    let proof = async |kind: &str, place: u64, size: &str| {
        let place = place.to_string();
        let size: &[&str] = if kind == "inclusion" { &["--size", size] } else { &[size] };
        let arguments = ["audit", "proof", kind, &place, "-o", "json", "--database", &db.auditor_url];
        let said = cli(&[&arguments, size].concat()).await;
        serde_json::from_str::<Value>(&said.out).unwrap_or_else(|_| panic!("{said:?}"))
    };

    let mut questions = Vec::new();
    for (index, size) in [(0, 1), (0, 2), (1, 3), (200, 255), (255, 256), (0, 257), (256, 257), (300, 511), (599, 600)]
    {
        let inclusion = proof("inclusion", index, &size.to_string()).await;
        questions.push(json!({
            "Kind": "inclusion", "Leaf": STANDARD.encode(&leaves[index as usize].1), "Index": index,
            "Size": size, "Root": inclusion["root"], "Hashes": inclusion["hashes"],
        }));
        let consistency = proof("consistency", index + 1, &size.to_string()).await;
        questions.push(json!({
            "Kind": "consistency", "Old": index + 1, "Before": consistency["old_root"],
            "Size": size, "Root": consistency["root"], "Hashes": consistency["hashes"],
        }));
    }
    let root = proof("inclusion", 0, "600").await["root"].clone();
    questions.push(json!({ "Kind": "note", "Key": key, "Note": note, "Size": 600, "Root": root }));
    let sound = questions.len();
    for nth in 0..sound {
        altered(&questions[nth].clone(), &mut questions);
    }

    let answers = ask(&questions);
    assert_eq!(answers.len(), questions.len());
    for (nth, (question, answer)) in questions.iter().zip(answers).enumerate() {
        assert_eq!(nth < sound, answer.is_empty(), "{question}: {answer:?}");
    }
    assert!(questions.len() > 5 * sound, "{} questions", questions.len());
}

/// Every field of a question changed a little, except where that asks the same again.
fn altered(question: &Value, questions: &mut Vec<Value>) {
    let flipped = |text: &str, at: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        json!(String::from_utf8(bytes).unwrap())
    };
    for (field, value) in question.as_object().unwrap() {
        let others = match (field.as_str(), value) {
            ("Kind", _) => Vec::new(),
            // A proof does not bind the size; the note that has its root does.
            ("Size", _) if question["Kind"] != "note" => Vec::new(),
            ("Note" | "Key", Value::String(text)) => {
                let place = text.len() - 10;
                vec![flipped(text, 0), flipped(text, place), json!("")]
            }
            (_, Value::String(text)) => vec![flipped(text, 0), flipped(text, text.len() / 2)],
            (_, Value::Number(number)) => {
                vec![json!(number.as_i64().unwrap() + 1), json!(number.as_i64().unwrap() - 1)]
            }
            (_, Value::Array(hashes)) => {
                let mut others = vec![json!([hashes.clone(), vec![json!("00".repeat(32))]].concat())];
                if let Some((last, rest)) = hashes.split_last() {
                    others.push(json!(rest));
                    others.push(json!([rest, &[flipped(last.as_str().unwrap(), 7)]].concat()));
                }
                others
            }
            _ => Vec::new(),
        };
        for other in others {
            let mut changed = question.clone();
            changed[field] = other;
            questions.push(changed);
        }
    }
}

/// What `tests/tlog` answers: nothing for yes, or why not.
fn ask(questions: &[Value]) -> Vec<String> {
    let root = env!("CARGO_MANIFEST_DIR");
    let built = std::process::Command::new("tests/tlog/build")
        .args([".cache/tlog/tlog", ".cache/cluster"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(built.status.success(), "run tests/install evidence: {}", String::from_utf8_lossy(&built.stderr));
    let mut asked = std::process::Command::new(format!("{root}/.cache/tlog/tlog"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    asked.stdin.take().unwrap().write_all(&serde_json::to_vec(questions).unwrap()).unwrap();
    let output = asked.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}
