//! Words: how text is cut into them, and the ones that stand for what an event did.

use std::borrow::Cow;

use crate::{
    audit::{ClosedBy, Event, SignInStep},
    model::{Action, Attributes, Cause, Method, PortalAction, Upgrade},
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

/// What an event did, where that is one of a few things and most of the log: its words are put together once a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Usual {
    /// A request to a web app was judged.
    Web(Method, Upgrade),
    /// A response has ended.
    Ended(Option<u16>, ClosedBy),
}

impl Usual {
    /// None: something else.
    pub(super) fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Decision { action: Action::Web(web), .. } => Some(Self::Web(web.method, web.upgrade)),
            Event::Outcome { status, closed_by, .. } => Some(Self::Ended(*status, *closed_by)),
            _ => None,
        }
    }

    /// The words for the whole of it: its kind, and those of [`event_words`].
    pub(super) fn terms(self, take: &mut impl FnMut(&str)) {
        take(match self {
            Self::Web(..) => "decision",
            Self::Ended(..) => "outcome",
        });
        self.words(take);
    }

    fn words(self, take: &mut impl FnMut(&str)) {
        match self {
            Self::Web(method, asked) => {
                take(&method.as_str().to_lowercase());
                upgrade(asked).into_iter().for_each(take);
            }
            Self::Ended(status, end) => {
                if let Some(status) = status {
                    take(&status.to_string());
                    take(&format!("{}xx", status / 100));
                }
                take(closed_by(end));
            }
        }
    }
}

/// The words, beside its kind, for what `event` did.
pub(super) fn event_words(event: &Event, take: &mut impl FnMut(&str)) {
    if let Some(usual) = Usual::of(event) {
        return usual.words(take);
    }
    match event {
        Event::Decision { action, .. } => action_words(action, take),
        Event::Refused { check, .. } | Event::Refusals { check, .. } => take(&check.to_lowercase()),
        Event::SignIn { step, .. } => take(sign_in_step(*step)),
        Event::CredentialIssued { cluster, .. } => take(if cluster.is_some() { "certificate" } else { "token" }),
        _ => {}
    }
}

fn action_words(action: &Action, take: &mut impl FnMut(&str)) {
    match action {
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
        // One of the usual things.
        Action::Web(_) => {}
    }
}

const fn portal_action(action: &PortalAction) -> &'static str {
    match action {
        PortalAction::Home => "home",
        PortalAction::AuthorizeCommandLine => "authorize-command-line",
        PortalAction::ListSessions => "list-sessions",
        PortalAction::EndSession { .. } => "end-session",
        PortalAction::RevokeCredential { .. } => "revoke-credential",
        PortalAction::ReadAudit { .. } => "read-audit",
        PortalAction::ReadEntry { .. } => "read-entry",
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

/// The word in the bytes.
pub(super) const fn cause(cause: Cause) -> &'static str {
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
