//! What the portal refused before any rule was asked goes into the log from here: one place, through which every fault
//! passes on its way to its words, so that none is forgotten. Refusals that are recorded elsewhere are left out.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, OnceLock},
};

use axum::extract::Request;
use http::StatusCode;

use super::{Portal, PortalFault, error::Recorded, guard::Stranger};
use crate::{
    audit::Refused,
    listener::Peer,
    model::{Caller, RequestId},
};

/// What is found out about a request on its way to a handler: who asks, or why that is nobody. A part of the request,
/// so that the outermost layers know what the innermost have seen.
#[derive(Clone, Debug, Default)]
pub struct Known(Arc<Findings>);

#[derive(Debug, Default)]
struct Findings {
    caller: OnceLock<Caller>,
    why: OnceLock<String>,
}

impl Known {
    /// It is this caller.
    pub fn is(&self, caller: &Caller) {
        let _ = self.0.caller.set(caller.clone());
    }

    /// It is nobody, for this reason.
    pub fn is_nobody(&self, why: String) {
        let _ = self.0.why.set(why);
    }
}

/// Whose refusal it would be.
pub(super) struct Asking {
    known: Known,
    address: IpAddr,
    request: Option<RequestId>,
}

impl Asking {
    /// Of a request that has just come; leaves it something to say who asks.
    pub(super) fn of(request: &mut Request) -> Self {
        let known = Known::default();
        request.extensions_mut().insert(known.clone());
        let address = request.extensions().get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address);
        Self { known, address, request: request.extensions().get::<RequestId>().copied() }
    }

    /// Notes the refusal, if nobody has yet.
    pub(super) fn note(&self, portal: &Portal, path: &str, fault: &PortalFault) {
        let why = self.known.0.why.get().map_or("nothing was presented", String::as_str);
        let Some((check, why, blame)) = check(path, fault, why) else { return };
        let caller = self.known.0.caller.get().filter(|_| blame == Blame::Caller);
        let (address, request) = (self.address, self.request);
        portal.refusals.note(caller, Refused { check, why: &why, target: TARGET, address, request });
    }
}

/// Whose fault a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blame {
    /// Whoever asked: if it is known who that is, the entry says so.
    Caller,
    /// Ours: counted, because it can be many at once and says nothing about those who asked.
    Us,
}

/// Which check refused, and why; none where the gate or the sign-in has recorded it.
fn check(path: &str, fault: &PortalFault, nobody: &str) -> Option<(&'static str, String, Blame)> {
    let of_theirs = |check, why: &str| Some((check, why.to_owned(), Blame::Caller));
    let of_ours = |check, why: &str| Some((check, why.to_owned(), Blame::Us));
    match fault {
        PortalFault::Denied(_) | PortalFault::StepUp(_) | PortalFault::Unproven(_, Recorded::Already) => None,
        PortalFault::Cancelled => None,
        // The reading itself was asked for.
        PortalFault::Hidden | PortalFault::Archived | PortalFault::Missing(_) => None,
        PortalFault::Stranger(Stranger::Navigation) => of_theirs("navigation", "another site led here"),
        PortalFault::Stranger(Stranger::Change) => of_theirs("origin", "another site's page may not change anything"),
        PortalFault::Stranger(Stranger::BrowserAtApi) => of_theirs("api", "a browser spoke to the API"),
        PortalFault::Stranger(Stranger::TwoCookies) => of_theirs("cookies", "two session cookies came along"),
        PortalFault::NobodyHere if path.starts_with("/api/") => of_theirs("token", nobody),
        PortalFault::NobodyHere => of_theirs("session", nobody),
        PortalFault::HalfWay => of_theirs("passkey", "the passkey is missing yet"),
        PortalFault::Unproven(why, Recorded::NotYet) => of_theirs("proof", why),
        PortalFault::BadRequest(why) => of_theirs("request", why),
        PortalFault::Malformed(StatusCode::PAYLOAD_TOO_LARGE) => of_theirs("size", "the body is too large"),
        PortalFault::Malformed(StatusCode::METHOD_NOT_ALLOWED) => of_theirs("method", "this method is not allowed"),
        PortalFault::Malformed(_) => of_theirs("request", "it is not of the form that is read here"),
        PortalFault::NotFound => of_theirs("address", "there is nothing at this address"),
        PortalFault::NoSuch(_) => of_theirs("address", "nothing has this id"),
        PortalFault::TooMany(_) => of_theirs("pace", "too much was asked for from there at once"),
        PortalFault::Slow => of_ours("time", "it took too long"),
        PortalFault::Provider(_) => of_ours("provider", "the sign-in provider does not answer as it should"),
        PortalFault::Unavailable(_) => of_ours("unavailable", "no decision could be made or recorded"),
        PortalFault::Failure(_) => of_ours("failure", "it failed on our side"),
    }
}

/// What the log calls the portal.
pub(super) const TARGET: &str = "portal";
