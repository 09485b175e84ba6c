//! Why the demonstration cannot go on. Each says what to do about it.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why the demonstration cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DemoFault {
    /// There is no Postgres to start.
    #[error("no Postgres found. Install it with: apt-get install postgresql (or name its folder with --postgres-bin)")]
    NoPostgres,
    /// Run as root, without anybody to run Postgres as.
    #[error("Postgres refuses to run as root, and there is no user postgres or nobody to run it as")]
    NoAccount,
    /// There is no kubectl for the tour.
    #[error(
        "no kubectl found for the tour. Put it on the path, name it with --kubectl, or leave the tour out: --no-tour"
    )]
    NoKubectl,
    /// Another one runs in this folder.
    #[error("a demonstration is already running in {}; choose another folder with --dir", .0.display())]
    Running(PathBuf),
    /// A port of the first start is not free any more.
    #[error("port {port} is used by another program. End that, or remove {} to take other ports", folder.join("ports.json").display())]
    PortTaken {
        /// The port.
        port: u16,
        /// The folder that remembers it.
        folder: PathBuf,
    },
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
    /// The broker did not start, or did not stay.
    #[error("the broker: {0}")]
    Broker(String),
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
    pub(super) fn file(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { doing, path: path.to_owned(), source }
    }
}
