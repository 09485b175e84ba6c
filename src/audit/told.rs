//! An entry told in a few words: when, how it ended, who, what, why. For lines of the command line and rows of an export;
//! the page has words of its own. Peers wrote parts of it: whoever prints it makes it inert with [`super::printable`].

use std::collections::HashMap;

use sqlx::PgConnection;
use time::macros::format_description;

use super::{
    Entry, Event,
    columns::Columns,
    refusals::network_words,
    search::{closed_by, sign_in_step, verdict},
};
use crate::{
    model::{Identity, RequestId, Timestamp},
    store::{StoreFault, search},
};

/// See the head of this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When it was recorded, in UTC and always to the microsecond.
    pub at: String,
    /// How it ended, or what kind of entry it is.
    pub word: &'static str,
    /// `provider/subject` of whoever asked, or whom it was about; empty when nobody is known.
    pub who: String,
    /// What it was about; of an outcome, what its request asked for.
    pub what: String,
    /// Why, or what exactly.
    pub why: String,
}

/// What requests asked for, as far as their decisions are still there.
#[derive(Clone, Debug, Default)]
pub struct Targets(HashMap<RequestId, String>);

impl Targets {
    /// Looks up what the outcomes and streams among `entries` belong to, as far as `readable` lets decisions through.
    pub async fn of(
        db: &mut PgConnection,
        entries: impl IntoIterator<Item = &Entry>,
        readable: impl Fn(&Entry) -> bool,
    ) -> Result<Self, StoreFault> {
        let mut asked: Vec<_> = entries
            .into_iter()
            .filter(|entry| entry.event.follows_a_decision())
            .filter_map(|entry| Some(entry.request?.uuid()))
            .collect();
        asked.sort_unstable();
        asked.dedup();
        if asked.is_empty() {
            return Ok(Self::default());
        }
        let leaves = search::decisions_of(db, &asked).await?;
        let decisions = leaves.iter().filter_map(|leaf| Entry::from_leaf(leaf).ok()).filter(readable);
        let targets = decisions.filter_map(|entry| {
            let target = Columns::of(&entry).target?;
            Some((entry.request?, target))
        });
        Ok(Self(targets.collect()))
    }
}

impl Told {
    /// Tells of `entry`.
    pub fn of(entry: &Entry, targets: &Targets) -> Self {
        let target = Columns::of(entry).target;
        let of_request = || entry.request.and_then(|request| targets.0.get(&request)).cloned();
        let is_end = entry.event.follows_a_decision();
        Self {
            at: stamp(entry.recorded_at),
            word: verdict(&entry.event)
                .filter(|_| !matches!(entry.event, Event::SignIn { .. }))
                .unwrap_or(entry.event.kind()),
            who: who(entry).map(display).unwrap_or_default(),
            what: target.or_else(|| of_request().filter(|_| is_end)).unwrap_or_default(),
            why: why(&entry.event),
        }
    }
}

/// An instant in UTC, RFC 3339, always with six digits behind the second, so that lines stand below each other.
pub fn stamp(at: Timestamp) -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    at.to_datetime().format(&form).unwrap_or_else(|_| at.to_string())
}

fn who(entry: &Entry) -> Option<&Identity> {
    match (&entry.caller, &entry.event) {
        (Some(caller), _) => Some(&caller.identity),
        (None, Event::LoginEnded { owner, .. }) => Some(owner),
        _ => None,
    }
}

fn display(identity: &Identity) -> String {
    format!("{}/{}", identity.provider, identity.subject)
}

fn on_the_word_of(operator: &Option<String>) -> String {
    operator.as_ref().map_or(String::new(), |by| format!(", by {by}"))
}

fn why(event: &Event) -> String {
    match event {
        Event::Decision { decision, .. } => decision.sentence(),
        Event::Outcome { status, sent, closed_by: end, .. } => {
            let status = status.map_or("no answer".to_owned(), |status| status.to_string());
            match closed_by(*end) {
                "upstream" => format!("{status}, {sent} bytes"),
                end => format!("{status}, {sent} bytes, ended by {end}"),
            }
        }
        Event::NotForwarded { why } => why.clone(),
        Event::UnknownOutcome { of } => format!("broker {of} died"),
        Event::Refused { check, why, address, .. } => format!("{check}: {why}, from {address}"),
        Event::Refusals { check, why, network, count, .. } => {
            format!("{check}: {why} ({count} from {})", network_words(network))
        }
        Event::Gap { lost, why, .. } => format!("{lost} entries lost: {why}"),
        Event::SignIn { step, provider, fault, address } => {
            let at = provider.as_ref().map(|provider| format!(" at {provider}")).unwrap_or_default();
            let fault = fault.as_ref().map(|fault| format!(": {fault}")).unwrap_or_default();
            format!("{}{at}, from {address}{fault}", sign_in_step(*step))
        }
        Event::Enrolled { first, rp_id, .. } => {
            format!("{} passkey for {rp_id}", if *first { "first" } else { "another" })
        }
        Event::LoginEnded { owner, cause, .. } => format!("login of {}: {cause}", display(owner)),
        Event::CredentialRevoked { credential, cause } => format!("{credential}: {cause}"),
        Event::CredentialIssued { cluster, not_after, .. } => {
            let of = cluster.as_ref().map_or("token".to_owned(), |cluster| format!("certificate for {cluster}"));
            format!("{of}, until {not_after}")
        }
        Event::StreamOpened { stream } => stream.to_string(),
        Event::StreamClosed { cause, .. } => cause.clone(),
        Event::Invited { person, expires_at, before, by } => {
            let before = before.map_or(String::new(), |before| format!(" (already until {before})"));
            format!("{}, until {expires_at}{before}{}", display(person), on_the_word_of(by))
        }
        Event::PolicyLoaded { rules, .. } => format!("{rules} rules"),
        Event::PolicyRejected { errors } => errors.first().cloned().unwrap_or_default(),
        Event::EpochBegan { epoch, by, why, key, .. } => {
            let lost = if key.is_some() { ", with new keys" } else { "" };
            format!("epoch {epoch}{lost}, by {by}: {why}")
        }
        Event::KeyRotated { active, by, .. } => format!("{active}{}", on_the_word_of(by)),
        Event::Archived { from, until, file, .. } => format!("{from} to {until}, {file}"),
        Event::SearchChanged { name, before, after } => match (before, after) {
            (_, None) => format!("{name} removed"),
            (None, Some(_)) => format!("{name} saved"),
            (Some(_), Some(_)) => format!("{name} changed"),
        },
        Event::Exported { entries, format, search, .. } => format!("{entries} as {format}: {search}"),
        Event::LogRead { account, command, search, entries, .. } => {
            let count = entries.map_or(String::new(), |entries| format!(", {entries} entries"));
            format!("{command} by {account}{count}: {}", if search.is_empty() { "everything" } else { search })
        }
        Event::CollectorSkipped { collector, from, until, why } => format!("{collector}, {from} to {until}: {why}"),
        Event::BrokerStarted { version, .. } => version.clone(),
        Event::BrokerStopped {} => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_stand_below_each_other() {
        assert_eq!(stamp(Timestamp::from_micros(1_795_302_900_000_000)), "2026-11-21T23:15:00.000000Z");
        assert_eq!(stamp(Timestamp::from_micros(1_795_302_900_120_001)), "2026-11-21T23:15:00.120001Z");
    }
}
