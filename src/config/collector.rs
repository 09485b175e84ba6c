//! `[[collector]]`: who gets the entries of the log as OCSF events, and how.

use std::path::PathBuf;

use url::Url;

use super::{
    SecretFile,
    document::{Node, Value},
    reader::Section,
    shipping::delivery,
    value::{Files, filled, integer, list, parsed},
};
use crate::model::CollectorName;

/// Somewhere that entries go.
#[derive(Clone, Debug)]
pub struct Collector {
    /// How cursor, metrics and log call it.
    pub name: CollectorName,
    /// Where it is.
    pub to: Destination,
    /// Only these kinds of entries; none listed means all.
    pub kinds: Vec<String>,
    /// Where a collector begins that has no cursor yet.
    pub from: Begin,
    /// What becomes of an entry that it will not take.
    pub on_reject: OnReject,
    /// How many entries go at once.
    pub batch: u32,
}

/// Where a collector is.
#[derive(Clone, Debug)]
pub enum Destination {
    /// The broker's standard output.
    Stdout,
    /// A file that lines are appended to.
    File(PathBuf),
    /// A syslog receiver (RFC 5424 over TLS, RFC 5425).
    Syslog(SyslogReceiver),
    /// An HTTP endpoint that takes POST.
    Http(HttpCollector),
}

/// A syslog receiver.
#[derive(Clone, Debug)]
pub struct SyslogReceiver {
    /// Its host, which its certificate must name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The authorities to trust for it instead of the public ones, PEM.
    pub ca_file: Option<PathBuf>,
    /// The client certificate to show, and its key, both PEM.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// An HTTP endpoint.
#[derive(Clone, Debug)]
pub struct HttpCollector {
    /// Its address.
    pub url: Url,
    /// How a batch is written.
    pub format: BatchFormat,
    /// What it authenticates us by.
    pub token_file: Option<SecretFile>,
    /// The word before the token.
    pub token_scheme: String,
    /// More headers.
    pub headers: Vec<(String, String)>,
    /// More authorities to trust for it, PEM.
    pub ca_file: Option<PathBuf>,
}

/// How a batch is written for HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchFormat {
    /// An event a line.
    Ndjson,
    /// An array of events.
    JsonArray,
    /// Loki's push API.
    Loki,
}

/// Where a new collector begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With the first entry that there is.
    Beginning,
    /// With the next one.
    Now,
}

/// What becomes of an entry that a collector will not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReject {
    /// It is offered again and again, and all that follow wait.
    Stop,
    /// It is left out, which is recorded.
    Skip,
}

impl Collector {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let files = section.files();
        let name = section.required("name", parsed);
        let to = section.required("to", |node| place(node, &files));
        let format = section.or("format", r#""ndjson""#, |node| {
            choice(
                node,
                &[("ndjson", BatchFormat::Ndjson), ("json-array", BatchFormat::JsonArray), ("loki", BatchFormat::Loki)],
            )
        });
        let token_file = section.optional("token_file", |node| files.secret(node));
        let token_scheme = section.or("token_scheme", r#""Bearer""#, token);
        let headers = section.or("headers", "[]", list(header));
        let ca_file = section.optional("ca_file", |node| files.file(node));
        let certificate_file = section.optional("certificate_file", |node| files.file(node));
        let key_file = section.optional("key_file", |node| files.file(node));
        let kinds = section.or("kinds", "[]", list(filled));
        let from = section
            .or("from", r#""beginning""#, |node| choice(node, &[("beginning", Begin::Beginning), ("now", Begin::Now)]));
        let on_reject = section
            .or("on_reject", r#""stop""#, |node| choice(node, &[("stop", OnReject::Stop), ("skip", OnReject::Skip)]));
        let batch = section.or("batch", "500", integer(1..=5_000));
        refuse_what_does_not_fit(section, to.as_ref());
        let to = match to? {
            Place::Stdout => Destination::Stdout,
            Place::File(path) => Destination::File(path),
            Place::Syslog(host, port) => {
                let certificate = certificate_file.zip(key_file);
                Destination::Syslog(SyslogReceiver { host, port, ca_file, certificate })
            }
            Place::Http(url) => Destination::Http(HttpCollector {
                url,
                format: format?,
                token_file,
                token_scheme: token_scheme?,
                headers: headers?,
                ca_file,
            }),
        };
        Some(Self { name: name?, to, kinds: kinds?, from: from?, on_reject: on_reject?, batch: batch? })
    }
}

enum Place {
    Stdout,
    File(PathBuf),
    Syslog(String, u16),
    Http(Url),
}

fn place(node: &Node, files: &Files) -> Result<Place, String> {
    let text = filled(node)?;
    if text == "stdout" {
        return Ok(Place::Stdout);
    }
    if let Some(path) = text.strip_prefix("file:") {
        let node = Node { value: Value::Text(path.to_owned()), origin: node.origin.clone() };
        return files.file_to_write(&node).map(Place::File);
    }
    if text.starts_with("syslog:") {
        let url = Url::parse(&text).map_err(|fault| format!("`{text}` is not a URL: {fault}"))?;
        let is_plain =
            url.path().is_empty() && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        let host = url.host_str().filter(|host| !host.is_empty() && is_plain);
        let host = host.ok_or_else(|| "expected `syslog://HOST` or `syslog://HOST:PORT`".to_owned())?;
        return Ok(Place::Syslog(host.trim_matches(['[', ']']).to_owned(), url.port().unwrap_or(SYSLOG_TLS)));
    }
    if text.starts_with("https:") || text.starts_with("http:") {
        return delivery(node).map(Place::Http);
    }
    Err("expected `stdout`, `file:PATH`, `syslog://HOST:PORT` (TLS) or an https URL".to_owned())
}

/// RFC 5425, section 4.1.
const SYSLOG_TLS: u16 = 6514;

fn refuse_what_does_not_fit(section: &mut Section<'_>, to: Option<&Place>) {
    let useless: &[&str] = match to {
        None => &[],
        Some(Place::Stdout | Place::File(_)) => {
            &["format", "token_file", "token_scheme", "headers", "ca_file", "certificate_file", "key_file"]
        }
        Some(Place::Syslog(..)) => &["format", "token_file", "token_scheme", "headers"],
        Some(Place::Http(url)) if url.scheme() == "http" => &["ca_file", "certificate_file", "key_file"],
        Some(Place::Http(_)) => &["certificate_file", "key_file"],
    };
    for key in useless.iter().filter(|key| section.was_given(key)).collect::<Vec<_>>() {
        section.wrong(key, format!("this `to` and `{key}` exclude each other"), "of no use");
    }
    if section.was_given("certificate_file") != section.was_given("key_file") {
        section.wrong("certificate_file", "`certificate_file` and `key_file` go together", "one is missing");
    }
}

fn choice<T: Copy>(node: &Node, all: &[(&str, T)]) -> Result<T, String> {
    let text = filled(node)?;
    let names: Vec<String> = all.iter().map(|(name, _)| format!("`{name}`")).collect();
    let found = all.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    found.ok_or_else(|| format!("`{text}` is none of {}", names.join(", ")))
}

/// A token of RFC 9110, section 5.6.2.
fn token(node: &Node) -> Result<String, String> {
    let text = filled(node)?;
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.bytes().all(is_token) { Ok(text) } else { Err(format!("`{text}` is not a word of HTTP")) }
}

/// `Name: value`. What the client writes itself, and secrets, have no place here.
fn header(node: &Node) -> Result<(String, String), String> {
    let text = filled(node)?;
    let (name, value) = text.split_once(':').ok_or("expected `Name: value`")?;
    let name = Node { value: Value::Text(name.to_owned()), origin: node.origin.clone() };
    let name = token(&name)?.to_ascii_lowercase();
    let own = ["host", "content-length", "content-type", "transfer-encoding", "connection", "te", "upgrade"];
    if own.contains(&name.as_str()) {
        return Err(format!("`{name}` is written by the broker itself"));
    }
    if matches!(name.as_str(), "authorization" | "proxy-authorization" | "cookie") {
        return Err(format!("`{name}` is a secret; put it into a file and name it in `token_file`"));
    }
    let value = value.trim();
    if !value.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return Err(format!("the value of `{name}` is not plain text"));
    }
    Ok((name, value.to_owned()))
}
