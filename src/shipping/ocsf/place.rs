//! Puts the fields of an entry where the table says, and adds what OCSF asks of every event of a class.
//! What a peer wrote is carried as text, whatever is in it; nothing is added that the log does not say.

use serde_json::{Map, Value, json};

use super::{
    class::Class,
    table::{Field, Form},
};

/// Puts every field of `fields` that `from` has.
pub(super) fn fields(event: &mut Map<String, Value>, fields: &[Field], from: &Value) {
    for field in fields {
        let found = field.name.split('.').try_fold(from, |at, name| at.get(name));
        let Some(value) = found.filter(|value| !is_empty(value)) else { continue };
        for to in field.to.split(", ").filter(|to| !to.is_empty()) {
            put_as(event, to, field.form, value);
        }
    }
}

fn put_as(event: &mut Map<String, Value>, to: &str, form: Form, value: &Value) {
    let value = converted(to, form, value);
    if let Some((list, word)) = to.split_once('+') {
        let items = value.as_array().cloned().unwrap_or_else(|| vec![value]);
        let texts = items.iter().map(|item| json!(format!("{word}{}", plain(item))));
        if let Value::Array(list) = event.entry(list).or_insert_with(|| json!([])) {
            list.extend(texts);
        }
    } else if let Some((list, name)) = to.split_once("[].") {
        let items = value.as_array().cloned().unwrap_or_default();
        let object = |item: Value| {
            let mut object = Map::new();
            put(&mut object, name, item);
            Value::Object(object)
        };
        put(event, list, items.into_iter().map(object).collect());
    } else {
        put(event, to, value);
    }
}

/// OCSF counts instants and lengths in milliseconds, the log in microseconds.
fn converted(to: &str, form: Form, value: &Value) -> Value {
    match form {
        Form::Moment => value.as_i64().map_or(Value::Null, |micros| json!(micros.div_euclid(1_000))),
        Form::Span if !to.ends_with("_us") => value.as_u64().map_or(Value::Null, |micros| json!(micros / 1_000)),
        _ if matches!(to, "status_code" | "entity.version") => json!(plain(value)),
        _ => value.clone(),
    }
}

/// Puts a value at a path; a segment that is a number is a place in a list of objects, of which only 0 is used.
pub(super) fn put(event: &mut Map<String, Value>, path: &str, value: Value) {
    let (name, rest) = match path.split_once('.') {
        None => {
            event.insert(path.to_owned(), value);
            return;
        }
        Some(parts) => parts,
    };
    let (below, rest) = match rest.strip_prefix("0.") {
        Some(rest) => (event.entry(name).or_insert_with(|| json!([{}])).get_mut(0), rest),
        None => (Some(event.entry(name).or_insert_with(|| json!({}))), rest),
    };
    if let Some(Value::Object(below)) = below {
        put(below, rest, value);
    }
}

/// What is at a path of objects.
pub(super) fn at<'e>(event: &'e Map<String, Value>, path: &str) -> Option<&'e Value> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let mut found = event.get(first)?;
    for name in rest.into_iter().flat_map(|rest| rest.split('.')) {
        found = found.get(name)?;
    }
    Some(found)
}

/// Adds what `class` demands and the entry does not have by itself.
pub(super) fn complete(event: &mut Map<String, Value>, class: Class, kind: &str) {
    name_the_user(event);
    move_a_network(event);
    match class {
        Class::ApiActivity => complete_request(event, kind),
        Class::Authentication => {
            let user = at(event, "user").or(at(event, "actor.user")).cloned();
            event.insert("user".to_owned(), user.unwrap_or_else(|| json!({ "name": UNKNOWN })));
            put(event, "service.name", json!(PRODUCT));
            if let (None, Some(session)) = (at(event, "session"), at(event, "actor.session").cloned()) {
                event.insert("session".to_owned(), session);
            }
        }
        Class::AuthorizeSession => {
            // Whoever ended a credential need not be its owner, so the caller is its user only where one was given.
            let is_given = at(event, "activity_id").is_some_and(|id| *id == json!(1));
            let user = at(event, "actor.user").filter(|_| is_given).cloned();
            let (mut whole, more) = (user.unwrap_or_else(|| json!({ "uid": UNKNOWN })), at(event, "user").cloned());
            if let (Some(whole), Some(Value::Object(more))) = (whole.as_object_mut(), more) {
                whole.extend(more);
            }
            event.insert("user".to_owned(), whole);
            if let Some(login) = at(event, "actor.session.uid").filter(|_| is_given).cloned() {
                put(event, "session.uid", login);
            }
        }
        Class::EntityManagement => {
            if at(event, "entity.name").is_none() && at(event, "entity.uid").is_none() {
                put(event, "entity.name", at(event, "entity.type").cloned().unwrap_or_else(|| json!(UNKNOWN)));
            }
        }
        Class::ApplicationLifecycle => {
            put(event, "app.name", json!(PRODUCT));
            set_aside(event);
        }
        Class::ApplicationError => set_aside(event),
    }
}

/// These classes have no place for whoever asked.
fn set_aside(event: &mut Map<String, Value>) {
    for name in ["actor", "src_endpoint"] {
        if let Some(value) = event.remove(name) {
            put(event, &format!("unmapped.{name}"), value);
        }
    }
}

fn complete_request(event: &mut Map<String, Value>, kind: &str) {
    if at(event, "actor").is_none() {
        put(event, "actor.app_name", json!(UNKNOWN));
    }
    if at(event, "src_endpoint").is_none() {
        put(event, "src_endpoint.name", json!(UNKNOWN));
    }
    if at(event, "api.operation").is_none() {
        put(event, "api.operation", json!(kind));
    }
    if let Some(request) = at(event, "metadata.correlation_uid").cloned() {
        put(event, "api.request.uid", request);
    }
    // A list has no name, and OCSF wants one or a uid.
    if let Some(Value::Object(resource)) = event.get_mut("resources").and_then(|all| all.get_mut(0))
        && !resource.contains_key("name")
        && !resource.contains_key("uid")
    {
        let kind = resource.get("type").cloned().unwrap_or_else(|| json!(UNKNOWN));
        resource.insert("name".to_owned(), kind);
    }
    // OCSF 1.5 has no word for PATCH, and no response without a code.
    let is_patch = at(event, "http_request.http_method").is_some_and(|method| method == "PATCH");
    if is_patch && let Some(Value::Object(request)) = event.get_mut("http_request") {
        request.remove("http_method");
    }
    if at(event, "http_response").is_some() && at(event, "http_response.code").is_none() {
        let sent = at(event, "http_response.body_length").cloned().unwrap_or_default();
        event.remove("http_response");
        put(event, "unmapped.sent", sent);
    }
    let verdict = at(event, "unmapped.verdict").cloned();
    if let (Some(verdict), Some(Value::Array(all))) = (verdict, event.get_mut("authorizations")) {
        for one in all.iter_mut().filter_map(Value::as_object_mut) {
            one.insert("decision".to_owned(), verdict.clone());
        }
    }
}

/// `provider/subject`, as the portal and the command line call a person.
fn name_the_user(event: &mut Map<String, Value>) {
    for who in ["actor.user", "user", "entity.user"] {
        let part = |name: &str| at(event, &format!("{who}.{name}")).map(plain);
        if let (Some(provider), Some(subject)) = (part("domain"), part("uid_alt")) {
            put(event, &format!("{who}.name"), json!(format!("{provider}/{subject}")));
            put(event, &format!("{who}.type_id"), json!(1));
        }
    }
}

/// What is no address has no place in `ip`.
fn move_a_network(event: &mut Map<String, Value>) {
    let Some(address) = at(event, "src_endpoint.ip").map(plain) else { return };
    if address.parse::<std::net::IpAddr>().is_err() {
        event.insert("src_endpoint".to_owned(), json!({ "name": address }));
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) const PRODUCT: &str = "Bailiwick";
const UNKNOWN: &str = "unknown";
