//! What leaves on its own: entries on their way to collectors, as OCSF events. Knows no pages and no policy.
//! Promises that nothing counts as delivered before whoever receives it has taken it.

pub mod ocsf;
