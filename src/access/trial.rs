//! Tests of this room's pure half: callers and questions in one line each, judged by rules in a string.
//! Leaves what needs a database to `tests/it`.

use std::path::Path;

use super::{
    AccessFault, Rules, SourceFile, Sources, Texts,
    judge::{circumstances, judge, replay},
};
use crate::{
    audit::entry::{Entry, Event, Salt},
    model::{
        Action, Assurance, AssuranceLevel, Attributes, BrokerId, Caller, CanonicalPath, Cause, CredentialId, Decision,
        EnrolRequest, Identity, IssueRequest, KubernetesRequest, LoginId, Method, NonResource, PersonId, PortalAction,
        Presented, Reach, RequestId, Resource, Scope, SeededEntropy, Timestamp, Upgrade, Verdict, WebRequest,
    },
};

const NOW: Timestamp = Timestamp::from_micros(1_795_000_000_123_456);
const GROUPS: &str = r#"[{"uid":{"type":"Group","id":"admins"},"parents":[{"type":"Group","id":"devs"}]}]"#;

fn sources(policies: &[(&str, &str)], entities: &str) -> Sources {
    let file = |name: &str, text: &str| SourceFile { name: name.to_owned(), text: text.to_owned() };
    Sources {
        policies: policies.iter().map(|(name, text)| file(name, text)).collect(),
        entities: file("entities.json", entities),
    }
}

fn rules(text: &str) -> Rules {
    Rules::read(&sources(&[("10.cedar", text)], GROUPS)).unwrap()
}

fn mistakes(text: &str) -> Vec<String> {
    mistakes_in(&sources(&[("10.cedar", text)], GROUPS))
}

fn mistakes_in(sources: &Sources) -> Vec<String> {
    match Rules::read(sources) {
        Err(AccessFault::Rules(mistakes)) => mistakes.iter().map(ToString::to_string).collect(),
        other => panic!("expected mistakes, found {other:?}"),
    }
}

fn demo() -> Rules {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo/policies");
    match Rules::read(&Sources::load(&folder, &folder.join("entities.json")).unwrap()) {
        Err(AccessFault::Rules(mistakes)) => {
            panic!("{}", mistakes.iter().map(|m| format!("{m}\n")).collect::<String>())
        }
        other => other.unwrap(),
    }
}

fn identity(subject: &str) -> Identity {
    Identity {
        provider: "corp".parse().unwrap(),
        issuer: "https://idp.example".to_owned(),
        subject: subject.to_owned(),
        name: subject.to_owned(),
    }
}

fn caller(subject: &str, groups: &[&str], scope: Scope) -> Caller {
    let entropy = SeededEntropy::new(1);
    Caller {
        person: PersonId::random(&entropy),
        identity: identity(subject),
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
        login: LoginId::random(&entropy),
        presented: Presented::Session,
        scope,
        assurance: Assurance { level: AssuranceLevel::Passkey, at: NOW.minus(std::time::Duration::from_secs(600)) },
        acr: None,
        address: "127.0.0.1".parse().unwrap(),
    }
}

fn on_wiki(groups: &[&str]) -> Caller {
    caller("alice", groups, Scope::App { app: "wiki".parse().unwrap() })
}

fn on_cluster(groups: &[&str], namespaces: &[&str], reach: Reach) -> Caller {
    let namespaces = namespaces.iter().map(|&name| name.to_owned()).collect();
    caller("alice", groups, Scope::Cluster { cluster: "demo".parse().unwrap(), namespaces, reach })
}

fn in_portal(groups: &[&str]) -> Caller {
    caller("alice", groups, Scope::Portal)
}

fn web(method: Method, path: &str) -> Action {
    let path = CanonicalPath::parse(path).unwrap();
    Action::Web(WebRequest { app: "wiki".parse().unwrap(), method, path, query: None, upgrade: Upgrade::None })
}

fn kubernetes(verb: &str, resource: &str, subresource: &str, namespace: &str) -> Action {
    Action::Kubernetes(KubernetesRequest {
        cluster: "demo".parse().unwrap(),
        method: Method::Get,
        path: format!("/api/v1/namespaces/{namespace}/{resource}"),
        query: None,
        attributes: Attributes::Resource(Resource {
            api_version: "v1".to_owned(),
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: namespace.to_owned(),
            ..Resource::default()
        }),
        upgrade: Upgrade::None,
    })
}

fn url(verb: &str, path: &str) -> Action {
    Action::Kubernetes(KubernetesRequest {
        cluster: "demo".parse().unwrap(),
        method: Method::Get,
        path: path.to_owned(),
        query: None,
        attributes: Attributes::NonResource(NonResource { verb: verb.to_owned(), path: path.to_owned() }),
        upgrade: Upgrade::None,
    })
}

fn issue(lifetime: u64) -> Action {
    Action::Issue(IssueRequest {
        cluster: "demo".parse().unwrap(),
        namespaces: vec![],
        reach: Reach::Full,
        lifetime,
        key: String::new(),
    })
}

fn revocation_of(owner: &str) -> Action {
    let credential = CredentialId::random(&SeededEntropy::new(4));
    Action::Portal(PortalAction::RevokeCredential { credential, owner: identity(owner) })
}

fn end_session_of(owner: &str) -> Action {
    let login = LoginId::random(&SeededEntropy::new(2));
    Action::Portal(PortalAction::EndSession { login, owner: identity(owner) })
}

fn said(rules: &Rules, caller: &Caller, action: &Action) -> Decision {
    judge(rules, caller, action, &circumstances(caller, NOW)).to_value()
}

fn verdict(rules: &Rules, caller: &Caller, action: &Action) -> Verdict {
    said(rules, caller, action).verdict
}

mod demo_rules;
mod judging;
mod loading;
mod reading;
mod slicing;
