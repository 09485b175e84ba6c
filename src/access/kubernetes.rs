//! Which of policy's words a Kubernetes request is, and the entity that it is about.
//! An attacker chooses verb, resource and subresource; a combination that is not listed here has no word, and what has
//! no word is denied. INVARIANT: `get` and its kin never stand for a subresource.

use std::collections::HashMap;

use cedar_policy::{Entity, EntityUid, RestrictedExpression as Value};

use super::request::{Unaskable, entity, string, uid};
use crate::model::{Attributes, KubernetesRequest, NonResource, Resource, Selector, Upgrade};

/// An action's name and what kind of thing it is done to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) action: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Resource,
    Subresource,
    NonResource,
}

/// The word for a request, if there is one.
pub(super) fn word(attributes: &Attributes, upgrade: Upgrade) -> Option<Word> {
    let word = match attributes {
        Attributes::NonResource(at) => Word { action: path_verb(at)?, kind: Kind::NonResource },
        Attributes::Resource(at) if at.resource.is_empty() => return None,
        Attributes::Resource(at) if at.verb == "proxy" && at.subresource.is_empty() => {
            Word { action: "proxy", kind: Kind::Subresource }
        }
        Attributes::Resource(at) if at.subresource.is_empty() => {
            Word { action: base_verb(&at.verb)?, kind: Kind::Resource }
        }
        Attributes::Resource(at) => Word { action: part_verb(at)?, kind: Kind::Subresource },
    };
    (upgrade == Upgrade::None || may_become_stream(word.action)).then_some(word)
}

fn base_verb(verb: &str) -> Option<&'static str> {
    ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
        .into_iter()
        .find(|known| *known == verb)
}

fn path_verb(at: &NonResource) -> Option<&'static str> {
    ["get", "head", "post", "put", "patch", "delete", "options"].into_iter().find(|known| *known == at.verb)
}

/// The word for a subresource. Both methods that clients use for exec and its kin are one word (KUBERNETES.md 3.3).
fn part_verb(at: &Resource) -> Option<&'static str> {
    let verb = at.verb.as_str();
    match (at.api_group.as_str(), at.resource.as_str(), at.subresource.as_str()) {
        ("", "pods", "exec") => one_of(verb, &["get", "create"], "exec"),
        ("", "pods", "attach") => one_of(verb, &["get", "create"], "attach"),
        ("", "pods", "portforward") => one_of(verb, &["get", "create"], "portForward"),
        ("", "pods", "log") => one_of(verb, &["get"], "logs"),
        ("", "pods", "ephemeralcontainers") if verb != "get" => one_of(verb, &["update", "patch"], "debug"),
        ("", "pods", "eviction") if verb != "get" => one_of(verb, &["create"], "evict"),
        ("", "serviceaccounts", "token") if verb != "get" => one_of(verb, &["create"], "createToken"),
        ("", "pods" | "services" | "nodes", "proxy") => {
            one_of(verb, &["get", "create", "update", "patch", "delete"], "proxy")
        }
        (_, _, "scale") if matches!(verb, "update" | "patch") => Some("scale"),
        _ => one_of(verb, &["get", "list", "watch"], "readSubresource")
            .or_else(|| one_of(verb, &["create", "update", "patch", "delete"], "writeSubresource")),
    }
}

fn one_of(verb: &str, verbs: &[&str], word: &'static str) -> Option<&'static str> {
    verbs.contains(&verb).then_some(word)
}

fn may_become_stream(action: &str) -> bool {
    matches!(action, "exec" | "attach" | "portForward" | "proxy" | "readSubresource" | "writeSubresource")
}

/// What the request's object is in: its cluster, and its namespace where it has one.
pub(super) fn above(request: &KubernetesRequest) -> Result<Vec<EntityUid>, Unaskable> {
    let mut above = vec![uid("k8s::Cluster", request.cluster.as_str())?];
    if let Attributes::Resource(at) = &request.attributes
        && !at.namespace.is_empty()
    {
        above.push(uid("k8s::Namespace", &format!("{}/{}", request.cluster, at.namespace))?);
    }
    Ok(above)
}

/// The entity that the request is about.
pub(super) fn resource(request: &KubernetesRequest, word: &Word, above: &[EntityUid]) -> Result<Entity, Unaskable> {
    let id = format!("{}{}", request.cluster, request.path);
    let parents = above.iter().cloned().collect();
    match &request.attributes {
        Attributes::NonResource(at) => entity(uid("k8s::NonResourceURL", &id)?, [("path", string(&at.path))], parents),
        Attributes::Resource(at) => {
            let kind = if word.kind == Kind::Resource { "k8s::Resource" } else { "k8s::Subresource" };
            Entity::new(uid(kind, &id)?, attributes(at, word.kind), parents).map_err(|_| Unaskable)
        }
    }
}

fn attributes(at: &Resource, kind: Kind) -> HashMap<String, Value> {
    let mut pairs = vec![("apiGroup", string(&at.api_group)), ("resource", string(&at.resource))];
    let optional = [("namespace", &at.namespace), ("name", &at.name)];
    pairs.extend(optional.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name, string(text))));
    if kind == Kind::Subresource {
        // The path form of `proxy` names no subresource, and is one all the same.
        let part = if at.subresource.is_empty() { &at.verb } else { &at.subresource };
        pairs.push(("subresource", string(part)));
    } else {
        let selectors = [
            ("fieldSelector", &at.field_selector, field_requirement as fn(&Selector) -> Option<Value>),
            ("labelSelector", &at.label_selector, label_requirement),
        ];
        for (name, selector, requirement) in selectors.into_iter().filter(|(_, selector, _)| !selector.is_empty()) {
            pairs.push((name, Value::new_set(selector.iter().filter_map(requirement))));
        }
    }
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn field_requirement(selector: &Selector) -> Option<Value> {
    let value = selector.values.first().map_or("", String::as_str);
    record([("field", string(&selector.key)), ("operator", string(&selector.operator)), ("value", string(value))])
}

fn label_requirement(selector: &Selector) -> Option<Value> {
    let values = Value::new_set(selector.values.iter().map(|value| string(value)));
    record([("key", string(&selector.key)), ("operator", string(&selector.operator)), ("values", values)])
}

/// None only for a repeated key, and there is none.
fn record(fields: [(&str, Value); 3]) -> Option<Value> {
    Value::new_record(fields.map(|(name, value)| (name.to_owned(), value))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word_of(api_group: &str, resource: &str, subresource: &str, verb: &str) -> Option<&'static str> {
        let at = Resource {
            api_group: api_group.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            verb: verb.to_owned(),
            ..Resource::default()
        };
        word(&Attributes::Resource(at), Upgrade::None).map(|word| word.action)
    }

    #[test]
    fn every_request_has_the_word_that_it_deserves() {
        let cases = [
            (("", "pods", "", "get"), Some("get")),
            (("apps", "deployments", "", "deletecollection"), Some("deletecollection")),
            (("", "pods", "exec", "get"), Some("exec")),
            (("", "pods", "exec", "create"), Some("exec")),
            (("", "pods", "attach", "get"), Some("attach")),
            (("", "pods", "portforward", "create"), Some("portForward")),
            (("", "pods", "log", "get"), Some("logs")),
            (("", "pods", "ephemeralcontainers", "patch"), Some("debug")),
            (("", "pods", "ephemeralcontainers", "get"), Some("readSubresource")),
            (("", "pods", "eviction", "create"), Some("evict")),
            (("", "serviceaccounts", "token", "create"), Some("createToken")),
            (("", "nodes", "proxy", "get"), Some("proxy")),
            (("", "services", "proxy", "delete"), Some("proxy")),
            (("", "pods", "", "proxy"), Some("proxy")),
            (("apps", "deployments", "scale", "patch"), Some("scale")),
            (("apps", "deployments", "scale", "get"), Some("readSubresource")),
            (("apps", "deployments", "status", "get"), Some("readSubresource")),
            (("apps", "deployments", "status", "update"), Some("writeSubresource")),
            (("", "pods", "binding", "create"), Some("writeSubresource")),
            (("kubevirt.io", "virtualmachines", "exec", "get"), Some("readSubresource")),
            (("", "pods", "exec", "patch"), None),
            (("", "pods", "exec", "watch"), None),
            (("", "pods", "log", "create"), None),
            (("", "pods", "ephemeralcontainers", "create"), None),
            (("", "pods", "", "impersonate"), None),
            (("", "pods", "", ""), None),
            (("", "pods", "", "GET"), None),
            (("", "pods", "status", "proxy"), None),
            (("", "", "", "list"), None),
        ];
        for ((group, resource, part, verb), expected) in cases {
            assert_eq!(word_of(group, resource, part, verb), expected, "{verb} {group}/{resource}/{part}");
        }
    }

    #[test]
    fn only_what_tunnels_may_become_a_stream() {
        let pods = |verb: &str, part: &str| {
            Attributes::Resource(Resource {
                resource: "pods".to_owned(),
                subresource: part.to_owned(),
                verb: verb.to_owned(),
                ..Resource::default()
            })
        };
        assert!(word(&pods("create", "exec"), Upgrade::Spdy).is_some());
        assert!(word(&pods("get", "exec"), Upgrade::WebSocket).is_some());
        assert_eq!(word(&pods("get", ""), Upgrade::WebSocket), None);
        assert_eq!(word(&pods("get", "log"), Upgrade::WebSocket), None);
    }
}
