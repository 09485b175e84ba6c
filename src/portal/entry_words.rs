//! An entry of the log in words, made from its leaf bytes and from nothing beside them: an edited column shows nowhere.
//! An attacker wrote parts of it (paths, names, agents); the template escapes them, and control characters go here.

use super::{
    page::{EntryWords, Fact},
    words,
};
use crate::{
    audit::entry::{ClosedBy, Entry, Event, SignInStep, summary},
    model::{Caller, Context, Decision, PolicyVersion, Reach, Verdict},
};

/// The words for the leaf at `index`. Bytes that are no entry are shown as what they are.
pub fn entry_words(index: u64, leaf: &[u8]) -> EntryWords {
    match Entry::from_leaf(leaf) {
        Ok(entry) => readable(index, &entry, leaf),
        Err(_) => unreadable(index, leaf),
    }
}

/// `provider/subject`.
pub fn display(identity: &crate::model::Identity) -> String {
    format!("{}/{}", identity.provider, identity.subject)
}

fn readable(index: u64, entry: &Entry, leaf: &[u8]) -> EntryWords {
    let (badge, tone) = badge(&entry.event);
    let mut facts = vec![code("Leaf", index.to_string())];
    facts.extend(facts_of(&entry.event));
    facts.extend(entry.caller.as_ref().map(caller_facts).unwrap_or_default());
    facts.extend(entry.request.map(|request| code("Request", request.to_string())));
    facts.push(plain("Happened", entry.happened_at.to_string()));
    facts.push(code("Broker", entry.broker.to_string()));
    EntryWords {
        time: words::second(entry.recorded_at),
        exact: entry.recorded_at.to_string(),
        badge,
        tone,
        asked: visible(&asked(&entry.event)),
        caller: entry.caller.as_ref().map(|caller| visible(&display(&caller.identity))).unwrap_or_default(),
        facts,
        leaf: body(leaf),
    }
}

fn unreadable(index: u64, leaf: &[u8]) -> EntryWords {
    EntryWords {
        time: "unknown time".to_owned(),
        exact: String::new(),
        badge: "unreadable".to_owned(),
        tone: "no",
        asked: format!("leaf {index} is not an entry; run `bailiwick audit verify`"),
        caller: String::new(),
        facts: vec![code("Leaf", index.to_string())],
        leaf: hex::encode(leaf),
    }
}

fn badge(event: &Event) -> (String, &'static str) {
    let (word, tone) = match event {
        Event::Decision { decision, .. } => match decision.verdict {
            Verdict::Allow => ("allow", "yes"),
            Verdict::Deny => ("deny", "no"),
            Verdict::StepUp => ("step-up", "maybe"),
        },
        Event::Refused { .. } | Event::Refusals { .. } => ("refused", "no"),
        Event::Gap { .. } => ("gap", "no"),
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
        Event::EpochBegan { epoch, size, by, why, .. } => {
            format!("{by} accepted a fork: epoch {epoch} goes on from {}: {why}", words::entries(*size))
        }
        Event::KeyRotated { .. } => "checkpoints are signed with a new key".to_owned(),
        Event::Archived { from, until, file, .. } => format!("entries {from} to {until} archived in {file}"),
        Event::SearchChanged { name, before: None, .. } => format!("search {name:?} saved"),
        Event::SearchChanged { name, after: None, .. } => format!("search {name:?} removed"),
        Event::SearchChanged { name, .. } => format!("search {name:?} changed"),
        Event::Exported { entries, format, .. } => format!("{} exported as {format}", words::entries(*entries)),
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

fn facts_of(event: &Event) -> Vec<Fact> {
    match event {
        Event::Decision { context, decision, policy, .. } => decision_facts(decision, context, policy),
        Event::Outcome { received, sent, closed_by, .. } => vec![
            plain("Received", words::size(*received)),
            plain("Sent", words::size(*sent)),
            plain("Ended by", closed_by_words(*closed_by).to_owned()),
        ],
        Event::Refused { check, address, .. } => vec![code("Check", check.clone()), code("From", address.clone())],
        Event::SignIn { provider, address, .. } => {
            let provider = provider.iter().map(|provider| code("Provider", provider.to_string()));
            provider.chain([code("From", address.clone())]).collect()
        }
        Event::Enrolled { passkey, rp_id, .. } => {
            vec![code("Passkey", passkey.to_string()), code("Relying party", rp_id.clone())]
        }
        Event::LoginEnded { login, .. } => vec![code("Ended login", login.to_string())],
        Event::CredentialIssued { credential, namespaces, reach, serial, not_after, .. } => {
            let mut facts = vec![code("Credential", credential.to_string()), plain("Until", not_after.to_string())];
            facts.extend(serial.iter().map(|serial| code("Serial", serial.clone())));
            if !namespaces.is_empty() {
                facts.push(code("Only in", namespaces.join(", ")));
            }
            if *reach == Reach::ReadOnly {
                facts.push(plain("Reach", "reading only".to_owned()));
            }
            facts
        }
        Event::CredentialRevoked { credential, .. } => vec![code("Credential", credential.to_string())],
        Event::StreamOpened { stream } | Event::StreamClosed { stream, .. } => vec![code("Stream", stream.to_string())],
        Event::Invited { expires_at, .. } => vec![plain("Until", expires_at.to_string())],
        Event::Refusals { check, network, from, until, .. } => vec![
            code("Check", check.clone()),
            code("From", network.clone()),
            plain("First", from.to_string()),
            plain("Last", until.to_string()),
        ],
        Event::Gap { from, until, .. } => vec![plain("First", from.to_string()), plain("Last", until.to_string())],
        Event::EpochBegan { root, published_size, published_root, .. } => vec![
            code("Root", root.clone()),
            plain("Published", words::entries(*published_size)),
            code("Published root", published_root.clone()),
        ],
        Event::KeyRotated { retired, active } => vec![code("Retired", retired.clone()), code("Active", active.clone())],
        Event::Archived { sha256, .. } => vec![code("SHA-256", sha256.clone())],
        Event::SearchChanged { before, after, .. } => {
            let was = before.iter().map(|search| code("Before", search.clone()));
            was.chain(after.iter().map(|search| code("Now", search.clone()))).collect()
        }
        Event::Exported { search, manifest, .. } => {
            vec![code("Search", search.clone()), code("Manifest", manifest.clone())]
        }
        Event::PolicyLoaded { policy, .. } => policy_facts(policy),
        Event::PolicyRejected { errors } => errors.iter().skip(1).map(|fault| plain("And", fault.clone())).collect(),
        Event::BrokerStarted { configuration, .. } => vec![code("Configuration", configuration.clone())],
        Event::UnknownOutcome { of } => vec![code("Of broker", of.to_string())],
        Event::NotForwarded { .. } | Event::BrokerStopped {} => Vec::new(),
    }
}

fn decision_facts(decision: &Decision, context: &Context, policy: &PolicyVersion) -> Vec<Fact> {
    let mut facts = vec![plain("Because", decision.sentence())];
    facts.extend(decision.policies.iter().map(|id| code("Rule", id.clone())));
    facts.extend(decision.errors.iter().map(|fault| plain("Error", fault.clone())));
    if let Some(fresh) = decision.fresh {
        facts.push(code("After a passkey", fresh.as_str().to_owned()));
    }
    facts.push(plain("Proven by", format!("{}, {} before", context.assurance, age(context.assurance_age))));
    facts.extend(policy_facts(policy));
    facts
}

fn policy_facts(policy: &PolicyVersion) -> Vec<Fact> {
    vec![code("Policies", policy.policies.clone()), code("Entities", policy.entities.clone())]
}

fn caller_facts(caller: &Caller) -> Vec<Fact> {
    let mut facts = vec![plain("Who", format!("{} ({})", caller.identity.name, display(&caller.identity)))];
    if !caller.groups.is_empty() {
        facts.push(plain("Groups", caller.groups.join(", ")));
    }
    facts.push(code("From", caller.address.to_string()));
    let credential = caller.presented.credential().map(|id| format!(" {id}")).unwrap_or_default();
    facts.push(code("Presented", format!("{}{credential}", caller.presented.kind())));
    facts.push(code("Login", caller.login.to_string()));
    facts
}

const fn closed_by_words(by: ClosedBy) -> &'static str {
    match by {
        ClosedBy::Upstream => "its own end",
        ClosedBy::Caller => "the caller, who went away",
        ClosedBy::Revocation => "revocation",
        ClosedBy::Timeout => "a time limit",
        ClosedBy::Broker => "the broker",
        ClosedBy::UpstreamFault => "a fault of the upstream",
    }
}

fn age(seconds: i64) -> String {
    words::span(std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// The canonical JSON after the version byte.
fn body(leaf: &[u8]) -> String {
    visible(&String::from_utf8_lossy(leaf.get(1..).unwrap_or_default()))
}

/// Control and direction characters, as their code points: what is read must be what is there.
fn visible(text: &str) -> String {
    let hides = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|c| if hides(c) { format!("\\u{{{:x}}}", u32::from(c)) } else { c.to_string() }).collect()
}

fn plain(term: &'static str, value: String) -> Fact {
    Fact { term, value: visible(&value), code: false }
}

fn code(term: &'static str, value: String) -> Fact {
    Fact { term, value: visible(&value), code: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::entry::Salt,
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

    #[test]
    fn an_outcome_is_given_in_words() {
        let event = Event::Outcome {
            status: Some(200),
            received: 0,
            sent: 18_345,
            duration: 41_000,
            closed_by: ClosedBy::Upstream,
        };
        let words = entry_words(3, &leaf(event));
        assert_eq!((words.badge.as_str(), words.asked.as_str()), ("outcome", "200 · 18.3 kB sent · 41 ms"));
        assert!(words.leaf.starts_with("{\"broker\""));
    }

    #[test]
    fn bytes_that_are_no_entry_are_called_so() {
        let mut changed = leaf(Event::BrokerStopped {});
        changed[0] = 9;
        assert_eq!(entry_words(3, &changed).badge, "unreadable");
    }

    #[test]
    fn characters_that_hide_others_are_shown() {
        let words = entry_words(3, &leaf(Event::NotForwarded { why: "a\u{202e}b\u{1b}[2J".to_owned() }));
        assert!(words.asked.ends_with("a\\u{202e}b\\u{1b}[2J"), "{}", words.asked);
        assert_eq!(words.badge, "not forwarded");
    }
}
