//! `[shipping]` and `[[witness]]`: where checkpoints of the log go, out of reach of whoever owns the database.

use std::path::PathBuf;

use url::Url;

use super::{
    document::Node,
    host::is_localhost,
    reader::Section,
    value::{boolean, filled},
};
use crate::model::verifier_key;

/// Where checkpoints go.
#[derive(Clone, Debug, Default)]
pub struct Shipping {
    /// A file that every checkpoint is appended to; the database is compared with its newest at every start.
    pub checkpoint_file: Option<PathBuf>,
    /// Whether they go to standard output as well.
    pub checkpoint_stdout: bool,
    /// An address that the newest one is posted to.
    pub checkpoint_url: Option<Url>,
    /// More authorities to trust for that address, PEM.
    pub ca_file: Option<PathBuf>,
    /// Whether nobody is let in while the file cannot be written.
    pub required: bool,
}

/// A witness that is asked to cosign (C2SP tlog-witness).
#[derive(Clone, Debug)]
pub struct Witness {
    /// Its submission prefix.
    pub url: Url,
    /// Its verifier key (C2SP tlog-cosignature).
    pub key: String,
    /// More authorities to trust for it, PEM.
    pub ca_file: Option<PathBuf>,
}

impl Shipping {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let files = section.files();
        let checkpoint_file = section.optional("checkpoint_file", |node| files.file_to_write(node));
        let checkpoint_stdout = section.or("checkpoint_stdout", "false", boolean);
        let checkpoint_url = section.optional("checkpoint_url", delivery);
        let ca_file = section.optional("ca_file", |node| files.file(node));
        let required = section.or("required", "false", boolean);
        if ca_file.is_some() && checkpoint_url.as_ref().is_none_or(|url: &Url| url.scheme() == "http") {
            section.wrong("ca_file", "`ca_file` is for an https `checkpoint_url`", "of no use");
        }
        if required == Some(true) && !section.was_given("checkpoint_file") {
            section.wrong("required", "`required` is about `checkpoint_file`, and there is none", "of no use");
        }
        Some(Self {
            checkpoint_file,
            checkpoint_stdout: checkpoint_stdout?,
            checkpoint_url,
            ca_file,
            required: required?,
        })
    }
}

impl Witness {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let files = section.files();
        let url = section.required("url", delivery);
        let key = section.required("key", verifier_key);
        let ca_file = section.optional("ca_file", |node| files.file(node));
        if ca_file.is_some() && url.as_ref().is_some_and(|url: &Url| url.scheme() == "http") {
            section.wrong("ca_file", "`ca_file` is for an https witness", "of no use");
        }
        Some(Self { url: url?, key: key?, ca_file })
    }
}

/// Somewhere to post to: https, or plain http on this machine.
pub(super) fn delivery(node: &Node) -> Result<Url, String> {
    let text = filled(node)?;
    let url = Url::parse(&text).map_err(|fault| format!("`{text}` is not a URL: {fault}"))?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("must have neither a user, a password nor a fragment".to_owned());
    }
    let is_local = match url.host() {
        Some(url::Host::Domain(host)) => is_localhost(host),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" if url.host().is_some() => Ok(url),
        "http" if is_local => Ok(url),
        _ => Err("must be https, unless its host is this machine".to_owned()),
    }
}

/// A witness's key, whole and unmistaken.
fn verifier_key(node: &Node) -> Result<String, String> {
    let text = filled(node)?;
    match verifier_key::read(&text, verifier_key::WITNESS) {
        Some(_) => Ok(text),
        None if verifier_key::read(&text, verifier_key::LOG).is_some() => {
            Err("this is the key of a log, not of a witness (C2SP tlog-cosignature)".to_owned())
        }
        None => {
            Err("not a witness's verifier key: name+hash+key, as the witness states it (C2SP tlog-cosignature)"
                .to_owned())
        }
    }
}
