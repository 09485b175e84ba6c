//! No record, no access, on the command line too: before an entry is shown, the database is told who reads what, and a
//! broker puts that into the log. INVARIANT: whatever prints or writes entries demands a [`Recorded`], made here alone.
//!
//! This holds for this program. Whoever has the account can read the same with another one: see the README.

use sqlx::PgConnection;

use super::super::{CliFault, output::remark};
use crate::{
    model::{ReadingId, SystemEntropy},
    store::{
        StoreFault,
        reading::{self, Staged},
    },
};

/// Proof that a reading was told of, durably.
pub(super) struct Recorded(Staged);

/// Tells of a reading by `command`: which entries, as in a page's address, and how many, if that is known.
pub(super) async fn record(
    db: &mut PgConnection,
    command: &'static str,
    search: String,
    entries: Option<u64>,
) -> Result<Recorded, CliFault> {
    if search.chars().count() > LONGEST_SEARCH {
        return Err(CliFault::could_not_look(format!(
            "this names more than can be recorded of one reading ({LONGEST_SEARCH} characters): read it in parts"
        )));
    }
    let id = ReadingId::random(&SystemEntropy);
    let client = concat!("bailiwick ", env!("CARGO_PKG_VERSION")).to_owned();
    let staged = Staged { id, command, search, entries, manifest: None, client };
    reading::stage(&mut *db, &staged).await.map_err(|fault| unrecorded(&fault))?;
    remark("The database was told of this reading; a broker puts it into the log.");
    Ok(Recorded(staged))
}

impl Recorded {
    /// Tells how many entries it came to, and what the manifest about them hashes to.
    pub(super) async fn finish(self, db: &mut PgConnection, entries: u64, manifest: String) -> Result<(), CliFault> {
        let staged = Staged { entries: Some(entries), manifest: Some(manifest), ..self.0 };
        reading::stage(db, &staged).await.map_err(|fault| {
            CliFault::could_not_look(format!("what was written is whole, but its hash could not be recorded: {fault}"))
        })
    }
}

/// Why nothing is shown, and what to do about it.
fn unrecorded(fault: &StoreFault) -> CliFault {
    let code = match fault {
        StoreFault::Database(sqlx::Error::Database(fault)) => fault.code().unwrap_or_default().into_owned(),
        _ => String::new(),
    };
    let hint = match code.as_str() {
        "25006" => {
            "this server only reads, so name the primary; on a standby `audit verify` and `audit proof` work, which show \
             no entry"
        }
        "42501" => "this account may not say that it reads: `grant bailiwick_auditor to` it",
        "42883" => "the database is older than this program: run `bailiwick migrate`",
        "54000" => "too many readings of this account wait already: is a broker running?",
        "53400" => "this account has read too often: wait a minute",
        _ => return CliFault::could_not_look(format!("nothing is shown, since it could not be recorded: {fault}")),
    };
    CliFault::could_not_look(format!("nothing is shown, since it could not be recorded: {hint} ({fault})"))
}

/// In characters; the database holds to it.
const LONGEST_SEARCH: usize = 4_000;
