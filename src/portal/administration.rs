//! The pages for those who look after others: open logins and the state of the rules. Each asks the gate first.

use axum::{extract::State, response::Response};
use http::StatusCode;
use tower_sessions::Session;

use super::{
    Portal, PortalFault, audit,
    caller::{SignedIn, Visitor},
    entry_words::visible,
    home::login_row,
    page::{PolicyFaultWords, PolicyPage, RuleFile, RuleWords, SessionsPage, show},
    told::told,
    words,
};
use crate::{access::rules_of, model::PortalAction};

/// GET /sessions
pub async fn sessions(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    SignedIn(caller): SignedIn,
    session: Session,
) -> Result<Response, PortalFault> {
    let here = "/sessions";
    let permit = portal.ask_on_the_way(&caller, visit.request, PortalAction::ListSessions, (&session, here)).await?;
    let logins = portal.logins.live(None).await?;
    let mut hanging = portal.hanging_on(&logins).await?;
    let page = SessionsPage {
        frame: portal.frame(&permit, here),
        logins: logins.iter().map(|login| login_row(&portal, login, &mut hanging, &caller)).collect(),
    };
    Ok(told(permit, show(StatusCode::OK, &page)))
}

/// GET /policy
pub async fn policy(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    SignedIn(caller): SignedIn,
    session: Session,
) -> Result<Response, PortalFault> {
    let here = "/policy";
    let permit = portal.ask_on_the_way(&caller, visit.request, PortalAction::ReadPolicy, (&session, here)).await?;
    let state = portal.gate.live().state();
    let files = rule_files(&portal.gate.live().rules().texts().policies);
    let now = portal.clock.now();
    let frame = portal.frame(&permit, here);
    let page = PolicyPage {
        frame: super::page::Frame { banner: None, ..frame },
        rules: words::plural(u64::try_from(state.rules).unwrap_or(u64::MAX), "rule"),
        since: state.fault.as_ref().map(|fault| words::ago(now, fault.since)),
        faults: state
            .fault
            .map(|fault| fault.errors.iter().map(|error| fault_words(error)).collect())
            .unwrap_or_default(),
        files,
        policies: state.version.policies,
        entities: state.version.entities,
        schema: state.version.schema,
    };
    Ok(told(permit, show(StatusCode::OK, &page)))
}

/// The rules in force, file by file. Texts that were taken can be read.
fn rule_files(policies: &str) -> Vec<RuleFile> {
    let mut files: Vec<RuleFile> = Vec::new();
    for rule in rules_of(policies).unwrap_or_default() {
        let words = RuleWords {
            id: visible(&rule.id),
            reason: rule.reason.as_deref().map(visible),
            file: String::new(),
            text: Some(audit::lines(&rule.text)),
            href: audit::Links::default().with("rule", &rule.id),
        };
        match files.last_mut().filter(|last| last.name == rule.file) {
            Some(last) => last.rules.push(words),
            None => files.push(RuleFile { name: rule.file, rules: vec![words] }),
        }
    }
    files
}

/// `wiki.cedar:14:1: what is wrong`
fn fault_words(error: &str) -> PolicyFaultWords {
    match error.split_once(": ") {
        Some((place, message)) if place.contains(':') => {
            PolicyFaultWords { message: message.to_owned(), place: Some(place.to_owned()) }
        }
        _ => PolicyFaultWords { message: error.to_owned(), place: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_split_from_its_place() {
        let words = fault_words("wiki.cedar:14:1: unexpected token: `permitt`");
        assert_eq!(words.place.as_deref(), Some("wiki.cedar:14:1"));
        assert_eq!(words.message, "unexpected token: `permitt`");
        assert_eq!(fault_words("rules: the files could not be read").place, None);
    }
}
