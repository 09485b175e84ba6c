//! What a browser says about where a request was made (Fetch Metadata, RFC 6454's Origin), and what follows from it.
//!
//! Sibling hosts are hostile: an app may be broken into, and its pages share our site. So only a page of the app's own
//! host may change anything there. Every field here can be forged by a client that is no browser; such a client has
//! no cookie to steal.

use http::{HeaderMap, header};

use crate::model::Method;

/// How a request came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Somebody follows a link or types an address: they can be sent elsewhere.
    Navigation,
    /// A script or a program asks: it gets a plain answer.
    Fetch,
}

pub(super) fn kind(method: Method, headers: &HeaderMap) -> Kind {
    let mode = text(headers, "sec-fetch-mode");
    let accepts_page = || text(headers, header::ACCEPT.as_str()).is_some_and(|accept| accept.contains("text/html"));
    match (method, mode) {
        (Method::Get, Some("navigate")) => Kind::Navigation,
        (Method::Get, None) if accepts_page() => Kind::Navigation,
        _ => Kind::Fetch,
    }
}

/// Whether a request that may change something was made by a page of `origin` itself.
pub(super) fn may_change(method: Method, headers: &HeaderMap, origin: &str) -> bool {
    if matches!(method, Method::Get | Method::Head | Method::Options) {
        return true;
    }
    let from = text(headers, header::ORIGIN.as_str());
    match text(headers, "sec-fetch-site") {
        Some("same-origin") => from.is_none_or(|from| from == origin),
        // Typed or bookmarked, which cannot post; some browsers say it of a reloaded form.
        Some("none") => from.is_none_or(|from| from == origin || from == "null"),
        Some(_) => false,
        // A program, or a browser from before 2023: then the origin has to be there.
        None => from == Some(origin),
    }
}

/// Whether a stream was asked for by a page of `origin` itself (RFC 6455, section 10.2).
pub(super) fn may_open_stream(headers: &HeaderMap, origin: &str) -> bool {
    let site = text(headers, "sec-fetch-site");
    text(headers, header::ORIGIN.as_str()) == Some(origin) && site.is_none_or(|site| site == "same-origin")
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const WIKI: &str = "https://wiki.test";

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        fields.iter().map(field).collect()
    }

    #[test]
    fn only_the_apps_own_pages_change_anything() {
        let post = |fields: &[(&'static str, &'static str)]| may_change(Method::Post, &map(fields), WIKI);
        assert!(post(&[("sec-fetch-site", "same-origin"), ("origin", WIKI)]));
        assert!(post(&[("sec-fetch-site", "none")]));
        assert!(post(&[("origin", WIKI)]));
        assert!(!post(&[("sec-fetch-site", "same-site"), ("origin", "https://evil.test")]));
        assert!(!post(&[("sec-fetch-site", "cross-site"), ("origin", WIKI)]));
        assert!(!post(&[("sec-fetch-site", "same-origin"), ("origin", "https://evil.test")]));
        assert!(!post(&[("origin", "null")]));
        assert!(!post(&[]));
        assert!(may_change(Method::Get, &map(&[("sec-fetch-site", "cross-site")]), WIKI));
    }

    #[test]
    fn only_the_apps_own_pages_open_streams() {
        let may = |fields: &[(&'static str, &'static str)]| may_open_stream(&map(fields), WIKI);
        assert!(may(&[("origin", WIKI)]) && may(&[("origin", WIKI), ("sec-fetch-site", "same-origin")]));
        assert!(!may(&[]) && !may(&[("origin", "null")]) && !may(&[("origin", "https://evil.test")]));
        assert!(!may(&[("origin", WIKI), ("sec-fetch-site", "same-site")]));
    }

    #[test]
    fn only_navigations_are_sent_elsewhere() {
        let of = |method, fields: &[(&'static str, &'static str)]| kind(method, &map(fields));
        assert_eq!(of(Method::Get, &[("sec-fetch-mode", "navigate")]), Kind::Navigation);
        assert_eq!(of(Method::Get, &[("accept", "text/html,*/*")]), Kind::Navigation);
        assert_eq!(of(Method::Get, &[("accept", "text/html"), ("sec-fetch-mode", "cors")]), Kind::Fetch);
        assert_eq!(of(Method::Get, &[("accept", "*/*")]), Kind::Fetch);
        assert_eq!(of(Method::Post, &[("sec-fetch-mode", "navigate")]), Kind::Fetch);
    }
}
