//! Is the log what it says it is? A fold over all entries in constant memory: places, leaf bytes, columns, tiles, every
//! head and every checkpoint, on every core. Needs no server and only the right to read.
//!
//! Whoever owns the database may have changed any row. What holds against them is a checkpoint and a verifier key that
//! were kept elsewhere; everything stored beside the entries only narrows down where they differ.

mod ahead;
pub(in crate::audit) mod chain;
mod database;
mod derive;
mod fold;
mod line;
mod memo;
mod recall;
mod report;

pub use chain::Cut;
pub use database::{Anchors, Bodies, database};
pub use report::{Broken, Place, Report, Trust};

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
    /// There is no log here.
    #[error("this database holds no audit log")]
    NoLog,
}
