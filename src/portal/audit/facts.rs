//! What an entry holds, as terms: each that can be looked for is a link that looks for it. Made from the leaf bytes alone.

use super::Links;
use crate::{
    audit::entry::{ClosedBy, Entry, Event},
    model::{Caller, PolicyVersion, Reach},
    portal::{
        entry_words::{display, visible},
        page::Fact,
        words,
    },
};

/// Everything of an entry that its line does not say.
pub fn facts(entry: &Entry) -> Vec<Fact> {
    let mut facts = facts_of(&entry.event);
    facts.extend(entry.caller.as_ref().map(caller_facts).unwrap_or_default());
    facts.extend(entry.request.map(|request| link("Request", "request", request.to_string())));
    facts.push(plain("Happened", entry.happened_at.to_string()));
    facts.push(plain("Recorded", entry.recorded_at.to_string()));
    facts.push(code("Broker", entry.broker.to_string()));
    facts.push(plain("Kind", entry.event.kind().to_owned()));
    facts
}

fn facts_of(event: &Event) -> Vec<Fact> {
    match event {
        Event::Decision { policy, .. } => policy_facts(policy),
        Event::Outcome { received, sent, closed_by, .. } => vec![
            plain("Received", words::size(*received)),
            plain("Sent", words::size(*sent)),
            plain("Ended by", closed_by_words(*closed_by).to_owned()),
        ],
        Event::Refused { check, address, .. } => {
            vec![code("Check", check.clone()), link("From", "address", address.clone())]
        }
        Event::SignIn { provider, address, .. } => {
            let provider = provider.iter().map(|provider| code("Provider", provider.to_string()));
            provider.chain([link("From", "address", address.clone())]).collect()
        }
        Event::Enrolled { passkey, rp_id, .. } => {
            vec![code("Passkey", passkey.to_string()), code("Relying party", rp_id.clone())]
        }
        Event::LoginEnded { login, .. } => vec![link("Ended login", "login", login.to_string())],
        Event::CredentialIssued { credential, namespaces, reach, serial, not_after, .. } => {
            let mut facts =
                vec![link("Credential", "credential", credential.to_string()), plain("Until", not_after.to_string())];
            facts.extend(serial.iter().map(|serial| code("Serial", serial.clone())));
            if !namespaces.is_empty() {
                facts.push(code("Only in", namespaces.join(", ")));
            }
            if *reach == Reach::ReadOnly {
                facts.push(plain("Reach", "reading only".to_owned()));
            }
            facts
        }
        Event::CredentialRevoked { credential, .. } => {
            vec![link("Credential", "credential", credential.to_string())]
        }
        Event::StreamOpened { stream } | Event::StreamClosed { stream, .. } => {
            vec![link("Stream", "text", stream.to_string())]
        }
        Event::Invited { expires_at, before, by, .. } => {
            let before = before.map(|before| plain("Stood already until", before.to_string()));
            let by = by.iter().map(|by| plain("On the word of", by.clone()));
            std::iter::once(plain("Until", expires_at.to_string())).chain(before).chain(by).collect()
        }
        Event::Refusals { check, network, from, until, .. } => vec![
            code("Check", check.clone()),
            link("From", "address", network.clone()),
            plain("First", from.to_string()),
            plain("Last", until.to_string()),
        ],
        Event::Gap { from, until, .. } => vec![plain("First", from.to_string()), plain("Last", until.to_string())],
        Event::EpochBegan { root, key: Some(key), lost, .. } => {
            let lost = lost.iter().flatten().map(|key| code("Lost", key.clone()));
            [code("Root", root.clone()), code("Signs from here", key.clone())].into_iter().chain(lost).collect()
        }
        Event::EpochBegan { root, published_size, published_root, .. } => vec![
            code("Root", root.clone()),
            plain("Published", words::entries(*published_size)),
            code("Published root", published_root.clone()),
        ],
        Event::KeyRotated { retired, active, voucher, by } => {
            let voucher = voucher.iter().map(|voucher| code("Voucher", voucher.clone()));
            let by = by.iter().map(|by| plain("By", by.clone()));
            let keys = [code("Retired", retired.clone()), code("Active", active.clone())];
            keys.into_iter().chain(voucher).chain(by).collect()
        }
        Event::Archived { sha256, .. } => vec![code("SHA-256", sha256.clone())],
        Event::SearchChanged { before, after, .. } => {
            let was = before.iter().map(|search| code("Before", search.clone()));
            was.chain(after.iter().map(|search| code("Now", search.clone()))).collect()
        }
        Event::Exported { search, manifest, .. } => {
            vec![code("Search", search.clone()), code("Manifest", manifest.clone())]
        }
        Event::LogRead { reading, account, address, client, search, manifest, .. } => {
            let mut facts = vec![code("Account", account.clone())];
            facts.extend(address.iter().map(|address| link("From", "address", address.clone())));
            facts.push(plain("Program", client.clone()));
            facts.push(code("Search", search.clone()));
            facts.extend(manifest.iter().map(|manifest| code("Manifest", manifest.clone())));
            facts.push(link("Reading", "text", reading.to_string()));
            facts
        }
        Event::PolicyLoaded { policy, before, .. } => {
            let mut facts = policy_facts(policy);
            facts.extend(before.iter().map(|before| code("Policies before", before.policies.clone())));
            facts.extend(before.iter().map(|before| code("Entities before", before.entities.clone())));
            facts
        }
        Event::PolicyRejected { errors } => errors.iter().skip(1).map(|fault| plain("And", fault.clone())).collect(),
        Event::CollectorSkipped { from, until, why, .. } => vec![
            plain("First", from.to_string()),
            plain("Last", until.saturating_sub(1).to_string()),
            plain("Why", why.clone()),
        ],
        Event::BrokerStarted { configuration, key, .. } => {
            let mut facts = vec![code("Configuration", configuration.clone())];
            facts.extend(key.iter().map(|key| code("Signs with", key.clone())));
            facts
        }
        Event::UnknownOutcome { of } => vec![code("Of broker", of.to_string())],
        Event::NotForwarded { .. } | Event::BrokerStopped {} => Vec::new(),
    }
}

fn policy_facts(policy: &PolicyVersion) -> Vec<Fact> {
    vec![code("Policies", policy.policies.clone()), code("Entities", policy.entities.clone())]
}

fn caller_facts(caller: &Caller) -> Vec<Fact> {
    let who = plain("Who", format!("{} ({})", caller.identity.name, display(&caller.identity)));
    let mut facts = vec![Fact { href: Some(Links::default().with("who", &display(&caller.identity))), ..who }];
    if !caller.groups.is_empty() {
        facts.push(plain("Groups", caller.groups.join(", ")));
    }
    facts.push(link("From", "address", caller.address.to_string()));
    facts.push(plain("Presented", caller.presented.kind().to_owned()));
    let credential = caller.presented.credential();
    facts.extend(credential.map(|id| link("Credential", "credential", id.to_string())));
    facts.push(link("Login", "login", caller.login.to_string()));
    facts.push(plain("Proven", format!("{} at {}", caller.assurance.level.as_str(), caller.assurance.at)));
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

/// A term in words.
pub fn plain(term: &'static str, value: String) -> Fact {
    Fact { term, value: visible(&value), code: false, href: None }
}

/// A term to be read letter by letter.
pub fn code(term: &'static str, value: String) -> Fact {
    Fact { term, value: visible(&value), code: true, href: None }
}

/// A term that can be looked for, as `field`.
pub fn link(term: &'static str, field: &str, value: String) -> Fact {
    Fact { href: Some(Links::default().with(field, &value)), ..code(term, value) }
}
