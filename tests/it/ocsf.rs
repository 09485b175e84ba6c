//! Events of every kind against OCSF's own schema, by somebody else's program (`tests/ocsf/check.py`): nothing that it
//! requires is missing, and nothing is there that it does not know.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use bailiwick::{
    model::Timestamp,
    shipping::ocsf::{KINDS, Place, translate},
};
use serde_json::Value;

/// One event of every kind, and of every shape of an action; at last the one for a leaf that nobody can read.
fn events() -> Vec<String> {
    let pinned = include_str!("golden/leaves.txt").lines().filter(|line| !line.starts_with('#'));
    let leaves = pinned.map(|line| [&[1], line.as_bytes()].concat()).chain([b"\x02?".to_vec()]);
    let place = |index| Place { origin: "auth.example.test/audit", epoch: 0, index };
    (0..).zip(leaves).map(|(index, leaf)| translate(place(index), &leaf, Timestamp::from_micros(1_000)).line).collect()
}

/// What the checker says, line by line.
fn checked(events: &[String]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".cache/ocsf/bin/python");
    assert!(python.exists(), "the checker is missing: run `make test`, which installs what the tests need");
    let mut checker = Command::new(python)
        .arg(root.join("tests/ocsf/check.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    checker.stdin.take().unwrap().write_all(format!("{}\n", events.join("\n")).as_bytes()).unwrap();
    let output = checker.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn every_event_is_one_of_ocsf_to_somebody_elses_validator() {
    let events = events();
    for kind in KINDS {
        let of_kind = |event: &String| event.contains(&format!("\"event_code\":\"{}\"", kind.name));
        assert!(events.iter().any(of_kind), "there is no `{}`", kind.name);
    }
    assert_eq!(checked(&events), [format!("{} events", events.len())]);
}

#[test]
fn the_validator_notices_what_is_missing_unknown_or_of_the_wrong_type() {
    let sound: Value = serde_json::from_str(&events()[0]).unwrap();
    let changed = |change: fn(&mut Value)| {
        let mut event = sound.clone();
        change(&mut event);
        event.to_string()
    };
    let events = [
        changed(|event| drop(event.as_object_mut().unwrap().remove("src_endpoint"))),
        changed(|event| event["actor"]["user"]["colour"] = "red".into()),
        changed(|event| event["time"] = "noon".into()),
        changed(|event| event["severity_id"] = 77.into()),
    ];
    let said = checked(&events);
    assert_eq!(said.len(), 5, "{said:?}");
    for (line, word) in said.iter().zip(["'src_endpoint' is a required", "'colour' was unexpected", "'noon'", "77"]) {
        assert!(line.contains(word), "{line}");
    }
}
