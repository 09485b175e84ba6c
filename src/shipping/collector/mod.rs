//! Entries on their way to collectors, as OCSF events: at least once, in order, one broker at a time for each collector.
//! Promises that nothing counts as delivered before whoever receives it has taken it, and that what is left out is
//! recorded and said aloud.

mod collect;
mod collectors;
mod reading;
mod sink;
mod unshipped;

pub use collect::Pace;
pub use collectors::{CollectorMistake, Collectors, Ground, check};
pub use reading::{Figures, Reading};
pub use sink::SinkMistake;
pub use unshipped::{Owed, Unshipped};
