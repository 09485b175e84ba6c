//! `[audit]`: the log's name and its patience.

use std::time::Duration;

/// How the log is kept.
#[derive(Clone, Debug)]
pub struct Audit {
    /// The name of the log, in every checkpoint (C2SP tlog-checkpoint).
    pub origin: String,
    /// The longest that a request waits for its entry before it is refused.
    pub wait: Duration,
}
