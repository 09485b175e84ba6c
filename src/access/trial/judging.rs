//! How rules are judged: default deny, errors, scope, paths, circumstances, and the same again from the log.

use super::*;

#[test]
fn without_a_rule_the_answer_is_no_and_says_so() {
    let nothing = rules("@id(\"other\") permit (principal, action == Action::\"enrol\", resource);");
    let decision = said(&nothing, &on_wiki(&["devs"]), &web(Method::Get, "/"));
    assert_eq!((decision.verdict, decision.cause), (Verdict::Deny, Cause::NoRule));
    assert_eq!(decision.sentence(), "no rule allows this");
    assert_eq!(decision.fresh, Some(Verdict::Deny));
}

#[test]
fn a_rule_that_fails_is_a_denial_although_another_permits() {
    let text = r#"
        @id("all") permit (principal, action, resource);
        @id("big") forbid (principal, action == Action::"issue", resource) when { context.lifetime * 1000 < 0 };
    "#;
    let decision = said(&rules(text), &in_portal(&[]), &issue(i64::MAX as u64));
    assert_eq!((decision.verdict, decision.cause), (Verdict::Deny, Cause::PolicyError));
    assert_eq!(
        (decision.policies, decision.errors),
        (vec!["big".to_owned()], vec!["`big` could not be evaluated".to_owned()])
    );
    assert_eq!(verdict(&rules(text), &in_portal(&[]), &issue(1)), Verdict::Allow);
}

#[test]
fn what_policy_has_no_word_for_is_denied_even_where_everything_is_permitted() {
    let all = rules("@id(\"all\") permit (principal, action, resource);");
    let alice = on_cluster(&[], &[], Reach::Full);
    for action in [kubernetes("frobnicate", "pods", "", "a"), kubernetes("", "pods", "", "a"), url("trace", "/version")]
    {
        assert_eq!(said(&all, &alice, &action).cause, Cause::Unknown, "{action:?}");
    }
    assert_eq!(said(&all, &in_portal(&[]), &issue(u64::MAX)).cause, Cause::Unknown);
}

#[test]
fn a_credential_reaches_no_further_than_its_scope_whatever_the_rules_say() {
    let all = rules("@id(\"all\") permit (principal, action, resource);");
    let narrow = on_cluster(&[], &["a"], Reach::Full);
    let reader = on_cluster(&[], &[], Reach::ReadOnly);
    let other_app = caller("alice", &[], Scope::App { app: "other".parse().unwrap() });
    let cases = [
        (&narrow, kubernetes("delete", "pods", "", "a"), true),
        (&narrow, kubernetes("delete", "pods", "", "b"), false),
        (&narrow, kubernetes("list", "pods", "", ""), false),
        (&narrow, url("get", "/apis/apps/v1"), true),
        (&narrow, url("get", "/openapi/v3"), true),
        (&narrow, url("get", "/apiserver"), false),
        (&narrow, url("get", "/logs"), false),
        (&narrow, url("post", "/api"), false),
        (&reader, kubernetes("watch", "pods", "", "b"), true),
        (&reader, kubernetes("get", "pods", "log", "b"), true),
        (&reader, url("head", "/healthz"), true),
        (&reader, kubernetes("create", "pods", "", "b"), false),
        (&reader, kubernetes("get", "pods", "exec", "b"), false),
        (&reader, kubernetes("get", "pods", "status", "b"), false),
        (&reader, kubernetes("proxy", "pods", "", "b"), false),
        (&reader, url("post", "/healthz"), false),
        (&reader, issue(60), false),
        (&other_app, web(Method::Get, "/"), false),
        (&on_wiki(&[]), kubernetes("get", "pods", "", "a"), false),
        (&on_wiki(&[]), Action::Portal(PortalAction::Home), false),
        (&in_portal(&[]), web(Method::Get, "/"), false),
        (&in_portal(&[]), kubernetes("get", "pods", "", "a"), false),
        (&in_portal(&[]), issue(60), true),
    ];
    for (caller, action, within) in cases {
        let decision = said(&all, caller, &action);
        assert_eq!(decision.cause == Cause::Permitted, within, "{:?} {action:?}", caller.scope);
        assert!(within || (decision.cause == Cause::OutOfScope && decision.fresh.is_none()));
    }
}

#[test]
fn a_path_covers_what_is_below_it_and_nothing_beside_it() {
    let docs = rules("@id(\"docs\") permit (principal, action, resource in Path::\"wiki/docs\");");
    for (path, expected) in [
        ("/docs", Verdict::Allow),
        ("/docs/", Verdict::Allow),
        ("/docs/a/b", Verdict::Allow),
        ("/docsx", Verdict::Deny),
        ("/doc", Verdict::Deny),
        ("/a/docs", Verdict::Deny),
        ("/", Verdict::Deny),
    ] {
        assert_eq!(verdict(&docs, &on_wiki(&[]), &web(Method::Get, path)), expected, "{path}");
    }
    let root = rules("@id(\"root\") permit (principal, action, resource in Path::\"wiki/\");");
    assert_eq!(verdict(&root, &on_wiki(&[]), &web(Method::Get, "/docs/a")), Verdict::Allow);
    assert_eq!(verdict(&root, &on_wiki(&[]), &web(Method::Get, "/")), Verdict::Allow);
}

#[test]
fn rules_read_every_circumstance() {
    let text = |condition: &str| format!("@id(\"x\") permit (principal, action, resource) when {{ {condition} }};");
    let mut alice = on_wiki(&[]);
    alice.acr = Some("mfa".to_owned());
    alice.address = "::ffff:10.1.2.3".parse().unwrap();
    for condition in [
        "context.address.isInRange(ip(\"10.0.0.0/8\"))",
        "context.assurance == \"passkey\" && context.assuranceAge == 600",
        "context.credential == \"session\"",
        "context.time > datetime(\"2026-11-01\") && context.time < datetime(\"2026-12-01\")",
        "context has acr && context.acr == \"mfa\"",
        "principal == User::\"corp/alice\" && principal.provider == \"corp\" && principal.subject == \"alice\"",
    ] {
        assert_eq!(verdict(&rules(&text(condition)), &alice, &web(Method::Get, "/")), Verdict::Allow, "{condition}");
    }
}

#[test]
fn a_recorded_decision_is_replayed_from_its_entry_and_texts_alone() {
    let rules = demo();
    let callers = [on_wiki(&["devs"]), on_cluster(&["admins"], &["default"], Reach::ReadOnly), in_portal(&["admins"])];
    let actions = [
        web(Method::Get, "/admin"),
        web(Method::Delete, "/notes/1"),
        kubernetes("list", "pods", "", "default"),
        kubernetes("frobnicate", "pods", "", "default"),
        issue(3600),
        end_session_of("alice"),
        revocation_of("alice"),
    ];
    for (caller, action) in callers.iter().flat_map(|caller| actions.iter().map(move |action| (caller, action))) {
        let context = circumstances(caller, NOW);
        let decision = judge(&rules, caller, action, &context);
        let policy = rules.version().clone();
        let entropy = SeededEntropy::new(3);
        let entry = Entry {
            broker: BrokerId::random(&entropy),
            caller: Some(caller.clone()),
            event: Event::Decision { action: action.clone(), context, decision: decision.clone(), policy },
            happened_at: NOW,
            recorded_at: NOW,
            request: Some(RequestId::random(&entropy)),
            salt: Salt([7; 16]),
        };
        let stored = Entry::from_leaf(&entry.leaf().unwrap()).unwrap();
        assert_eq!(decision, replay(&stored, rules.texts().clone()).unwrap());
        let other = Texts { policies: String::new(), ..rules.texts().clone() };
        assert!(replay(&stored, other).is_err());
    }
}
