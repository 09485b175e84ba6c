//! The broker's cookies on protected hosts: read here, never shown to an upstream, never set by one.
//! An attacker on a sibling host can set cookies for ours; the `__Host-` prefix (RFC 6265bis, section 4.1.3.2) keeps
//! them out, and two of the same name are refused.

use http::{HeaderMap, HeaderValue, header};

/// The session of a browser with one app.
pub const APP_SESSION: &str = "__Host-bailiwick-app";
/// What binds a hand-over to the browser that began it.
pub const NONCE: &str = "__Host-bailiwick-nonce";
/// How all of the broker's cookies begin; compared without regard to case.
const OURS: &str = "__host-bailiwick";

/// The value of the cookie `name`; none when it stands more than once, since nobody can say which is ours.
pub fn one<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut found = pairs(headers).filter(|(other, _)| *other == name.as_bytes()).map(|(_, value)| value);
    match (found.next(), found.next()) {
        (Some(value), None) if !value.is_empty() => std::str::from_utf8(value).ok(),
        _ => None,
    }
}

/// The caller's cookies without the broker's, as one field.
pub(super) fn for_upstream(headers: &HeaderMap) -> Option<HeaderValue> {
    let lines = headers.get_all(header::COOKIE).into_iter().map(HeaderValue::as_bytes);
    let kept: Vec<_> = lines
        .flat_map(|line| line.split(|&b| b == b';'))
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty() && !is_ours(name_of(pair)))
        .collect();
    if kept.is_empty() { None } else { HeaderValue::from_bytes(&kept.join(b"; ".as_slice())).ok() }
}

/// Whether a `Set-Cookie` field sets, or clears, one of the broker's cookies.
pub(super) fn sets_ours(value: &HeaderValue) -> bool {
    let pair = value.as_bytes().split(|&b| b == b';').next().unwrap_or_default();
    // A cookie without a name takes its value's beginning for one in some readers (RFC 6265bis, section 5.7).
    is_ours(name_of(pair)) || is_ours(pair.trim_ascii().strip_prefix(b"=").unwrap_or_default().trim_ascii())
}

/// A cookie of ours for this host alone.
pub fn set(name: &str, value: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax")).ok()
}

/// Removes a cookie of ours.
pub fn clear(name: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("{name}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")).ok()
}

/// Read as bytes: what another cookie holds must not hide ours.
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = headers.get_all(header::COOKIE).into_iter().map(HeaderValue::as_bytes);
    let pairs = lines.flat_map(|line| line.split(|&b| b == b';'));
    let pairs = pairs.filter_map(|pair| pair.split_at_checked(pair.iter().position(|&b| b == b'=')?));
    pairs.map(|(name, rest)| (name.trim_ascii(), rest.strip_prefix(b"=").unwrap_or(rest).trim_ascii()))
}

fn name_of(pair: &[u8]) -> &[u8] {
    pair.split(|&b| b == b'=').next().unwrap_or_default().trim_ascii()
}

/// Some readers of cookies decode names, so an escaped spelling is ours as well.
fn is_ours(name: &[u8]) -> bool {
    let begins = |name: &[u8]| {
        name.trim_ascii().get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS.as_bytes()))
    };
    if name.contains(&b'%') {
        begins(&percent_encoding::percent_decode(name).collect::<Vec<u8>>())
    } else {
        begins(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (header::COOKIE, HeaderValue::from_static(line))).collect()
    }

    #[test]
    fn our_cookies_never_pass_and_theirs_do() {
        let left = |lines: &[&'static str]| {
            for_upstream(&cookies(lines)).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        assert_eq!(left(&["a=1; __Host-bailiwick-app=s; b=2"]), "a=1; b=2");
        assert_eq!(left(&["__host-BAILIWICK=s", "a=1", "b"]), "a=1; b");
        assert_eq!(left(&[" __Host-bailiwick-nonce =x;;"]), "");
        assert_eq!(left(&["__Host%2Dbailiwick=s; %5F%5fHost-bailiwick-app=t; a=1"]), "a=1");
    }

    #[test]
    fn a_cookie_that_stands_twice_is_nobodys() {
        assert_eq!(one(&cookies(&["x=1; __Host-bailiwick-app=s"]), APP_SESSION), Some("s"));
        assert_eq!(one(&cookies(&["__Host-bailiwick-app=s; __Host-bailiwick-app=t"]), APP_SESSION), None);
        assert_eq!(one(&cookies(&["__Host-bailiwick-app=s", "__Host-bailiwick-app=t"]), APP_SESSION), None);
        assert_eq!(one(&cookies(&["__Host-bailiwick-app="]), APP_SESSION), None);
        assert_eq!(one(&cookies(&["__host-bailiwick-app=s"]), APP_SESSION), None);
        assert_eq!(one(&cookies(&["__Host%2Dbailiwick-app=s"]), APP_SESSION), None);
    }

    #[test]
    fn a_cookie_of_another_that_is_not_ascii_hides_nothing() {
        let line = |bytes: &'static [u8]| {
            let value = HeaderValue::from_bytes(bytes).unwrap();
            HeaderMap::from_iter([(header::COOKIE, value)])
        };
        assert_eq!(one(&line("theme=Zoë; __Host-bailiwick-app=s".as_bytes()), APP_SESSION), Some("s"));
        assert_eq!(one(&line(b"theme=\xff; __Host-bailiwick-app=s"), APP_SESSION), Some("s"));
        assert_eq!(one(&line(b"t=\xff; __Host-bailiwick-app=s; __Host-bailiwick-app=t"), APP_SESSION), None);
        assert_eq!(one(&line(b"__Host-bailiwick-app=\xff"), APP_SESSION), None);
        assert_eq!(one(&line(b"__Host-bailiwick-app=\xff; __Host-bailiwick-app=s"), APP_SESSION), None);
    }

    #[test]
    fn an_upstream_cannot_set_our_cookies() {
        let sets = |line: &'static str| sets_ours(&HeaderValue::from_static(line));
        assert!(sets("__Host-bailiwick-app=x; Secure; Path=/"));
        assert!(sets(" __HOST-Bailiwick=; Max-Age=0"));
        assert!(sets("=__Host-bailiwick-app=x"));
        assert!(sets("__Host%2Dbailiwick=x; Domain=example.com"));
        assert!(!sets("session=__Host-bailiwick"));
    }
}
