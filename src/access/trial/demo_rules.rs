//! The demonstration's rules say what its people are told that they say.

use super::*;

#[test]
fn developers_read_everything_but_the_admin_pages_and_write_notes() {
    let (rules, alice) = (demo(), on_wiki(&["devs"]));
    for path in ["/", "/docs/intro", "/notes", "/events", "/administration"] {
        assert_eq!(verdict(&rules, &alice, &web(Method::Get, path)), Verdict::Allow, "{path}");
    }
    assert_eq!(verdict(&rules, &alice, &web(Method::Post, "/notes")), Verdict::Allow);
    assert_eq!(said(&rules, &alice, &web(Method::Post, "/docs/intro")).sentence(), "no rule allows this");
    for path in ["/admin", "/admin/", "/admin/users"] {
        let decision = said(&rules, &alice, &web(Method::Get, path));
        assert_eq!(decision.cause, Cause::Forbidden, "{path}");
        assert_eq!(decision.policies, ["admin-pages-are-for-admins"]);
        assert_eq!(decision.sentence(), "The admin pages are for the admins group.");
        assert_eq!(decision.fresh, Some(Verdict::Deny));
    }
}

#[test]
fn admins_are_developers_too() {
    let (rules, olivia) = (demo(), on_wiki(&["admins"]));
    assert_eq!(verdict(&rules, &olivia, &web(Method::Get, "/admin")), Verdict::Allow);
    assert_eq!(verdict(&rules, &olivia, &web(Method::Get, "/docs/intro")), Verdict::Allow);
}

#[test]
fn deleting_asks_for_a_fresh_passkey() {
    let (rules, mut alice) = (demo(), on_wiki(&["devs"]));
    let stale = said(&rules, &alice, &web(Method::Delete, "/notes/1"));
    assert_eq!((stale.verdict, stale.fresh), (Verdict::StepUp, Some(Verdict::Allow)));
    alice.assurance.at = NOW;
    let fresh = said(&rules, &alice, &web(Method::Delete, "/notes/1"));
    assert_eq!((fresh.verdict, fresh.fresh), (Verdict::Allow, None));
    assert_eq!(verdict(&rules, &on_wiki(&[]), &web(Method::Delete, "/notes/1")), Verdict::Deny);
}

#[test]
fn developers_see_their_namespaces_and_no_others() {
    let (rules, alice) = (demo(), on_cluster(&["devs"], &[], Reach::Full));
    let cases = [
        (kubernetes("list", "pods", "", "default"), Verdict::Allow),
        (kubernetes("watch", "pods", "", "team-a"), Verdict::Allow),
        (kubernetes("get", "pods", "log", "default"), Verdict::Allow),
        (kubernetes("get", "pods", "exec", "default"), Verdict::Allow),
        (kubernetes("create", "pods", "exec", "default"), Verdict::Allow),
        (kubernetes("get", "pods", "exec", "team-a"), Verdict::Deny),
        (kubernetes("get", "pods", "attach", "default"), Verdict::Deny),
        (kubernetes("get", "pods", "status", "default"), Verdict::Deny),
        (kubernetes("delete", "pods", "", "default"), Verdict::Deny),
        (kubernetes("list", "pods", "", "kube-system"), Verdict::Deny),
        (kubernetes("list", "pods", "", ""), Verdict::Deny),
        (url("get", "/api/v1"), Verdict::Allow),
        (url("get", "/version"), Verdict::Allow),
        (url("get", "/metrics"), Verdict::Deny),
        (url("post", "/api"), Verdict::Deny),
    ];
    for (action, expected) in cases {
        assert_eq!(verdict(&rules, &alice, &action), expected, "{action:?}");
    }
    let refused = said(&rules, &alice, &kubernetes("list", "pods", "", "payments"));
    assert_eq!(refused.sentence(), "The namespace payments is for the admins group.");
    let olivia = on_cluster(&["admins"], &[], Reach::Full);
    for action in [kubernetes("list", "pods", "", "payments"), kubernetes("get", "nodes", "proxy", "")] {
        assert_eq!(verdict(&rules, &olivia, &action), Verdict::Allow, "{action:?}");
    }
}

#[test]
fn the_portal_is_everybodys_and_its_administration_is_not() {
    let rules = demo();
    let (mallory, alice, olivia) = (in_portal(&[]), in_portal(&["devs"]), in_portal(&["admins"]));
    for action in [PortalAction::Home, PortalAction::AuthorizeCommandLine].map(Action::Portal) {
        assert_eq!(verdict(&rules, &mallory, &action), Verdict::Allow);
    }
    assert_eq!(verdict(&rules, &alice, &end_session_of("alice")), Verdict::Allow);
    assert_eq!(verdict(&rules, &alice, &end_session_of("olivia")), Verdict::Deny);
    assert_eq!(verdict(&rules, &alice, &revocation_of("alice")), Verdict::Allow);
    assert_eq!(verdict(&rules, &alice, &revocation_of("olivia")), Verdict::Deny);
    assert_eq!(verdict(&rules, &olivia, &revocation_of("alice")), Verdict::Allow);
    let invite = PortalAction::Invite { person: identity("carol") };
    for action in
        [PortalAction::ListSessions, PortalAction::ReadAudit { search: None }, PortalAction::ReadPolicy, invite]
    {
        assert_eq!(verdict(&rules, &alice, &Action::Portal(action.clone())), Verdict::Deny);
        assert_eq!(verdict(&rules, &olivia, &Action::Portal(action)), Verdict::Allow);
    }
    assert_eq!(verdict(&rules, &alice, &issue(3600)), Verdict::Allow);
    assert_eq!(verdict(&rules, &alice, &issue(1_000_000)), Verdict::Deny);
    assert_eq!(verdict(&rules, &mallory, &issue(3600)), Verdict::Deny);
}

#[test]
fn half_a_login_registers_a_passkey_from_this_machine_and_does_nothing_else() {
    let (rules, mut half) = (demo(), in_portal(&["admins"]));
    half.assurance.level = AssuranceLevel::Provider;
    let enrol = Action::Enrol(EnrolRequest { invited: false });
    assert_eq!(verdict(&rules, &half, &enrol), Verdict::Allow);
    for action in [Action::Portal(PortalAction::Home), end_session_of("alice"), issue(60)] {
        assert_eq!(said(&rules, &half, &action).cause, Cause::OutOfScope);
    }
    half.address = "::ffff:192.0.2.1".parse().unwrap();
    let elsewhere = said(&rules, &half, &enrol);
    assert_eq!((elsewhere.verdict, elsewhere.fresh), (Verdict::Deny, None));
}
