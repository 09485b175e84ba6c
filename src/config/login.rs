//! `[login]`: how long a proof of oneself counts.

use std::time::Duration;

use super::{reader::Section, value::duration};

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

impl Login {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let idle = section.or("idle", r#""15m""#, duration);
        let absolute = section.or("absolute", r#""12h""#, duration);
        let credential = section.or("credential", r#""1h""#, duration);
        let step_up = section.or("step_up", r#""5m""#, duration);
        Some(Self { idle: idle?, absolute: absolute?, credential: credential?, step_up: step_up? })
    }
}
