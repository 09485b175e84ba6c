//! Lets the command line act for a login: the page that says what asks, and the answer, which goes to a port on this
//! very computer and nowhere else (RFC 8252, section 7.3).
//!
//! An attacker can send a person a link to this page. What it asks is shown, kept on the server, and taken from there
//! when the person answers, so that the answer is to what was shown.

use std::borrow::Cow;

use axum::{
    Form,
    extract::{Query, State},
    response::Response,
};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use tower_sessions::Session;
use url::form_urlencoded;

use super::{
    Portal, PortalFault,
    caller::{SignedIn, Visitor},
    destination::Destination,
    entry_words::display,
    page::{CommandLinePage, Frame, show},
    refusal::TARGET,
    sign_in::{onward, onward_page},
    words,
};
use crate::{
    audit::Refused,
    model::{AssuranceLevel, Caller, PortalAction, RequestId, Timestamp},
};

/// What the command line asks with.
#[derive(Deserialize)]
pub struct Asked {
    challenge: Option<String>,
    state: Option<String>,
    port: Option<u16>,
    host: Option<String>,
}

/// What was asked, as the server keeps it.
#[derive(Clone, Serialize, Deserialize)]
struct Ask {
    id: String,
    challenge: String,
    state: String,
    port: u16,
    host: String,
    at: Timestamp,
}

/// GET /command-line
pub async fn page(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    session: Session,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Result<Response, PortalFault> {
    let failure = PortalFault::failure;
    let ask = match checked(asked, visit.request, portal.clock.now())? {
        Some(ask) => {
            session.insert(KEY, &ask).await.map_err(failure)?;
            ask
        }
        None => session.get(KEY).await.map_err(failure)?.ok_or(GONE)?,
    };
    let door = match portal.callers.from_session(&session, visit.address).await.map_err(PortalFault::from) {
        Ok(caller) if caller.assurance.level == AssuranceLevel::Passkey => {
            return confirm(&portal, &caller, &ask).await;
        }
        Ok(_) => "/passkey",
        Err(PortalFault::NobodyHere) => "/sign-in",
        Err(fault) => return Err(fault),
    };
    Destination::CommandLine.remember(&session).await?;
    Ok(onward(door, &headers))
}

async fn confirm(portal: &Portal, caller: &Caller, ask: &Ask) -> Result<Response, PortalFault> {
    let login = portal.logins.login(caller.login).await?.ok_or(PortalFault::NobodyHere)?;
    let page = CommandLinePage {
        frame: Frame::door(),
        person: format!("{} ({})", caller.identity.name, display(&caller.identity)),
        host: ask.host.clone(),
        callback: format!("127.0.0.1:{}", ask.port),
        asked: words::moment(ask.at),
        asked_exact: ask.at.to_string(),
        ends: words::moment(login.expires_at),
        request: ask.id.clone(),
    };
    Ok(show(StatusCode::OK, &page))
}

/// What the page's buttons send.
#[derive(Deserialize)]
pub struct Answered {
    request: String,
    answer: String,
}

/// POST /command-line
pub async fn answer(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    SignedIn(caller): SignedIn,
    session: Session,
    Form(answered): Form<Answered>,
) -> Result<Response, PortalFault> {
    let ask: Option<Ask> = session.remove(KEY).await.map_err(PortalFault::failure)?;
    let now = portal.clock.now();
    let fits = |ask: &Ask| ask.id == answered.request && now.since(ask.at) <= PATIENCE;
    let ask = ask.filter(fits).ok_or(GONE)?;
    if answered.answer != "yes" {
        let (address, request) = (visit.address, Some(visit.request));
        let refused = Refused { check: "command-line", why: "the person said no", target: TARGET, address, request };
        portal.refusals.note(Some(&caller), refused);
        return Ok(ask.back("error", "access_denied"));
    }
    let asking = PortalAction::AuthorizeCommandLine;
    let permit = portal.ask(&caller, visit.request, crate::model::Action::Portal(asking)).await;
    if matches!(permit, Err(PortalFault::StepUp(_))) {
        session.insert(KEY, &ask).await.map_err(PortalFault::failure)?;
        Destination::CommandLine.remember(&session).await?;
    }
    let code = portal.command_lines.authorize(permit?, &ask.challenge).await.map_err(PortalFault::recorded)?;
    Ok(ask.back("code", &code))
}

impl Ask {
    /// Back to the program that asked.
    fn back(&self, name: &str, value: &str) -> Response {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("state", &self.state).append_pair(name, value);
        onward_page(&format!("http://127.0.0.1:{}/callback?{}", self.port, query.finish()))
    }
}

/// A question is whole and sound, or absent.
fn checked(asked: Asked, request: RequestId, at: Timestamp) -> Result<Option<Ask>, PortalFault> {
    let Asked { challenge, state, port, host } = asked;
    let (challenge, state, port, host) = match (challenge, state, port, host) {
        (None, None, None, None) => return Ok(None),
        (Some(challenge), Some(state), Some(port), Some(host)) => (challenge, state, port, host),
        _ => return Err(ODD),
    };
    let base64url = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let sound = challenge.len() == 43
        && base64url(&challenge)
        && (16..=128).contains(&state.len())
        && base64url(&state)
        && port >= 1024
        && (1..=64).contains(&host.chars().count())
        && host.chars().all(|c| c == ' ' || c.is_ascii_graphic());
    if sound { Ok(Some(Ask { id: request.to_string(), challenge, state, port, host, at })) } else { Err(ODD) }
}

const KEY: &str = "command_line";
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(600);
const GONE: PortalFault = PortalFault::BadRequest(Cow::Borrowed(
    "The question of the command line has expired or was answered. Type `bailiwick login` again.",
));
const ODD: PortalFault = PortalFault::BadRequest(Cow::Borrowed(
    "That is not a question of the command line's. Type `bailiwick login` again.",
));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SeededEntropy;

    fn check(challenge: &str, state: &str, port: u16, host: &str) -> bool {
        let own = |text: &str| Some(text.to_owned());
        let asked = Asked { challenge: own(challenge), state: own(state), port: Some(port), host: own(host) };
        checked(asked, RequestId::random(&SeededEntropy::new(1)), Timestamp::from_micros(0)).is_ok()
    }

    #[test]
    fn a_question_that_is_not_the_command_lines_is_refused() {
        let (challenge, state) = ("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "0123456789abcdef");
        assert!(check(challenge, state, 40_000, "ada-laptop"));
        assert!(!check("short", state, 40_000, "ada-laptop"));
        assert!(!check(challenge, "a&code=stolen-by-me", 40_000, "ada-laptop"));
        assert!(!check(challenge, state, 80, "ada-laptop"));
        assert!(!check(challenge, state, 40_000, "ada\u{202e}laptop"));
        assert!(!check(challenge, state, 40_000, ""));
    }
}
