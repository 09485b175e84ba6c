//! How far checkpoints cover the entries. A broker signs within a second, so they follow the entries closely; a stretch of the log
//! that went on without them is a finding.

use std::time::Duration;

use super::Broken;
use crate::model::Timestamp;

/// How far checkpoints of one sort reach.
#[derive(Default)]
pub(super) struct Cover {
    size: u64,
    /// When the first entry was recorded that none of them covers.
    bare_since: Option<Timestamp>,
}

impl Cover {
    /// How many entries the newest covers.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Entries were recorded.
    pub(super) fn extend(&mut self, at: Timestamp) {
        self.bare_since.get_or_insert(at);
    }

    /// One covers all entries so far.
    pub(super) const fn reach(&mut self, size: u64) {
        (self.size, self.bare_since) = (size, None);
    }

    /// There must be one, if there is any of `size` entries.
    pub(super) fn expect_any(&self, size: u64) -> Result<(), Broken> {
        match self.size == 0 && size > 0 {
            true => Err(Broken::leaves(0, size, "no good checkpoint covers any entry: nothing proves what they say")),
            false => Ok(()),
        }
    }

    /// They must have followed the `size` entries, of which the last was recorded at `last`. `sort` says which they are.
    pub(super) fn expect_close(&self, size: u64, last: Option<Timestamp>, sort: &str) -> Result<(), Broken> {
        let lag = self.bare_since.zip(last).map(|(since, last)| last.since(since));
        match lag.filter(|lag| *lag > MOST_BARE) {
            None => Ok(()),
            Some(lag) => {
                let lag = lag.as_secs();
                let what = format!(
                    "no {sort} checkpoint covers them, though the log went on for {lag} seconds after the first"
                );
                Err(Broken::leaves(self.size, size, what))
            }
        }
    }
}

/// How long the log may go on before a checkpoint covers an entry. Brokers take half a second.
const MOST_BARE: Duration = Duration::from_secs(60);
