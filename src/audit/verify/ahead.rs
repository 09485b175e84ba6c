//! Reads ahead of the fold: while one page of entries is folded in order, the next ones are read and judged, each on a
//! connection of its own. Whoever reads a page judges it as it arrives, so that entries need not pass from one
//! core to another, and what the database sends meanwhile waits where it is. A fixed number of pages is under way, so memory is constant.

use std::collections::VecDeque;

use sqlx::PgConnection;
use tokio::task::JoinHandle;

use super::{
    derive::{Derived, derive},
    recall::Recall,
};
use crate::store::{StoreFault, entry_page};

/// Pages of entries on their way to the fold.
pub(super) struct Ahead {
    next: u64,
    end: u64,
    pages: VecDeque<(u64, Page)>,
    idle: Vec<Lane>,
    /// What is remembered where there is no lane.
    recall: Recall,
}

/// A page that a lane reads.
type Page = JoinHandle<Result<(Vec<Derived>, Lane), StoreFault>>;

/// A connection, and what whoever judges its entries remembers.
struct Lane {
    db: PgConnection,
    recall: Recall,
}

impl Ahead {
    /// Of the entries `first..end`, over these connections or, where there are none, over the one at hand.
    pub(super) fn of(lanes: Vec<PgConnection>, first: u64, end: u64) -> Self {
        let idle = lanes.into_iter().map(|db| Lane { db, recall: Recall::default() }).collect();
        Self { next: first, end, pages: VecDeque::new(), idle, recall: Recall::default() }
    }

    /// The next page, with the index after its last place; none after the last.
    pub(super) async fn page(&mut self, db: &mut PgConnection) -> Result<Option<(u64, Vec<Derived>)>, StoreFault> {
        self.send_out();
        if let Some((to, page)) = self.pages.pop_front() {
            let (judged, lane) = page.await.map_err(|_| StoreFault::Malformed { what: "an entry" })??;
            self.idle.push(lane);
            self.send_out();
            return Ok(Some((to, judged)));
        }
        let Some(range) = self.range() else { return Ok(None) };
        self.next = range.1;
        Ok(Some((range.1, judged(db, &mut self.recall, range).await?)))
    }

    /// The connections, once what is under way on them has come to an end.
    pub(super) async fn into_lanes(self) -> Vec<PgConnection> {
        let mut lanes: Vec<PgConnection> = self.idle.into_iter().map(|lane| lane.db).collect();
        for (_, page) in self.pages {
            lanes.extend(page.await.ok().and_then(Result::ok).map(|(_, lane)| lane.db));
        }
        lanes
    }

    /// Has every idle lane read a page.
    fn send_out(&mut self) {
        while let Some(range) = self.range()
            && let Some(mut lane) = self.idle.pop()
        {
            self.next = range.1;
            let judging = async move { Ok((judged(&mut lane.db, &mut lane.recall, range).await?, lane)) };
            self.pages.push_back((range.1, tokio::spawn(judging)));
        }
    }

    /// Of the next page.
    fn range(&self) -> Option<(u64, u64)> {
        (self.next < self.end).then(|| (self.next, self.end.min(self.next + PAGE)))
    }
}

async fn judged(db: &mut PgConnection, recall: &mut Recall, range: (u64, u64)) -> Result<Vec<Derived>, StoreFault> {
    let mut judged = Vec::with_capacity(PAGE as usize);
    entry_page::read(db, range, |rows| {
        for row in rows {
            judged.push(derive(&row?, recall));
        }
        Ok(())
    })
    .await?;
    Ok(judged)
}

/// How many entries are read at once. Smaller pages cost more questions to the database and more wakings.
const PAGE: u64 = 2_048;
