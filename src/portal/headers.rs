//! What every answer carries: an id to find it by, a policy that lets a page load our own files and nothing else, and
//! no leave to keep it. Time and size limits of a request are here too.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{Portal, PortalFault};
use crate::model::RequestId;

/// The most that a request's body may hold, in bytes.
pub const LARGEST_BODY: usize = 64 * 1024;

/// Gives the request its id, and the answer the same.
pub async fn name_request(State(portal): State<Portal>, mut request: Request, next: Next) -> Response {
    let id = RequestId::random(portal.entropy.as_ref());
    request.extensions_mut().insert(id);
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(REQUEST, value);
    }
    response
}

/// What a request has ended or changed, the doors of this broker know before its answer leaves.
pub async fn tell_doors(State(portal): State<Portal>, request: Request, next: Next) -> Response {
    let looks = request.method().is_safe();
    let response = next.run(request).await;
    if !looks {
        portal.callers.catch_up().await;
    }
    response
}

/// Ends what takes too long.
pub async fn limit_time(request: Request, next: Next) -> Result<Response, PortalFault> {
    tokio::time::timeout(LONGEST, next.run(request)).await.map_err(|_| PortalFault::Slow)
}

/// Sets the headers of a page, leaving what a handler has set for itself.
pub async fn dress(State(portal): State<Portal>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    set(response.headers_mut(), portal.settings.portal.url.scheme() == "https");
    response
}

fn set(headers: &mut HeaderMap, secure: bool) {
    for (name, value) in ALWAYS {
        headers.entry(HeaderName::from_static(name)).or_insert(HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    remove_cookies_properly(headers);
    if secure {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000"));
    }
}

/// Browsers take the removal of a `__Host-` cookie only with all that the prefix asks for (RFC 6265bis, section 4.1.3.2);
/// the session layer leaves that out.
fn remove_cookies_properly(headers: &mut HeaderMap) {
    let cookies: Vec<HeaderValue> = headers.get_all(header::SET_COOKIE).iter().cloned().collect();
    headers.remove(header::SET_COOKIE);
    for cookie in cookies {
        let whole = cookie.to_str().is_ok_and(|text| text.contains("; Secure"));
        headers.append(header::SET_COOKIE, if whole { cookie } else { HeaderValue::from_static(GONE) });
    }
}

/// Only our own files, and forms to ourselves alone. Browsers check `form-action` at every step of a redirect (CSP
/// Level 3, section 6.4.1), and nobody knows over which hosts a provider leads; so a form that is to lead elsewhere is
/// answered with a page that goes on by itself, and the policy stays strict.
pub const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                          form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// `Referrer-Policy: no-referrer` would make browsers send `Origin: null` with our own forms, which the guard refuses.
const ALWAYS: [(&str, &str); 7] = [
    ("cache-control", "no-store"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "publickey-credentials-create=(self), publickey-credentials-get=(self), camera=(), geolocation=(), microphone=()",
    ),
    ("referrer-policy", "same-origin"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
];

const GONE: &str = "__Host-bailiwick=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax";
const REQUEST: HeaderName = HeaderName::from_static("bailiwick-request");
const LONGEST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_handler_has_set_stays_and_the_policy_does_not_bend() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src *"));
        set(&mut headers, true);
        assert_eq!(headers["cache-control"], "public");
        assert_eq!(headers["content-security-policy"], POLICY);
        assert_eq!(headers["referrer-policy"], "same-origin");
        assert!(headers.contains_key("strict-transport-security"));
    }

    #[test]
    fn a_cookie_is_removed_the_way_that_browsers_accept() {
        let mut headers = HeaderMap::new();
        headers.append(header::SET_COOKIE, HeaderValue::from_static("__Host-bailiwick=; Max-Age=0; Path=/"));
        headers.append(header::SET_COOKIE, HeaderValue::from_static("__Host-bailiwick=a; HttpOnly; Secure; Path=/"));
        set(&mut headers, false);
        let cookies: Vec<_> = headers.get_all(header::SET_COOKIE).iter().collect();
        assert_eq!(cookies, [GONE, "__Host-bailiwick=a; HttpOnly; Secure; Path=/"]);
    }

    #[test]
    fn no_policy_lets_in_what_stands_in_the_page() {
        assert!(!POLICY.contains("unsafe"));
    }
}
