//! Signing in at a provider and signing out again.
//!
//! The browser's session gets a new id whenever it takes up a login, so that an id planted before is worth nothing. An
//! attacker can begin a sign-in in somebody's browser and can bring them to the callback; the ceremony in the session
//! and the provider's `state` must both fit.

use axum::{
    Form,
    extract::{Query, State},
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use tower_sessions::Session;

use super::{
    Portal, PortalFault,
    caller::{AtLeastHalf, SignedIn, Visitor},
    destination::Destination,
    guard::from_elsewhere,
    page::{Frame, OnwardPage, ProviderButton, SignInPage, SignedOutPage, show},
};
use crate::{
    identity::{
        Answer, NotPresented,
        session::{CEREMONY, ID_TOKEN, LOGIN},
    },
    model::{AssuranceLevel, CeremonyId, LoginId, ProviderName},
};

/// GET /sign-in
pub async fn page(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    session: Session,
    headers: HeaderMap,
) -> Result<Response, PortalFault> {
    let notice = match portal.callers.from_session(&session, visit.address).await {
        Ok(caller) => {
            let half = caller.assurance.level < AssuranceLevel::Passkey;
            return Ok(onward(if half { "/passkey" } else { "/onward" }, &headers));
        }
        Err(NotPresented::Nothing) => None,
        Err(NotPresented::Unavailable(fault)) => return Err(fault.into()),
        Err(why) => Some(why.to_string()),
    };
    let destination = Destination::remembered(&session).await.and_then(|destination| destination.words());
    let providers = portal.logins.providers().iter().map(|provider| button(provider.name())).collect();
    Ok(show(StatusCode::OK, &SignInPage { frame: Frame::door(), destination, notice, providers }))
}

/// What the buttons of the sign-in page send.
#[derive(Deserialize)]
pub struct Chosen {
    provider: ProviderName,
}

/// POST /sign-in
pub async fn begin(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    session: Session,
    Form(chosen): Form<Chosen>,
) -> Result<Response, PortalFault> {
    portal.pace.take(visit.address, portal.clock.now()).map_err(PortalFault::TooMany)?;
    let (address, ceremony) = portal.logins.begin(&chosen.provider, &visit).await?;
    session.insert(CEREMONY, ceremony).await.map_err(PortalFault::failure)?;
    Ok(onward_page(address.as_str()))
}

/// GET /sign-in/callback
pub async fn callback(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    session: Session,
    Query(answer): Query<Answer>,
) -> Result<Response, PortalFault> {
    let ceremony: Option<CeremonyId> = session.remove(CEREMONY).await.map_err(PortalFault::failure)?;
    let ceremony =
        ceremony.ok_or(PortalFault::BadRequest("No sign-in has begun in this browser. Please begin again.".into()))?;
    // Each answer is an entry, whatever it proves.
    portal.answer_pace.take(visit.address, portal.clock.now()).map_err(PortalFault::TooMany)?;
    let half = portal.logins.finish(ceremony, &answer, &visit).await.map_err(PortalFault::recorded)?;
    let before: Option<LoginId> = session.get(LOGIN).await.map_err(PortalFault::failure)?;
    if let Some(before) = before {
        portal.logins.end(before, None, "signed in again").await?;
    }
    session.insert(LOGIN, half.login).await.map_err(PortalFault::failure)?;
    session.insert(ID_TOKEN, half.id_token).await.map_err(PortalFault::failure)?;
    session.cycle_id().await.map_err(PortalFault::failure)?;
    let next = if half.person.enrolled_at.is_some() { "/passkey" } else { "/enrol" };
    Ok(onward_page(next))
}

/// GET /onward: where the person was on the way to when they had to sign in or prove themselves.
pub async fn go_onward(
    State(portal): State<Portal>,
    SignedIn(_): SignedIn,
    session: Session,
) -> Result<Response, PortalFault> {
    let destination = Destination::take(&session).await?;
    let address = destination.address(&portal.settings).unwrap_or_else(|| "/".to_owned());
    Ok(Redirect::to(&address).into_response())
}

/// POST /sign-out
pub async fn sign_out(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    AtLeastHalf(caller): AtLeastHalf,
    session: Session,
) -> Result<Response, PortalFault> {
    let failure = |_| PortalFault::BadRequest("the portal's address is not a base".into());
    let back = portal.settings.portal.url.join(SIGNED_OUT).map_err(failure)?;
    let id_token: Option<String> = session.get(ID_TOKEN).await.map_err(PortalFault::failure)?;
    let provider = portal.logins.sign_out(&caller, id_token.as_deref(), &back, &visit).await?;
    session.flush().await.map_err(PortalFault::failure)?;
    Ok(provider.map_or_else(|| Redirect::to(SIGNED_OUT).into_response(), |there| onward_page(there.as_str())))
}

/// GET /signed-out
pub async fn signed_out() -> Response {
    show(StatusCode::OK, &SignedOutPage { frame: Frame::door() })
}

/// To a page of ours. Where another site led here, the page itself goes on: a redirect would still count as theirs.
pub fn onward(address: &str, headers: &HeaderMap) -> Response {
    if from_elsewhere(headers) { onward_page(address) } else { Redirect::to(address).into_response() }
}

/// A page that goes on by itself, to an address of ours or of somebody whom we trust.
pub fn onward_page(address: &str) -> Response {
    show(StatusCode::OK, &OnwardPage { frame: Frame::door(), address: address.to_owned() })
}

/// `corp` is called Corp.
fn button(name: &ProviderName) -> ProviderButton {
    ProviderButton { name: name.to_string(), label: titled(name) }
}

/// A provider's name as pages write it.
pub fn titled(name: &ProviderName) -> String {
    let mut letters = name.as_str().chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

const SIGNED_OUT: &str = "/signed-out";
