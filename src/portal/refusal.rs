//! What the portal refused before any rule was asked goes into the log from here: one place, through which every fault
//! passes on its way to its words, so that none is forgotten. Refusals that are recorded elsewhere are left out.
//!
//! Whoever's session or token came along is named, even where nobody had to look who it is: a page elsewhere that makes a
//! browser ask is an attack on somebody. INVARIANT: what shows neither costs no look into the database, nor does what comes
//! too fast, and a request that is refused here is no use of a login.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::extract::Request;
use http::StatusCode;
use tokio::time::timeout;
use tower_sessions::{Session, session::Id};

use super::{
    Portal, PortalFault,
    caller::bearer,
    error::{Reader, Recorded},
    guard::{Stranger, session_shown},
};
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
    session: Option<Id>,
    token: Option<String>,
    address: IpAddr,
    request: Option<RequestId>,
}

impl Asking {
    /// Of a request that has just come; leaves it something to say who asks.
    pub(super) fn of(request: &mut Request) -> Self {
        let known = Known::default();
        request.extensions_mut().insert(known.clone());
        let address = request.extensions().get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address);
        let (session, token) = (session_shown(request.headers()), bearer(request.headers()).map(str::to_owned));
        Self { known, session, token, address, request: request.extensions().get::<RequestId>().copied() }
    }

    /// Notes the refusal, if nobody has yet.
    pub(super) async fn note(&self, portal: &Portal, path: &str, fault: &PortalFault) {
        let why = self.known.0.why.get().map_or("nothing was presented", String::as_str);
        let Some((check, why, blame)) = check(path, fault, why) else { return };
        let caller = match blame {
            Blame::Caller => self.caller(portal).await,
            Blame::Haste => self.known.0.caller.get().cloned(),
            Blame::Us => None,
        };
        let (address, request) = (self.address, self.request);
        portal.refusals.note(caller.as_ref(), Refused { check, why: &why, target: TARGET, address, request });
    }

    /// How much whoever asks may be told.
    pub(super) fn reader(&self) -> Reader {
        if self.known.0.caller.get().is_some() { Reader::SignedIn } else { Reader::Stranger }
    }

    /// Who asks, as far as somebody has looked already; else whose session or token came along.
    async fn caller(&self, portal: &Portal) -> Option<Caller> {
        if let Some(caller) = self.known.0.caller.get() {
            return Some(caller.clone());
        }
        if self.known.0.why.get().is_some() {
            return None;
        }
        timeout(PATIENCE, self.look(portal)).await.ok().flatten()
    }

    async fn look(&self, portal: &Portal) -> Option<Caller> {
        if let Some(id) = self.session {
            let session = Session::new(Some(id), Arc::new(portal.sessions.clone()), None);
            return portal.callers.behind_session(&session, self.address).await.ok();
        }
        let token = self.token.as_deref()?;
        portal.callers.behind_token(token, self.address).await.ok().map(|caller| caller.to_value())
    }
}

/// Whose fault a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blame {
    /// Whoever asked: if it is known who that is, the entry says so.
    Caller,
    /// Whoever asked, too often: nobody looks who that is, because the limit is there to spare the database.
    Haste,
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
        PortalFault::Hidden | PortalFault::Archived | PortalFault::Missing(_) | PortalFault::Altered(_) => None,
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
        PortalFault::TooMany(_) => Some(("pace", "too much was asked for from there at once".to_owned(), Blame::Haste)),
        PortalFault::Slow => of_ours("time", "it took too long"),
        PortalFault::Provider(_) => of_ours("provider", "the sign-in provider does not answer as it should"),
        PortalFault::Unavailable(_) | PortalFault::Astray(_) => {
            of_ours("unavailable", "no decision could be made or recorded")
        }
        PortalFault::Failure(_) => of_ours("failure", "it failed on our side"),
    }
}

/// How long a refusal waits for a name.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the log calls the portal.
pub(super) const TARGET: &str = "portal";
