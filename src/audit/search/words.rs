//! Words: how text is cut into them, and the ones that stand for what an event did.

use std::borrow::Cow;

use crate::{
    audit::{ClosedBy, Event, SignInStep},
    model::{Action, Attributes, Cause, PortalAction, Upgrade},
};

/// The words of `text`: runs of letters and digits, in lower case, cut off after 64 characters.
pub(super) fn words(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(|word| {
        if word.len() <= LONGEST_WORD && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            return Cow::Borrowed(word);
        }
        let mut lower = word.to_lowercase();
        if let Some((end, _)) = lower.char_indices().nth(LONGEST_WORD) {
            lower.truncate(end);
        }
        Cow::Owned(lower)
    })
}

const LONGEST_WORD: usize = 64;

/// The words, beside its kind, for what `event` did.
pub(super) fn event_words(event: &Event, take: &mut impl FnMut(&str)) {
    match event {
        Event::Decision { action, decision, .. } => {
            action_words(action, take);
            if decision.cause != Cause::Permitted {
                take(cause(decision.cause));
            }
        }
        Event::Outcome { status, closed_by: end, .. } => {
            if let Some(status) = status {
                take(&status.to_string());
                take(&format!("{}xx", status / 100));
            }
            take(closed_by(*end));
        }
        Event::Refused { check, .. } | Event::Refusals { check, .. } => take(&check.to_lowercase()),
        Event::SignIn { step, .. } => take(sign_in_step(*step)),
        Event::CredentialIssued { cluster, .. } => take(if cluster.is_some() { "certificate" } else { "token" }),
        _ => {}
    }
}

fn action_words(action: &Action, take: &mut impl FnMut(&str)) {
    match action {
        Action::Web(web) => {
            take(&web.method.as_str().to_lowercase());
            upgrade(web.upgrade).into_iter().for_each(take);
        }
        Action::Kubernetes(asked) => {
            match &asked.attributes {
                Attributes::Resource(at) => {
                    take(&at.verb.to_lowercase());
                    take(&at.resource.to_lowercase());
                    if !at.subresource.is_empty() {
                        take(&at.subresource.to_lowercase());
                        take(&format!("{}/{}", at.resource, at.subresource).to_lowercase());
                    }
                }
                Attributes::NonResource(at) => take(&at.verb.to_lowercase()),
            }
            upgrade(asked.upgrade).into_iter().for_each(take);
        }
        Action::Issue(_) => take("issue"),
        Action::Enrol(_) => take("enrol"),
        Action::Portal(action) => take(portal_action(action)),
    }
}

const fn portal_action(action: &PortalAction) -> &'static str {
    match action {
        PortalAction::Home => "home",
        PortalAction::AuthorizeCommandLine => "authorize-command-line",
        PortalAction::ListSessions => "list-sessions",
        PortalAction::EndSession { .. } => "end-session",
        PortalAction::ReadAudit { .. } => "read-audit",
        PortalAction::ExportAudit { .. } => "export-audit",
        PortalAction::SaveSearch { .. } => "save-search",
        PortalAction::RemoveSearch { .. } => "remove-search",
        PortalAction::ReadPolicy => "read-policy",
        PortalAction::Invite { .. } => "invite",
    }
}

const fn upgrade(upgrade: Upgrade) -> Option<&'static str> {
    match upgrade {
        Upgrade::None => None,
        Upgrade::WebSocket => Some("web-socket"),
        Upgrade::Spdy => Some("spdy"),
    }
}

const fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Permitted => "permitted",
        Cause::NoRule => "no-rule",
        Cause::Forbidden => "forbidden",
        Cause::PolicyError => "policy-error",
        Cause::OutOfScope => "out-of-scope",
        Cause::Unknown => "unknown",
    }
}

/// The word in the bytes.
pub(in crate::audit) const fn closed_by(end: ClosedBy) -> &'static str {
    match end {
        ClosedBy::Upstream => "upstream",
        ClosedBy::Caller => "caller",
        ClosedBy::Revocation => "revocation",
        ClosedBy::Timeout => "timeout",
        ClosedBy::Broker => "broker",
        ClosedBy::UpstreamFault => "upstream-fault",
    }
}

/// The word in the bytes.
pub(in crate::audit) const fn sign_in_step(step: SignInStep) -> &'static str {
    match step {
        SignInStep::Begun => "begun",
        SignInStep::Provider => "provider",
        SignInStep::Passkey => "passkey",
        SignInStep::StepUp => "step-up",
        SignInStep::HandOver => "hand-over",
        SignInStep::SignOut => "sign-out",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters_and_digits_in_lower_case() {
        let found: Vec<_> = words("GET /Docs/page-12?Ärger\r\n\u{202e}x").collect();
        assert_eq!(found, ["get", "docs", "page", "12", "ärger", "x"]);
        assert_eq!(words(&"ü".repeat(500)).next().unwrap().chars().count(), 64);
        assert_eq!(words("--- \0").next(), None);
    }
}
