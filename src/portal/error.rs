//! Every way in which the portal says no, and the one place that chooses statuses.
//!
//! A denial is expected, has a reason and is recorded: the reason is shown. A bad request is the peer's fault and is
//! described without repeating what was sent. A failure is ours: it goes to our log once, with the request's id, and only
//! that id is shown. Browsers get a page, programs get RFC 9457.

use std::{borrow::Cow, error::Error, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use super::{
    Portal,
    guard::Stranger,
    page::{AskedFromElsewherePage, DeniedPage, ErrorPage, Frame, Link, show},
    refusal::Asking,
};
use crate::{
    audit::{ASTRAY, search::Lost},
    model::{Decision, RequestId},
};

/// Why a request was not answered as asked.
#[derive(Clone, Debug)]
pub enum PortalFault {
    /// Denial: the request came from where it must not come from.
    Stranger(Stranger),
    /// Denial: nobody is signed in.
    NobodyHere,
    /// Denial: the passkey is missing yet.
    HalfWay,
    /// Denial: the rules say no. Recorded.
    Denied(Box<Denied>),
    /// Denial for now: the rules ask for a fresh passkey. Recorded.
    StepUp(Box<Decision>),
    /// Denial: what was shown does not prove it.
    Unproven(String, Recorded),
    /// Denial: the provider did not let them sign in, or they did not want to. Recorded.
    Cancelled,
    /// Bad request.
    BadRequest(Cow<'static, str>),
    /// Bad request: not even of the form that is read here.
    Malformed(StatusCode),
    /// Denial: no rule lets this person read the entry. That they asked is recorded.
    Hidden,
    /// Bad request: there is nothing at this address.
    NotFound,
    /// Bad request: no session, or whatever it is, has this id.
    NoSuch(&'static str),
    /// Bad request: the entry's text is in an archive by now.
    Archived,
    /// Failure: the entry must be in the database and is not. Somebody has been at it.
    Missing(u64),
    /// Failure: what is in the database is not what was recorded. Says what does not hold.
    Altered(String),
    /// Denial for now: too many come from there at once. Says how long to wait.
    TooMany(Duration),
    /// Failure: no decision can be made or recorded, so nothing is done.
    Unavailable(String),
    /// Failure: the database holds another log than was published, so nothing is decided.
    Astray(Reader),
    /// Failure: the provider.
    Provider(String),
    /// Failure: it took too long.
    Slow,
    /// Failure of ours.
    Failure(String),
}

/// Who reads what is said, as far as it decides how much that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Somebody who has signed in.
    SignedIn,
    /// Anybody.
    Stranger,
}

/// Whether a refusal is in the log when the portal hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The room that refused has recorded it.
    Already,
    /// Nobody has.
    NotYet,
}

/// What a denied person is told.
#[derive(Clone, Debug)]
pub struct Denied {
    /// What was asked, to follow "You may not".
    pub asked: String,
    /// The decision.
    pub decision: Decision,
    /// Who: `provider/subject`.
    pub person: String,
    /// The person's name, for the frame.
    pub name: String,
    /// Whether the passkey is missing yet.
    pub half: bool,
}

impl PortalFault {
    /// A failure of ours.
    pub fn failure(fault: impl Error) -> Self {
        Self::Failure(fault.to_string())
    }

    /// A refusal by a room that records its refusals itself.
    pub fn recorded(fault: impl Into<Self>) -> Self {
        match fault.into() {
            Self::Unproven(sentence, _) => Self::Unproven(sentence, Recorded::Already),
            other => other,
        }
    }

    /// The answer's status.
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::Stranger(Stranger::TwoCookies) | Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NobodyHere | Self::HalfWay => StatusCode::UNAUTHORIZED,
            Self::Stranger(_)
            | Self::Denied(_)
            | Self::StepUp(_)
            | Self::Unproven(..)
            | Self::Cancelled
            | Self::Hidden => StatusCode::FORBIDDEN,
            Self::Malformed(status) => *status,
            Self::NotFound | Self::NoSuch(_) => StatusCode::NOT_FOUND,
            Self::Archived => StatusCode::GONE,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Provider(_) => StatusCode::BAD_GATEWAY,
            Self::Unavailable(_) | Self::Astray(_) | Self::Slow => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failure(_) | Self::Missing(_) | Self::Altered(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn is_ours(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_)
                | Self::Provider(_)
                | Self::Slow
                | Self::Failure(_)
                | Self::Missing(_)
                | Self::Altered(_)
                | Self::Astray(_)
        )
    }

    /// In a few words.
    const fn title(&self) -> &'static str {
        match self {
            Self::Stranger(_) => "Asked from elsewhere",
            Self::NobodyHere => "Nobody is signed in",
            Self::HalfWay => "Your passkey is missing yet",
            Self::Denied(_) | Self::Hidden => "Not allowed",
            Self::Archived => "This entry is archived",
            Self::Missing(_) => "This entry is missing",
            Self::Altered(_) => "The audit log does not hold",
            Self::StepUp(_) => "Your passkey is asked for again",
            Self::Unproven(..) => "That proves nothing",
            Self::Cancelled => "You are not signed in",
            Self::BadRequest(_) | Self::Malformed(_) => "That request makes no sense",
            Self::NotFound => "There is nothing here",
            Self::NoSuch(_) => "There is nothing by that id",
            Self::TooMany(_) => "Too many at once",
            Self::Provider(_) => "The sign-in provider does not answer as it should",
            Self::Unavailable(_) | Self::Slow => "Not just now",
            Self::Astray(_) => "The audit log is not what was published",
            Self::Failure(_) => "Something went wrong on our side",
        }
    }

    /// In a sentence, safe to show.
    fn sentence(&self) -> String {
        match self {
            Self::Stranger(Stranger::Navigation) => "Another site led here.".to_owned(),
            Self::Stranger(Stranger::Change) => "Changes are taken from the portal's own pages only.".to_owned(),
            Self::Stranger(Stranger::BrowserAtApi) => "The API is for programs that show a token.".to_owned(),
            Self::Stranger(Stranger::TwoCookies) => {
                "Two session cookies came along, so one of them was planted. Clear this site's cookies.".to_owned()
            }
            Self::NobodyHere => "Sign in first.".to_owned(),
            Self::HalfWay => "Use your passkey to finish signing in.".to_owned(),
            Self::Denied(denied) => denied.decision.sentence(),
            Self::StepUp(decision) => decision.sentence(),
            Self::Unproven(sentence, _) => sentence.clone(),
            Self::Cancelled => {
                "The sign-in was cancelled, or the provider refused it. Nothing has changed; you can begin again."
                    .to_owned()
            }
            Self::NoSuch(what) => format!("No {what} has this id."),
            Self::BadRequest(what) => what.clone().into_owned(),
            Self::Malformed(_) => "Its form is not the one that is read here.".to_owned(),
            Self::Hidden => "No rule lets you read this entry of the audit log.".to_owned(),
            Self::Archived => "Its hash is still in the log; its text is in the archive that the log names.".to_owned(),
            Self::Missing(index) => Lost::one(*index).missing(),
            Self::Altered(what) => {
                format!("Somebody has been at the database, so nothing can be proven and nothing was given out: {what}")
            }
            Self::TooMany(_) => "Too much was asked for from your network just now. Please wait a little.".to_owned(),
            Self::NotFound => "The address may be mistyped, or from another version.".to_owned(),
            Self::Provider(_) => "Please try again in a moment.".to_owned(),
            Self::Unavailable(_) => {
                "No decision can be made or recorded at the moment, so nothing was done. Please try again.".to_owned()
            }
            Self::Astray(Reader::Stranger) => ASTRAY.to_owned(),
            Self::Astray(Reader::SignedIn) => format!(
                "{ASTRAY} For them: bailiwick audit verify says what is wrong, and bailiwick audit accept-fork lets the log \
                 go on from the database as it is."
            ),
            Self::Slow => "It took too long. Please try again.".to_owned(),
            Self::Failure(_) => {
                "Please try again; if it stays, tell an administrator the incident's number.".to_owned()
            }
        }
    }

    /// The last part of a problem's type, by which programs tell them apart.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Stranger(_) => "asked-from-elsewhere",
            Self::NobodyHere => "not-signed-in",
            Self::HalfWay => "half-signed-in",
            Self::Denied(_) | Self::Hidden => "denied",
            Self::Archived => "archived",
            Self::Missing(_) => "missing",
            Self::Altered(_) => "altered",
            Self::StepUp(_) => "step-up",
            Self::Unproven(..) => "unproven",
            Self::Cancelled => "cancelled",
            Self::BadRequest(_) | Self::Malformed(_) => "bad-request",
            Self::NotFound | Self::NoSuch(_) => "not-found",
            Self::TooMany(_) => "too-many",
            Self::Provider(_) => "provider",
            Self::Unavailable(_) | Self::Slow => "unavailable",
            Self::Astray(_) => "astray",
            Self::Failure(_) => "failure",
        }
    }

    /// Ours go to our log, once.
    fn report(&self, request: Option<RequestId>) {
        let request = request.map(|id| id.to_string()).unwrap_or_default();
        match self {
            Self::Failure(why) | Self::Unavailable(why) | Self::Provider(why) => {
                tracing::error!(%request, kind = self.kind(), %why, "the portal could not answer");
            }
            Self::Missing(index) => tracing::error!(%request, index, "an entry of the audit log is missing"),
            Self::Altered(what) => tracing::error!(%request, what, "the audit log does not hold"),
            Self::Slow => tracing::error!(%request, "a request took too long"),
            _ => {}
        }
    }
}

impl IntoResponse for PortalFault {
    /// A bare status; [`put_into_words`] knows for whom the words are.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// Who asks, as far as words are concerned.
struct Asker {
    path: String,
    address: String,
    program: bool,
    navigates: bool,
    request: Option<RequestId>,
}

/// The layer that gives a fault its page or its problem document, and the log its entry.
pub async fn put_into_words(State(portal): State<Portal>, mut request: Request, next: Next) -> Response {
    let asking = Asking::of(&mut request);
    let reader = Asker {
        path: request.uri().path().to_owned(),
        address: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
        program: is_program(request.uri().path(), request.headers()),
        navigates: request.method() == http::Method::GET,
        request: request.extensions().get::<RequestId>().copied(),
    };
    let mut response = next.run(request).await;
    let fault = response.extensions_mut().remove::<Arc<PortalFault>>().or_else(|| not_even_read(&response));
    let Some(fault) = fault else { return response };
    fault.report(reader.request);
    asking.note(&portal, &reader.path, &fault).await;
    // Trying again would help nobody.
    let is_astray = matches!(*fault, PortalFault::Unavailable(_)) && portal.log.is_broken();
    let fault = if is_astray { Arc::new(PortalFault::Astray(asking.reader())) } else { fault };
    let mut worded = if reader.program { problem(&fault, &reader) } else { page(&fault, &reader) };
    if let PortalFault::TooMany(wait) = &*fault {
        worded.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    }
    for cookie in response.headers().get_all(header::SET_COOKIE) {
        worded.headers_mut().append(header::SET_COOKIE, cookie.clone());
    }
    worded
}

/// A refusal of the framework's: of a body, a query or a method. Its words may repeat what was sent, so they go.
fn not_even_read(response: &Response) -> Option<Arc<PortalFault>> {
    let status = response.status();
    let refused = status.is_client_error() || status.is_server_error();
    let ours =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let fault = match status {
        StatusCode::NOT_FOUND => PortalFault::NotFound,
        status if status.is_server_error() => PortalFault::Failure("a layer failed".to_owned()),
        status => PortalFault::Malformed(status),
    };
    (refused && !ours).then(|| Arc::new(fault))
}

fn is_program(path: &str, headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    path.starts_with("/api/") || accepts.starts_with("application/json")
}

/// RFC 9457.
fn problem(fault: &PortalFault, reader: &Asker) -> Response {
    let mut body = json!({
        "type": format!("urn:bailiwick:problem:{}", fault.kind()),
        "title": fault.title(),
        "status": fault.status().as_u16(),
        "detail": fault.sentence(),
        "instance": reader.request.map(|id| format!("urn:uuid:{id}")),
    });
    if let (PortalFault::Denied(denied), Some(body)) = (fault, body.as_object_mut()) {
        body.insert("rules".to_owned(), json!(denied.decision.policies));
    }
    let mut response = (fault.status(), Json(body)).into_response();
    let kind = http::HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    if matches!(fault, PortalFault::NobodyHere) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, http::HeaderValue::from_static("Bearer"));
    }
    response
}

fn page(fault: &PortalFault, reader: &Asker) -> Response {
    let request = reader.request.map(|id| id.to_string());
    match fault {
        PortalFault::NobodyHere if reader.navigates => Redirect::to("/sign-in").into_response(),
        PortalFault::HalfWay if reader.navigates => Redirect::to("/passkey").into_response(),
        PortalFault::StepUp(_) => Redirect::to("/step-up").into_response(),
        PortalFault::Stranger(Stranger::Navigation) => {
            let href = super::destination::Destination::page(&reader.path).map(|_| reader.address.clone());
            show(fault.status(), &AskedFromElsewherePage { frame: Frame::door(), href })
        }
        PortalFault::Denied(denied) => show(fault.status(), &denied_page(denied, request)),
        _ => show(
            fault.status(),
            &ErrorPage {
                frame: Frame::door(),
                status: fault.status().as_u16(),
                ours: fault.is_ours(),
                title: fault.title().to_owned(),
                message: fault.sentence(),
                incident: request.filter(|_| fault.is_ours()),
                href: "/".to_owned(),
                link: if matches!(fault, PortalFault::Cancelled) { "Sign in" } else { "Go to the portal" }.to_owned(),
            },
        ),
    }
}

fn denied_page(denied: &Denied, request: Option<String>) -> DeniedPage {
    DeniedPage {
        frame: if denied.half {
            Frame::door()
        } else {
            Frame::inside(&denied.name, vec![Link { href: "/", label: "Home", current: false }], None)
        },
        asked: denied.asked.clone(),
        reason: denied.decision.sentence(),
        rules: denied.decision.policies.clone(),
        person: denied.person.clone(),
        request: request.unwrap_or_default(),
        half: denied.half,
    }
}
