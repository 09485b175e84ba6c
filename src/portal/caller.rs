//! Who calls, before any handler runs: the extractors that turn a session or a bearer token into a [`Caller`].
//! Promises that a handler which takes [`SignedIn`] never sees half a login, and that rows are read at every request.

use axum::{extract::FromRequestParts, http::request::Parts};
use http::{HeaderMap, Method, header};
use tower_sessions::Session;

use super::{Portal, PortalFault, destination::Destination, refusal::Known};
use crate::{
    identity::{NotPresented, Visit},
    listener::Peer,
    model::{AssuranceLevel, Caller, RequestId},
};

/// A person with a whole login.
pub struct SignedIn(pub Caller);

/// A person with half a login or a whole one.
pub struct AtLeastHalf(pub Caller);

/// The holder of a bearer token (RFC 6750, section 2.1).
pub struct Bearer(pub Caller);

/// The request as the sign-in rooms and the log want to know it.
pub struct Visitor(pub Visit);

impl FromRequestParts<Portal> for Visitor {
    type Rejection = PortalFault;

    async fn from_request_parts(parts: &mut Parts, _: &Portal) -> Result<Self, PortalFault> {
        let missing = |what: &str| PortalFault::Failure(format!("a request without {what}"));
        let peer = parts.extensions.get::<Peer>().ok_or_else(|| missing("a peer"))?;
        let request = parts.extensions.get::<RequestId>().ok_or_else(|| missing("an id"))?;
        let agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let agent = agent.unwrap_or_default().to_owned();
        Ok(Self(Visit { address: peer.address, agent, request: *request }))
    }
}

impl FromRequestParts<Portal> for AtLeastHalf {
    type Rejection = PortalFault;

    async fn from_request_parts(parts: &mut Parts, portal: &Portal) -> Result<Self, PortalFault> {
        match from_session(parts, portal).await {
            Ok(caller) => {
                known(parts).is(&caller);
                Ok(Self(caller))
            }
            Err(why) => {
                known(parts).is_nobody(why.to_string());
                Err(turned_away(parts, why.into()).await)
            }
        }
    }
}

impl FromRequestParts<Portal> for SignedIn {
    type Rejection = PortalFault;

    async fn from_request_parts(parts: &mut Parts, portal: &Portal) -> Result<Self, PortalFault> {
        let AtLeastHalf(caller) = AtLeastHalf::from_request_parts(parts, portal).await?;
        match caller.assurance.level {
            AssuranceLevel::Passkey => Ok(Self(caller)),
            AssuranceLevel::Provider => Err(turned_away(parts, PortalFault::HalfWay).await),
        }
    }
}

impl FromRequestParts<Portal> for Bearer {
    type Rejection = PortalFault;

    async fn from_request_parts(parts: &mut Parts, portal: &Portal) -> Result<Self, PortalFault> {
        let Visitor(visit) = Visitor::from_request_parts(parts, portal).await?;
        let token = bearer(&parts.headers).ok_or(NotPresented::Nothing);
        let caller = match token {
            Ok(token) => portal.callers.from_token(token, visit.address).await.map(|caller| caller.to_value()),
            Err(nothing) => Err(nothing),
        };
        match &caller {
            Ok(caller) => known(parts).is(caller),
            Err(why) => known(parts).is_nobody(why.to_string()),
        }
        Ok(Self(caller?))
    }
}

/// Where the outer layers learn who asks.
fn known(parts: &Parts) -> Known {
    parts.extensions.get::<Known>().cloned().unwrap_or_default()
}

/// The session's caller, if it has one.
pub async fn from_session(parts: &mut Parts, portal: &Portal) -> Result<Caller, NotPresented> {
    let (Some(session), Some(peer)) = (parts.extensions.get::<Session>(), parts.extensions.get::<Peer>()) else {
        return Err(NotPresented::Nothing);
    };
    portal.callers.from_session(session, peer.address).await
}

/// Remembers where a person wanted to go, so that they get there after signing in.
async fn turned_away(parts: &Parts, fault: PortalFault) -> PortalFault {
    let address = parts.uri.path_and_query().map_or(parts.uri.path(), |address| address.as_str());
    let wanted = Destination::page(address).filter(|_| parts.method == Method::GET && parts.uri.path() != "/");
    if let (Some(wanted), Some(session)) = (wanted, parts.extensions.get::<Session>())
        && let Err(failure) = wanted.remember(session).await
    {
        return failure;
    }
    fault
}

/// One `Authorization: Bearer` header and no second one.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

impl From<NotPresented> for PortalFault {
    fn from(why: NotPresented) -> Self {
        match why {
            NotPresented::Unavailable(fault) => Self::Unavailable(fault.to_string()),
            _ => Self::NobodyHere,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_comes_once_and_whole() {
        let with = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(with(&["Bearer abc"]), Some("abc".to_owned()));
        assert_eq!(with(&["bearer abc"]), Some("abc".to_owned()));
        for refused in [&[][..], &["abc"], &["Basic abc"], &["Bearer a", "Bearer a"], &["Bearer"]] {
            assert_eq!(with(refused), None, "{refused:?}");
        }
    }
}
