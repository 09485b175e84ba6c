//! Who may read what of the log: an auditor of one app, of one namespace, oneself, and everybody by default.

use super::*;
use crate::{access::Reader, audit::ClosedBy};

const SCOPED: &str = r#"
@id("wiki") permit (principal in Group::"wiki", action == Action::"readEntry", resource in App::"wiki");
@id("team") permit (principal in Group::"team", action == Action::"readEntry", resource in k8s::Namespace::"demo/team-a");
@id("ops") permit (principal in Group::"ops", action == Action::"readEntry", resource in k8s::Cluster::"demo");
@id("own") permit (principal, action == Action::"readEntry", resource)
  when { resource has owner && resource.owner == principal };
@id("denials") permit (principal in Group::"soc", action == Action::"readEntry", resource)
  when { resource has verdict && resource.verdict == "deny" };
@id("knocks") permit (principal in Group::"wiki", action == Action::"readEntry", resource in Portal::"bailiwick")
  when { resource.kind == "refused" && resource has target && resource.target == "wiki" };
"#;

fn reader(text: &str, name: &str, groups: &[&str]) -> Reader {
    let caller = caller(name, groups, Scope::Portal);
    let context = circumstances(&caller, NOW);
    Reader::new(std::sync::Arc::new(rules(text)), caller, context)
}

fn entry(caller: Option<Caller>, event: Event) -> Entry {
    let broker = BrokerId::random(&SeededEntropy::new(3));
    Entry { broker, caller, event, happened_at: NOW, recorded_at: NOW, request: None, salt: Salt([0; 16]) }
}

fn decision(caller: Caller, action: Action) -> Entry {
    let rules = rules(SCOPED);
    let context = circumstances(&caller, NOW);
    let decision = judge(&rules, &caller, &action, &context);
    entry(Some(caller), Event::Decision { action, context, decision, policy: rules.version().clone() })
}

fn outcome(caller: Caller) -> Entry {
    let event = Event::Outcome { status: Some(200), received: 0, sent: 0, duration: 1, closed_by: ClosedBy::Upstream };
    entry(Some(caller), event)
}

fn refused(target: &str) -> Entry {
    let text = |text: &str| text.to_owned();
    let event =
        Event::Refused { check: text("path"), why: text("no"), target: text(target), address: text("192.0.2.1") };
    entry(None, event)
}

#[test]
fn nobody_reads_an_entry_unless_a_rule_says_so() {
    let other = r#"@id("a") permit (principal, action == Action::"readAudit", resource);"#;
    let nobody = reader(other, "alice", &["admins"]);
    assert!(!nobody.may_read(&decision(on_wiki(&[]), web(Method::Get, "/"))));
    assert!(!nobody.may_read(&entry(None, Event::BrokerStopped {})));
    assert!(!nobody.may_see_totals());
}

#[test]
fn an_auditor_of_one_app_sees_that_app_and_nothing_beside_it() {
    let auditor = reader(SCOPED, "olga", &["wiki"]);
    let mut billing = on_wiki(&[]);
    billing.scope = Scope::App { app: "billing".parse().unwrap() };
    for seen in [decision(on_wiki(&[]), web(Method::Get, "/docs")), outcome(on_wiki(&[])), refused("wiki")] {
        assert!(auditor.may_read(&seen), "{seen:?}");
    }
    let hidden = [
        outcome(billing),
        refused("billing"),
        decision(on_cluster(&[], &[], Reach::Full), kubernetes("list", "pods", "", "default")),
        decision(in_portal(&[]), Action::Portal(PortalAction::Home)),
        entry(None, Event::BrokerStopped {}),
    ];
    for hidden in hidden {
        assert!(!auditor.may_read(&hidden), "{hidden:?}");
    }
    assert!(!auditor.may_see_totals());
}

#[test]
fn a_namespace_is_a_scope_and_so_are_a_cluster_a_verdict_and_oneself() {
    let on = |namespace: &str| decision(on_cluster(&[], &[], Reach::Full), kubernetes("list", "pods", "", namespace));
    let team = reader(SCOPED, "tim", &["team"]);
    assert!(team.may_read(&on("team-a")) && !team.may_read(&on("payments")) && !team.may_read(&on("")));
    let ops = reader(SCOPED, "olga", &["ops"]);
    assert!(ops.may_read(&on("payments")) && ops.may_read(&outcome(on_cluster(&[], &[], Reach::Full))));
    assert!(!ops.may_read(&outcome(on_wiki(&[]))));
    let soc = reader(SCOPED, "sam", &["soc"]);
    assert!(soc.may_read(&on("payments")), "it was denied");
    assert!(!soc.may_read(&outcome(on_wiki(&[]))));
    let herself = reader(SCOPED, "alice", &[]);
    assert!(herself.may_read(&outcome(on_wiki(&[]))) && !reader(SCOPED, "bob", &[]).may_read(&outcome(on_wiki(&[]))));
}

#[test]
fn the_demonstrations_administrators_read_everything_and_others_nothing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo/policies");
    let sources = Sources::load(&folder, &folder.join("entities.json")).unwrap();
    let reader = |groups: &[&str]| {
        let caller = in_portal(groups);
        let context = circumstances(&caller, NOW);
        Reader::new(std::sync::Arc::new(Rules::read(&sources).unwrap()), caller, context)
    };
    let seen = [decision(on_wiki(&[]), web(Method::Get, "/")), refused("wiki"), entry(None, Event::BrokerStopped {})];
    assert!(seen.iter().all(|entry| reader(&["admins"]).may_read(entry)));
    assert!(reader(&["admins"]).may_see_totals());
    assert!(!seen.iter().any(|entry| reader(&["devs"]).may_read(entry)));
}
