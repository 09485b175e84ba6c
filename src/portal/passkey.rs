//! The pages and the two halves of the passkey ceremonies: enrolment, the second half of a login, and step-up.
//!
//! What the browser sends is a stranger's until the identity room has checked it. The session gets a new id whenever
//! the login that it carries has gained anything.

use axum::{
    Json,
    extract::{Query, State},
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_sessions::Session;
use webauthn_rs::prelude::{
    CreationChallengeResponse, PublicKeyCredential, RegisterPublicKeyCredential, RequestChallengeResponse,
};

use super::{
    Portal, PortalFault,
    caller::{AtLeastHalf, SignedIn, Visitor},
    destination::{AppPath, Destination},
    page::{EnrolPage, Frame, PasskeyPage, StepUpPage, show},
    sign_in::{onward, titled},
    told::told,
    words,
};
use crate::{
    identity::{Visit, session::CEREMONY},
    model::{Action, AppName, AssuranceLevel, Caller, CeremonyId},
};

/// GET /passkey
pub async fn page(State(portal): State<Portal>, AtLeastHalf(caller): AtLeastHalf) -> Result<Response, PortalFault> {
    if caller.assurance.level == AssuranceLevel::Passkey {
        return Ok(Redirect::to("/onward").into_response());
    }
    if !has_enrolled(&portal, &caller).await? {
        return Ok(Redirect::to("/enrol").into_response());
    }
    let provider = titled(&caller.identity.provider);
    Ok(show(StatusCode::OK, &PasskeyPage { frame: Frame::door(), person: caller.identity.name, provider }))
}

/// POST /passkey/begin and POST /step-up/begin
pub async fn begin(
    State(portal): State<Portal>,
    AtLeastHalf(caller): AtLeastHalf,
    session: Session,
) -> Result<Json<RequestChallengeResponse>, PortalFault> {
    let (ceremony, options) = portal.passkeys.begin_assertion(&caller).await?;
    session.insert(CEREMONY, ceremony).await.map_err(PortalFault::failure)?;
    Ok(Json(options))
}

/// POST /passkey/finish and POST /step-up/finish
pub async fn finish(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    AtLeastHalf(caller): AtLeastHalf,
    session: Session,
    Json(answer): Json<PublicKeyCredential>,
) -> Result<Json<Value>, PortalFault> {
    let ceremony = ceremony_in(&session).await?;
    let asserted = portal.passkeys.finish_assertion(&caller, ceremony, &answer, &visit).await;
    asserted.map_err(PortalFault::recorded)?;
    gained(&session).await
}

/// GET /enrol
pub async fn enrol_page(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    AtLeastHalf(caller): AtLeastHalf,
) -> Result<Response, PortalFault> {
    if has_enrolled(&portal, &caller).await? {
        return Ok(Redirect::to("/passkey").into_response());
    }
    let permit = may_enrol(&portal, &caller, &visit).await?;
    let page = EnrolPage {
        frame: Frame::door(),
        person: caller.identity.name.clone(),
        label: words::agent(&visit.agent),
        address: visit.address.to_string(),
    };
    Ok(told(permit, show(StatusCode::OK, &page)))
}

/// What the enrolment page sends first.
#[derive(Deserialize)]
pub struct Labelled {
    label: Option<String>,
}

/// POST /enrol/begin
pub async fn enrol_begin(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    AtLeastHalf(caller): AtLeastHalf,
    session: Session,
    Json(labelled): Json<Labelled>,
) -> Result<Json<CreationChallengeResponse>, PortalFault> {
    let permit = may_enrol(&portal, &caller, &visit).await?;
    let (ceremony, options) = portal.passkeys.begin_enrolment(permit).await?;
    // No session holds a NUL, and no label shows what hides.
    let plain = |label: String| label.chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned();
    let label = labelled.label.map(plain).filter(|label| !label.is_empty());
    session.insert(CEREMONY, ceremony).await.map_err(PortalFault::failure)?;
    session.insert(LABEL, label.unwrap_or_else(|| words::agent(&visit.agent))).await.map_err(PortalFault::failure)?;
    Ok(Json(options))
}

/// POST /enrol/finish
pub async fn enrol_finish(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    AtLeastHalf(caller): AtLeastHalf,
    session: Session,
    Json(answer): Json<RegisterPublicKeyCredential>,
) -> Result<Json<Value>, PortalFault> {
    let ceremony = ceremony_in(&session).await?;
    let label: Option<String> = session.remove(LABEL).await.map_err(PortalFault::failure)?;
    let permit = may_enrol(&portal, &caller, &visit).await?;
    let label = label.unwrap_or_default();
    portal.passkeys.finish_enrolment(permit, ceremony, &answer, &label, &visit).await?;
    gained(&session).await
}

/// Where a step-up comes from: an app, or the portal, which has remembered it.
#[derive(Deserialize)]
pub struct Wanted {
    app: Option<AppName>,
    #[serde(rename = "return", default)]
    back: String,
}

/// GET /step-up
pub async fn step_up_page(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    session: Session,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Response, PortalFault> {
    if let Some(app) = wanted.app {
        let app = portal.settings.app.iter().find(|known| known.name == app).ok_or(PortalFault::NotFound)?;
        let back = AppPath::parse_or_front(&wanted.back);
        Destination::App { app: app.name.clone(), back }.remember(&session).await?;
    }
    match portal.callers.from_session(&session, visit.address).await.map_err(PortalFault::from) {
        Ok(caller) if caller.assurance.level == AssuranceLevel::Passkey => {
            let destination = Destination::remembered(&session).await.and_then(|destination| destination.words());
            let page = StepUpPage { frame: Frame::door(), person: caller.identity.name, destination };
            Ok(show(StatusCode::OK, &page))
        }
        Ok(_) => Ok(onward("/passkey", &headers)),
        Err(PortalFault::NobodyHere) => Ok(onward("/sign-in", &headers)),
        Err(fault) => Err(fault),
    }
}

/// POST /step-up/begin
pub async fn step_up_begin(
    portal: State<Portal>,
    SignedIn(caller): SignedIn,
    session: Session,
) -> Result<Json<RequestChallengeResponse>, PortalFault> {
    begin(portal, AtLeastHalf(caller), session).await
}

/// POST /step-up/finish
pub async fn step_up_finish(
    portal: State<Portal>,
    visitor: Visitor,
    SignedIn(caller): SignedIn,
    session: Session,
    answer: Json<PublicKeyCredential>,
) -> Result<Json<Value>, PortalFault> {
    finish(portal, visitor, AtLeastHalf(caller), session, answer).await
}

/// Asks the gate whether this person may register a first passkey.
async fn may_enrol(portal: &Portal, caller: &Caller, visit: &Visit) -> Result<crate::access::Permit, PortalFault> {
    let request = portal.passkeys.enrol_request(caller).await?;
    portal.ask(caller, visit.request, Action::Enrol(request)).await
}

async fn has_enrolled(portal: &Portal, caller: &Caller) -> Result<bool, PortalFault> {
    let login = portal.logins.login(caller.login).await?.ok_or(PortalFault::NobodyHere)?;
    Ok(login.enrolled_at.is_some())
}

async fn ceremony_in(session: &Session) -> Result<CeremonyId, PortalFault> {
    let ceremony = session.remove(CEREMONY).await.map_err(PortalFault::failure)?;
    ceremony.ok_or(PortalFault::BadRequest("No ceremony has begun in this browser. Please begin again.".into()))
}

/// The login has gained something, so its session goes on under a new id, and the browser goes on its way.
async fn gained(session: &Session) -> Result<Json<Value>, PortalFault> {
    session.cycle_id().await.map_err(PortalFault::failure)?;
    Ok(Json(json!({ "next": "/onward" })))
}

const LABEL: &str = "passkey_label";
