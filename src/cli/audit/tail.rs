//! `bailiwick audit tail`: the newest entries in lines, and those that follow, for as long as somebody reads them.

use std::time::Duration;

use clap::Args;

use super::{
    super::{
        CliFault, Ending,
        output::{Format, remark, written},
    },
    LogDatabase,
    filters::Filters,
    lines::{count, lost, print},
    reader::Reader,
    recorded::record,
};
use crate::{
    audit::{
        Entry,
        search::{Losses, Search, find},
    },
    store,
};

/// `bailiwick audit tail`
#[derive(Debug, Args)]
pub(in crate::cli) struct Tail {
    #[command(flatten)]
    database: LogDatabase,
    /// How many entries
    #[arg(short = 'n', long, default_value_t = 20)]
    lines: u32,
    /// Go on with what is recorded from now on
    #[arg(short, long)]
    follow: bool,
    /// How to write them; json is one entry per line, with its index
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    filters: Filters,
}

impl Tail {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        let search = self.filters.search()?;
        let mut db = self.database.connect().await?;
        let limit = usize::try_from(self.lines).unwrap_or(usize::MAX);
        // Without an entry to find, it is still known from where to follow.
        let found = find(&mut db, &search, None, limit.max(1), |_| true).await.map_err(CliFault::could_not_look)?;
        let mut rows = found.entries;
        rows.truncate(limit);
        rows.reverse();
        if let Some(hint) = &found.hint {
            remark(hint);
        }
        let command = if self.follow { "follow" } else { "tail" };
        let recorded = record(&mut db, command, search.to_query(), count(&rows)).await?;
        let is_readable = print(&recorded, &mut db, &rows, self.output).await?;
        lost(&found.losses);
        if !self.follow {
            return Ok(if is_readable && found.losses.is_empty() { Ending::Yes } else { Ending::No });
        }
        let (reader, mut next) = (Reader::of_stdout(), found.size);
        loop {
            written()?;
            if reader.is_gone().await {
                return Err(CliFault::ReaderGone);
            }
            let size = store::head::newest(&mut db).await.map_err(CliFault::could_not_look)?.size;
            let mut rows = store::entry::following(&mut db, next, AT_ONCE).await.map_err(CliFault::could_not_look)?;
            // What lies beyond the head is none of the log's, and nothing may be passed over for it.
            rows.retain(|(index, _)| *index < size);
            let mut losses = Losses::default();
            for (index, _) in &rows {
                losses.missing.add_all(next..*index);
                next = index + 1;
            }
            lost(&losses);
            if rows.is_empty() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            let rows: Vec<_> = rows.into_iter().filter(|(_, leaf)| is_wanted(&search, leaf)).collect();
            print(&recorded, &mut db, &rows, self.output).await?;
        }
    }
}

/// Whether the entry is looked for; what cannot be read is always told of.
fn is_wanted(search: &Search, leaf: &[u8]) -> bool {
    Entry::from_leaf(leaf).map_or(true, |entry| search.matches(&entry))
}

const AT_ONCE: u32 = 1_000;

const LOOK_EVERY: Duration = Duration::from_millis(300);
