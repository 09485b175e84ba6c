//! How a login gets from the portal to an app's host, and leaves it again: the paths below `/.bailiwick/`, which never
//! reach the app.
//!
//! The nonce cookie is set before the browser is sent to the portal, so that a code that somebody else obtained opens
//! nothing in this browser, and one that leaks opens nothing elsewhere.

use std::net::IpAddr;

use http::{Response, StatusCode, header, request::Parts};

use super::{
    answer::{plain, see_other},
    cookies,
    web::{Arrived, WebDoor},
};
use crate::{
    audit::{ChangeFault, Draft, Event, SignInStep},
    identity::{Denial, IdentityFault, NotPresented},
    listener::ResponseBody,
    model::{Caller, CanonicalPath, Method, Presented},
    store::{
        app_session,
        revocation::{self, RevokedKind},
    },
};

const OURS: &str = "/.bailiwick/";

/// To the portal, with a nonce left in the browser.
pub(super) fn begin(door: &WebDoor, target: &str) -> Response<ResponseBody> {
    let (nonce, hash) = door.rooms.handovers.nonce();
    let mut response = see_other(&door.at_portal("handover", target, &[("nonce", &hash)]));
    if let Some(cookie) = cookies::set(cookies::NONCE, &nonce) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Whether `path` is ours on an app's host.
pub(super) fn is_reserved(path: &CanonicalPath) -> bool {
    path.as_str().starts_with(OURS) || path.as_str() == "/.bailiwick"
}

/// Answers what is ours on an app's host.
pub(super) async fn reserved(door: &WebDoor, parts: &Parts, arrived: &Arrived) -> Response<ResponseBody> {
    let name = arrived.path.as_str().strip_prefix(OURS).unwrap_or_default();
    let refuse = async |check, status, text: &'static str| {
        let caller = door.behind(&parts.headers, arrived.address).await;
        door.note(caller.as_deref(), check, text, arrived.address, arrived.request);
        plain(status, text)
    };
    match (name, arrived.method) {
        ("handover", Method::Get) => finish(door, parts, arrived).await,
        ("sign-out", Method::Post) => sign_out(door, parts, arrived.address).await,
        ("handover" | "sign-out", _) => {
            refuse("method", StatusCode::METHOD_NOT_ALLOWED, "This method is not allowed.").await
        }
        _ => refuse("address", StatusCode::NOT_FOUND, "There is nothing here.").await,
    }
}

/// Back from the portal: the code for a cookie of the app's own.
async fn finish(door: &WebDoor, parts: &Parts, arrived: &Arrived) -> Response<ResponseBody> {
    const AGAIN: &str = "This sign-in has expired, or began in another browser or tab. Open the app again.";
    let &Arrived { request, address, .. } = arrived;
    let query = parts.uri.query().unwrap_or_default();
    let code = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "code").map(|(_, code)| code);
    let (Some(code), Some(nonce)) = (code, cookies::one(&parts.headers, cookies::NONCE)) else {
        door.note(None, "handover", "the code, or the browser's own half of it, is missing", address, request);
        return plain(StatusCode::BAD_REQUEST, AGAIN);
    };
    let redeemed = match door.rooms.handovers.redeem(&door.app, &code, nonce).await {
        Ok(cookie) => record(door, &cookie.value, address).await.map(|()| cookie),
        Err(fault) => Err(fault),
    };
    match redeemed {
        Ok(cookie) => {
            let mut response = see_other(&format!("{}{}", door.origin, cookie.return_to));
            let set = [cookies::set(cookies::APP_SESSION, &cookie.value), cookies::clear(cookies::NONCE)];
            for cookie in set.into_iter().flatten() {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            response
        }
        Err(fault @ (IdentityFault::Denied(_) | IdentityFault::BadRequest(_))) => {
            door.note(None, "handover", &fault.to_string(), address, request);
            plain(StatusCode::BAD_REQUEST, AGAIN)
        }
        Err(fault) => {
            tracing::error!(%fault, app = %door.app, "a hand-over failed");
            door.note(None, "unavailable", "the hand-over could not be looked up or recorded", address, request);
            plain(StatusCode::SERVICE_UNAVAILABLE, "Sign-in is not possible just now. Try again in a moment.")
        }
    }
}

/// Records that the login has come to the app. Without the entry the browser is not given its cookie, and nobody else
/// knows the value.
async fn record(door: &WebDoor, cookie: &str, address: IpAddr) -> Result<(), IdentityFault> {
    let caller = door.rooms.callers.from_app_cookie(cookie, &door.app, address).await;
    let caller = caller.map_err(|why| match why {
        NotPresented::Unavailable(fault) => IdentityFault::Store(fault),
        _ => Denial::LoginEnded.into(),
    })?;
    let _receipt = door.rooms.log.append(step(door, &caller, SignInStep::HandOver)).await?;
    Ok(())
}

/// Leaves the app. The origin was checked with everything that changes anything.
async fn sign_out(door: &WebDoor, parts: &Parts, address: IpAddr) -> Response<ResponseBody> {
    let mut response = see_other(&format!("{}/", door.portal));
    if let Some(cookie) = cookies::one(&parts.headers, cookies::APP_SESSION)
        && let Ok(caller) = door.rooms.callers.from_app_cookie(cookie, &door.app, address).await
        && let Err(fault) = end(door, &caller).await
    {
        tracing::error!(%fault, app = %door.app, "signing out of an app failed");
        return plain(StatusCode::SERVICE_UNAVAILABLE, "Signing out is not possible just now. Try again in a moment.");
    }
    if let Some(cookie) = cookies::clear(cookies::APP_SESSION) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Ends the app session, and with it its open streams at every broker.
async fn end(door: &WebDoor, caller: &Caller) -> Result<(), ChangeFault> {
    let Presented::AppSession(session) = caller.presented else { return Ok(()) };
    let now = door.rooms.clock.now();
    let step = step(door, caller, SignInStep::SignOut);
    let done = door.rooms.log.append_within(move |db| {
        let step = step.clone();
        Box::pin(async move {
            app_session::end(&mut *db, session, now).await?;
            revocation::revoke(db, RevokedKind::AppSession, session.uuid(), "signed out", now).await?;
            Ok(((), vec![step]))
        })
    });
    let ((), _receipt) = done.await?;
    door.rooms.callers.catch_up().await;
    Ok(())
}

fn step(door: &WebDoor, caller: &Caller, step: SignInStep) -> Draft {
    Draft {
        caller: Some(caller.into()),
        event: Event::SignIn {
            step,
            provider: Some(caller.identity.provider.clone()),
            fault: None,
            address: caller.address.to_string(),
        },
        happened_at: door.rooms.clock.now(),
        request: None,
    }
}
