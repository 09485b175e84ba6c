//! Entries that a search came upon and could not show: there must be such an entry, but it is gone, or its bytes are not
//! those that were recorded. They are named, never left out in silence.

use std::{fmt, ops::Range};

/// What could not be shown of a stretch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// No longer in the database, and not archived as far as the log says.
    pub missing: Lost,
    /// No entry any more, or not the one that was indexed.
    pub damaged: Lost,
}

/// Some entries: how many, and the first of them that were come upon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// How many.
    pub count: u64,
    /// The indexes of a few.
    pub first: Vec<u64>,
}

impl Losses {
    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.missing.count == 0 && self.damaged.count == 0
    }

    /// Adds those of another stretch.
    pub fn join(&mut self, others: &Self) {
        self.missing.join(&others.missing);
        self.damaged.join(&others.damaged);
    }

    /// What is to be said of them, a sentence for each kind.
    pub fn sentences(&self) -> Vec<String> {
        let missing = (self.missing.count > 0).then(|| self.missing.missing());
        let damaged = (self.damaged.count > 0)
            .then(|| format!("{} not what was recorded: run bailiwick audit verify", are(&self.damaged)));
        missing.into_iter().chain(damaged).collect()
    }
}

impl Lost {
    /// All of a range.
    pub fn add_all(&mut self, range: Range<u64>) {
        self.count = self.count.saturating_add(range.end.saturating_sub(range.start));
        self.first.extend(range.take(MOST_NAMED.saturating_sub(self.first.len())));
    }

    /// One entry.
    pub fn one(index: u64) -> Self {
        Self { count: 1, first: vec![index] }
    }

    /// What is said of entries that must be there and are not.
    pub fn missing(&self) -> String {
        let hashes = if self.count == 1 { "its hash is" } else { "their hashes are" };
        format!("{} missing from the database; {hashes} still in the log: run bailiwick audit verify", are(self))
    }

    /// Adds an entry.
    pub fn add(&mut self, index: u64) {
        self.count += 1;
        if self.first.len() < MOST_NAMED && !self.first.contains(&index) {
            self.first.push(index);
        }
    }

    fn join(&mut self, others: &Self) {
        self.count += others.count;
        self.first.extend(&others.first);
        self.first.truncate(MOST_NAMED);
    }
}

/// "entry 21", "entries 21, 22 and 5 more".
impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.first.iter().map(u64::to_string).collect();
        let more = self.count.saturating_sub(names.len() as u64);
        write!(f, "{} {}", if self.count == 1 { "entry" } else { "entries" }, names.join(", "))?;
        if more > 0 { write!(f, " and {more} more") } else { Ok(()) }
    }
}

fn are(lost: &Lost) -> String {
    format!("{lost} {}", if lost.count == 1 { "is" } else { "are" })
}

/// More help nobody: verification says the rest.
const MOST_NAMED: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_named_and_all_are_counted() {
        let mut losses = Losses::default();
        assert!(losses.is_empty() && losses.sentences().is_empty());
        losses.missing.add(21);
        assert_eq!(
            losses.sentences(),
            ["entry 21 is missing from the database; its hash is still in the log: run bailiwick audit verify"]
        );
        let mut others = Losses::default();
        (0..12).for_each(|index| others.damaged.add(index));
        losses.join(&others);
        assert_eq!(losses.damaged.to_string(), "entries 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more");
        assert!(losses.sentences()[1].ends_with("2 more are not what was recorded: run bailiwick audit verify"));
    }
}
