//! `[login]`: how long a proof of oneself counts.

use std::time::Duration;

/// How long things last.
#[derive(Clone, Debug)]
pub struct Login {
    /// A login ends after so long without a request.
    pub idle: Duration,
    /// A login ends after so long in any case.
    pub absolute: Duration,
    /// How long a certificate lasts unless less is asked for; never past its login.
    pub credential: Duration,
    /// A passkey asserted so recently counts as fresh.
    pub step_up: Duration,
}
