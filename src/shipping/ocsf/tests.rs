//! The table against the leaf bytes of every kind, and events against what OCSF requires of them.

use std::collections::BTreeSet;

use super::*;

const LEAVES: &str = include_str!("../../../tests/it/golden/leaves.txt");
const PAGE: &str = include_str!("../../../docs/AUDIT.md");

fn samples() -> Vec<(Value, Value)> {
    let lines = LEAVES.lines().filter(|line| !line.starts_with('#'));
    lines
        .enumerate()
        .map(|(index, line)| {
            let place = Place { origin: "auth.example.test/audit", epoch: 0, index: index as u64 };
            let leaf = [&[1], line.as_bytes()].concat();
            let shipped = translate(place, &leaf, Timestamp::from_micros(0));
            assert_ne!(shipped.kind, "unreadable", "{line}");
            (serde_json::from_str(line).unwrap(), serde_json::from_str(&shipped.line).unwrap())
        })
        .collect()
}

/// Every path to something that is not an object.
fn leaves_of(value: &Value, path: &str, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves_of(value, &path, all);
            }
        }
        Value::Null => {}
        _ => {
            all.insert(path.to_owned());
        }
    }
}

#[test]
fn the_table_has_every_field_of_every_kind_and_no_other() {
    for kind in KINDS {
        let mut found = BTreeSet::new();
        for (entry, _) in samples().iter().filter(|(entry, _)| entry["event"]["kind"] == kind.name) {
            leaves_of(&entry["event"], "", &mut found);
        }
        assert!(found.remove("kind"), "the golden leaves have no `{}`", kind.name);
        let known: BTreeSet<String> = kind.fields.iter().map(|field| field.name.to_owned()).collect();
        let missing: Vec<_> = found.difference(&known).collect();
        assert!(missing.is_empty(), "`{}` has fields that the table does not know: {missing:?}", kind.name);
        // Some are empty in every sample.
        let rare = ["decision.fresh", "context.acr"];
        let stale: Vec<_> = known.difference(&found).filter(|name| !rare.contains(&name.as_str())).collect();
        assert!(stale.is_empty(), "`{}` has no such fields: {stale:?}", kind.name);
    }
    let kinds: BTreeSet<&str> = KINDS.iter().map(|kind| kind.name).collect();
    for (entry, _) in samples() {
        assert!(kinds.contains(entry["event"]["kind"].as_str().unwrap()), "{entry}");
    }
}

#[test]
fn the_table_has_every_field_of_a_caller_and_of_an_entry() {
    let (mut entries, mut callers) = (BTreeSet::new(), BTreeSet::new());
    for (mut entry, _) in samples() {
        leaves_of(&entry["caller"], "", &mut callers);
        let entry = entry.as_object_mut().unwrap();
        entry.remove("caller");
        entry.remove("event");
        leaves_of(&Value::Object(entry.clone()), "", &mut entries);
    }
    let names = |fields: &[Field]| fields.iter().map(|field| field.name.to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(callers, names(CALLER));
    assert_eq!(entries, names(ENTRY));
}

#[test]
fn the_page_holds_the_table_as_it_is() {
    let (_, after) = PAGE.split_once("<!-- fields: printed by `bailiwick audit fields` -->\n\n").unwrap();
    let (table, _) = after.split_once("\n<!-- end of fields -->").unwrap();
    assert!(table == page(), "docs/AUDIT.md is stale; `bailiwick audit fields` prints:\n{}", page());
}

/// What OCSF 1.5.0 requires, from schema.ocsf.io/1.5.0/classes/…: `requirement: required` of the base event and of each
/// class (profiles that are not applied left out), and one of each `at_least_one` and `just_one`.
fn required(class: u64) -> &'static [&'static [&'static str]] {
    match class {
        3002 => &[&["user"], &["service", "dst_endpoint"]],
        3003 => &[&["user"], &["privileges", "group"]],
        3004 => &[&["entity"]],
        6002 => &[&["app"]],
        6003 => &[&["actor"], &["api"], &["src_endpoint"]],
        _ => &[],
    }
}

/// The same for the objects in them, from schema.ocsf.io/1.5.0/objects/….
const OBJECTS: [(&str, &[&[&str]]); 10] = [
    ("metadata", &[&["version"], &["product"]]),
    ("metadata.product", &[&["name", "uid"]]),
    ("actor", &[&["process", "user", "invoked_by", "session", "app_name", "app_uid"]]),
    ("actor.user", &[&["account", "name", "uid"]]),
    ("user", &[&["account", "name", "uid"]]),
    ("api", &[&["operation"]]),
    ("api.request", &[&["uid"]]),
    ("src_endpoint", &[&["ip", "uid", "name", "hostname", "svc_name"]]),
    ("entity", &[&["name", "uid", "device", "group", "org", "policy", "user"]]),
    ("http_response", &[&["code"]]),
];

#[test]
fn every_event_has_what_ocsf_requires() {
    let base = ["activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid", "status_id"];
    for (entry, event) in samples() {
        let kind = &entry["event"]["kind"];
        let object = event.as_object().unwrap();
        for name in base {
            assert!(event.get(name).is_some(), "{kind} lacks {name}: {event}");
        }
        let number = |name: &str| event[name].as_u64().unwrap();
        assert_eq!(number("type_uid"), number("class_uid") * 100 + number("activity_id"), "{kind}");
        assert_eq!(number("category_uid"), number("class_uid") / 1_000, "{kind}");
        assert_eq!(number("time"), 1_767_268_800_000, "milliseconds: {kind}");
        for any in required(number("class_uid")) {
            assert!(any.iter().any(|name| object.contains_key(*name)), "{kind} lacks one of {any:?}: {event}");
        }
        for (path, needs) in OBJECTS {
            let Some(found) = at(object, path) else { continue };
            for any in needs {
                assert!(
                    any.iter().any(|name| found.get(name).is_some()),
                    "{kind}: {path} lacks one of {any:?}: {event}"
                );
            }
        }
    }
}

#[test]
fn every_field_arrives_where_the_table_says() {
    for (entry, event) in samples() {
        let kind = KINDS.iter().find(|kind| entry["event"]["kind"] == kind.name).unwrap();
        for field in kind.fields.iter().filter(|field| matches!(field.form, Form::Text | Form::Id | Form::Hex)) {
            let found = field.name.split('.').try_fold(&entry["event"], |at, name| at.get(name));
            let Some(text) = found.and_then(Value::as_str).filter(|text| !text.is_empty()) else { continue };
            let mut all = BTreeSet::new();
            leaves_of(&event, "", &mut all);
            assert!(
                event.to_string().contains(&json!(text).to_string()) || field.to.contains('+'),
                "{}: {event}",
                field.name
            );
        }
    }
}

#[test]
fn an_event_names_its_leaf_and_never_its_salt() {
    let (entry, event) = samples().swap_remove(0);
    assert_eq!(event["metadata"]["uid"], "auth.example.test/audit/0/0");
    let leaf = [&[1], LEAVES.lines().find(|line| !line.starts_with('#')).unwrap().as_bytes()].concat();
    assert_eq!(event["unmapped"]["leaf_hash"], hex::encode(leaf_hash(&leaf)));
    assert_eq!(event["unmapped"]["verdict"], "allow");
    assert_eq!((&event["action_id"], &event["status_id"]), (&json!(1), &json!(1)));
    assert!(!event.to_string().contains(entry["salt"].as_str().unwrap()));
}

#[test]
fn a_leaf_that_cannot_be_read_is_shipped_all_the_same() {
    let place = Place { origin: "log", epoch: 2, index: 9 };
    let shipped = translate(place, b"\x02{\"later\":\"\x1b\xff\"}", Timestamp::from_micros(5_000));
    let event: Value = serde_json::from_str(&shipped.line).unwrap();
    assert_eq!((&event["class_uid"], &event["activity_id"]), (&json!(6008), &json!(2)));
    assert_eq!(event["metadata"]["uid"], "log/2/9");
    assert!(shipped.line.bytes().all(|b| (b' '..=b'~').contains(&b)));
}
