//! What was decided, provably. The log takes an entry and gives a receipt once it is durable; the tree and its signed
//! checkpoints let anyone check later that nothing was changed, dropped or added. Knows nothing of HTTP.
//! Promises: no receipt before COMMIT is acknowledged, and no answer but refusal while the log cannot be written.

pub mod archive;
mod batch_mac;
mod beginning;
pub mod bundle;
pub mod canonical;
mod change;
pub mod checkpoint;
mod columns;
mod common;
pub mod cosignature;
pub mod entry;
mod event;
pub mod export;
pub mod fork;
mod gap;
mod keyed;
mod log;
pub mod lost_keys;
mod own_keys;
mod position;
pub mod proof;
pub mod published;
mod queue;
mod reading;
mod receipt;
pub mod refusals;
pub mod search;
mod shared;
mod sighted;
mod signer;
pub mod storage;
mod sweep;
mod tasks;
pub mod texts;
pub mod tile;
pub mod told;
pub mod tree;
mod unstamped;
pub mod verify;
mod voucher;
pub mod whole_file;
mod writer;

pub use batch_mac::BatchMac;
pub use columns::{printable, summary};
pub use common::{Asker, Common};
pub use entry::{ClosedBy, Draft, Entry, Event, SignInStep};
pub use log::{ASTRAY, Changing, Health, Limits, Log, State};
pub use reading::{follow_readings, record_readings};
pub use receipt::Receipt;
pub use refusals::{Refusals, Refused};
pub use signer::{Signed, Signers};
pub use storage::Storage;
pub use tasks::Tasks;

use crate::store::StoreFault;

/// Why an entry has no receipt. Whoever asked is refused, whatever the rules said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unrecorded {
    /// Too many entries are waiting.
    #[error("too many entries wait for the audit log")]
    Full,
    /// It took longer than anyone waits. If it is recorded after all, the log itself says that nothing was forwarded.
    #[error("the audit log did not answer in time")]
    TimedOut,
    /// The database is away.
    #[error("the audit log cannot be reached")]
    Down,
    /// The database holds another log than the one this process has seen.
    #[error("the audit log does not continue what was seen of it before")]
    Broken,
    /// The broker is stopping.
    #[error("the audit log is closed")]
    Closed,
    /// The entry has no canonical form, or is too long.
    #[error("the entry does not fit the audit log")]
    Unfit,
    /// Other brokers were faster every time.
    #[error("the audit log was extended by others each time")]
    Contended,
    /// The connection broke during COMMIT, and nobody could say yet what became of it.
    #[error("nobody knows yet whether it was recorded")]
    Unsettled,
}

/// Why a change with its entries did not happen: neither of them is there.
#[derive(Debug, thiserror::Error)]
pub enum ChangeFault {
    /// The change itself failed.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// It could not be recorded. After [`Unrecorded::Unsettled`] both may be there in the end, or neither.
    #[error(transparent)]
    Unrecorded(#[from] Unrecorded),
    /// The change had nothing to record, so it was undone: nothing changes without an entry.
    #[error("nothing was changed")]
    Unneeded,
}

/// Why the log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogFault {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The database holds another log.
    #[error("this database holds the log `{found}`, not `{expected}`")]
    Origin {
        /// What the configuration says.
        expected: String,
        /// What the database says.
        found: String,
    },
    /// The database is behind what was published, or something else.
    #[error(
        "{0}. Restore the newest copy of the database. If there is none, `bailiwick audit accept-fork` lets the log \
             go on from what there is, and records who decided that and why"
    )]
    Forked(Box<fork::Fork>),
    /// A key stands among those of the log that is not this broker's.
    #[error(
        "the database has the key {0} among those that sign the log, with no private half that this broker's wrapping key \
         opens, and no entry says that it was lost. Find out who put it there; its row in the table `key` has to go"
    )]
    Stranger(String),
    /// What is stored does not fold to its own root, or not to what was seen before.
    #[error("the audit log is not sound: {0}")]
    Broken(String),
}
