//! What the real API server made of each path, as a table (KUBERNETES.md, section 3.3).

use super::*;

fn ask(method: Method, target: &str) -> Result<Attributes, Unclear> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    read(&"demo".parse().unwrap(), method, path, query, Upgrade::None).map(|request| request.attributes)
}

/// verb group/resource/subresource namespace name
fn line(method: Method, target: &str) -> String {
    match ask(method, target) {
        Ok(Attributes::Resource(at)) => {
            format!("{} {}/{}/{} {}/{}", at.verb, at.api_group, at.resource, at.subresource, at.namespace, at.name)
        }
        Ok(Attributes::NonResource(at)) => format!("{} {}", at.verb, at.path),
        Err(_) => "refused".to_owned(),
    }
}

#[test]
fn every_form_of_path_means_what_the_api_server_makes_of_it() {
    use Method::{Delete, Get, Head, Options, Patch, Post, Put};
    for (method, target, meaning) in [
        (Get, "/api/v1/namespaces/default/pods", "list /pods/ default/"),
        (Get, "/api/v1/namespaces/default/pods/", "list /pods/ default/"),
        (Get, "/api/v1/namespaces/default/pods/web", "get /pods/ default/web"),
        (Head, "/api/v1/namespaces/default/pods/web", "get /pods/ default/web"),
        (Head, "/api/v1/namespaces/default/pods", "list /pods/ default/"),
        (Post, "/api/v1/namespaces/default/pods", "create /pods/ default/"),
        (Put, "/api/v1/namespaces/default/pods/web", "update /pods/ default/web"),
        (Patch, "/api/v1/namespaces/default/pods/web/status", "patch /pods/status default/web"),
        (Delete, "/api/v1/namespaces/default/pods/web", "delete /pods/ default/web"),
        (Delete, "/api/v1/namespaces/default/pods", "deletecollection /pods/ default/"),
        (Options, "/api/v1/namespaces/default/pods", " /pods/ default/"),
        (Get, "/api/v1/pods", "list /pods/ /"),
        (Get, "/api/v1/nodes/n1", "get /nodes/ /n1"),
        (Get, "/api/v1/namespaces", "list /namespaces/ /"),
        (Get, "/api/v1/namespaces/foo", "get /namespaces/ foo/foo"),
        (Put, "/api/v1/namespaces/foo/finalize", "update /namespaces/finalize foo/foo"),
        (Get, "/api/v1/namespaces/foo/status", "get /namespaces/status foo/foo"),
        (Get, "/apis/apps/v1/namespaces/a/deployments/d/scale", "get apps/deployments/scale a/d"),
        (Get, "/apis/metrics.k8s.io/v1beta1/nodes", "list metrics.k8s.io/nodes/ /"),
        (Post, "/api/v1/namespaces/a/pods/p/exec?command=id&stdout=true", "create /pods/exec a/p"),
        (Get, "/api/v1/namespaces/a/pods/p/exec?command=id", "get /pods/exec a/p"),
        (Get, "/api/v1/namespaces/a/pods/p/log?follow=true", "get /pods/log a/p"),
        (Post, "/api/v1/namespaces/a/pods/p/eviction", "create /pods/eviction a/p"),
        (Post, "/api/v1/namespaces/a/serviceaccounts/s/token", "create /serviceaccounts/token a/s"),
        (Patch, "/api/v1/namespaces/a/pods/p/ephemeralcontainers", "patch /pods/ephemeralcontainers a/p"),
        (Get, "/api/v1/watch/pods", "watch /pods/ /"),
        (Get, "/api/v1/watch/namespaces/a/pods/p", "watch /pods/ a/p"),
        (Get, "/apis/g/v1/proxy/namespaces/a/things/t/tail", "proxy g/things/ a/t"),
        (Get, "/api/v1/proxy/nodes/n1/metrics", "proxy /nodes/ /n1"),
        (Get, "/api/v1/watch", "refused"),
        (Get, "/api/v1/proxy", "refused"),
        (Get, "/api", "get /api"),
        (Get, "/api/v1", "get /api/v1"),
        (Get, "/apis/apps/v1", "get /apis/apps/v1"),
        (Get, "/version", "get /version"),
        (Get, "/openapi/v3/apis/apps/v1", "get /openapi/v3/apis/apps/v1"),
        (Get, "/logs/a/b", "get /logs/a/b"),
        (Post, "/metrics", "post /metrics"),
        (Get, "/", "get /"),
        (
            Get,
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node",
            "get rbac.authorization.k8s.io/clusterroles/ /system:node",
        ),
    ] {
        assert_eq!(line(method, target), meaning, "{method} {target}");
    }
}

#[test]
fn a_watch_is_a_watch_however_it_is_asked_for() {
    let pods = |query: &str| line(Method::Get, &format!("/api/v1/namespaces/a/pods?{query}"));
    for query in
        ["watch", "watch=", "watch=1", "watch=true", "watch=banana", "limit=5&watch=1", "%77atch=1", "watch=%31"]
    {
        assert_eq!(pods(query), "watch /pods/ a/", "{query}");
    }
    for query in ["", "watch=0", "watch=false", "watch=FALSE", "WATCH=1", "xwatch=1", "limit=watch"] {
        assert_eq!(pods(query), "list /pods/ a/", "{query}");
    }
    for query in ["watch=0&watch=1", "watch=1;x=1", "watch=%zz", "fieldSelector=a%3Db&fieldSelector=c%3Dd"] {
        assert_eq!(pods(query), "refused", "{query}");
    }
    assert_eq!(line(Method::Get, "/api/v1/namespaces/a/pods/p?watch=1"), "get /pods/ a/p");
}

#[test]
fn a_field_selector_by_name_is_a_name() {
    let pods = |query: &str| line(Method::Get, &format!("/api/v1/namespaces/a/pods?{query}"));
    assert_eq!(pods("fieldSelector=metadata.name%3Dweb&watch=true"), "watch /pods/ a/web");
    assert_eq!(pods("fieldSelector=metadata.name==web"), "list /pods/ a/web");
    assert_eq!(pods("fieldSelector=status.phase=Running,metadata.name=web"), "list /pods/ a/web");
    assert_eq!(pods("fieldSelector=metadata.name!=web"), "list /pods/ a/");
    assert_eq!(pods("fieldSelector=metadata.name=a/b"), "list /pods/ a/");
    assert_eq!(pods("fieldSelector=metadata.name=.."), "list /pods/ a/");
    assert_eq!(
        line(Method::Delete, "/api/v1/namespaces/a/pods?fieldSelector=metadata.name=web"),
        "deletecollection /pods/ a/"
    );
    let Ok(Attributes::Resource(at)) =
        ask(Method::Get, "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1&labelSelector=app%20in%20(a,b)")
    else {
        panic!("not a resource")
    };
    assert_eq!((at.field_selector.len(), at.label_selector.len()), (1, 1));
    assert_eq!(at.label_selector[0].values, ["a", "b"]);
}

#[test]
fn what_another_parser_could_read_differently_is_refused() {
    for target in [
        "/api/v1/namespaces/default/pods/web%2fexec?command=id&stdout=true",
        "/api/v1/namespaces/default/pods/web%2Fexec?command=id&stdout=true",
        "/api/v1/namespaces%2fdefault%2fsecrets",
        "/api/v1/namespaces/default/%70ods",
        "/api/v1/namespaces//pods",
        "//api/v1/namespaces/default/secrets",
        "/api/v1//namespaces/default/secrets",
        "/api/v1/namespaces/default/pods/../secrets",
        "/api/v1/namespaces/default/../kube-system/secrets",
        "/api/v1/namespaces/default/./pods",
        "/api/v1/namespaces/default/%2e%2e/kube-system/secrets",
        "/api/v1/namespaces/default/pods;x=1",
        "/api/v1/namespaces/default/pods%3Bx",
        "/api/v1/namespaces/default/pods%00",
        "/api/v1/namespaces/default/pods%25",
        "/api/v1/namespaces/default\\pods",
        "/api/v1/namespaces/default/pods%5Cx",
        "/api/v1/namespaces/default/p\u{e9}",
        "/api/v1/namespaces/default/%C0%AE",
        "api/v1/pods",
        "*",
        "",
        "/api/v1/namespaces/a/pods/%70/proxy/x",
        "/api/v1/namespaces/a//pods/p/proxy/x",
        "/api/v1/namespaces/a/configmaps/p/proxy/..%2Fx",
        "/apis/g/v1/namespaces/a/pods/p/proxy/a%2Fb",
    ] {
        assert_eq!(line(Method::Get, target), "refused", "{target:?}");
    }
}

#[test]
fn the_tail_after_proxy_is_the_backends_own() {
    for tail in ["", "a/b", "a%2Fb//c;d", "%e4", "a?x=1;y", "api/v1/namespaces/kube-system/secrets", "a%252e"] {
        let target = format!("/api/v1/namespaces/a/services/https:web:443/proxy/{tail}");
        let meaning = "get /services/proxy a/https:web:443";
        let expected = if tail == "%e4" { "refused" } else { meaning };
        assert_eq!(line(Method::Get, &target), expected, "{tail:?}");
    }
    assert_eq!(line(Method::Get, "/api/v1/nodes/n1/proxy/exec/ns/p/c?cmd=id"), "get /nodes/proxy /n1");
    assert_eq!(line(Method::Post, "/api/v1/namespaces/proxy/pods/p/proxy/x%2Fy"), "create /pods/proxy proxy/p");
    for tail in ["../../secrets", "%2e%2e/x", "a/..%2Fb", "a\\..\\b", "a\u{7f}", "a%0Ab", "..;/x", "a%5C..%5Cb"] {
        let target = format!("/api/v1/namespaces/a/pods/p/proxy/{tail}");
        assert_eq!(line(Method::Get, &target), "refused", "{tail:?}");
    }
}

#[test]
fn streams_open_where_the_api_server_opens_them_and_nowhere_else() {
    let may = |target: &str| may_upgrade(&ask(Method::Get, target).unwrap());
    for part in ["exec", "attach", "portforward", "proxy"] {
        assert!(may(&format!("/api/v1/namespaces/a/pods/p/{part}")));
    }
    assert!(!may("/api/v1/namespaces/a/pods/p/log") && !may("/api/v1/namespaces/a/pods?watch=1") && !may("/exec"));
    let long = |target: &str| is_long_running(&ask(Method::Get, target).unwrap());
    assert!(long("/api/v1/pods?watch=1") && long("/api/v1/namespaces/a/pods/p/log") && long("/api/v1/watch/pods"));
    assert!(!long("/api/v1/pods") && !long("/version"));
}
