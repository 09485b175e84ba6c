//! The second walk: a real kubectl, a certificate that lives for minutes, a real API server behind the broker.

use std::process::Stdio;

use serde_json::Value;

use crate::support::{
    self, Site,
    kubernetes::Kubernetes,
    person::{Person, started},
};

/// Staff read everything in the cluster but `payments` and `kube-system`, and run commands in `default`.
pub const RULES: &str = r#"
@id("enrol-here") permit (principal, action == Action::"enrol", resource) when { context.address.isLoopback() };
@id("portal") permit (principal, action in [Action::"home", Action::"authorizeCommandLine", Action::"listSessions"], resource);
@id("own-sessions") permit (principal, action in [Action::"endSession", Action::"revokeCredential"], resource) when { resource.owner == principal };
@id("staff-use-the-wiki") permit (principal in Group::"staff", action, resource in App::"wiki");
@id("staff-get-certificates") permit (principal in Group::"staff", action == Action::"issue", resource == k8s::Cluster::"demo");
@id("staff-read") permit (principal in Group::"staff", action in k8s::Action::"readOnly", resource in k8s::Cluster::"demo");
@id("discovery") permit (principal in Group::"staff", action == k8s::Action::"get", resource is k8s::NonResourceURL);
@id("logs-and-exec") permit (principal in Group::"staff", action in [k8s::Action::"logs", k8s::Action::"exec"], resource in k8s::Namespace::"demo/default");
@id("payments-are-closed") @reason("The payments namespace is closed.")
forbid (principal, action, resource in k8s::Namespace::"demo/payments");
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_gets_what_the_rules_allow_as_the_real_user_and_nothing_else() {
    let cluster = Kubernetes::running();
    let site = Site::prepare(support::database().await, RULES).await;
    let running = site.start(Some(cluster)).await;
    let bob = Person::sign_in(&site, "bob").await;
    bob.log_in().await;
    assert!(bob.does(&["status"]).contains("corp/bob"));
    bob.does(&["kube", "login", "demo"]);

    let (code, pods) = bob.kubectl_prints(&["get", "pods", "-n", "default"]);
    assert!(code == Some(0) && pods.contains("web-0"), "{pods}");
    let as_bob = |line: &str| line.contains("access-broker") && line.contains("\"corp:bob\"");
    support::eventually(async || cluster.audit_log().lines().any(as_bob).then_some(())).await;

    let (code, refused) = bob.kubectl_prints(&["get", "pods", "-n", "payments"]);
    assert_eq!(code, Some(1), "{refused}");
    assert!(refused.contains("The payments namespace is closed."), "{refused}");
    let bobs =
        |text: &str| text.lines().filter(|line| line.contains("\"corp:bob\"") && line.contains("\"payments\"")).count();
    assert_eq!(bobs(&cluster.audit_log()), 0, "a refused request has reached the API server");

    let script = "echo out; echo err >&2; exit 7";
    let ran = bob.kubectl(&["exec", "web-0", "--", "sh", "-c", script]).output().unwrap();
    assert_eq!(ran.status.code(), Some(7), "{}", support::kubernetes::printed(&ran));
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "out\n");
    assert!(String::from_utf8_lossy(&ran.stderr).contains("err"));

    // A certificate that is revoked closes what it carries, and kubectl gets another.
    let mut following = started(bob.kubectl(&["logs", "-f", "web-0"]).stderr(Stdio::null()), "line");
    let listed: Value = serde_json::from_str(&bob.does(&["credential", "list", "-o", "json"])).unwrap();
    let listed = listed["credentials"].as_array().unwrap();
    let certificates: Vec<_> = listed.iter().filter(|it| it["what"] == "certificate for demo").collect();
    let [certificate] = certificates[..] else { panic!("{listed:?}") };
    bob.does(&["credential", "revoke", certificate["id"].as_str().unwrap()]);
    tokio::task::spawn_blocking(move || following.wait().unwrap()).await.unwrap();
    let left = bob.does(&["credential", "list"]);
    assert!(!left.contains("certificate for demo") && left.contains("token of the command line"), "{left}");
    let (code, pods) = bob.kubectl_prints(&["get", "pods", "-n", "default"]);
    assert!(code == Some(0) && pods.contains("web-0"), "{pods}");

    let (code, refused) = bob.kubectl_prints(&["delete", "pod", "web-0"]);
    assert!(code == Some(1) && refused.contains("no rule allows this"), "{refused}");
    let (code, refused) = bob.kubectl_prints(&["get", "pods", "--as", "system:admin"]);
    assert!(code == Some(1) && refused.contains("mpersonat"), "{refused}");

    bob.does(&["logout"]);
    let (code, refused) = bob.kubectl_prints(&["get", "pods", "-n", "default"]);
    assert!(code == Some(1) && refused.contains("bailiwick login"), "{refused}");
    running.stop().await;
}
