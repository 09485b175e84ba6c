//! Forwards what is permitted. INVARIANT: the request line is built from the permit's action and from nothing else, the
//! permit is used up by it, and how it ended is owed to the log from then on.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{
    body::{Source, download},
    headers::{Destination, for_caller, for_upstream},
    kubernetes_request::is_long_running,
    ours::Ours,
    place::Place,
    upgrade,
    upload::Upload,
    upstream::{NoAnswer, Outgoing, Upstream},
};
use crate::{
    access::{Pending, Permit},
    audit::ClosedBy,
    listener::{RequestBody, ResponseBody},
    model::{Action, Upgrade},
};

/// What came, apart from what the permit's action already says.
pub(super) struct Came {
    pub(super) headers: HeaderMap,
    pub(super) body: RequestBody,
    /// The caller's connection, if it may become a stream.
    pub(super) connection: Option<hyper::upgrade::OnUpgrade>,
}

/// Why a permitted request has no answer of the upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failed {
    /// Nothing left the broker.
    #[error("what you asked for cannot be reached")]
    Unreachable,
    /// It broke off, or did not speak HTTP.
    #[error("what you asked for broke off its answer")]
    Broken,
    /// It said nothing for too long.
    #[error("what you asked for did not answer in time")]
    TimedOut,
    /// It answered what no caller should see.
    #[error("what you asked for answered with a redirect, which is not followed")]
    Redirect,
    /// The login or credential ended, or a rule changed, while it was being asked.
    #[error("this was ended while it was being answered")]
    Ended,
    /// Ours: that a stream begins could not be recorded.
    #[error("this cannot be recorded just now; try again in a moment")]
    Unrecorded,
    /// Ours: it could not be sent as it was permitted.
    #[error("the request could not be forwarded as it was permitted")]
    Internal,
}

/// The parts of an action that the request line is built from.
pub(super) struct Line<'a> {
    method: Method,
    path: &'a str,
    query: Option<&'a str>,
    pub(super) upgrade: Upgrade,
    long_running: bool,
}

impl<'a> Line<'a> {
    fn of(action: &'a Action) -> Option<Self> {
        let (method, path, query, upgrade, long_running) = match action {
            Action::Web(web) => (web.method, web.path.as_str(), &web.query, web.upgrade, false),
            Action::Kubernetes(at) => {
                (at.method, at.path.as_str(), &at.query, at.upgrade, is_long_running(&at.attributes))
            }
            Action::Issue(_) | Action::Enrol(_) | Action::Portal(_) => return None,
        };
        let method = Method::from_bytes(method.as_str().as_bytes()).ok()?;
        Some(Self { method, path, query: query.as_deref(), upgrade, long_running })
    }
}

/// Forwards and streams the answer back. `ours` are the identity fields; `place` resolves when all must end.
pub(super) async fn forward(
    permit: Permit,
    upstream: &Upstream,
    mut ours: Ours,
    came: Came,
    mut place: Place,
) -> Result<Response<ResponseBody>, Failed> {
    let (standing, mut owed) = permit.spend_whole();
    let Some(line) = Line::of(&standing.action) else {
        owed.not_forwarded("not something that is forwarded");
        return Err(Failed::Internal);
    };
    match upstream.authorization().await {
        Ok(Some(token)) => ours.add(header::AUTHORIZATION, token),
        Ok(None) => {}
        Err(fault) => {
            tracing::error!(%fault, "the broker's own credential for an upstream cannot be read");
            owed.not_forwarded("the broker's own credential cannot be read");
            return Err(Failed::Internal);
        }
    }
    let (body, leash) = Upload::new(came.body, owed.meter(), upstream.patience);
    place.hold(leash);
    if line.long_running || line.upgrade != Upgrade::None {
        place.expect_stream();
    }
    let Some(request) = build(upstream, &line, &ours, came.headers, body) else {
        owed.not_forwarded("it could not be written as it was permitted");
        return Err(Failed::Internal);
    };
    if line.upgrade != Upgrade::None {
        return Box::pin(upgrade::open(upstream, line.upgrade, request, owed, place, came.connection)).await;
    }
    if !line.long_running {
        place.expect_answer(upstream.patience, owed.meter());
    }
    // If the caller goes away meanwhile, nobody knows how much has left.
    owed.sent();
    let (response, from) = match upstream.send(&mut Some(request), &mut place).await {
        Ok(answered) => answered,
        Err(fault) => return Err(no_answer(&fault, owed)),
    };
    place.answered();
    if line.long_running {
        let taken = Box::pin(place.take_on_record()).await;
        if taken.is_err() {
            owed.finish(ClosedBy::Broker);
            return Err(Failed::Unrecorded);
        }
    }
    relay(upstream, response, from, owed, place)
}

/// Writes the request; none when it would not be exactly what was permitted.
fn build(
    upstream: &Upstream,
    line: &Line<'_>,
    ours: &Ours,
    came: HeaderMap,
    body: Outgoing,
) -> Option<Request<Outgoing>> {
    let mut headers = for_upstream(came, upstream.destination, line.upgrade);
    ours.set_in(&mut headers);
    if !ours.stand_in(&headers) {
        return None;
    }
    let mut request = Request::new(body);
    *request.method_mut() = line.method.clone();
    *request.uri_mut() = upstream.uri(line.path, line.query)?;
    *request.headers_mut() = headers;
    Some(request)
}

/// Tells the log, and the caller, about an upstream without an answer.
pub(super) fn no_answer(fault: &NoAnswer, owed: Pending) -> Failed {
    if !matches!(fault, NoAnswer::Ended(_)) {
        tracing::warn!(%fault, request = %owed.request(), "an upstream gave no answer");
    }
    match fault {
        NoAnswer::Ended(by) => {
            owed.finish(*by);
            if *by == ClosedBy::Timeout { Failed::TimedOut } else { Failed::Ended }
        }
        NoAnswer::Unreachable(_) => {
            owed.not_forwarded("the upstream cannot be reached");
            Failed::Unreachable
        }
        NoAnswer::Broken(_) => {
            owed.finish(ClosedBy::UpstreamFault);
            Failed::Broken
        }
    }
}

/// The upstream's answer as the caller may see it.
pub(super) fn relay(
    upstream: &Upstream,
    response: Response<Incoming>,
    from: Source,
    owed: Pending,
    place: Place,
) -> Result<Response<ResponseBody>, Failed> {
    let (parts, body) = response.into_parts();
    owed.meter().status(parts.status.as_u16());
    // A stream that nobody asked for, and redirects of an API server (CVE-2022-3172), go no further.
    let misleads = upstream.destination == Destination::Kubernetes
        && parts.status.is_redirection()
        && parts.status != StatusCode::NOT_MODIFIED;
    if parts.status.is_informational() || misleads {
        owed.finish(ClosedBy::UpstreamFault);
        return Err(if misleads { Failed::Redirect } else { Failed::Broken });
    }
    let mut answer = Response::new(download(body, from, owed, place));
    *answer.status_mut() = parts.status;
    *answer.headers_mut() = for_caller(parts.headers, upstream.destination, false);
    Ok(answer)
}

/// Waits for `work` as long as a connection may take to become a stream.
pub(super) async fn soon<T>(work: impl Future<Output = T>) -> Option<T> {
    timeout(std::time::Duration::from_secs(10), work).await.ok()
}

/// A field of the broker's own from text, in UTF-8, that may be anything.
pub(super) fn field(text: Bytes) -> Option<HeaderValue> {
    let is_plain = text.iter().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'));
    let sound = if is_plain {
        text.trim_ascii().len() == text.len()
    } else {
        let text = std::str::from_utf8(&text).ok()?;
        text.trim() == text && !text.chars().any(char::is_control)
    };
    sound.then(|| HeaderValue::from_maybe_shared(text).ok()).flatten()
}
