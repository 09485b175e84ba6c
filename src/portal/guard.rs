//! Where a request may come from. Sibling hosts are hostile: they can send the browser here with its cookies.
//!
//! INVARIANT: whatever changes state answers only the portal's own pages, and of the navigations from elsewhere only
//! those in [`FROM_ELSEWHERE`] are answered. The API takes bearer tokens and nothing that a browser adds by itself. An
//! attacker controls every page but ours; the browser, which says where a request comes from, is on our side.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderValue, Method, header};
use tower_sessions::session::Id;

use super::{Portal, PortalFault};

/// The pages that a link or redirect on another site may lead to: all of them belong to signing in or out.
pub const FROM_ELSEWHERE: [&str; 6] =
    ["/sign-in", "/sign-in/callback", "/handover", "/command-line", "/step-up", "/signed-out"];

/// The portal's session cookie.
pub const COOKIE: &str = "__Host-bailiwick";

/// Why a request was turned away before anybody asked who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// Another site led the browser to a page that is not for that.
    Navigation,
    /// Another site wanted something changed.
    Change,
    /// A browser spoke to the command line's API.
    BrowserAtApi,
    /// The session cookie came twice, so one of them is a plant.
    TwoCookies,
}

/// The layer.
pub async fn guard(State(portal): State<Portal>, mut request: Request, next: Next) -> Result<Response, PortalFault> {
    let origin = portal.settings.portal.origin();
    admit(request.method(), request.uri().path(), request.headers(), &origin).map_err(PortalFault::Stranger)?;
    keep_own_cookie(request.headers_mut());
    Ok(next.run(request).await)
}

/// Whether the request came from a page of the portal's, the person's own hand, or the command line.
pub fn admit(method: &Method, path: &str, headers: &HeaderMap, origin: &str) -> Result<(), Stranger> {
    if path.starts_with("/api/") {
        return if from_program(headers) { Ok(()) } else { Err(Stranger::BrowserAtApi) };
    }
    if session_cookies(headers).nth(1).is_some() {
        return Err(Stranger::TwoCookies);
    }
    if matches!(*method, Method::GET | Method::HEAD) {
        let open = path.starts_with("/static/") || path.starts_with("/log/") || FROM_ELSEWHERE.contains(&path);
        return if open || !from_elsewhere(headers) { Ok(()) } else { Err(Stranger::Navigation) };
    }
    if from_own_page(headers, origin) { Ok(()) } else { Err(Stranger::Change) }
}

/// Whether the browser says that another site is behind this request, or says two things at once.
pub fn from_elsewhere(headers: &HeaderMap) -> bool {
    match only(headers, "sec-fetch-site") {
        Ok(None | Some("same-origin" | "none")) => false,
        Ok(Some(_)) | Err(()) => true,
    }
}

/// For changes: the browser vouches by Sec-Fetch-Site, by Origin, or by both; never one against the other.
fn from_own_page(headers: &HeaderMap, origin: &str) -> bool {
    let site = only(headers, "sec-fetch-site");
    let from = only(headers, header::ORIGIN.as_str());
    match (site, from) {
        (Ok(None), Ok(Some(from))) => from == origin,
        (Ok(Some("same-origin" | "none")), Ok(from)) => from.is_none_or(|from| from == origin),
        _ => false,
    }
}

/// A program sends nothing that a browser adds by itself.
fn from_program(headers: &HeaderMap) -> bool {
    let from_browser = [header::COOKIE.as_str(), header::ORIGIN.as_str(), "sec-fetch-site"];
    !from_browser.iter().any(|name| headers.contains_key(*name))
}

/// The value of a header that may come once at most.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        _ => Err(()),
    }
}

/// Leaves the session's cookie and no other. The layer behind decodes names, so that a sibling's
/// `__Host%2Dbailiwick`, which no browser protects, would count as ours.
fn keep_own_cookie(headers: &mut HeaderMap) {
    let own = session_cookies(headers).next().and_then(|pair| HeaderValue::from_bytes(pair).ok());
    headers.remove(header::COOKIE);
    if let Some(own) = own {
        headers.insert(header::COOKIE, own);
    }
}

/// The session that came along, if exactly one did.
pub fn session_shown(headers: &HeaderMap) -> Option<Id> {
    let mut cookies = session_cookies(headers);
    let (Some(pair), None) = (cookies.next(), cookies.next()) else { return None };
    let (_, value) = std::str::from_utf8(pair).ok()?.split_once('=')?;
    value.parse().ok()
}

/// The cookies with exactly our name; read as bytes, so that nothing beside them can hide one.
fn session_cookies(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let pairs = headers.get_all(header::COOKIE).iter().flat_map(|line| line.as_bytes().split(|&b| b == b';'));
    let name = |pair: &[u8]| pair.split(|&b| b == b'=').next().unwrap_or_default().trim_ascii() == COOKIE.as_bytes();
    pairs.map(<[u8]>::trim_ascii).filter(move |pair| name(pair))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "https://auth.example.com";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn appended(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut all = HeaderMap::new();
        for (name, value) in pairs {
            all.append(*name, value.parse().unwrap());
        }
        all
    }

    #[test]
    fn only_the_cookie_of_exactly_our_name_reaches_the_session() {
        let left = |line: &[u8]| {
            let mut headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_bytes(line).unwrap())]);
            keep_own_cookie(&mut headers);
            headers.get(header::COOKIE).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(left(b"a=1; __Host-bailiwick=s; b=2").as_deref(), Some("__Host-bailiwick=s"));
        assert_eq!(left(b"__Host-bailiwick=s; __Host%2Dbailiwick=evil").as_deref(), Some("__Host-bailiwick=s"));
        assert_eq!(left(b"__Host%2Dbailiwick=evil"), None);
        assert_eq!(left(b"%5F%5FHost-bailiwick=evil"), None);
        assert_eq!(left("x=\u{eb}; __Host-bailiwick=s".as_bytes()).as_deref(), Some("__Host-bailiwick=s"));
        let twice = HeaderValue::from_bytes("x=\u{eb}; __Host-bailiwick=s; __Host-bailiwick=t".as_bytes()).unwrap();
        let headers = HeaderMap::from_iter([(header::COOKIE, twice)]);
        assert_eq!(admit(&Method::GET, "/", &headers, HOME), Err(Stranger::TwoCookies));
    }

    #[test]
    fn a_change_is_taken_from_the_portals_own_pages_only() {
        let judge = |pairs: &[(&'static str, &str)]| admit(&Method::POST, "/sign-out", &appended(pairs), HOME);
        assert_eq!(judge(&[("sec-fetch-site", "same-origin"), ("origin", HOME)]), Ok(()));
        assert_eq!(judge(&[("sec-fetch-site", "none")]), Ok(()));
        assert_eq!(judge(&[("origin", HOME)]), Ok(()));
        for pairs in [
            &[][..],
            &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")],
            &[("sec-fetch-site", "same-site"), ("origin", "https://wiki.example.com")],
            &[("sec-fetch-site", "same-site"), ("origin", HOME)],
            &[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")],
            &[("sec-fetch-site", "same-origin"), ("origin", "null")],
            &[("sec-fetch-site", "none"), ("origin", "null")],
            &[("origin", "null")],
            &[("origin", "https://auth.example.com.evil.example")],
            &[("origin", "http://auth.example.com")],
            &[("origin", "https://auth.example.com:8443")],
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
            &[("origin", HOME), ("origin", HOME)],
            &[("sec-fetch-site", "Same-Origin")],
            &[("referer", "https://auth.example.com/")],
        ] {
            assert_eq!(judge(pairs), Err(Stranger::Change), "{pairs:?}");
        }
    }

    #[test]
    fn other_sites_lead_to_the_pages_of_signing_in_and_to_no_other() {
        for site in ["cross-site", "same-site"] {
            let from = headers(&[("sec-fetch-site", site), ("sec-fetch-mode", "navigate")]);
            for path in FROM_ELSEWHERE {
                assert_eq!(admit(&Method::GET, path, &from, HOME), Ok(()));
            }
            for path in ["/", "/audit", "/sessions", "/passkey", "/enrol", "/policy", "/sign-in/", "/nowhere"] {
                assert_eq!(admit(&Method::GET, path, &from, HOME), Err(Stranger::Navigation), "{path}");
            }
            assert_eq!(admit(&Method::POST, "/sign-in", &from, HOME), Err(Stranger::Change));
            assert_eq!(admit(&Method::POST, "/command-line", &from, HOME), Err(Stranger::Change));
            assert_eq!(admit(&Method::GET, "/static/portal.css", &from, HOME), Ok(()));
        }
        let typed = headers(&[("sec-fetch-site", "none")]);
        assert_eq!(admit(&Method::GET, "/audit", &typed, HOME), Ok(()));
    }

    #[test]
    fn the_api_takes_nothing_that_a_browser_adds_by_itself() {
        let judge = |pairs: &[(&'static str, &str)]| admit(&Method::POST, "/api/v1/sign-out", &headers(pairs), HOME);
        assert_eq!(judge(&[("authorization", "Bearer x")]), Ok(()));
        for extra in [("cookie", "a=b"), ("origin", HOME), ("sec-fetch-site", "same-origin")] {
            assert_eq!(judge(&[("authorization", "Bearer x"), extra]), Err(Stranger::BrowserAtApi), "{extra:?}");
        }
    }

    #[test]
    fn a_second_session_cookie_is_a_plant() {
        for cookie in ["__Host-bailiwick=a; __Host-bailiwick=b", "__Host-bailiwick=a;__Host-bailiwick=a"] {
            let with = headers(&[("cookie", cookie), ("sec-fetch-site", "none")]);
            assert_eq!(admit(&Method::GET, "/", &with, HOME), Err(Stranger::TwoCookies), "{cookie}");
        }
        let apart = appended(&[("cookie", "__Host-bailiwick=a"), ("cookie", "x=1; __Host-bailiwick=b")]);
        assert_eq!(admit(&Method::GET, "/", &apart, HOME), Err(Stranger::TwoCookies));
        let one = headers(&[("cookie", "__Host-bailiwick=a; __Host-bailiwick-app=b")]);
        assert_eq!(admit(&Method::GET, "/", &one, HOME), Ok(()));
    }
}
