//! Carries a login over to an app's own host. The code that the browser takes along opens nothing without the nonce
//! cookie that the app's host has set before, and leads to a configured app and to no other host.

use axum::{
    extract::{Query, State},
    response::{IntoResponse, Redirect, Response},
};
use http::HeaderMap;
use serde::Deserialize;
use tower_sessions::Session;

use super::{
    Portal, PortalFault,
    caller::Visitor,
    destination::{AppPath, Destination},
    sign_in::onward,
};
use crate::model::{AppName, AssuranceLevel};

/// What the app's host asks with.
#[derive(Deserialize)]
pub struct Asked {
    app: AppName,
    nonce: String,
    #[serde(rename = "return", default)]
    back: String,
}

/// GET /handover
pub async fn carry(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    session: Session,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Result<Response, PortalFault> {
    let app = portal.settings.app.iter().find(|app| app.name == asked.app).ok_or(PortalFault::NotFound)?;
    if asked.nonce.len() != 64 || !asked.nonce.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(PortalFault::BadRequest("The nonce is not a SHA-256.".into()));
    }
    let back = AppPath::parse_or_front(&asked.back);
    let caller = portal.callers.from_session(&session, visit.address).await;
    let caller = caller.map_err(PortalFault::from).and_then(|caller| match caller.assurance.level {
        AssuranceLevel::Passkey => Ok(caller),
        AssuranceLevel::Provider => Err(PortalFault::HalfWay),
    });
    let door = match caller {
        Ok(caller) => {
            let code = portal.handovers.begin(&caller, &app.name, &asked.nonce, back.as_str()).await?;
            let address = format!("{}/.bailiwick/handover?code={code}", app.origin(&portal.settings.portal));
            return Ok(Redirect::to(&address).into_response());
        }
        Err(PortalFault::NobodyHere) => "/sign-in",
        Err(PortalFault::HalfWay) => "/passkey",
        Err(fault) => return Err(fault),
    };
    let wanted = Destination::Handover { app: app.name.clone(), nonce: asked.nonce, back };
    wanted.remember(&session).await?;
    Ok(onward(door, &headers))
}
