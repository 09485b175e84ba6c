//! What an API server will understand by a request: the port of its RequestInfo (k8s.io/apiserver,
//! pkg/endpoints/request/requestinfo.go, v1.36) on paths that leave no room for another reading.
//!
//! An attacker controls method, path and query. INVARIANT: whatever passes here is derived from the very bytes that are
//! sent on; a path with escapes, dots or empty segments that another parser could read differently is refused. Only the
//! tail after `…/proxy/` is the backend's own affair.

use super::selector::{self, SelectorFault};
use crate::model::{
    Attributes, CanonicalPath, ClusterName, KubernetesRequest, Method, NonResource, PathFault, Resource, Upgrade,
};

/// Why a request has no clear meaning to an API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// The path can be read in two ways.
    #[error(transparent)]
    Path(#[from] PathFault),
    /// A selector that is none, or that names two things.
    #[error(transparent)]
    Selector(#[from] SelectorFault),
    /// A query that the API server would read in part only.
    #[error("the query has a malformed escape or separator")]
    Query,
    /// `watch`, `fieldSelector` or `labelSelector` more than once.
    #[error("the query says the same thing twice")]
    Twice,
    /// `…/watch` or `…/proxy` and nothing after it.
    #[error("the path names no resource")]
    NoResource,
}

/// Reads a request to `cluster`.
pub fn read(
    cluster: &ClusterName,
    method: Method,
    path: &str,
    query: Option<&str>,
    upgrade: Upgrade,
) -> Result<KubernetesRequest, Unclear> {
    let attributes = match split_at_proxy(path)? {
        Some(head) => info(method, head, None)?,
        None => {
            CanonicalPath::parse(path)?;
            info(method, path, query)?
        }
    };
    Ok(KubernetesRequest {
        cluster: cluster.clone(),
        method,
        path: path.to_owned(),
        query: query.map(str::to_owned),
        attributes,
        upgrade,
    })
}

/// Whether the API server sets the request no deadline (k8s.io/kubernetes, pkg/controlplane/apiserver/config.go).
pub fn is_long_running(attributes: &Attributes) -> bool {
    match attributes {
        Attributes::Resource(at) => {
            ["watch", "proxy"].contains(&at.verb.as_str())
                || ["attach", "exec", "proxy", "log", "portforward"].contains(&at.subresource.as_str())
        }
        Attributes::NonResource(at) => at.path.starts_with("/debug/pprof/"),
    }
}

/// Whether a connection may become a stream there at all.
pub fn may_upgrade(attributes: &Attributes) -> bool {
    match attributes {
        Attributes::Resource(at) => ["attach", "exec", "portforward", "proxy"].contains(&at.subresource.as_str()),
        Attributes::NonResource(_) => false,
    }
}

/// The part of the path that the API server reads, when the rest is for what is proxied to.
fn split_at_proxy(path: &str) -> Result<Option<&str>, Unclear> {
    const MARK: &str = "/proxy/";
    for (at, _) in path.match_indices(MARK) {
        let (head, rest) = path.split_at(at + MARK.len() - 1);
        if CanonicalPath::parse(head).is_err() {
            break;
        }
        if let Ok(Attributes::Resource(found)) = info(Method::Get, head, None)
            && found.subresource == "proxy"
            && found.api_group.is_empty()
            && ["pods", "services", "nodes"].contains(&found.resource.as_str())
        {
            check_tail(rest)?;
            return Ok(Some(head));
        }
    }
    Ok(None)
}

/// The tail may hold escapes and empty segments, but nothing by which it could climb out of its place.
fn check_tail(tail: &str) -> Result<(), Unclear> {
    if tail.len() > CanonicalPath::LONGEST {
        return Err(PathFault::TooLong.into());
    }
    if !tail.bytes().all(|b| b.is_ascii_graphic() && b != b'#' && b != b'\\') {
        return Err(PathFault::Byte.into());
    }
    let decoded = decode(tail, Plus::Stays).ok_or(PathFault::Escape)?;
    if decoded.chars().any(char::is_control) {
        return Err(PathFault::EscapedDelimiter.into());
    }
    let climbs = |segment: &str| matches!(segment.split(';').next().unwrap_or_default(), "." | "..");
    if decoded.split(['/', '\\']).any(climbs) { Err(PathFault::DotSegment.into()) } else { Ok(()) }
}

fn info(method: Method, path: &str, query: Option<&str>) -> Result<Attributes, Unclear> {
    let decoded = decode(path, Plus::Stays).ok_or(PathFault::Escape)?;
    let parts: Vec<&str> = decoded.trim_matches('/').split('/').collect();
    let other = || {
        let verb = method.as_str().to_ascii_lowercase();
        Ok(Attributes::NonResource(NonResource { verb, path: decoded.clone() }))
    };
    let (api_group, api_version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return other(),
    };
    let (verb, rest, by_path) = match rest {
        [verb @ ("proxy" | "watch"), rest @ ..] if !rest.is_empty() => (*verb, rest, true),
        ["proxy" | "watch"] => return Err(Unclear::NoResource),
        rest => (verb(method), rest, false),
    };
    let mut found = Resource {
        api_group: api_group.to_owned(),
        api_version: api_version.to_owned(),
        verb: verb.to_owned(),
        ..Resource::default()
    };
    let rest = match rest {
        ["namespaces", namespace, after @ ..] => {
            found.namespace = (*namespace).to_owned();
            // A namespace's own subresources are of the namespace; everything else after it is a resource in it.
            if matches!(after, [] | ["status" | "finalize", ..]) { rest } else { after }
        }
        rest => rest,
    };
    let part = |i: usize| rest.get(i).copied().unwrap_or_default().to_owned();
    (found.resource, found.name) = (part(0), part(1));
    if found.verb != "proxy" {
        found.subresource = part(2);
    }
    read_query(&mut found, query.unwrap_or_default(), by_path)?;
    Ok(Attributes::Resource(found))
}

fn verb(method: Method) -> &'static str {
    match method {
        Method::Post => "create",
        Method::Get | Method::Head => "get",
        Method::Put => "update",
        Method::Patch => "patch",
        Method::Delete => "delete",
        // The API server has no verb for it, so no rule can speak about it.
        Method::Options => "",
    }
}

/// Without a name, `get` is a list or a watch, and `delete` is of the whole collection.
fn read_query(found: &mut Resource, query: &str, by_path: bool) -> Result<(), Unclear> {
    let meaning = Meaning::of(query)?;
    let fields = selector::fields(meaning.fields.as_deref().unwrap_or_default())?;
    if found.name.is_empty() && found.verb == "get" {
        found.verb = if meaning.watch { "watch" } else { "list" }.to_owned();
        // `kubectl get pod x --watch` says which pod in its field selector only.
        let name = fields.iter().find(|one| one.key == "metadata.name" && one.operator == "=");
        if let Some(name) = name.and_then(|one| one.values.first())
            && is_segment(name)
        {
            found.name.clone_from(name);
        }
    } else if found.name.is_empty() && found.verb == "delete" {
        found.verb = "deletecollection".to_owned();
    }
    if !by_path && ["list", "watch", "deletecollection"].contains(&found.verb.as_str()) {
        found.label_selector = selector::labels(meaning.labels.as_deref().unwrap_or_default())?;
        found.field_selector = fields;
    }
    Ok(())
}

fn is_segment(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '%'])
}

/// The parts of a query that change what a request means.
#[derive(Default)]
struct Meaning {
    watch: bool,
    fields: Option<String>,
    labels: Option<String>,
}

impl Meaning {
    /// Reads as Go's net/url does, and refuses what it would skip.
    fn of(query: &str) -> Result<Self, Unclear> {
        let mut meaning = Self::default();
        let mut watch = None;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            if pair.contains(';') {
                return Err(Unclear::Query);
            }
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = decode(key, Plus::IsSpace).ok_or(Unclear::Query)?;
            let value = decode(value, Plus::IsSpace).ok_or(Unclear::Query)?;
            let place = match key.as_str() {
                "watch" => &mut watch,
                "fieldSelector" => &mut meaning.fields,
                "labelSelector" => &mut meaning.labels,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(Unclear::Twice);
            }
        }
        // Anything but these two, the empty string too, asks for a watch (k8s.io/apimachinery, runtime/conversion.go).
        meaning.watch = watch.is_some_and(|value| !["false", "0"].contains(&value.to_ascii_lowercase().as_str()));
        Ok(meaning)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Plus {
    Stays,
    IsSpace,
}

/// Decodes percent escapes once; none when one is malformed or the result is not UTF-8.
fn decode(text: &str, plus: Plus) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digit = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                digit(bytes.next()?)? << 4 | digit(bytes.next()?)?
            }
            b'+' if plus == Plus::IsSpace => b' ',
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests;
