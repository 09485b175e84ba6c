//! An entry of the log as a line, made from its leaf bytes and from nothing beside them: an edited column shows nowhere.
//! An attacker wrote parts of it (paths, names, agents); the template escapes them, and control characters go here.

use super::{
    audit::Links,
    page::{EntryLine, Value},
    words,
};
use crate::{
    audit::{
        entry::{Entry, Event, SignInStep, summary},
        refusals::network_words,
    },
    model::{Action, Attributes, Caller, Identity, RequestId, Scope, Verdict},
};

/// The line for the leaf at `index`. Bytes that are no entry are shown as what they are.
pub fn line(index: u64, entry: Option<&Entry>, links: &Links) -> EntryLine {
    let href = format!("/audit/entries/{index}");
    let Some(entry) = entry else { return unreadable(index, href) };
    let (badge, tone) = badge(&entry.event);
    EntryLine {
        href,
        leaf: index.to_string(),
        time: words::time_of_day(entry.recorded_at),
        exact: entry.recorded_at.to_string(),
        badge,
        tone,
        asked: visible(&asked(&entry.event)),
        of: None,
        values: values(entry, links),
        current: false,
    }
}

/// What a decision was asked for: what its outcome is an outcome of.
pub fn request_of(entry: &Entry) -> Option<(RequestId, String)> {
    match &entry.event {
        Event::Decision { action, .. } => Some((entry.request?, visible(&summary(action)))),
        _ => None,
    }
}

/// `provider/subject`.
pub fn display(identity: &Identity) -> String {
    format!("{}/{}", identity.provider, identity.subject)
}

/// Control and direction characters, as their code points: what is read must be what is there.
pub fn visible(text: &str) -> String {
    let hides = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    text.chars().map(|c| if hides(c) { format!("\\u{{{:x}}}", u32::from(c)) } else { c.to_string() }).collect()
}

fn unreadable(index: u64, href: String) -> EntryLine {
    EntryLine {
        href,
        leaf: index.to_string(),
        time: "unknown".to_owned(),
        exact: String::new(),
        badge: "unreadable".to_owned(),
        tone: "no",
        asked: format!("leaf {index} is not an entry; run `bailiwick audit verify`"),
        of: None,
        values: Vec::new(),
        current: false,
    }
}

/// Who, where, by which rules, from where, in which request: each looks for more of the same.
fn values(entry: &Entry, links: &Links) -> Vec<Value> {
    let mut values = Vec::new();
    let mut add = |term: &'static str, text: &str| {
        values.push(Value { term, text: visible(text), href: Some(links.with(term, text)) });
    };
    if let Some(caller) = &entry.caller {
        add("who", &display(&caller.identity));
    }
    if let Some(place) = place(entry) {
        add("where", &place);
    }
    match &entry.event {
        Event::Decision { decision, .. } => {
            decision.policies.iter().take(MOST_RULES).for_each(|rule| add("rule", rule))
        }
        Event::LoginEnded { owner, .. } => add("who", &display(owner)),
        Event::Invited { person, .. } => add("who", &display(person)),
        _ => {}
    }
    match (&entry.event, &entry.caller) {
        (Event::Refused { address, .. } | Event::SignIn { address, .. }, _) => add("address", address),
        (Event::Refusals { network, .. }, _) => add("address", network),
        (Event::Decision { .. }, Some(caller)) => add("address", &caller.address.to_string()),
        _ => {}
    }
    if let Some(request) = entry.request {
        let whole = request.to_string();
        let text = whole.chars().take(8).collect();
        values.push(Value { term: "request", text, href: Some(links.with("request", &whole)) });
    }
    values
}

/// Where it happened, as far as a search can tell: an app, a cluster with a namespace, or nothing for the portal.
pub fn place(entry: &Entry) -> Option<String> {
    match &entry.event {
        Event::Decision { action: Action::Web(web), .. } => Some(web.app.to_string()),
        Event::Decision { action: Action::Issue(issue), .. } => Some(issue.cluster.to_string()),
        Event::Decision { action: Action::Kubernetes(request), .. } => Some(match &request.attributes {
            Attributes::Resource(at) if !at.namespace.is_empty() => format!("{}/{}", request.cluster, at.namespace),
            _ => request.cluster.to_string(),
        }),
        Event::Decision { .. } | Event::SignIn { .. } => Some("portal".to_owned()),
        Event::CredentialIssued { cluster: Some(cluster), .. } => Some(cluster.to_string()),
        Event::Refused { target, .. } | Event::Refusals { target, .. } => {
            Some(target.clone()).filter(|target| !target.is_empty())
        }
        _ => entry.caller.as_ref().and_then(reach),
    }
}

fn reach(caller: &Caller) -> Option<String> {
    match &caller.scope {
        Scope::App { app } => Some(app.to_string()),
        Scope::Cluster { cluster, .. } => Some(cluster.to_string()),
        Scope::Portal => None,
    }
}

/// A decision can be made by many rules; the entry in full names them all.
const MOST_RULES: usize = 3;

fn badge(event: &Event) -> (String, &'static str) {
    let (word, tone) = match event {
        Event::Decision { decision, .. } => match decision.verdict {
            Verdict::Allow => ("allow", "yes"),
            Verdict::Deny => ("deny", "no"),
            Verdict::StepUp => ("step-up", "maybe"),
        },
        Event::Refused { .. } | Event::Refusals { .. } => ("refused", "no"),
        Event::Gap { .. } => ("gap", "no"),
        Event::EpochBegan { key: Some(_), .. } => ("keys lost", "no"),
        Event::EpochBegan { .. } => ("fork accepted", "no"),
        Event::PolicyRejected { .. } => ("rules rejected", "no"),
        Event::SignIn { fault: Some(_), .. } => ("sign-in failed", "no"),
        Event::NotForwarded { .. } | Event::UnknownOutcome { .. } => (event.kind(), "maybe"),
        Event::Enrolled { .. } | Event::Invited { .. } => (event.kind(), "maybe"),
        other => (other.kind(), ""),
    };
    (word.replace('-', if word == "sign-in" || word == "step-up" { "-" } else { " " }), tone)
}

/// What was asked, or what happened.
fn asked(event: &Event) -> String {
    match event {
        Event::Decision { action, .. } => summary(action),
        Event::Outcome { status, sent, duration, .. } => {
            let status = status.map_or("no answer".to_owned(), |status| status.to_string());
            let sent = if *sent > 0 { format!(" · {} sent", words::size(*sent)) } else { String::new() };
            format!("{status}{sent} · {}", words::duration(*duration))
        }
        Event::NotForwarded { why } => format!("permitted, but not forwarded: {why}"),
        Event::UnknownOutcome { .. } => "its broker died; what became of it is not known".to_owned(),
        Event::Refused { why, target, .. } => format!("{target}: {why}"),
        Event::Refusals { why, target, count, network, .. } => {
            let network = network_words(network);
            format!("{target}: {}, from {network}: {why}", words::plural(*count, "refusal"))
        }
        Event::Gap { lost, why, .. } => format!("{} lost: {why}", words::entries(*lost)),
        Event::SignIn { step, fault, .. } => match fault {
            Some(fault) => format!("{}: {fault}", step_words(*step)),
            None => step_words(*step).to_owned(),
        },
        Event::Enrolled { first: true, .. } => "first passkey registered".to_owned(),
        Event::Enrolled { .. } => "passkey registered".to_owned(),
        Event::LoginEnded { owner, cause, .. } => format!("login of {} ended: {cause}", display(owner)),
        Event::CredentialIssued { cluster: Some(cluster), .. } => format!("certificate for {cluster}"),
        Event::CredentialIssued { cluster: None, .. } => "token for the command line".to_owned(),
        Event::CredentialRevoked { cause, .. } => format!("credential revoked: {cause}"),
        Event::StreamOpened { .. } => "stream opened".to_owned(),
        Event::StreamClosed { cause, .. } => format!("stream closed: {cause}"),
        Event::Invited { person, .. } => format!("{} may register a first passkey", display(person)),
        Event::PolicyLoaded { rules, .. } => format!("{} put in force", words::plural(*rules, "rule")),
        Event::PolicyRejected { errors } => errors.first().cloned().unwrap_or_default(),
        Event::EpochBegan { epoch, size, by, why, key: Some(_), .. } => {
            format!("{by} made new keys: epoch {epoch} goes on from {}: {why}", words::entries(*size))
        }
        Event::EpochBegan { epoch, size, by, why, .. } => {
            format!("{by} accepted a fork: epoch {epoch} goes on from {}: {why}", words::entries(*size))
        }
        Event::KeyRotated { .. } => "checkpoints are signed with a new key".to_owned(),
        Event::Archived { from, until, file, .. } => format!("entries {from} to {until} archived in {file}"),
        Event::SearchChanged { name, before: None, .. } => format!("search {name:?} saved"),
        Event::SearchChanged { name, after: None, .. } => format!("search {name:?} removed"),
        Event::SearchChanged { name, .. } => format!("search {name:?} changed"),
        Event::Exported { entries, format, .. } => format!("{} exported as {format}", words::entries(*entries)),
        Event::LogRead { account, command, entries, .. } => {
            let count = entries.map_or("entries".to_owned(), words::entries);
            format!("{count} read by {account} on the command line ({command})")
        }
        Event::CollectorSkipped { collector, from, until, .. } => {
            format!("{} left out of collector {collector}", words::entries(until.saturating_sub(*from)))
        }
        Event::BrokerStarted { version, .. } => format!("broker {version} started"),
        Event::BrokerStopped {} => "broker stopped in good order".to_owned(),
    }
}

const fn step_words(step: SignInStep) -> &'static str {
    match step {
        SignInStep::Begun => "sent to the provider",
        SignInStep::Provider => "the provider answered",
        SignInStep::Passkey => "passkey asserted",
        SignInStep::StepUp => "passkey asserted again",
        SignInStep::HandOver => "carried over to an app",
        SignInStep::SignOut => "signed out",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::entry::{ClosedBy, Salt},
        model::{BrokerId, SeededEntropy, Timestamp},
    };

    fn leaf(event: Event) -> Vec<u8> {
        let at = Timestamp::from_micros(1_795_261_525_000_000);
        let entry = Entry {
            broker: BrokerId::random(&SeededEntropy::new(1)),
            caller: None,
            event,
            happened_at: at,
            recorded_at: at,
            request: None,
            salt: Salt([7; 16]),
        };
        entry.leaf().unwrap()
    }

    fn words_of(leaf: &[u8]) -> EntryLine {
        line(3, Entry::from_leaf(leaf).ok().as_ref(), &Links::default())
    }

    #[test]
    fn an_outcome_is_given_in_words() {
        let event = Event::Outcome {
            status: Some(200),
            received: 0,
            sent: 18_345,
            duration: 41_000,
            closed_by: ClosedBy::Upstream,
        };
        let words = words_of(&leaf(event));
        assert_eq!((words.badge.as_str(), words.asked.as_str()), ("outcome", "200 · 18.3 kB sent · 41 ms"));
        assert_eq!((words.href.as_str(), words.time.as_str()), ("/audit/entries/3", "11:45:25"));
    }

    #[test]
    fn bytes_that_are_no_entry_are_called_so() {
        let mut changed = leaf(Event::BrokerStopped {});
        changed[0] = 9;
        assert_eq!(words_of(&changed).badge, "unreadable");
    }

    #[test]
    fn characters_that_hide_others_are_shown() {
        let words = words_of(&leaf(Event::NotForwarded { why: "a\u{202e}b\u{1b}[2J".to_owned() }));
        assert!(words.asked.ends_with("a\\u{202e}b\\u{1b}[2J"), "{}", words.asked);
        assert_eq!(words.badge, "not forwarded");
    }

    #[test]
    fn what_a_stranger_knocked_at_is_shown_and_can_be_looked_for() {
        let text = |text: &str| text.to_owned();
        let refused = Event::Refused {
            check: text("path"),
            why: text("no"),
            target: text("wi\u{202e}ki&x"),
            address: text("192.0.2.1"),
        };
        let values = words_of(&leaf(refused)).values;
        assert_eq!(values[0].text, "wi\\u{202e}ki&x");
        assert_eq!(values[0].href.as_deref(), Some("/audit?where=wi%E2%80%AEki%26x"));
        assert_eq!((values[1].term, values[1].text.as_str()), ("address", "192.0.2.1"));
    }
}
