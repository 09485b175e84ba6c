//! What is looked for, and how to tell without the room that is tested whether an entry is one.

use bailiwick::{
    audit::{Entry, Event},
    model::{Action, Attributes, Verdict},
};

use super::{PACE, SIZE};
use crate::support::history::{entry, recorded_at};

type Wanted = fn(&Entry) -> bool;

pub(super) fn person(entry: &Entry) -> &str {
    entry.caller.as_ref().map_or("", |caller| &caller.identity.subject)
}

pub(super) fn path(entry: &Entry) -> String {
    match &entry.event {
        Event::Decision { action: Action::Web(web), .. } => format!("{}{}", web.app, web.path),
        _ => String::new(),
    }
}

fn rules(entry: &Entry) -> &[String] {
    match &entry.event {
        Event::Decision { decision, .. } => &decision.policies,
        _ => &[],
    }
}

pub(super) fn verdict(entry: &Entry) -> Option<Verdict> {
    match &entry.event {
        Event::Decision { decision, .. } => Some(decision.verdict),
        _ => None,
    }
}

fn address(entry: &Entry) -> String {
    match &entry.event {
        Event::Refused { address, .. } | Event::SignIn { address, .. } => address.clone(),
        Event::Refusals { network, .. } => network.clone(),
        _ => entry.caller.as_ref().map(|caller| caller.address.to_string()).unwrap_or_default(),
    }
}

fn listed_pods(entry: &Entry) -> bool {
    let Event::Decision { action: Action::Kubernetes(asked), .. } = &entry.event else { return false };
    matches!(&asked.attributes, Attributes::Resource(at) if at.verb == "list" && at.resource == "pods")
}

pub(super) fn came_from(entry: &Entry, prefix: &str) -> bool {
    let caller = entry.caller.as_ref().map(|caller| caller.address.to_string());
    caller.is_some_and(|caller| caller.starts_with(prefix)) || address(entry).starts_with(prefix)
}

/// A search, and whether an entry is what it asks for.
pub(super) type Question = (String, Box<dyn Fn(&Entry) -> bool>);

/// Every filter and how to tell without the room that is tested; the entries at some borders; things that nothing has.
pub(super) fn questions() -> Vec<Question> {
    let simple: [(&str, Wanted); 30] = [
        ("", |_| true),
        ("who=corp/u-3", |e| person(e) == "u-3" || is_owner(e, "u-3")),
        ("who=corp%2Fu-33333", |_| false),
        ("who=corp/U-3", |_| false),
        ("who=ada+lovelace", |e| named(e, "Ada Lovelace")),
        ("who=LOVELACE", |e| named(e, "Lovelace")),
        ("what=sign-in", |e| matches!(e.event, Event::SignIn { .. })),
        ("what=List+pods", listed_pods),
        ("what=500", |e| matches!(e.event, Event::Outcome { status: Some(500), .. })),
        ("what=2xx", |e| matches!(e.event, Event::Outcome { status: Some(200), .. })),
        ("what=gap", |_| false),
        ("where=wiki/docs", |e| path(e).starts_with("wiki/docs/")),
        ("where=wiki/docs/7", |e| path(e) == "wiki/docs/7"),
        ("where=wiki/doc", |_| false),
        ("where=broker", |_| false),
        ("verdict=deny", |e| verdict(e) == Some(Verdict::Deny)),
        ("verdict=step-up", |e| verdict(e) == Some(Verdict::StepUp)),
        ("verdict=refused", |e| matches!(e.event, Event::Refused { .. } | Event::Refusals { .. })),
        ("verdict=failed", |e| matches!(&e.event, Event::SignIn { fault: Some(_), .. })),
        ("rule=team-3-may", |e| rules(e).iter().any(|rule| rule == "team-3-may")),
        ("rule=team-3", |_| false),
        ("address=10.0.0.0/8", |e| came_from(e, "10.")),
        ("address=198.51.0.0/16", |e| came_from(e, "198.51.")),
        ("address=203.0.113.0/24", |e| address(e) == "203.0.113.0/24"),
        ("address=203.0.113.7", |_| false),
        ("address=2001:db8::/32", |_| false),
        ("text=ask+TEAM", |e| verdict(e).is_some_and(|verdict| verdict != Verdict::Allow)),
        ("text=idle", |e| matches!(e.event, Event::LoginEnded { .. })),
        ("verdict=allow&who=corp/u-5", |e| person(e) == "u-5" && verdict(e) == Some(Verdict::Allow)),
        ("verdict=allow&what=sign-in", |_| false),
    ];
    let mut questions: Vec<Question> =
        simple.into_iter().map(|(query, wanted)| (query.to_owned(), Box::new(wanted) as _)).collect();
    let like = entry(2_000, PACE);
    let caller = like.caller.clone().unwrap();
    let (login, request) = (caller.login, like.request);
    let ended = move |e: &Entry| matches!(&e.event, Event::LoginEnded { login: ended, .. } if *ended == login);
    questions.push((
        format!("login={login}"),
        Box::new(move |e| e.caller.as_ref().is_some_and(|caller| caller.login == login) || ended(e)),
    ));
    questions.push((format!("request={}", request.unwrap()), Box::new(move |e| e.request == request)));
    questions.push((format!("who={}", caller.person), Box::new(move |e| person(e) == caller.identity.subject)));
    let credential = (0..SIZE).find_map(|n| entry(n, PACE).caller?.presented.credential()).unwrap();
    questions.push((
        format!("credential={credential}"),
        Box::new(move |e| {
            e.caller.as_ref().is_some_and(|caller| caller.presented.credential() == Some(credential))
                || matches!(&e.event, Event::CredentialRevoked { credential: revoked, .. } if *revoked == credential)
        }),
    ));
    // The first and the last leaf of blocks, to the microsecond.
    for (from, until) in [(1024, 2048), (1023, 1025), (2047, 2049), (0, SIZE), (3 * 1024 - 8, 3 * 1024 + 8)] {
        let (from, until) = (recorded_at(from, PACE), recorded_at(until, PACE));
        questions.push((
            format!("from={from}&until={until}"),
            Box::new(move |e| e.recorded_at >= from && e.recorded_at < until),
        ));
        questions.push((
            format!("verdict=deny&from={from}&until={until}"),
            Box::new(move |e| e.recorded_at >= from && e.recorded_at < until && verdict(e) == Some(Verdict::Deny)),
        ));
    }
    questions.push(("until=2026-09-01".to_owned(), Box::new(|_| false)));
    questions.push(("from=2027-09-01&verdict=allow".to_owned(), Box::new(|_| false)));
    questions
}

fn named(entry: &Entry, part: &str) -> bool {
    let owner = match &entry.event {
        Event::LoginEnded { owner, .. } => Some(owner),
        _ => None,
    };
    entry.caller.as_ref().map(|caller| &caller.identity).or(owner).is_some_and(|who| who.name.contains(part))
}

fn is_owner(entry: &Entry, subject: &str) -> bool {
    matches!(&entry.event, Event::LoginEnded { owner, .. } if owner.subject == subject)
}
