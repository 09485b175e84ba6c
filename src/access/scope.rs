//! How far what was presented reaches, checked before any rule: a rule can narrow a credential, never widen it.
//! Pure; the scope comes from a row on the server, never from the certificate.

use crate::model::{
    Action, AssuranceLevel, Attributes, Caller, KubernetesRequest, NonResource, Reach, Resource, Scope, Upgrade,
};

/// Whether `caller` may ask for `action` at all.
pub(super) fn covers(caller: &Caller, action: &Action) -> bool {
    // Half a login reaches the registration of a first passkey and nothing else.
    if caller.assurance.level == AssuranceLevel::Provider && !matches!(action, Action::Enrol(_)) {
        return false;
    }
    match (&caller.scope, action) {
        (Scope::Portal, Action::Issue(_) | Action::Enrol(_) | Action::Portal(_)) => true,
        (Scope::App { app }, Action::Web(web)) => *app == web.app,
        (Scope::Cluster { cluster, namespaces, reach }, Action::Kubernetes(request)) => {
            *cluster == request.cluster && in_namespaces(namespaces, request) && within_reach(*reach, request)
        }
        _ => false,
    }
}

fn in_namespaces(namespaces: &[String], request: &KubernetesRequest) -> bool {
    match &request.attributes {
        _ if namespaces.is_empty() => true,
        Attributes::Resource(at) => namespaces.contains(&at.namespace),
        Attributes::NonResource(at) => is_discovery(at),
    }
}

/// What every client asks before it can ask anything else; holds no object of any namespace.
fn is_discovery(at: &NonResource) -> bool {
    let below = |root: &str| at.path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    is_look(at) && ["/api", "/apis", "/version", "/openapi"].into_iter().any(below)
}

fn within_reach(reach: Reach, request: &KubernetesRequest) -> bool {
    if reach == Reach::Full {
        return true;
    }
    let reads = match &request.attributes {
        Attributes::Resource(at) => is_read(at),
        Attributes::NonResource(at) => is_look(at),
    };
    reads && request.upgrade == Upgrade::None
}

fn is_read(at: &Resource) -> bool {
    let logs = at.api_group.is_empty() && at.resource == "pods" && at.subresource == "log" && at.verb == "get";
    logs || (at.subresource.is_empty() && matches!(at.verb.as_str(), "get" | "list" | "watch"))
}

fn is_look(at: &NonResource) -> bool {
    matches!(at.verb.as_str(), "get" | "head")
}
