//! A browser without a screen, for the tour: cookies per host, redirects followed one by one, and the headers by which
//! servers tell a navigation from a fetch (Fetch Metadata). Every host is taken to be on this machine, over plain HTTP.
//! As strict about `__Host-` cookies as real ones are (RFC 6265bis, section 4.1.3), so that the tour proves something.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::Ipv4Addr,
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::Url;

const MOST_REDIRECTS: usize = 12;
const MOST_BYTES: usize = 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(15);
const AGENT: &str = "Bailiwick-Tour/1";

/// A browser with its cookies.
#[derive(Default)]
pub(super) struct Browser {
    cookies: BTreeMap<String, BTreeMap<String, String>>,
}

/// Where a navigation or fetch ended.
pub(super) struct Page {
    pub(super) url: Url,
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Page {
    /// The body as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of an attribute of the first tag that contains `mark`.
    pub(super) fn attribute(&self, mark: &str, name: &str) -> Option<String> {
        let text = self.text();
        let tag = text.split('<').find(|tag| tag.contains(mark))?.split('>').next()?.to_owned();
        let value = tag.split(&format!("{name}=\"")).nth(1)?.split('"').next()?;
        Some(value.replace("&#38;", "&").replace("&amp;", "&"))
    }

    /// This page, if it came with success.
    pub(super) fn expect_success(self, what: &str) -> Result<Self, String> {
        if self.status.is_success() {
            return Ok(self);
        }
        let text: String = self.text().chars().take(300).collect();
        Err(format!(
            "{what}: {} answered {}: {}",
            self.url,
            self.status,
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        ))
    }
}

/// What is asked for, by whom.
struct Ask<'a> {
    method: Method,
    /// The page that leads there; none: the address bar.
    from: Option<&'a Url>,
    mode: &'static str,
    content: Option<(&'static str, Vec<u8>)>,
}

impl Browser {
    /// Opens an address as if typed, and follows where it leads.
    pub(super) async fn open(&mut self, url: &Url) -> Result<Page, String> {
        self.navigate(url.clone(), Ask { method: Method::GET, from: None, mode: "navigate", content: None }).await
    }

    /// Follows a link of the page at `from`.
    pub(super) async fn follow(&mut self, from: &Url, url: &Url) -> Result<Page, String> {
        self.navigate(url.clone(), Ask { method: Method::GET, from: Some(from), mode: "navigate", content: None }).await
    }

    /// Sends a form of the page at `from`.
    pub(super) async fn submit(&mut self, from: &Url, url: &Url, fields: &[(&str, &str)]) -> Result<Page, String> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let content = Some(("application/x-www-form-urlencoded", body.into_bytes()));
        self.navigate(url.clone(), Ask { method: Method::POST, from: Some(from), mode: "navigate", content }).await
    }

    /// Posts JSON as a script of the page at `from` would.
    pub(super) async fn post_json(&mut self, from: &Url, url: &Url, value: &serde_json::Value) -> Result<Page, String> {
        let content = Some(("application/json", value.to_string().into_bytes()));
        let ask = Ask { method: Method::POST, from: Some(from), mode: "cors", content };
        let response = self.send(url, &[], &ask).await?;
        page(url.clone(), response).await
    }

    /// Opens a stream as a script of a page of the same host would; hands over the response as it begins.
    pub(super) async fn stream(&mut self, url: &Url) -> Result<Response<Incoming>, String> {
        self.send(url, &[], &Ask { method: Method::GET, from: Some(url), mode: "cors", content: None }).await
    }

    /// Goes where redirects lead, and where pages lead that go on by themselves.
    async fn navigate(&mut self, start: Url, ask: Ask<'_>) -> Result<Page, String> {
        let mut page = self.arrive(start, ask).await?;
        for _ in 0..MOST_REDIRECTS {
            let Some(onward) = page.attribute("http-equiv=\"refresh\"", "content") else { return Ok(page) };
            let target = onward.split_once("url=").map(|(_, target)| target).unwrap_or_default();
            let next = page.url.join(target).map_err(|_| format!("{} leads to a malformed address", page.url))?;
            let from = page.url;
            let ask = Ask { method: Method::GET, from: Some(&from), mode: "navigate", content: None };
            page = self.arrive(next, ask).await?;
        }
        Err(format!("{} leads on and on", page.url))
    }

    async fn arrive(&mut self, start: Url, mut ask: Ask<'_>) -> Result<Page, String> {
        let mut url = start;
        let mut chain: Vec<Url> = Vec::new();
        loop {
            let response = self.send(&url, &chain, &ask).await?;
            let target = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).map(str::to_owned);
            let Some(target) = target.filter(|_| response.status().is_redirection()) else {
                return page(url, response).await;
            };
            if chain.len() == MOST_REDIRECTS {
                return Err(format!("too many redirects, the last to {target}"));
            }
            let next = url.join(&target).map_err(|_| format!("{url} leads to a malformed address"))?;
            if response.status() != StatusCode::TEMPORARY_REDIRECT {
                ask.method = Method::GET;
                ask.content = None;
            }
            chain.push(std::mem::replace(&mut url, next));
        }
    }

    async fn send(&mut self, url: &Url, chain: &[Url], ask: &Ask<'_>) -> Result<Response<Incoming>, String> {
        let request = self.request(url, chain, ask).map_err(|fault| fault.to_string())?;
        let fault = |fault: &dyn std::fmt::Display| format!("{url}: {fault}");
        let exchange = async {
            let port = url.port_or_known_default().unwrap_or(80);
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.map_err(|it| fault(&it))?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|it| fault(&it))?;
            tokio::spawn(connection);
            sender.send_request(request).await.map_err(|it| fault(&it))
        };
        let response = tokio::time::timeout(PATIENCE, exchange).await.map_err(|_| fault(&"no answer"))??;
        self.keep_cookies(url, response.headers())?;
        Ok(response)
    }

    fn request(&self, url: &Url, chain: &[Url], ask: &Ask<'_>) -> Result<Request<Full<Bytes>>, http::Error> {
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let navigation = ask.mode == "navigate";
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(target)
            .header(HOST, authority)
            .header("user-agent", AGENT)
            .header(ACCEPT, if navigation { "text/html,application/xhtml+xml,*/*;q=0.8" } else { "*/*" })
            .header("sec-fetch-mode", ask.mode)
            .header("sec-fetch-dest", if navigation { "document" } else { "empty" })
            .header("sec-fetch-site", site(ask.from, chain, url));
        if let Some(from) = ask.from.filter(|_| ask.method != Method::GET) {
            request = request.header(ORIGIN, from.origin().ascii_serialization());
        }
        let jar = self.cookies.get(url.host_str().unwrap_or_default());
        let cookies: Vec<String> = jar.into_iter().flatten().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        let body = match &ask.content {
            Some((kind, bytes)) => {
                request = request.header(CONTENT_TYPE, *kind);
                Bytes::copy_from_slice(bytes)
            }
            None => Bytes::new(),
        };
        request.body(Full::new(body))
    }

    fn keep_cookies(&mut self, url: &Url, headers: &HeaderMap) -> Result<(), String> {
        let host = url.host_str().unwrap_or_default();
        for line in headers.get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok()) {
            let mut parts = line.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            let attributes: Vec<String> = parts.map(str::to_ascii_lowercase).collect();
            let has = |wanted: &str| attributes.iter().any(|attribute| attribute == wanted);
            let domain = attributes.iter().any(|attribute| attribute.starts_with("domain="));
            if name.starts_with("__Host-") && (domain || !has("secure") || !has("path=/")) {
                return Err(format!("{url} set {name} in a way that browsers refuse"));
            }
            match self.cookies.entry(host.to_owned()).or_default().entry(name.to_owned()) {
                Entry::Occupied(kept) if has("max-age=0") => drop(kept.remove()),
                Entry::Vacant(_) if has("max-age=0") => {}
                Entry::Occupied(mut kept) => drop(kept.insert(value.to_owned())),
                Entry::Vacant(place) => drop(place.insert(value.to_owned()).as_str()),
            }
        }
        Ok(())
    }
}

async fn page(url: Url, response: Response<Incoming>) -> Result<Page, String> {
    let status = response.status();
    let body = tokio::time::timeout(PATIENCE, Limited::new(response.into_body(), MOST_BYTES).collect()).await;
    let body = body.map_err(|_| format!("{url}: the answer does not end"))?;
    let body = body.map_err(|fault| format!("{url}: {fault}"))?.to_bytes();
    Ok(Page { url, status, body })
}

/// `Sec-Fetch-Site`: the farthest step of the chain, seen from where it began.
fn site(from: Option<&Url>, chain: &[Url], url: &Url) -> &'static str {
    let Some(from) = from else { return "none" };
    let steps = || chain.iter().chain([url]);
    if steps().all(|step| step.origin() == from.origin()) {
        return "same-origin";
    }
    if steps().all(|step| registrable(step) == registrable(from)) { "same-site" } else { "cross-site" }
}

/// The scheme, and the last two labels of the host: `localhost` is a public suffix to browsers.
fn registrable(url: &Url) -> (String, String) {
    let labels: Vec<&str> = url.host_str().unwrap_or_default().rsplit('.').take(2).collect();
    (url.scheme().to_owned(), labels.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn the_site_of_a_request_is_that_of_its_farthest_step() {
        let (portal, wiki) = (url("http://auth.demo.localhost:1/"), url("http://wiki.demo.localhost:1/"));
        let provider = url("http://localhost:2/authorize");
        assert_eq!(site(None, &[], &portal), "none");
        assert_eq!(site(Some(&portal), &[], &portal), "same-origin");
        assert_eq!(site(Some(&portal), std::slice::from_ref(&wiki), &portal), "same-site");
        assert_eq!(site(Some(&provider), std::slice::from_ref(&provider), &portal), "cross-site");
    }

    #[test]
    fn a_host_cookie_without_its_marks_is_refused_as_browsers_do() {
        let mut browser = Browser::default();
        let mut headers = HeaderMap::new();
        headers.append(SET_COOKIE, "__Host-a=1; Secure; Path=/; HttpOnly".parse().unwrap());
        browser.keep_cookies(&url("http://a.localhost/"), &headers).unwrap();
        assert_eq!(browser.cookies["a.localhost"]["__Host-a"], "1");
        headers.append(SET_COOKIE, "__Host-b=1; Path=/".parse().unwrap());
        assert!(browser.keep_cookies(&url("http://a.localhost/"), &headers).is_err());
    }

    #[test]
    fn attributes_are_read_from_the_tag_that_is_meant() {
        let body = Bytes::from_static(b"<form action=\"/a?x=1&amp;y=2\" id=\"go\"><input name=\"n\" value=\"v\">");
        let page = Page { url: url("http://a/"), status: StatusCode::OK, body };
        assert_eq!(page.attribute("id=\"go\"", "action").unwrap(), "/a?x=1&y=2");
        assert_eq!(page.attribute("name=\"n\"", "value").unwrap(), "v");
    }
}
