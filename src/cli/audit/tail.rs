//! `bailiwick audit tail`: the newest entries in lines, and those that follow, for as long as somebody reads them.
//! INVARIANT: what follows is shown once each and in order, over any number of connections to the database: the next one
//! begins where the last line ended.

use std::{ops::Range, time::Duration};

use clap::Args;
use sqlx::{Connection as _, PgConnection};
use tokio::time::{sleep, timeout};

use super::{
    super::{
        CliFault, Ending,
        output::{Format, remark, written},
    },
    LogDatabase,
    filters::Filters,
    lines::{count, lost, print},
    reader::Reader,
    recorded::{Recorded, record},
};
use crate::{
    audit::{
        Entry,
        search::{Losses, Search, archived_before, find},
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
    /// Begin after this entry instead, and print all that there are: to go on where another tail ended
    #[arg(long, value_name = "INDEX", conflicts_with = "lines", value_parser = clap::value_parser!(u64).range(..1 << 62))]
    after: Option<u64>,
    /// Go on with what is recorded from now on; a connection that is lost is made again
    #[arg(short, long)]
    follow: bool,
    /// How to write them; json is one entry per line, with its index
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    filters: Filters,
}

/// Entries as they come, from one on.
struct Following<'a> {
    tail: &'a Tail,
    search: &'a Search,
    db: PgConnection,
    recorded: Recorded,
    /// The first that was not shown yet.
    next: u64,
    is_whole: bool,
}

impl Tail {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        let search = self.filters.search()?;
        let mut db = self.database.connect().await?;
        if let Some(after) = self.after {
            let recorded = self.record_from(&mut db, &search, after + 1).await?;
            return self.go_on(&search, db, recorded, after + 1).await;
        }
        let limit = usize::try_from(self.lines).unwrap_or(usize::MAX);
        // Without an entry to find, it is still known from where to follow.
        let found = find(&mut db, &search, None, limit.max(1), |_| true).await.map_err(CliFault::could_not_look)?;
        let mut rows = found.entries;
        rows.truncate(limit);
        rows.reverse();
        if let Some(hint) = &found.hint {
            remark(hint);
        }
        let first = rows.first().map_or(found.size, |(index, _)| *index);
        let recorded = match self.follow {
            true => self.record_from(&mut db, &search, first).await?,
            false => record(&mut db, "tail", search.to_query(), count(&rows)).await?,
        };
        let is_readable = print(&recorded, &mut db, &rows, self.output).await?;
        lost(&found.losses);
        if self.follow {
            return self.go_on(&search, db, recorded, found.size).await;
        }
        Ok(if is_readable && found.losses.is_empty() { Ending::Yes } else { Ending::No })
    }

    /// Tells of a reading of everything from `first` on. How many these are, nobody knows yet.
    async fn record_from(&self, db: &mut PgConnection, search: &Search, first: u64) -> Result<Recorded, CliFault> {
        let command = if self.follow { "follow" } else { "tail" };
        let after = first.checked_sub(1).map_or(String::new(), |after| format!("&after={after}"));
        let asked = format!("{}{after}", search.to_query());
        record(db, command, asked.trim_start_matches('&').to_owned(), None).await
    }

    async fn go_on(
        &self,
        search: &Search,
        db: PgConnection,
        recorded: Recorded,
        next: u64,
    ) -> Result<Ending, CliFault> {
        let mut following = Following { tail: self, search, db, recorded, next, is_whole: true };
        let ended = following.run().await;
        ended.map_err(|fault| match (fault, following.next.checked_sub(1)) {
            (CliFault::CouldNotLook(why), Some(last)) => {
                CliFault::could_not_look(format!("{why}; to go on from here: --after {last}"))
            }
            (fault, _) => fault,
        })
    }
}

impl Following<'_> {
    /// To the end, or for as long as somebody reads.
    async fn run(&mut self) -> Result<Ending, CliFault> {
        let reader = Reader::of_stdout();
        loop {
            written()?;
            if reader.is_gone().await {
                return Err(CliFault::ReaderGone);
            }
            match self.step().await {
                Ok(true) => {}
                Ok(false) if self.tail.follow => sleep(LOOK_EVERY).await,
                Ok(false) => return Ok(if self.is_whole { Ending::Yes } else { Ending::No }),
                Err(fault) if self.tail.follow && !self.is_connected().await => {
                    remark(format_args!("{fault}. Trying to reach the database again."));
                    self.connect_again(&reader).await?;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Shows some entries. False: there are no more for now.
    async fn step(&mut self) -> Result<bool, CliFault> {
        let size = store::head::newest(&mut self.db).await.map_err(CliFault::could_not_look)?.size;
        if size < self.next {
            let message = format!("the log has {size} entries and not {}: it is another one, or it was cut", self.next);
            return Err(CliFault::could_not_look(message));
        }
        let rows = store::entry::following(&mut self.db, self.next, AT_ONCE).await;
        let mut rows = rows.map_err(CliFault::could_not_look)?;
        let is_all = rows.len() < AT_ONCE as usize;
        // What lies beyond the head is none of the log's, and nothing may be passed over for it.
        rows.retain(|(index, _)| *index < size);
        let (mut gone, mut next) = (Vec::new(), self.next);
        for (index, _) in &rows {
            gone.push(next..*index);
            next = index + 1;
        }
        if is_all {
            gone.push(next..size);
            next = size;
        }
        let losses = self.missing(gone).await?;
        let wanted: Vec<_> = rows.into_iter().filter(|(_, leaf)| is_wanted(self.search, leaf)).collect();
        let is_readable = print(&self.recorded, &mut self.db, &wanted, self.tail.output).await?;
        // From here on they are shown, whatever becomes of the connection.
        lost(&losses);
        self.is_whole &= is_readable && losses.is_empty();
        let is_more = next > self.next;
        self.next = next;
        Ok(is_more)
    }

    /// Entries that are gone are missing, unless the log says that they were archived.
    async fn missing(&mut self, mut gone: Vec<Range<u64>>) -> Result<Losses, CliFault> {
        let mut losses = Losses::default();
        gone.retain(|gone| !gone.is_empty());
        if gone.is_empty() {
            return Ok(losses);
        }
        let archived = archived_before(&mut self.db).await.map_err(CliFault::could_not_look)?;
        gone.into_iter().for_each(|gone| losses.missing.add_all(gone.start.max(archived)..gone.end.max(archived)));
        Ok(losses)
    }

    async fn is_connected(&mut self) -> bool {
        matches!(timeout(ANSWERS_WITHIN, self.db.ping()).await, Ok(Ok(())))
    }

    /// Returns when there is a connection again, and the reading is told of over that one too.
    async fn connect_again(&mut self, reader: &Reader) -> Result<(), CliFault> {
        let mut said = String::new();
        loop {
            sleep(TRY_EVERY).await;
            if reader.is_gone().await {
                return Err(CliFault::ReaderGone);
            }
            match self.tail.database.connect().await {
                Ok(db) => {
                    self.db = db;
                    match self.tail.record_from(&mut self.db, self.search, self.next).await {
                        Ok(recorded) => {
                            self.recorded = recorded;
                            remark(format_args!("The database answers again; going on with entry {}.", self.next));
                            return Ok(());
                        }
                        Err(fault) if self.is_connected().await => return Err(fault),
                        Err(_) => {}
                    }
                }
                Err(fault) if fault.to_string() != said => {
                    said = fault.to_string();
                    remark(&said);
                }
                Err(_) => {}
            }
        }
    }
}

/// Whether the entry is looked for; what cannot be read is always told of.
fn is_wanted(search: &Search, leaf: &[u8]) -> bool {
    Entry::from_leaf(leaf).map_or(true, |entry| search.matches(&entry))
}

const AT_ONCE: u32 = 1_000;

const LOOK_EVERY: Duration = Duration::from_millis(300);

/// How often a database that is away is tried.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// A connection that takes longer to say that it is there is gone.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
