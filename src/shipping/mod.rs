//! What leaves on its own, out of the database's reach. Checkpoints: to a file that is only ever appended to, standard
//! output, an address that they are posted to, witnesses that cosign. Entries: to collectors, as OCSF events.
//!
//! Promises that nothing counts as delivered before whoever receives it has taken it, that a checkpoint leaves within a
//! second of its signing, and that a destination that lags is seen. Knows no pages and no policy; what a checkpoint means
//! is the audit room's. A destination controls every byte that it answers; nothing counts but a cosignature that holds.

mod carrier;
pub mod collector;
mod destination;
mod file;
mod gaps;
pub mod ocsf;
mod post;
mod ship;
mod witness;

use std::{io, path::PathBuf};

pub use destination::Reading;
pub use file::CheckpointFile;
pub use gaps::Lost;
pub use ship::{Served, Shipping, ShippingTasks};

use crate::{
    audit::{
        checkpoint::{CheckpointFault, Verifier},
        cosignature::Witness,
        published::Published,
    },
    config,
    outbound::OutboundFault,
};

/// The newest checkpoint that was published in the file, if there is one; `publics` are the keys that may have signed it.
pub fn published(
    settings: &config::Shipping,
    origin: &str,
    publics: Vec<Vec<u8>>,
) -> Result<Option<Published>, ShippingFault> {
    let Some(path) = settings.checkpoint_file.clone() else { return Ok(None) };
    let keys = publics.into_iter().filter_map(|public| Verifier::new(origin, public.try_into().ok()?).ok());
    CheckpointFile::new(path).newest(origin, &keys.collect::<Vec<_>>())
}

/// What is wrong with the settings, without shipping anything: keys of witnesses and certificates.
pub fn check(settings: &config::Shipping, witnesses: &[config::Witness]) -> Result<(), ShippingFault> {
    if settings.checkpoint_url.is_some() {
        post::client(settings.ca_file.as_ref())?;
    }
    for witness in witnesses {
        witness.key.parse::<Witness>()?;
        post::client(witness.ca_file.as_ref())?;
    }
    Ok(())
}

/// Why checkpoints cannot be published as the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum ShippingFault {
    /// The file could not be read or written.
    #[error("the file of published checkpoints, {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file has a line that no broker wrote.
    #[error("the file of published checkpoints, {}, was changed: line {line} of its end is no record", path.display())]
    NoRecord {
        /// Which file.
        path: PathBuf,
        /// Counted from where reading began.
        line: usize,
    },
    /// A witness's key is not one.
    #[error("`witness.key`: {0}")]
    Key(#[from] CheckpointFault),
    /// The client for an address could not be made.
    #[error(transparent)]
    Outbound(#[from] OutboundFault),
}
