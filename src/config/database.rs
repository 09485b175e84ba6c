//! `[database]`: where Postgres is.

use std::time::Duration;

use secrecy::SecretString;

use super::{SecretFault, SecretFile};

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
