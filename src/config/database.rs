//! `[database]`: where Postgres is.

use std::time::Duration;

use secrecy::SecretString;

use super::{
    SecretFault, SecretFile,
    document::Node,
    reader::Section,
    value::{duration, filled, integer},
};

/// How Postgres is reached.
#[derive(Clone, Debug)]
pub struct Database {
    /// The broker's own account.
    pub url: DatabaseUrl,
    /// The longest to wait for a connection.
    pub acquire: Duration,
    /// The most connections to hold.
    pub connections: u32,
    /// An account that can only read the log.
    pub auditor_url: Option<DatabaseUrl>,
}

impl Database {
    /// One that is named beside any configuration, for a command that needs few connections.
    pub fn at(url: DatabaseUrl) -> Self {
        Self { url, acquire: Duration::from_secs(2), connections: 2, auditor_url: None }
    }

    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let files = section.files();
        let (has_url, has_file) = (section.has("url"), section.has("url_file"));
        match (has_url, has_file) {
            (true, true) => section.wrong("url_file", "`url` and `url_file` exclude each other", "one too many"),
            (false, false) => section.wrong("", "`database` needs `url` or `url_file`", "needs `url` or `url_file`"),
            _ => {}
        }
        let url = section.optional("url", plain_url);
        let url_file = section.optional("url_file", |node| files.secret(node));
        let acquire = section.or("acquire", r#""2s""#, duration);
        let connections = section.or("connections", "20", integer(2..=1000));
        let auditor_url = section.optional("auditor_url", plain_url);
        let url = url.map(DatabaseUrl::Plain).or(url_file.map(DatabaseUrl::File));
        let auditor_url = auditor_url.map(DatabaseUrl::Plain);
        Some(Self { url: url?, acquire: acquire?, connections: connections?, auditor_url })
    }
}

/// A Postgres URL, from the file itself or from a file of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// Stands in the configuration and has no password.
    Plain(String),
    /// Lies in a file, because it has one.
    File(SecretFile),
}

impl DatabaseUrl {
    /// The URL as it is now.
    pub fn read(&self) -> Result<SecretString, SecretFault> {
        match self {
            Self::Plain(url) => Ok(SecretString::from(url.as_str())),
            Self::File(file) => file.read(),
        }
    }
}

/// A URL that may stand in a file that others read.
fn plain_url(node: &Node) -> Result<String, String> {
    let text = filled(node)?;
    let Ok(url) = url::Url::parse(&text) else {
        return Err("not a URL, such as `postgres://bailiwick@db/bailiwick`".to_owned());
    };
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err("must begin with `postgres://`".to_owned());
    }
    if url.password().is_some() || url.query_pairs().any(|(key, _)| key == "password") {
        return Err("has a password; put the whole URL into a file and name it in `url_file`".to_owned());
    }
    Ok(text)
}
