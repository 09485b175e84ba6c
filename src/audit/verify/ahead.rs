//! Reads ahead of the fold: while one page of entries is folded in order, the next ones are judged on every core, and
//! the one after them is on its way from the database. A fixed number of pages is under way, so memory is constant.

use std::collections::VecDeque;

use sqlx::PgConnection;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{
    derive::{Derived, derive},
    recall::Recall,
};
use crate::store::{StoreFault, entry_page::EntryPage};

/// Pages of entries on their way to the fold.
pub(super) struct Ahead {
    next: u64,
    end: u64,
    pages: VecDeque<(u64, Page)>,
    depth: usize,
    /// What those who judge remember, and the room for a page, while there is none to judge.
    idle: Vec<(Recall, EntryPage)>,
}

/// A page that is being judged.
type Page = JoinHandle<Result<(Vec<Derived>, (Recall, EntryPage)), StoreFault>>;

impl Ahead {
    /// Of the entries `next..end`.
    pub(super) fn of(next: u64, end: u64) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { next, end, pages: VecDeque::new(), depth: cores + 1, idle: Vec::new() }
    }

    /// The next page, with the index after its last place; none after the last.
    pub(super) async fn page(&mut self, db: &mut PgConnection) -> Result<Option<(u64, Vec<Derived>)>, StoreFault> {
        while self.next < self.end && self.pages.len() < self.depth {
            let to = self.end.min(self.next + PAGE);
            let (mut recall, mut page) = self.idle.pop().unwrap_or_default();
            page.fill(&mut *db, self.next, to).await?;
            let judging = spawn_blocking(move || Ok((derive(&page, &mut recall)?, (recall, page))));
            self.pages.push_back((to, judging));
            self.next = to;
        }
        let Some((to, page)) = self.pages.pop_front() else { return Ok(None) };
        let (judged, idle) = page.await.map_err(|_| StoreFault::Malformed { what: "an entry" })??;
        self.idle.push(idle);
        Ok(Some((to, judged)))
    }
}

/// How many entries are read at once. Smaller pages cost more wakings than they save in caches.
const PAGE: u64 = 2_048;
