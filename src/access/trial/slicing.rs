//! The short cuts answer as the long way does: random rules, many of which fail, asked by slice, from memory and whole.

use std::time::Duration;

use super::*;
use crate::{
    access::{
        judge::{Breadth, judge_by_all, think},
        remembered::Recalled,
    },
    model::Entropy,
};

const WORLD: &str = r#"[
    {"uid":{"type":"Group","id":"g0"},"parents":[{"type":"Group","id":"g1"},{"type":"Group","id":"g2"}]},
    {"uid":{"type":"Group","id":"g1"},"parents":[{"type":"Group","id":"g3"}]},
    {"uid":{"type":"Group","id":"g4"},"parents":[{"type":"Group","id":"g5"}]}
]"#;

/// Dice that fall the same way each time.
struct Dice(SeededEntropy);

impl Dice {
    fn below(&self, sides: usize) -> usize {
        let entropy: &dyn Entropy = &self.0;
        usize::try_from(u64::from_le_bytes(entropy.bytes()) % sides as u64).unwrap()
    }

    fn one<'a>(&self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

fn principal_scope(dice: &Dice) -> String {
    let group = dice.below(7);
    match dice.below(7) {
        0 => "principal".to_owned(),
        1 => "principal == User::\"corp/alice\"".to_owned(),
        2 => "principal == User::\"corp/bob\"".to_owned(),
        3 => dice.one(&["principal is User", "principal is Group", "principal in User::\"corp/alice\""]).to_owned(),
        4 => format!("principal is User in Group::\"g{group}\""),
        _ => format!("principal in Group::\"g{group}\""),
    }
}

fn action_scope(dice: &Dice) -> String {
    let one = |dice: &Dice| {
        dice.one(&[
            "Action::\"GET\"",
            "Action::\"POST\"",
            "Action::\"read\"",
            "Action::\"write\"",
            "Action::\"issue\"",
            "Action::\"endSession\"",
            "Action::\"revokeCredential\"",
            "Action::\"home\"",
            "k8s::Action::\"get\"",
            "k8s::Action::\"readOnly\"",
            "k8s::Action::\"admin\"",
            "k8s::Action::\"exec\"",
        ])
    };
    match dice.below(4) {
        0 => "action".to_owned(),
        1 => format!("action == {}", one(dice)),
        2 => format!("action in {}", one(dice)),
        _ => format!("action in [{}, {}]", one(dice), one(dice)),
    }
}

fn resource_scope(dice: &Dice) -> String {
    let named = dice.one(&[
        "App::\"wiki\"",
        "Path::\"wiki/docs\"",
        "Path::\"wiki/docs/a\"",
        "Path::\"wiki/\"",
        "k8s::Cluster::\"demo\"",
        "k8s::Namespace::\"demo/default\"",
        "Portal::\"bailiwick\"",
    ]);
    let kind = dice.one(&["Path", "Portal", "Login", "k8s::Resource", "k8s::Subresource", "k8s::NonResourceURL"]);
    match dice.below(5) {
        0 => "resource".to_owned(),
        1 => format!("resource == {named}"),
        2 => format!("resource is {kind}"),
        3 => format!("resource is {kind} in {named}"),
        _ => format!("resource in {named}"),
    }
}

/// Many of these fail for some requests, which no checked rule could.
const CONDITIONS: &[&str] = &[
    "true",
    "context.assurance == \"passkey\"",
    "context.assuranceAge < 300",
    "context.assuranceAge < 300",
    "context.assuranceAge < 100",
    "context.assuranceAge == 0",
    "context.assuranceAge > 10",
    "context.assuranceAge * 9223372036854775807 > 5",
    "context.acr == \"mfa\"",
    "context has acr && context.acr == \"mfa\"",
    "context.time < datetime(\"2026-11-18T12:00:00Z\")",
    "context.address.isLoopback()",
    "context.address.isInRange(ip(\"10.0.0.0/8\"))",
    "context.credential == \"session\"",
    "context has upgrade && context.upgrade",
    "context.lifetime > 100",
    "principal.subject == \"alice\"",
    "principal.nothing == 1",
    "principal in Group::\"g3\"",
    "principal in [Group::\"g5\", Group::\"g6\"]",
    "resource.path like \"/docs*\"",
    "resource.namespace == \"default\"",
    "resource has name && resource.name == \"x\"",
    "resource.owner == principal",
    "resource.owner in Group::\"g3\"",
    "resource in App::\"wiki\"",
    "action in [Action::\"read\", k8s::Action::\"readOnly\"]",
    "Action::\"GET\" in Action::\"read\"",
    "k8s::Action::\"list\" in k8s::Action::\"admin\"",
    "Group::\"g0\" in Group::\"g3\"",
    "Group::\"g4\" in Group::\"g3\"",
    "Group::\"g0\" has x",
    "User::\"corp/alice\" in Group::\"g1\"",
    "User::\"corp/alice\".subject == \"alice\"",
    "User::\"corp/bob\" has subject",
    "(if context.assurance == \"passkey\" then context else context) has acr",
];

fn random_rules(dice: &Dice, count: usize) -> Rules {
    let mut text = r#"@id("fresh") permit (principal in Group::"g3", action in Action::"write", resource)
        when { context.assuranceAge < 100 };"#
        .to_owned();
    for id in 0..count {
        let effect = if dice.below(4) == 0 { "forbid" } else { "permit" };
        let scope = format!("{}, {}, {}", principal_scope(dice), action_scope(dice), resource_scope(dice));
        text.push_str(&format!("@id(\"r{id}\") @reason(\"because {id}\") {effect} ({scope})"));
        for _ in 0..dice.below(3) {
            let kind = dice.one(&["when", "when", "unless"]);
            text.push_str(&format!(" {kind} {{ {} }}", dice.one(CONDITIONS)));
        }
        text.push_str(";\n");
    }
    // Not checked, so that rules that fail get in.
    let texts = Texts { policies: text, entities: WORLD.to_owned(), schema: crate::access::schema::TEXT.to_owned() };
    Rules::from_texts(texts).unwrap()
}

fn random_question(dice: &Dice) -> (Caller, Action) {
    let subject = dice.one(&["alice", "bob", "carol"]);
    let groups: Vec<String> = (0..7).filter(|_| dice.below(4) == 0).map(|group| format!("g{group}")).collect();
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    let mut caller = match dice.below(4) {
        0 | 1 => caller(subject, &groups, Scope::App { app: "wiki".parse().unwrap() }),
        2 => caller(
            subject,
            &groups,
            Scope::Cluster { cluster: "demo".parse().unwrap(), namespaces: vec![], reach: Reach::Full },
        ),
        _ => caller(subject, &groups, Scope::Portal),
    };
    caller.acr = [None, Some("mfa".to_owned()), Some("pwd".to_owned())][dice.below(3)].clone();
    let action = match &caller.scope {
        Scope::App { .. } => {
            let mut action = web([Method::Get, Method::Post, Method::Delete][dice.below(3)], dice.one(PATHS));
            if let Action::Web(web) = &mut action {
                web.upgrade = if dice.below(5) == 0 { Upgrade::WebSocket } else { Upgrade::None };
            }
            action
        }
        Scope::Cluster { .. } => match dice.below(3) {
            0 => url(dice.one(&["get", "post", "head", "options", "put", "patch", "delete"]), "/version"),
            1 => kubernetes(dice.one(VERBS), "pods", "", dice.one(&["", "default", "other"])),
            _ => kubernetes(dice.one(&["get", "create"]), "pods", dice.one(PARTS), "default"),
        },
        Scope::Portal => match dice.below(6) {
            0 => end_session_of(dice.one(&["alice", "bob"])),
            5 => revocation_of(dice.one(&["alice", "bob"])),
            1 => issue(dice.below(1000) as u64),
            2 => Action::Enrol(EnrolRequest { invited: dice.below(2) == 0 }),
            3 => Action::Portal(PortalAction::Invite { person: identity("dora") }),
            _ => Action::Portal(PortalAction::Home),
        },
    };
    (caller, action)
}

const PATHS: &[&str] = &["/", "/docs", "/docs/", "/docs/a", "/docs/a/b", "/docsx", "/a%2Bb", "/c"];
const VERBS: &[&str] =
    &["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "proxy", "?"];
const PARTS: &[&str] = &["exec", "attach", "portforward", "log", "proxy", "status", "scale", "eviction"];

/// The same person later, elsewhere, or with something else in hand.
fn vary(dice: &Dice, caller: &mut Caller) -> Timestamp {
    caller.address = dice.one(&["127.0.0.1", "10.1.2.3", "::ffff:10.9.9.9", "192.0.2.7", "::1"]).parse().unwrap();
    let age = Duration::from_secs([0, 1, 200, 400][dice.below(4)]);
    let now = NOW.plus(Duration::from_secs([0, 100_000][dice.below(2)]));
    caller.assurance.at = now.minus(age);
    if dice.below(9) == 0 {
        caller.assurance.level = AssuranceLevel::Provider;
    }
    now
}

#[test]
fn a_slice_and_a_memory_answer_as_all_rules_do() {
    let dice = Dice(SeededEntropy::new(20_261_122));
    let (mut failed, mut allowed, mut forbidden, mut stepped, mut asked) = (0, 0, 0, 0, 0);
    for round in 0..45 {
        let rules = random_rules(&dice, [5, 20, 60][round % 3]);
        let questions: Vec<_> = (0..12).map(|_| random_question(&dice)).collect();
        for _ in 0..50 {
            let (mut caller, action) = questions[dice.below(questions.len())].clone();
            let now = vary(&dice, &mut caller);
            let context = circumstances(&caller, now);
            let whole = judge_by_all(&rules, &caller, &action, &context);
            let (sliced, _) = think(&rules, Breadth::Slice, &caller, &action, &context);
            assert_eq!(sliced, whole, "{action:?} by {caller:?}\n{}", rules.texts().policies);
            let remembered = judge(&rules, &caller, &action, &context);
            assert_eq!(remembered, whole, "{action:?} by {caller:?}\n{}", rules.texts().policies);
            asked += 1;
            failed += usize::from(whole.cause == Cause::PolicyError);
            forbidden += usize::from(whole.cause == Cause::Forbidden);
            allowed += usize::from(whole.verdict == Verdict::Allow);
            stepped += usize::from(whole.verdict == Verdict::StepUp);
        }
    }
    println!("{asked} asked: {failed} failed, {forbidden} forbidden, {allowed} allowed, {stepped} step-up");
    // All kinds of answers were among them.
    assert!([failed, forbidden, allowed].iter().all(|&seen| seen > asked / 50) && stepped > 10);
}

#[test]
fn whatever_we_make_of_a_request_fits_the_schema() {
    let dice = Dice(SeededEntropy::new(7));
    let all = rules("@id(\"all\") permit (principal, action, resource);");
    for _ in 0..1_500 {
        let (caller, action) = random_question(&dice);
        let context = circumstances(&caller, NOW);
        let (sliced, _) = think(&all, Breadth::Slice, &caller, &action, &context);
        assert_eq!(judge_by_all(&all, &caller, &action, &context), sliced, "{action:?}");
    }
}

#[test]
fn an_answer_that_looks_at_the_time_is_thought_through_each_time() {
    let text = |condition: &str| format!("@id(\"x\") permit (principal, action, resource) when {{ {condition} }};");
    let mut alice = on_wiki(&["devs"]);
    let action = web(Method::Get, "/docs");
    for (condition, kept) in [
        ("context.time > datetime(\"2020-01-01\")", false),
        ("context.assuranceAge < 3000", false),
        ("context == context", false),
        ("context.assurance == \"passkey\"", true),
        ("context.address.isLoopback()", true),
    ] {
        let rules = rules(&text(condition));
        let context = circumstances(&alice, NOW);
        assert_eq!(judge(&rules, &alice, &action, &context).verdict, Verdict::Allow, "{condition}");
        let is_decided = match rules.remembered().recall(&alice, &action, &context) {
            Some(Recalled::Decision(_)) => true,
            Some(Recalled::Question(_)) => false,
            None => panic!("nothing is remembered of {condition}"),
        };
        assert_eq!(is_decided, kept, "{condition}");
    }
    let rules = rules(&text("context.address.isLoopback()"));
    judge(&rules, &alice, &action, &circumstances(&alice, NOW));
    alice.address = "192.0.2.1".parse().unwrap();
    assert!(rules.remembered().recall(&alice, &action, &circumstances(&alice, NOW)).is_none(), "from elsewhere");
    alice.address = "127.0.0.1".parse().unwrap();
    alice.groups.push("more".to_owned());
    assert!(rules.remembered().recall(&alice, &action, &circumstances(&alice, NOW)).is_none(), "in another group");
}
