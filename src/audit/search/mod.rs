//! Finding entries: a search as it stands in an address, an index over blocks of 1,024 leaves that is built behind the
//! log, and pages, counts and charts that are served from it. Promises that the index is no truth: what it names is
//! checked against the bytes, what it lacks is read one by one, and no call does unbounded work.

mod archived;
mod bits;
mod block;
mod build;
mod check;
mod count;
mod find;
mod lasting;
mod lately;
mod leaves;
mod lost;
mod matching;
mod postings;
mod query;
mod terms;
mod walk;
mod words;

pub use {
    archived::archived_before,
    build::{Turn, take_turn},
    check::{CheckedIndex, check_block, check_index},
    count::{Activity, Bucket, Estimate, activity, tally},
    find::{Found, find, find_from},
    lost::{Losses, Lost},
    query::{Mistake, Search, Verdict, decoded},
};
pub(in crate::audit) use {
    build::follow,
    lasting::Lasting,
    lately::Lately,
    terms::verdict,
    words::{closed_by, sign_in_step},
};
