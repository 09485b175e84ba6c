//! Entries as OCSF events (Open Cybersecurity Schema Framework 1.5.0), one JSON object each.
//!
//! One table says what each field is and where it goes ([`KINDS`]); `docs/AUDIT.md` is printed from it. An event names its
//! leaf, epoch and leaf hash, and its `metadata.uid` is always the same for the same entry, so that a collector can drop
//! what it gets twice. No entry is left out: one that this binary cannot read is shipped as a translation error.

mod ascii;
mod class;
mod decision;
mod kinds;
mod page;
mod place;
mod shared;
mod table;

use serde_json::{Map, Value, json};

pub use ascii::line;
pub use class::Class;
pub use kinds::KINDS;
pub use page::page;
pub use shared::{CALLER, ENTRY};
pub use table::{Activity, Field, Form, Kind};

use class::{Severity, Status};
use place::{PRODUCT, at, complete, fields, put};

use crate::{
    audit::{Entry, Event, entry::Columns, printable, tree::leaf_hash},
    model::{Timestamp, Verdict},
};

/// The version that events follow.
pub const VERSION: &str = "1.5.0";

/// An entry's place in the log.
#[derive(Clone, Copy, Debug)]
pub struct Place<'l> {
    /// The log's name.
    pub origin: &'l str,
    /// The epoch that it was added in.
    pub epoch: u64,
    /// Its leaf index.
    pub index: u64,
}

/// An event, with what a sink needs to know of it beside its text.
#[derive(Clone, Debug)]
pub struct Shipped {
    /// The entry's leaf index.
    pub index: u64,
    /// The entry's kind.
    pub kind: String,
    /// When it happened.
    pub at: Timestamp,
    /// The broker that wrote it.
    pub broker: String,
    /// `severity_id`.
    pub severity: u8,
    /// `class_uid`.
    pub class: u32,
    /// The event in one line of printable ASCII.
    pub line: String,
}

/// The event for a leaf. `now` is for a leaf that cannot be read, and says no time itself.
pub fn translate(place: Place<'_>, leaf: &[u8], now: Timestamp) -> Shipped {
    match Entry::from_leaf(leaf) {
        Ok(entry) => translate_entry(place, leaf, &entry),
        Err(_) => translation_error(place, leaf, now),
    }
}

fn translate_entry(place: Place<'_>, leaf: &[u8], entry: &Entry) -> Shipped {
    let name = entry.event.kind();
    let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
        return translation_error(place, leaf, entry.recorded_at);
    };
    let mut event = Map::new();
    let (status, severity) = class::weight(&entry.event);
    classify(&mut event, kind.class, class::activity(kind, &entry.event), severity);
    put(&mut event, "status_id", json!(status as u8));
    put(&mut event, "status", json!(["Unknown", "Success", "Failure"].get(status as usize)));
    put(&mut event, "message", json!(message(entry)));
    if !kind.entity.is_empty() {
        let id = match kind.entity {
            "User" => 2,
            "Policy" => 5,
            _ => 99,
        };
        put(&mut event, "entity.type", json!(kind.entity));
        put(&mut event, "entity.type_id", json!(id));
    }
    let whole = serde_json::to_value(entry).unwrap_or_default();
    fields(&mut event, ENTRY, &whole);
    for (table, part) in [(CALLER, "caller"), (kind.fields, "event")] {
        fields(&mut event, table, whole.get(part).unwrap_or(&Value::Null));
    }
    put(&mut event, "metadata.original_time", json!(entry.happened_at.to_string()));
    explain(&mut event, &entry.event);
    complete(&mut event, kind.class, name);
    sign(&mut event, place, leaf, name);
    shipped(place, &event, name, entry.happened_at)
}

/// What a decision and a sign-in say beyond their fields.
fn explain(event: &mut Map<String, Value>, of: &Event) {
    match of {
        Event::Decision { decision, .. } => {
            let (action, disposition) = match decision.verdict {
                Verdict::Allow => ((1, "Allowed"), (1, "Allowed")),
                Verdict::Deny => ((2, "Denied"), (2, "Blocked")),
                Verdict::StepUp => ((2, "Denied"), (23, "Challenge")),
            };
            put(event, "action_id", json!(action.0));
            put(event, "action", json!(action.1));
            put(event, "disposition_id", json!(disposition.0));
            put(event, "disposition", json!(disposition.1));
            put(event, "status_detail", json!(decision.sentence()));
            put(event, "metadata.profiles", json!(["security_control"]));
        }
        Event::SignIn { step, .. } => {
            use crate::audit::SignInStep::{Begun, HandOver, Passkey, Provider, SignOut, StepUp};
            let protocol = match step {
                Begun | Provider => Some((4, "OpenID")),
                Passkey | StepUp => Some((99, "WebAuthn")),
                HandOver | SignOut => None,
            };
            if let Some((id, name)) = protocol {
                put(event, "auth_protocol_id", json!(id));
                put(event, "auth_protocol", json!(name));
                put(event, "is_mfa", json!(id == 99));
            }
            put(event, "is_remote", json!(true));
        }
        Event::PolicyRejected { errors } => {
            put(event, "status_detail", json!(errors.first().cloned().unwrap_or_default()));
        }
        _ => {}
    }
}

fn classify(event: &mut Map<String, Value>, class: Class, activity: Activity, severity: Severity) {
    let severity_name = match severity {
        Severity::Informational => "Informational",
        Severity::Low => "Low",
        Severity::Medium => "Medium",
        Severity::High => "High",
        Severity::Critical => "Critical",
    };
    for (name, value) in [
        ("activity_id", json!(activity.id)),
        ("activity_name", json!(activity.name)),
        ("category_uid", json!(class.category())),
        ("category_name", json!(if class.category() == 3 { IAM } else { APPLICATION })),
        ("class_uid", json!(class.uid())),
        ("class_name", json!(class.name())),
        ("type_uid", json!(u64::from(class.uid()) * 100 + u64::from(activity.id))),
        ("type_name", json!(format!("{}: {}", class.name(), activity.name))),
        ("severity_id", json!(severity as u8)),
        ("severity", json!(severity_name)),
    ] {
        event.insert(name.to_owned(), value);
    }
}

/// Where it stands in the log, and who says so.
fn sign(event: &mut Map<String, Value>, place: Place<'_>, leaf: &[u8], kind: &str) {
    let Place { origin, epoch, index } = place;
    let hash = hex::encode(leaf_hash(leaf));
    for (to, value) in [
        ("metadata.version", json!(VERSION)),
        ("metadata.product.name", json!(PRODUCT)),
        ("metadata.product.vendor_name", json!(PRODUCT)),
        ("metadata.product.version", json!(env!("CARGO_PKG_VERSION"))),
        ("metadata.uid", json!(format!("{origin}/{epoch}/{index}"))),
        ("metadata.log_name", json!(origin)),
        ("metadata.event_code", json!(kind)),
        ("metadata.sequence", json!(index)),
        ("metadata.tags", json!([{"name": "epoch", "value": epoch.to_string()}, {"name": "leaf_hash", "value": hash}])),
        ("unmapped.leaf_index", json!(index)),
        ("unmapped.epoch", json!(epoch)),
        ("unmapped.leaf_hash", json!(hash)),
    ] {
        put(event, to, value);
    }
}

/// In words: the verdict or kind, the person, and what it was about.
fn message(entry: &Entry) -> String {
    let columns = Columns::of(entry);
    let word = columns.verdict.unwrap_or(columns.kind);
    let person = entry.caller.as_ref().map(|c| format!(" {}/{}", c.identity.provider, c.identity.subject));
    let target = columns.target.map(|target| format!(": {target}"));
    printable(&format!("{word}{}{}", person.unwrap_or_default(), target.unwrap_or_default()))
}

fn translation_error(place: Place<'_>, leaf: &[u8], now: Timestamp) -> Shipped {
    let mut event = Map::new();
    let activity = Activity { id: 2, name: "Translation Error" };
    classify(&mut event, Class::ApplicationError, activity, Severity::High);
    put(&mut event, "status_id", json!(Status::Failure as u8));
    put(&mut event, "status", json!("Failure"));
    put(&mut event, "message", json!("an entry that this version of Bailiwick cannot read"));
    put(&mut event, "raw_data", json!(String::from_utf8_lossy(leaf)));
    put(&mut event, "time", json!(now.micros().div_euclid(1_000)));
    sign(&mut event, place, leaf, "unreadable");
    shipped(place, &event, "unreadable", now)
}

fn shipped(place: Place<'_>, event: &Map<String, Value>, kind: &str, at_time: Timestamp) -> Shipped {
    let number = |name: &str| at(event, name).and_then(Value::as_u64).unwrap_or_default();
    Shipped {
        index: place.index,
        kind: kind.to_owned(),
        at: at_time,
        broker: at(event, "metadata.log_provider").and_then(Value::as_str).unwrap_or("-").to_owned(),
        severity: u8::try_from(number("severity_id")).unwrap_or_default(),
        class: u32::try_from(number("class_uid")).unwrap_or_default(),
        line: line(&Value::Object(event.clone())),
    }
}

const IAM: &str = "Identity & Access Management";
const APPLICATION: &str = "Application Activity";

#[cfg(test)]
mod tests;
