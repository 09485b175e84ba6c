//! What the broker says on an app's host in its own name: a page to somebody who navigates, problem details (RFC 9457)
//! to a script, and nothing of its own in either.

use askama::Template;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::{
    listener::{ResponseBody, empty, full},
    model::{Caller, Decision, RequestId},
};

/// An app's answer to somebody who may not.
#[derive(Template)]
#[template(path = "refused.html")]
pub(super) struct RefusedPage {
    pub(super) css: String,
    pub(super) glyph: String,
    pub(super) portal: String,
    pub(super) app: String,
    pub(super) asked: String,
    pub(super) reason: String,
    pub(super) rules: Vec<String>,
    pub(super) person: String,
    pub(super) request: String,
}

impl RefusedPage {
    /// `portal` is the portal's origin.
    pub(super) fn new(
        portal: &str,
        app: &str,
        asked: String,
        caller: &Caller,
        no: &Decision,
        request: RequestId,
    ) -> Self {
        Self {
            css: format!("{portal}/static/portal.css"),
            glyph: format!("{portal}/static/glyph.svg"),
            portal: format!("{portal}/"),
            app: app.to_owned(),
            asked,
            reason: no.sentence(),
            rules: no.policies.clone(),
            person: format!("{}/{}", caller.identity.provider, caller.identity.subject),
            request: request.to_string(),
        }
    }

    pub(super) fn answer(&self, portal: &str) -> Response<ResponseBody> {
        let Ok(html) = self.render() else { return problem(StatusCode::FORBIDDEN, &self.reason, None, None) };
        let mut response = Response::new(full(html));
        *response.status_mut() = StatusCode::FORBIDDEN;
        let policy = format!(
            "default-src 'none'; style-src {portal}; img-src {portal}; frame-ancestors 'none'; base-uri 'none'; \
             form-action 'none'"
        );
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        if let Ok(policy) = HeaderValue::try_from(policy) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        guarded(response)
    }
}

#[derive(Serialize)]
struct Problem<'p> {
    title: &'p str,
    status: u16,
    detail: &'p str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<&'p str>,
}

/// Problem details. `location` is where a person could go to change the answer.
pub(super) fn problem(
    status: StatusCode,
    detail: &str,
    request: Option<RequestId>,
    location: Option<&str>,
) -> Response<ResponseBody> {
    let problem = Problem {
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        detail,
        request: request.map(|id| id.to_string()),
        location,
    };
    let mut response = Response::new(full(serde_json::to_vec(&problem).unwrap_or_default()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bailiwick"));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    guarded(response)
}

/// Elsewhere, by a fresh GET.
pub(super) fn see_other(location: &str) -> Response<ResponseBody> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    guarded(response)
}

/// A short plain page.
pub(super) fn plain(status: StatusCode, text: &str) -> Response<ResponseBody> {
    let mut response = Response::new(full(format!("{text}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    guarded(response)
}

fn guarded(mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}
