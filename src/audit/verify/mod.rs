//! Is the log what it says it is? A fold over all entries in constant memory: places, leaf bytes, columns, tiles, every
//! head and every checkpoint, on every core. Needs no server and only the right to read.
//!
//! Whoever owns the database may have changed any row. What holds against them is a checkpoint and a verifier key that
//! were kept elsewhere; everything stored beside the entries only narrows down where they differ.

mod ahead;
mod beside;
mod beyond;
pub(in crate::audit) mod chain;
mod cover;
mod database;
mod derive;
mod fold;
mod heard;
mod line;
mod memo;
mod recall;
mod report;
mod rest;
mod retention;

pub use chain::Cut;
pub use database::{Anchors, database};
pub use report::{Broken, Place, Report, Trust};
pub use retention::{ArchiveFile, Bodies};

use crate::store::StoreFault;

/// Why nothing can be said about the log.
#[derive(Debug, thiserror::Error)]
pub enum VerifyFault {
    /// It could not be read.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// What would explain a checkpoint may stand in entries that were archived and are not given.
    #[error(
        "{what}; the entries {from} to {last} were archived, and one of them may explain it: give their archives \
         (--archive)"
    )]
    Unheard {
        /// What is unexplained.
        what: String,
        /// The first entry whose body is not there.
        from: u64,
        /// The last one of these.
        last: u64,
    },
    /// There is no log here, and never was one.
    #[error("this database holds no audit log: it has none of our tables (`bailiwick migrate` makes them)")]
    NoLog,
}

/// Why a look at the log ended early.
enum Stop {
    Found(Broken),
    Fault(VerifyFault),
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Self::Found(broken)
    }
}

impl From<StoreFault> for Stop {
    fn from(fault: StoreFault) -> Self {
        Self::Fault(fault.into())
    }
}
