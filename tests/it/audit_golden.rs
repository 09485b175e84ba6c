//! The leaf bytes of one entry of each kind, and of each shape of an action, as they are for ever: logs are verified
//! years later, by binaries that are not written yet. A line in `golden/leaves.txt` may be added, never changed.

use bailiwick::{
    audit::{ClosedBy, Entry, Event, SignInStep, entry::Salt},
    model::{
        Action, AppSessionId, Attributes, BrokerId, CredentialId, EnrolRequest, IssueRequest, KubernetesRequest,
        LoginId, Method, NonResource, PasskeyId, PortalAction, Presented, Reach, ReadingId, RequestId, Resource, Scope,
        Selector, StreamId, Timestamp, Upgrade, Verdict,
    },
};
use uuid::Uuid;

use crate::support::audit::{caller, decision};

#[test]
fn the_leaf_bytes_of_every_kind_are_what_they_were() {
    let now: Vec<String> = samples().iter().map(line).collect();
    let golden = include_str!("golden/leaves.txt");
    let pinned: Vec<&str> = golden.lines().filter(|line| !line.starts_with('#')).collect();
    for (nth, line) in now.iter().enumerate() {
        assert_eq!(
            Some(line.as_str()),
            pinned.get(nth).copied(),
            "leaf {nth}; all of them as they are now:\n{}",
            now.join("\n")
        );
    }
    assert_eq!(pinned.len(), now.len());
}

#[test]
fn every_pinned_leaf_is_still_read() {
    for line in include_str!("golden/leaves.txt").lines().filter(|line| !line.starts_with('#')) {
        let leaf = [&[1], line.as_bytes()].concat();
        let entry = Entry::from_leaf(&leaf).unwrap_or_else(|fault| panic!("{fault}: {line}"));
        assert_eq!(entry.leaf().unwrap(), leaf);
    }
}

#[test]
fn there_is_a_sample_of_every_kind() {
    let mut kinds: Vec<usize> = samples().iter().map(|entry| number(&entry.event)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, (0..26).collect::<Vec<_>>());
}

fn line(entry: &Entry) -> String {
    let leaf = entry.leaf().unwrap();
    let (version, body) = leaf.split_first().unwrap();
    assert_eq!(*version, 1);
    String::from_utf8(body.to_vec()).unwrap()
}

/// A new kind does not compile until it has a number here, and a sample.
fn number(event: &Event) -> usize {
    match event {
        Event::Decision { .. } => 0,
        Event::Outcome { .. } => 1,
        Event::NotForwarded { .. } => 2,
        Event::UnknownOutcome { .. } => 3,
        Event::Refused { .. } => 4,
        Event::SignIn { .. } => 5,
        Event::Enrolled { .. } => 6,
        Event::LoginEnded { .. } => 7,
        Event::CredentialIssued { .. } => 8,
        Event::CredentialRevoked { .. } => 9,
        Event::StreamOpened { .. } => 10,
        Event::StreamClosed { .. } => 11,
        Event::Invited { .. } => 12,
        Event::PolicyLoaded { .. } => 13,
        Event::PolicyRejected { .. } => 14,
        Event::BrokerStarted { .. } => 15,
        Event::BrokerStopped {} => 16,
        Event::Refusals { .. } => 17,
        Event::Gap { .. } => 18,
        Event::EpochBegan { .. } => 19,
        Event::KeyRotated { .. } => 20,
        Event::Archived { .. } => 21,
        Event::SearchChanged { .. } => 22,
        Event::Exported { .. } => 23,
        Event::CollectorSkipped { .. } => 24,
        Event::LogRead { .. } => 25,
    }
}

fn samples() -> Vec<Entry> {
    let policy = match decision(1, Verdict::Allow).event {
        Event::Decision { policy, .. } => policy.to_value(),
        _ => unreachable!("it is a decision"),
    };
    let identity = caller().identity;
    let at = Timestamp::from_micros(1_767_268_800_000_001);
    let id = |n: u128| Uuid::from_u128(n);
    let login = LoginId::from_uuid(id(3));
    let credential = CredentialId::from_uuid(id(4));
    let mut events: Vec<Event> = vec![decision(1, Verdict::Allow).event, decision(2, Verdict::StepUp).event];
    events.extend(actions().into_iter().map(judged));
    events.extend([
        Event::Outcome { status: Some(200), received: 1, sent: u64::MAX, duration: 3, closed_by: ClosedBy::Upstream },
        Event::Outcome { status: None, received: 0, sent: 0, duration: 0, closed_by: ClosedBy::UpstreamFault },
        Event::NotForwarded { why: "dropped".into() },
        Event::UnknownOutcome { of: BrokerId::from_uuid(id(5)) },
        Event::Refused {
            check: "path".into(),
            why: "\0\r\n\u{1b}\"\\\u{7f}\u{202e}é🔑".into(),
            target: "wiki".into(),
            address: "2001:db8::1".into(),
        },
        Event::SignIn {
            step: SignInStep::Provider,
            provider: Some("corp".parse().unwrap()),
            fault: None,
            address: "127.0.0.1".into(),
        },
        Event::SignIn {
            step: SignInStep::StepUp,
            provider: None,
            fault: Some("no such passkey".into()),
            address: "127.0.0.1".into(),
        },
        Event::Enrolled { passkey: PasskeyId::from_uuid(id(6)), first: true, rp_id: "auth.example.test".into() },
        Event::LoginEnded { login, owner: identity.clone(), cause: "signed out".into() },
        Event::CredentialIssued {
            credential,
            cluster: Some("prod".parse().unwrap()),
            namespaces: vec!["default".into()],
            reach: Reach::ReadOnly,
            serial: Some("0a1b".into()),
            not_after: at,
        },
        Event::CredentialIssued {
            credential,
            cluster: None,
            namespaces: Vec::new(),
            reach: Reach::Full,
            serial: None,
            not_after: at,
        },
        Event::CredentialRevoked { credential, cause: "login ended".into() },
        Event::StreamOpened { stream: StreamId::from_uuid(id(7)) },
        Event::StreamClosed { stream: StreamId::from_uuid(id(7)), cause: "policy".into() },
        Event::Invited { person: identity, expires_at: at, before: None, by: None },
        Event::PolicyLoaded { policy: policy.clone(), rules: 12, before: None },
        Event::PolicyRejected { errors: vec!["rules.cedar:3:1: unexpected token".into()] },
        Event::BrokerStarted { version: "0.1.0".into(), configuration: "00ff".into(), key: None },
        Event::BrokerStopped {},
        Event::PolicyLoaded { policy: policy.clone(), rules: 13, before: Some(policy) },
    ]);
    events.extend(later_kinds(at));
    let presented = [
        (Presented::Session, Scope::Portal),
        (Presented::AppSession(AppSessionId::from_uuid(id(8))), Scope::App { app: "wiki".parse().unwrap() }),
        (
            Presented::Certificate(credential),
            Scope::Cluster { cluster: "prod".parse().unwrap(), namespaces: vec!["default".into()], reach: Reach::Full },
        ),
        (Presented::Token(credential), Scope::Portal),
    ];
    events
        .into_iter()
        .enumerate()
        .map(|(nth, event)| {
            let (presented, scope) = presented[nth % presented.len()].clone();
            let acr = (nth % 2 == 1).then(|| "phr".to_owned());
            Entry {
                broker: BrokerId::from_uuid(id(1)),
                caller: (nth % 5 != 4).then(|| bailiwick::model::Caller { presented, scope, acr, ..caller() }),
                event,
                happened_at: at,
                recorded_at: at.plus(std::time::Duration::from_micros(7)),
                request: (nth % 3 != 2).then(|| RequestId::from_uuid(id(2))),
                salt: Salt([0xa5; 16]),
            }
        })
        .collect()
}

fn later_kinds(at: Timestamp) -> Vec<Event> {
    let root = || "00ff".repeat(16);
    vec![
        Event::Refusals {
            check: "token".into(),
            why: "not known here".into(),
            target: "wiki".into(),
            network: "192.0.2.0/24".into(),
            from: at,
            until: at,
            count: 1_000_000,
        },
        Event::Gap { lost: 3, from: at, until: at, why: "too many waited".into() },
        Event::EpochBegan {
            epoch: 1,
            size: 7,
            root: root(),
            published_size: 9,
            published_root: root(),
            by: "ada".into(),
            why: "restored from a backup".into(),
            key: None,
            lost: None,
        },
        Event::KeyRotated {
            retired: "log+1a2b3c4d+AQ".into(),
            active: "log+5e6f7a8b+AQ".into(),
            voucher: None,
            by: None,
        },
        Event::Archived { from: 0, until: 7, file: "entry_2026_01.bundle".into(), sha256: root() },
        Event::SearchChanged { name: "denials".into(), before: None, after: Some("verdict=deny".into()) },
        Event::SearchChanged { name: "denials".into(), before: Some("verdict=deny".into()), after: None },
        Event::Exported { search: "verdict=deny".into(), format: "csv".into(), entries: 7, manifest: root() },
        judged(Action::Portal(PortalAction::ReadAudit { search: Some("who=corp%2Fada".into()) })),
        judged(Action::Portal(PortalAction::ExportAudit { search: "verdict=deny".into(), format: "csv".into() })),
        judged(Action::Portal(PortalAction::SaveSearch { name: "denials".into() })),
        judged(Action::Portal(PortalAction::RemoveSearch { name: "denials".into() })),
        Event::Invited { person: caller().identity, expires_at: at, before: Some(at), by: None },
        Event::BrokerStarted {
            version: "0.1.0".into(),
            configuration: "00ff".into(),
            key: Some("log+1a2b3c4d+AQ".into()),
        },
        Event::CollectorSkipped { collector: "siem".into(), from: 17, until: 18, why: "it refuses entry 17".into() },
        Event::LogRead {
            reading: ReadingId::from_uuid(Uuid::from_u128(9)),
            account: "ada_audits".into(),
            address: Some("192.0.2.7".into()),
            client: "bailiwick 0.1.0".into(),
            command: "export".into(),
            search: "verdict=deny".into(),
            entries: Some(7),
            manifest: Some(root()),
        },
        Event::LogRead {
            reading: ReadingId::from_uuid(Uuid::from_u128(9)),
            account: "ada_audits".into(),
            address: None,
            client: "bailiwick 0.1.0".into(),
            command: "export".into(),
            search: String::new(),
            entries: None,
            manifest: None,
        },
        Event::EpochBegan {
            epoch: 2,
            size: 7,
            root: root(),
            published_size: 0,
            published_root: root(),
            by: "ada".into(),
            why: "the wrapping key is lost".into(),
            key: Some("log+5e6f7a8b+AQ".into()),
            lost: None,
        },
        Event::KeyRotated {
            retired: "log+1a2b3c4d+AQ".into(),
            active: "log+5e6f7a8b+AQ".into(),
            voucher: Some("c2lnbmVk".into()),
            by: None,
        },
        Event::EpochBegan {
            epoch: 2,
            size: 7,
            root: root(),
            published_size: 0,
            published_root: root(),
            by: "ada".into(),
            why: "the wrapping key is lost".into(),
            key: Some("log+5e6f7a8b+AQ".into()),
            lost: Some(vec!["log+1a2b3c4d+AQ".into()]),
        },
        judged(Action::Portal(PortalAction::ReadEntry { leaf: 7 })),
        judged(Action::Portal(PortalAction::RevokeCredential {
            credential: CredentialId::from_uuid(Uuid::from_u128(4)),
            owner: caller().identity,
        })),
        Event::Invited { person: caller().identity, expires_at: at, before: None, by: Some("ada at laptop".into()) },
        Event::KeyRotated {
            retired: "log+1a2b3c4d+AQ".into(),
            active: "log+5e6f7a8b+AQ".into(),
            voucher: Some("c2lnbmVk".into()),
            by: Some("ada at laptop".into()),
        },
    ]
}

fn judged(asked: Action) -> Event {
    match decision(3, Verdict::Deny).event {
        Event::Decision { context, decision, policy, .. } => {
            Event::Decision { action: asked, context, decision, policy }
        }
        other => other,
    }
}

fn actions() -> Vec<Action> {
    let kubernetes = |attributes, upgrade| {
        Action::Kubernetes(KubernetesRequest {
            cluster: "prod".parse().unwrap(),
            method: Method::Get,
            path: "/api/v1/namespaces/default/pods".into(),
            query: Some("token=never-recorded".into()),
            attributes,
            upgrade,
        })
    };
    let selector = Selector { key: "app".into(), operator: "in".into(), values: vec!["a".into(), "b".into()] };
    let resource = Resource {
        api_version: "v1".into(),
        verb: "list".into(),
        resource: "pods".into(),
        namespace: "default".into(),
        label_selector: vec![selector],
        ..Resource::default()
    };
    let owner = caller().identity;
    let mut actions = vec![
        kubernetes(Attributes::Resource(resource), Upgrade::None),
        kubernetes(Attributes::NonResource(NonResource { verb: "get".into(), path: "/healthz".into() }), Upgrade::Spdy),
        Action::Issue(IssueRequest {
            cluster: "prod".parse().unwrap(),
            namespaces: Vec::new(),
            reach: Reach::Full,
            lifetime: 3_600,
            key: "00ff".into(),
        }),
        Action::Enrol(EnrolRequest { invited: true }),
    ];
    actions.extend(
        [
            PortalAction::Home,
            PortalAction::AuthorizeCommandLine,
            PortalAction::ListSessions,
            PortalAction::EndSession { login: LoginId::from_uuid(Uuid::from_u128(3)), owner: owner.clone() },
            PortalAction::ReadAudit { search: None },
            PortalAction::ReadPolicy,
            PortalAction::Invite { person: owner },
        ]
        .map(Action::Portal),
    );
    actions
}
