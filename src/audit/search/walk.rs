//! A walk through the blocks that have every term of a search. The rarest term leads: only blocks that have it are looked
//! at, and the others are looked up there.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::bits::Bits;
use crate::store::{
    StoreFault,
    search::{self, Order},
};

/// See the head of this file.
pub(super) struct Walk {
    leader: Option<i64>,
    others: Vec<i64>,
    order: Order,
    /// The blocks that are left: from, until.
    pub(super) left: (u64, u64),
    /// How many blocks of the leader were looked at.
    pub(super) examined: u64,
    step: u64,
}

impl Walk {
    /// Begins in the blocks `from..until`.
    pub(super) async fn begin(
        db: &mut PgConnection,
        terms: Vec<i64>,
        (from, until): (u64, u64),
        order: Order,
    ) -> Result<Self, StoreFault> {
        let mut walk =
            Self { leader: None, others: terms, order, left: (from, until.max(from)), examined: 0, step: 16 };
        if walk.others.is_empty() || walk.is_over() {
            return Ok(walk);
        }
        let counted = search::frequencies(db, &walk.others, walk.left, ENOUGH_TO_CHOOSE).await?;
        let rarest = counted.iter().min_by_key(|(_, count)| *count).copied();
        if let Some((leader, count)) = rarest {
            walk.leader = Some(leader);
            walk.others.retain(|term| *term != leader);
            if count == 0 {
                walk.left.0 = walk.left.1;
            }
        }
        Ok(walk)
    }

    pub(super) const fn is_over(&self) -> bool {
        self.left.0 >= self.left.1
    }

    /// The next blocks that have every term, and which leaves have them, in order. None of them may mean that there are
    /// more: ask [`Walk::is_over`].
    pub(super) async fn next(&mut self, db: &mut PgConnection) -> Result<Vec<(u64, Bits)>, StoreFault> {
        let step = self.step;
        self.step = (self.step * 2).min(LONGEST_STEP);
        let Some(leader) = self.leader else { return Ok(self.every(step)) };
        let led = search::postings(&mut *db, leader, self.left, self.order, i64::try_from(step).unwrap_or(0)).await?;
        let mut found: Vec<(u64, Bits)> = Vec::with_capacity(led.len());
        for posting in &led {
            found.push((posting.block, read(&posting.bits)?));
        }
        self.examined += found.len() as u64;
        let last = found.last().filter(|_| found.len() as u64 == step).map(|(block, _)| *block);
        self.go_on(last);
        if self.others.is_empty() || found.is_empty() {
            return Ok(found);
        }
        let blocks: Vec<u64> = found.iter().map(|(block, _)| *block).collect();
        let mut seen: HashMap<u64, (usize, Bits)> = HashMap::new();
        for posting in search::postings_in(db, &self.others, &blocks).await? {
            let (count, bits) = seen.entry(posting.block).or_insert((0, Bits::ALL));
            *count += 1;
            *bits = bits.and(read(&posting.bits)?);
        }
        let both = |(block, bits): (u64, Bits)| {
            let (count, others) = seen.get(&block)?;
            let bits = bits.and(*others);
            (*count == self.others.len() && !bits.is_empty()).then_some((block, bits))
        };
        Ok(found.into_iter().filter_map(both).collect())
    }

    /// Every leaf of the next blocks: nothing has to be looked up.
    fn every(&mut self, step: u64) -> Vec<(u64, Bits)> {
        let (from, until) = self.left;
        let count = step.min(until.saturating_sub(from));
        let blocks: Vec<u64> = match self.order {
            Order::NewestFirst => (until - count..until).rev().collect(),
            Order::OldestFirst => (from..from + count).collect(),
        };
        self.examined += count;
        self.go_on(blocks.last().copied());
        blocks.into_iter().map(|block| (block, Bits::ALL)).collect()
    }

    /// Leaves out what lies before `last` and itself; everything, if it was the last of all.
    fn go_on(&mut self, last: Option<u64>) {
        match (last, self.order) {
            (None, Order::NewestFirst) => self.left.1 = self.left.0,
            (None, Order::OldestFirst) => self.left.0 = self.left.1,
            (Some(block), Order::NewestFirst) => self.left.1 = block,
            (Some(block), Order::OldestFirst) => self.left.0 = block + 1,
        }
    }
}

pub(super) fn read(bits: &[u8]) -> Result<Bits, StoreFault> {
    Bits::from_bytes(bits).ok_or(StoreFault::Malformed { what: "a posting" })
}

/// A term that is in so many blocks is common enough.
const ENOUGH_TO_CHOOSE: i64 = 256;

/// How many blocks one question asks for, at most.
const LONGEST_STEP: u64 = 512;
