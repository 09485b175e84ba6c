//! Is the log what it says it is? A fold over all entries in constant memory: places, leaf bytes, columns, tiles, every
//! head and every checkpoint. Needs no server and only the right to read.
//!
//! Whoever owns the database may have changed any row. What holds against them is a checkpoint and a verifier key that
//! were kept elsewhere; everything stored beside the entries only narrows down where they differ.

mod chain;
mod database;
mod fold;
mod report;

pub use chain::Cut;
pub use database::{Anchors, database};
pub use report::{Broken, Place, Report, Trust};

use crate::store::StoreFault;

/// Why nothing can be said about the log.
#[derive(Debug, thiserror::Error)]
pub enum VerifyFault {
    /// It could not be read.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// There is no log here.
    #[error("this database holds no audit log")]
    NoLog,
}
