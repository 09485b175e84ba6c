//! `bailiwick audit search`: the newest entries that meet every filter, served by the index.

use clap::Args;
use sqlx::PgConnection;

use super::{
    super::{
        CliFault, Ending,
        output::{Format, entries, remark},
    },
    LogDatabase,
    filters::Filters,
    lines::{count, lost, print},
    recorded::record,
};
use crate::audit::search::{archived_before, find, tally};

/// `bailiwick audit search`
#[derive(Debug, Args)]
pub(in crate::cli) struct SearchLog {
    #[command(flatten)]
    database: LogDatabase,
    /// How many entries, at most
    #[arg(short = 'n', long, default_value_t = 50)]
    lines: u32,
    /// Only entries before this one: to go on where a page ended
    #[arg(long, value_name = "INDEX")]
    before: Option<u64>,
    /// How to write them; json is one entry per line, with its index
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    filters: Filters,
}

impl SearchLog {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        let search = self.filters.search()?;
        let mut db = self.database.connect().await?;
        let limit = usize::try_from(self.lines).unwrap_or(usize::MAX);
        let found = find(&mut db, &search, self.before, limit.max(1), |_| true).await;
        let mut found = found.map_err(CliFault::could_not_look)?;
        if limit == 0 {
            // How many there are is asked, and nothing more.
            (found.entries, found.next) = (Vec::new(), None);
        }
        let page = self.before.map_or(String::new(), |before| format!("&before={before}"));
        let asked = format!("{}{page}", search.to_query());
        let recorded =
            record(&mut db, "search", asked.trim_start_matches('&').to_owned(), count(&found.entries)).await?;
        let is_readable = print(&recorded, &mut db, &found.entries, self.output).await?;
        if self.output == Format::Table {
            let tally = tally(&mut db, &search).await.map_err(CliFault::could_not_look)?;
            let about = if tally.is_exact { "" } else { "about " };
            let shown = found.entries.len();
            remark(format_args!("{shown} of {about}{}, newest first", entries(tally.count)));
        }
        lost(&found.losses);
        if found.bodiless > 0 {
            remark(format_args!("{} more are archived: only their hashes are still here", found.bodiless));
        }
        if let Some(hint) = &found.hint {
            remark(hint);
        }
        match found.next {
            Some(next) => remark(format_args!("There is more: go on with --before {next}")),
            None => tell_of_archived(&mut db).await?,
        }
        Ok(if is_readable && found.losses.is_empty() { Ending::Yes } else { Ending::No })
    }
}

/// Whoever has come to the end of what is here is told what is not.
async fn tell_of_archived(db: &mut PgConnection) -> Result<(), CliFault> {
    let archived = archived_before(db).await.map_err(CliFault::could_not_look)?;
    if archived > 0 {
        remark(format_args!(
            "What the first {} say is in their archives, and is not looked through here",
            entries(archived)
        ));
    }
    Ok(())
}
