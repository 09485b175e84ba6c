//! The demonstration: everything that the product needs around it, private, on loopback, started and stopped together.
//!
//! A Postgres of its own, a development provider, a small wiki, rules to edit, and a tour that walks the main job as a
//! software user. Only `cli::demo` may import it, and nothing that it starts can be reached from `serve`.

mod app;
mod authenticator;
mod browser;
mod files;
mod page;
mod personas;
mod postgres;
mod provider;

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why the demonstration cannot go on. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum DemoFault {
    /// There is no Postgres to start.
    #[error("no Postgres found. Install it with: apt-get install postgresql (or name its folder with --postgres-bin)")]
    NoPostgres,
    /// Run as root, without anybody to run Postgres as.
    #[error("Postgres refuses to run as root, and there is no user postgres or nobody to run it as")]
    NoAccount,
    /// Postgres said no.
    #[error("Postgres could not {doing}:\n{log}")]
    Postgres {
        /// What it was doing.
        doing: &'static str,
        /// The end of its log.
        log: String,
    },
    /// The database could not be prepared.
    #[error("the database could not be prepared: {0}")]
    Database(String),
    /// A file is in the way.
    #[error("could not {doing} {}: {source}", path.display())]
    File {
        /// What was to be done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What stopped it.
        source: io::Error,
    },
    /// A port or a connection.
    #[error("a port could not be used: {0}")]
    Network(io::Error),
    /// A key could not be made.
    #[error("a key could not be made")]
    Crypto,
}

impl DemoFault {
    fn file(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { doing, path: path.to_owned(), source }
    }
}
