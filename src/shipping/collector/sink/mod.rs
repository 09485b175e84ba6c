//! Where events go. A sink has taken a batch when `send` says so, and not before; what it may have taken in part comes
//! again, so that it may see an event twice and never miss one. What a peer controls here: its answers, and when.

mod file;
mod http;
mod syslog;

use std::{io::Write as _, time::Duration};

use super::super::ocsf::Shipped;
use crate::{
    audit::printable,
    config::{Collector, Destination},
    outbound::OutboundFault,
};
use {file::FileSink, http::HttpSink, syslog::SyslogSink};

/// One of them.
pub enum Sink {
    /// Standard output.
    Stdout,
    /// A file.
    File(FileSink),
    /// A syslog receiver.
    Syslog(SyslogSink),
    /// An HTTP endpoint.
    Http(Box<HttpSink>),
}

/// Why a batch was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SinkFault {
    /// Not now: it is to be tried again, and not before `after`.
    #[error("{why}")]
    Away {
        /// Why.
        why: String,
        /// How long it asks to be left alone.
        after: Option<Duration>,
    },
    /// Fewer at once might do.
    #[error("{0}")]
    TooMuch(String),
    /// It will not take at least one of these, however often they come.
    #[error("{0}")]
    Rejected(String),
}

/// Why a collector cannot be set up as configured.
#[derive(Debug, thiserror::Error)]
pub enum SinkMistake {
    /// Its files or addresses.
    #[error(transparent)]
    Outbound(#[from] OutboundFault),
    /// Its certificates.
    #[error("{0}")]
    Tls(String),
}

impl Sink {
    /// The sink for a collector of the log `origin`. Reads the certificates that it names, so that mistakes are told
    /// before anything depends on them.
    pub fn new(collector: &Collector, origin: &str) -> Result<Self, SinkMistake> {
        Ok(match &collector.to {
            Destination::Stdout => Self::Stdout,
            Destination::File(path) => Self::File(FileSink::new(path.clone())),
            Destination::Syslog(receiver) => Self::Syslog(SyslogSink::new(receiver.clone(), origin)?),
            Destination::Http(http) => Self::Http(Box::new(HttpSink::new(http.clone(), origin)?)),
        })
    }

    /// Hands `batch` over, and says whether all of it was taken.
    pub async fn send(&self, batch: &[Shipped]) -> Result<(), SinkFault> {
        match self {
            Self::Stdout => print(batch).await,
            Self::File(file) => file.send(batch).await,
            Self::Syslog(syslog) => syslog.send(batch).await,
            Self::Http(http) => http.send(batch).await,
        }
    }
}

impl SinkFault {
    /// It cannot be reached, or is not itself.
    fn away(why: impl std::fmt::Display) -> Self {
        Self::Away { why: shortened(&why.to_string()), after: None }
    }
}

async fn print(batch: &[Shipped]) -> Result<(), SinkFault> {
    let lines = lines(batch);
    let printed = tokio::task::spawn_blocking(move || {
        let mut out = std::io::stdout().lock();
        out.write_all(lines.as_bytes())?;
        out.flush()
    });
    printed.await.map_err(SinkFault::away)?.map_err(SinkFault::away)
}

/// An event a line.
fn lines(batch: &[Shipped]) -> String {
    let mut lines = String::with_capacity(batch.iter().map(|event| event.line.len() + 1).sum());
    for event in batch {
        lines.push_str(&event.line);
        lines.push('\n');
    }
    lines
}

/// What a peer said, harmless and in one line.
fn shortened(text: &str) -> String {
    printable(text.trim()).chars().take(LONGEST_FAULT).collect()
}

/// In characters.
const LONGEST_FAULT: usize = 300;
