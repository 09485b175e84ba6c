//! What a request must be before any service sees it: framed beyond doubt, and for one host that we serve.
//!
//! An attacker controls every byte here. What two parsers could read differently is refused, never repaired (RFC 9112,
//! section 11.2). The answer to a refused request is small and plain and closes the connection.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, Request, StatusCode, Version, header};

use super::{HostTable, Limits, Service, canonical_host, tls::Named};

/// Why a request was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turned(pub StatusCode, pub &'static str);

impl Turned {
    /// Which check it was, in a word, for the log.
    pub(super) fn check(self) -> &'static str {
        match self.0 {
            StatusCode::METHOD_NOT_ALLOWED => "method",
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "size",
            StatusCode::MISDIRECTED_REQUEST => "host",
            _ => "framing",
        }
    }
}

/// The host that a request names, if it is one of ours: whatever else is wrong with the request, this is for whom it was.
pub(super) fn named_host<B>(request: &Request<B>, table: &HostTable) -> Option<String> {
    let field = || request.headers().get(header::HOST).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned()).or_else(field)?;
    canonical_host(&authority).filter(|host| table.at(host).is_some())
}

/// What the TLS handshake said about the server's name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handshake<'h> {
    pub(super) name: Option<&'h str>,
    pub(super) named: Named,
}

/// Finds the service for a request, or says why it is turned away. There is a `handshake` on TLS connections.
pub(super) fn admit<'t, B>(
    request: &Request<B>,
    handshake: Option<Handshake<'_>>,
    limits: &Limits,
    table: &'t HostTable,
) -> Result<&'t Service, Turned> {
    check_method(request)?;
    check_fields(request.headers(), limits)?;
    check_framing(request)?;
    let authority = authority(request)?;
    let host = match handshake {
        // kubectl dials an address and gives the name by `tls-server-name`; an address names nobody else here.
        Some(Handshake { name: Some(name), named: Named::Cluster }) if is_address(&authority) => name.to_owned(),
        _ => canonical_host(&authority).ok_or(NO_HOST)?,
    };
    if handshake.is_some_and(|handshake| handshake.name != Some(host.as_str())) {
        return Err(Turned(StatusCode::MISDIRECTED_REQUEST, "this connection is for another host"));
    }
    table.at(&host).ok_or(Turned(StatusCode::MISDIRECTED_REQUEST, "no such host here"))
}

const NO_HOST: Turned = Turned(StatusCode::BAD_REQUEST, "the request does not name one host");

fn is_address(authority: &str) -> bool {
    let bare = authority.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(authority);
    bare.parse::<IpAddr>().is_ok() || authority.parse::<SocketAddr>().is_ok()
}

/// Methods that change what a request is to those on its way. Others that we do not speak are the services' to refuse:
/// they find out who asks.
fn check_method<B>(request: &Request<B>) -> Result<(), Turned> {
    match request.method().as_str() {
        "CONNECT" | "TRACE" | "TRACK" => Err(Turned(StatusCode::METHOD_NOT_ALLOWED, "this method is not allowed")),
        _ => Ok(()),
    }
}

fn check_fields(headers: &HeaderMap, limits: &Limits) -> Result<(), Turned> {
    const TOO_LARGE: Turned =
        Turned(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the request has too many or too long header fields");
    // A browser splits its cookies over many fields on HTTP/2 (RFC 9113, section 8.2.3); their bytes still count.
    let fields = headers.iter().filter(|(name, _)| *name != header::COOKIE).count();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if fields > limits.header_fields || headers.len() > 4 * limits.header_fields || bytes > limits.header_bytes {
        return Err(TOO_LARGE);
    }
    let some_stand_twice = headers.len() > headers.keys_len();
    for name in headers.keys() {
        if some_stand_twice && SINGLE.contains(&name.as_str()) && headers.get_all(name).iter().nth(1).is_some() {
            return Err(Turned(StatusCode::BAD_REQUEST, "a header field that may stand once stands twice"));
        }
        if is_disguised(name) {
            return Err(Turned(StatusCode::BAD_REQUEST, "a header field's name imitates another's"));
        }
    }
    Ok(())
}

/// Fields that have one value or none: readers disagree about which of two counts.
const SINGLE: [&str; 24] = [
    "authorization",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "date",
    "expect",
    "from",
    "host",
    "if-modified-since",
    "if-range",
    "if-unmodified-since",
    "max-forwards",
    "origin",
    "proxy-authorization",
    "range",
    "referer",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-websocket-key",
    "sec-websocket-version",
    "transfer-encoding",
    "user-agent",
];

/// `Transfer_Encoding` and its like, which some upstreams read as `Transfer-Encoding`.
fn is_disguised(name: &HeaderName) -> bool {
    let text = name.as_str();
    if !text.bytes().fold(false, |found, byte| found | (byte == b'_') | (byte == b'.')) {
        return false;
    }
    let plain = text.replace(['_', '.'], "-");
    SINGLE.contains(&plain.as_str())
        || ["connection", "upgrade", "te", "trailer", "keep-alive"].contains(&plain.as_str())
}

fn check_framing<B>(request: &Request<B>) -> Result<(), Turned> {
    let headers = request.headers();
    if let Some(coding) = headers.get(header::TRANSFER_ENCODING) {
        // hyper accepts `gzip, chunked`; nobody sends it, and upstreams read it differently.
        if !coding.as_bytes().eq_ignore_ascii_case(b"chunked") || request.version() != Version::HTTP_11 {
            return Err(Turned(StatusCode::BAD_REQUEST, "the transfer coding is not plain `chunked`"));
        }
        if headers.contains_key(header::CONTENT_LENGTH) {
            return Err(Turned(StatusCode::BAD_REQUEST, "both a length and a transfer coding"));
        }
    }
    if let Some(length) = headers.get(header::CONTENT_LENGTH)
        && !length.as_bytes().iter().all(u8::is_ascii_digit)
    {
        return Err(Turned(StatusCode::BAD_REQUEST, "the length is not a number"));
    }
    match headers.get(header::EXPECT) {
        Some(expect) if !expect.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            Err(Turned(StatusCode::EXPECTATION_FAILED, "that expectation cannot be met"))
        }
        _ => Ok(()),
    }
}

/// The one authority that a request is for, in lower case (RFC 9112, section 3.2; RFC 9113, section 8.3.1).
fn authority<B>(request: &Request<B>) -> Result<String, Turned> {
    let field = match request.headers().get(header::HOST) {
        Some(value) => Some(value.to_str().map_err(|_| NO_HOST)?.to_ascii_lowercase()),
        None => None,
    };
    if field.is_none() && request.version() < Version::HTTP_2 {
        return Err(NO_HOST);
    }
    let target = request.uri().authority().map(|authority| authority.as_str().to_ascii_lowercase());
    let authority = match (target, field) {
        (Some(target), Some(field)) if target != field => return Err(NO_HOST),
        (Some(target), _) => target,
        (None, Some(field)) => field,
        (None, None) => return Err(NO_HOST),
    };
    if !request.uri().path().starts_with('/') {
        return Err(Turned(StatusCode::BAD_REQUEST, "the request's target is not a path"));
    }
    Ok(authority)
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn ask(request: http::request::Builder, name: Option<&str>) -> u16 {
        let mut table = HostTable::default();
        let service = Service::from_fn(|_, _| async { Response::new(super::super::empty()) });
        table.insert("a.test", service.clone()).unwrap();
        table.insert("b.test", service).unwrap();
        let request = request.body(()).unwrap();
        let named = if name == Some("b.test") { Named::Cluster } else { Named::Other };
        let handshake = name.map(|name| Handshake { name: Some(name), named });
        match admit(&request, handshake, &Limits::default(), &table) {
            Ok(_) => 200,
            Err(Turned(status, _)) => status.as_u16(),
        }
    }

    fn get(host: &str) -> http::request::Builder {
        Request::get("/").header("host", host)
    }

    #[test]
    fn the_authority_must_be_ours_and_that_of_the_handshake() {
        assert_eq!(ask(get("a.test"), None), 200);
        assert_eq!(ask(get("A.test:8080"), None), 200);
        assert_eq!(ask(get("a.test"), Some("a.test")), 200);
        assert_eq!(ask(get("b.test"), Some("a.test")), 421);
        assert_eq!(ask(get("c.test"), None), 421);
        for address in ["127.0.0.1:6443", "127.0.0.1", "[::1]:6443", "[::1]"] {
            assert_eq!(ask(get(address), Some("b.test")), 200, "a cluster dialled by address");
            assert_ne!(ask(get(address), Some("a.test")), 200, "nobody else is");
            assert_ne!(ask(get(address), None), 200);
        }
        assert_eq!(ask(get("a.test"), Some("b.test")), 421);
        assert_eq!(ask(get("a.test."), None), 400);
        assert_eq!(ask(get("me@a.test"), None), 400);
        assert_eq!(ask(get("a.test").header("host", "b.test"), None), 400);
        assert_eq!(ask(Request::get("/"), None), 400);
        assert_eq!(ask(Request::get("http://a.test/").header("host", "a.test"), None), 200);
        assert_eq!(ask(Request::get("http://b.test/").header("host", "a.test"), None), 400);
        assert_eq!(ask(Request::get("admin").header("host", "a.test"), None), 400);
        assert_eq!(ask(Request::options("*").header("host", "a.test"), None), 400);
        let h2 = Request::get("https://a.test/").version(Version::HTTP_2);
        assert_eq!(ask(h2, Some("a.test")), 200);
        let h2 = Request::get("https://a.test/").version(Version::HTTP_2).header("host", "b.test");
        assert_eq!(ask(h2, Some("a.test")), 400);
    }

    #[test]
    fn methods_and_framing_that_we_do_not_speak_are_refused() {
        for (method, status) in [("CONNECT", 405), ("TRACE", 405), ("TRACK", 405), ("FOO", 200), ("get", 200)] {
            assert_eq!(ask(get("a.test").method(method), None), status, "{method}");
        }
        for coding in ["gzip, chunked", "chunked, chunked", "identity", "xchunked", "chunked;q=1", "\"chunked\""] {
            assert_eq!(ask(get("a.test").header("transfer-encoding", coding), None), 400, "{coding}");
        }
        let twice = get("a.test").header("transfer-encoding", "chunked").header("transfer-encoding", "chunked");
        assert_eq!(ask(twice, None), 400);
        let both = get("a.test").header("transfer-encoding", "chunked").header("content-length", "0");
        assert_eq!(ask(both, None), 400);
        assert_eq!(ask(get("a.test").header("transfer-encoding", "Chunked"), None), 200);
        for length in ["+5", "", "0x5", "5, 5"] {
            let status = ask(get("a.test").header("content-length", length), None);
            assert_eq!(status, if length.is_empty() { 200 } else { 400 }, "{length:?}, hyper refuses an empty one");
        }
        assert_eq!(ask(get("a.test").header("expect", "100-Continue"), None), 200);
        assert_eq!(ask(get("a.test").header("expect", "200-ok"), None), 417);
        for name in ["transfer_encoding", "content.length", "Connection_"] {
            let refused = name != "Connection_";
            assert_eq!(ask(get("a.test").header(name, "x"), None), if refused { 400 } else { 200 }, "{name}");
        }
        for name in ["authorization", "content-type", "origin", "sec-fetch-site"] {
            assert_eq!(ask(get("a.test").header(name, "x").header(name, "x"), None), 400, "{name}");
        }
    }

    #[test]
    fn header_fields_are_counted_and_weighed() {
        let many = (0..65).fold(get("a.test"), |request, i| request.header(format!("x-{i}"), "1"));
        assert_eq!(ask(many, None), 431);
        assert_eq!(ask(get("a.test").header("x", "y".repeat(33_000)), None), 431);
        let cookies = (0..100).fold(get("a.test"), |request, _| request.header("cookie", "a=b"));
        assert_eq!(ask(cookies, None), 200);
    }
}
