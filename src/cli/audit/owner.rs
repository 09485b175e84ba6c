//! The account that owns the database, for the few commands that remove something: the broker's own can remove nothing.

use std::path::PathBuf;

use clap::Args;

use super::super::CliFault;
use crate::config::{DatabaseUrl, SecretFile};

/// Where the database is, as its owner.
#[derive(Debug, Args)]
pub(super) struct Owner {
    /// The owner's URL, without a password
    #[arg(long, value_name = "URL", conflicts_with = "url_file")]
    url: Option<String>,
    /// A file that holds the owner's URL
    #[arg(long, value_name = "FILE")]
    url_file: Option<PathBuf>,
}

impl Owner {
    pub(super) fn url(&self) -> Result<DatabaseUrl, CliFault> {
        match (&self.url, &self.url_file) {
            (Some(url), _) => Ok(DatabaseUrl::Plain(url.clone())),
            (None, Some(path)) => Ok(DatabaseUrl::File(SecretFile::new(path))),
            (None, None) => Err(CliFault::could_not_look("name the owner's account: --url or --url-file")),
        }
    }
}
