//! The one place where header fields are stripped, both ways.
//!
//! An attacker controls every field of a request; an upstream controls every field of its response. A message is
//! rebuilt, never copied: framing and hop-by-hop fields go first (RFC 9110, section 7.6.1), then whatever claims an
//! identity or an origin, compared by normalised prefix. INVARIANT: the broker's own fields are set after that (see
//! `ours`): stripping `Connection`-nominated fields afterwards would remove them (CVE-2021-31999).

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{claims::claims, cookies};
use crate::model::Upgrade;

/// What kind of upstream a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A web app: the caller's own cookies and `Authorization` pass.
    Web,
    /// An API server: nothing passes by which it could take the request for anybody's but ours.
    Kubernetes,
}

/// The fields of a request that pass to the upstream.
pub fn for_upstream(mut headers: HeaderMap, destination: Destination, upgrade: Upgrade) -> HeaderMap {
    let nominated = nominated(&headers);
    let cookies = if destination == Destination::Web { cookies::for_upstream(&headers) } else { None };
    // A field that stands twice goes if one of its values must.
    let goes = |name: &HeaderName, value: &HeaderValue| {
        let plain = normalised(name);
        let ours_alone = is_framing(&plain) || nominated.iter().any(|name| *name == plain) || claims(&plain);
        ours_alone || plain != name.as_str() || !passes_to(destination, upgrade, &plain, value)
    };
    remove(&mut headers, goes);
    if destination == Destination::Kubernetes {
        keep_protocols_without_bearer(&mut headers);
    } else if let Some(cookies) = cookies {
        headers.insert(header::COOKIE, cookies);
    }
    headers
}

/// The fields of an upstream's response that pass to the caller.
pub fn for_caller(mut headers: HeaderMap, destination: Destination, upgraded: bool) -> HeaderMap {
    let nominated = nominated(&headers);
    let goes = |name: &HeaderName, _: &HeaderValue| {
        let plain = normalised(name);
        // A length may stand: hyper checks it against the body that it frames anew.
        let framing = is_framing(&plain) && (upgraded || plain != "content-length");
        framing || nominated.iter().any(|name| *name == plain) || is_the_brokers(name, &plain, destination, upgraded)
    };
    remove(&mut headers, goes);
    keep_values(&mut headers, header::SET_COOKIE, |value| !cookies::sets_ours(value));
    // Authentication bound to a connection would bind whoever uses the connection next.
    keep_values(&mut headers, header::WWW_AUTHENTICATE, |value| !is_of_connection(value));
    headers
}

/// Whether an upstream has no say in a field.
fn is_the_brokers(name: &HeaderName, plain: &str, destination: Destination, upgraded: bool) -> bool {
    match name {
        &header::SET_COOKIE => destination == Destination::Kubernetes,
        &header::SEC_WEBSOCKET_ACCEPT | &header::SEC_WEBSOCKET_PROTOCOL | &header::SEC_WEBSOCKET_EXTENSIONS => {
            !upgraded
        }
        &header::ALT_SVC => true,
        _ => plain.starts_with("bailiwick-"),
    }
}

/// Removes every field with a value of which `goes` is true.
fn remove(headers: &mut HeaderMap, goes: impl Fn(&HeaderName, &HeaderValue) -> bool) {
    let mut gone: Vec<HeaderName> = Vec::new();
    for (name, value) in &*headers {
        if goes(name, value) {
            gone.push(name.clone());
        }
    }
    for name in gone {
        headers.remove(name);
    }
}

/// Keeps those values of a field of which `stays` is true, in their order.
fn keep_values(headers: &mut HeaderMap, name: HeaderName, stays: impl Fn(&HeaderValue) -> bool) {
    if headers.get_all(&name).iter().all(&stays) {
        return;
    }
    let kept: Vec<HeaderValue> = headers.get_all(&name).iter().filter(|value| stays(value)).cloned().collect();
    headers.remove(&name);
    for value in kept {
        headers.append(name.clone(), value);
    }
}

/// A field's name as the most lenient upstream reads it: CGI and its heirs do not tell `_`, `.` and `-` apart.
pub(super) fn normalised(name: &HeaderName) -> Cow<'_, str> {
    let name = name.as_str();
    // Every byte is looked at, which takes less time than to stop at the first.
    if name.bytes().fold(false, |found, byte| found | (byte == b'_') | (byte == b'.')) {
        Cow::Owned(name.replace(['_', '.'], "-"))
    } else {
        Cow::Borrowed(name)
    }
}

/// What `Connection` nominates, apart from `keep-alive`, which goes in any case.
fn nominated(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(header::CONNECTION).into_iter();
    let tokens = lines.flat_map(|line| line.as_bytes().split(|&b| b == b',')).map(<[u8]>::trim_ascii);
    let tokens = tokens.filter(|token| !token.eq_ignore_ascii_case(b"keep-alive"));
    let names = tokens.filter_map(|token| HeaderName::from_bytes(token).ok());
    names.map(|name| normalised(&name).into_owned()).collect()
}

/// Framing and hop-by-hop fields: the broker's alone, on either side.
fn is_framing(plain: &str) -> bool {
    matches!(
        plain,
        "connection"
            | "content-length"
            | "expect"
            | "host"
            | "http2-settings"
            | "keep-alive"
            | "max-forwards"
            | "te"
            | "trailer"
            | "trailers"
            | "transfer-encoding"
            | "upgrade"
    ) || plain.starts_with("proxy-")
}

fn passes_to(destination: Destination, upgrade: Upgrade, plain: &str, value: &HeaderValue) -> bool {
    match plain {
        // Put together again by `cookies`.
        "cookie" => false,
        // The API server's record is named by itself, not by whoever asks.
        "audit-id" => destination == Destination::Web,
        "authorization" => destination == Destination::Web && !is_of_connection(value),
        "sec-websocket-extensions" => destination == Destination::Web && upgrade == Upgrade::WebSocket,
        "x-stream-protocol-version" => upgrade == Upgrade::Spdy,
        _ if plain.starts_with("sec-websocket-") => upgrade == Upgrade::WebSocket,
        _ => true,
    }
}

/// Authentication schemes that authenticate a connection and not a request (RFC 4559, section 6).
fn is_of_connection(value: &HeaderValue) -> bool {
    let scheme = value.as_bytes().split(u8::is_ascii_whitespace).next().unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"negotiate") || scheme.eq_ignore_ascii_case(b"ntlm")
}

/// Drops `base64url.bearer.authorization.k8s.io.*`, by which a WebSocket client hands a token to an API server.
fn keep_protocols_without_bearer(headers: &mut HeaderMap) {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter();
    let words = offered.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    let kept: Vec<_> =
        words.map(str::trim).filter(|word| !word.to_ascii_lowercase().starts_with("base64url.bearer.")).collect();
    let kept = kept.join(", ");
    headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
    if let (false, Ok(kept)) = (kept.is_empty(), HeaderValue::try_from(kept)) {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        fields.iter().map(field).collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    fn web(fields: &[(&str, &str)]) -> HeaderMap {
        for_upstream(map(fields), Destination::Web, Upgrade::None)
    }

    #[test]
    fn a_caller_does_not_name_the_api_servers_record() {
        let came = map(&[("Audit-ID", "forged"), ("accept", "*/*")]);
        assert_eq!(names(&for_upstream(came.clone(), Destination::Kubernetes, Upgrade::None)), ["accept"]);
        assert_eq!(names(&for_upstream(came.clone(), Destination::Web, Upgrade::None)), ["accept", "audit-id"]);
    }

    #[test]
    fn whatever_claims_an_identity_or_origin_is_dropped_in_every_spelling() {
        for name in [
            "X-Forwarded-For",
            "X-Forward-For",
            "X-Originating-IP",
            "WL-Proxy-Client-IP",
            "X-Auth-User",
            "X-Auth_Email",
            "X-Authentik-Username",
            "X-MS-CLIENT-PRINCIPAL",
            "X-Amzn-Oidc-Identity",
            "Tailscale-User-Login",
            "X-Middleware-Subrequest",
            "Proxy",
            "X_Forwarded_User",
            "X-Forwarded_User",
            "x.forwarded.user",
            "Forwarded",
            "X-Real-IP",
            "X-Original-URL",
            "X-Rewrite-URL",
            "X-HTTP-Method-Override",
            "X-HTTP-Method",
            "X-Method-Override",
            "Impersonate-User",
            "Impersonate-Uid",
            "Impersonate_Group",
            "Impersonate-Extra-a",
            "X-Remote-User",
            "Remote-User",
            "Bailiwick-User",
            "BAILIWICK_USER",
            "bailiwick-anything",
            "CF-Access-Jwt-Assertion",
            "X-Client-Cert",
            "X-SSL-Client-Verify",
            "Via",
            "X-Auth-Request-Email",
            "True-Client-IP",
            "X-WebAuth-User",
            "X-Goog-Authenticated-User-Email",
            "some_name",
            "a.b",
        ] {
            for destination in [Destination::Web, Destination::Kubernetes] {
                let left = for_upstream(map(&[(name, "admin")]), destination, Upgrade::None);
                assert!(left.is_empty(), "{name} passed to {destination:?}");
            }
        }
    }

    #[test]
    fn framing_and_hop_by_hop_fields_are_ours_alone() {
        for name in [
            "Connection",
            "Keep-Alive",
            "TE",
            "Trailer",
            "Transfer-Encoding",
            "Upgrade",
            "Proxy-Authorization",
            "Proxy-Connection",
            "Content-Length",
            "Host",
            "Expect",
            "HTTP2-Settings",
        ] {
            assert!(web(&[(name, "x")]).is_empty(), "{name} passed");
        }
        let left =
            web(&[("Connection", "close, X-Secret"), ("X-Secret", "1"), ("connection", "ACCEPT"), ("Accept", "a")]);
        assert!(left.is_empty());
    }

    #[test]
    fn what_the_app_needs_passes() {
        let left = web(&[("Accept", "a"), ("Authorization", "Bearer x"), ("X-Requested-With", "y"), ("Accept", "b")]);
        assert_eq!(names(&left), ["accept", "authorization", "x-requested-with"]);
        assert_eq!(left.get_all("accept").iter().count(), 2);
        assert!(web(&[("Authorization", "NTLM abc")]).is_empty());
    }

    #[test]
    fn nothing_by_which_an_api_server_could_take_us_for_another_passes() {
        let came = map(&[
            ("Authorization", "Bearer x"),
            ("Cookie", "a=b"),
            ("Accept", "application/json"),
            ("Sec-WebSocket-Protocol", "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.Zm9v"),
            ("Sec-WebSocket-Extensions", "permessage-deflate"),
            ("Sec-WebSocket-Key", "k"),
        ]);
        let left = for_upstream(came.clone(), Destination::Kubernetes, Upgrade::WebSocket);
        assert_eq!(names(&left), ["accept", "sec-websocket-key", "sec-websocket-protocol"]);
        assert_eq!(left.get("sec-websocket-protocol").unwrap(), "v5.channel.k8s.io");
        let left = for_upstream(came.clone(), Destination::Kubernetes, Upgrade::None);
        assert_eq!(names(&left), ["accept"]);
    }

    #[test]
    fn a_response_loses_its_framing_and_whatever_would_pass_for_ours() {
        let came = map(&[
            ("Connection", "keep-alive, X-Hop"),
            ("X-Hop", "1"),
            ("Transfer-Encoding", "chunked"),
            ("Content-Type", "a"),
            ("Set-Cookie", "__Host-bailiwick=evil; Secure; Path=/"),
            ("Set-Cookie", "theirs=1"),
            ("WWW-Authenticate", "NTLM"),
            ("Bailiwick-Request", "x"),
            ("Alt-Svc", "h3=\":443\""),
            ("Sec-WebSocket-Accept", "x"),
            ("Warning", "299"),
        ]);
        let left = for_caller(came.clone(), Destination::Web, false);
        assert_eq!(names(&left), ["content-type", "set-cookie", "warning"]);
        assert_eq!(left.get("set-cookie").unwrap(), "theirs=1");
        assert!(!for_caller(came.clone(), Destination::Kubernetes, false).contains_key("set-cookie"));
    }
}
