//! `[audit]`: the log's name and its patience.

use std::time::Duration;

use super::{
    Portal,
    document::Node,
    reader::Section,
    value::{duration, filled},
};

/// How the log is kept.
#[derive(Clone, Debug)]
pub struct Audit {
    /// The name of the log, in every checkpoint (C2SP tlog-checkpoint).
    pub origin: String,
    /// The longest that a request waits for its entry before it is refused.
    pub wait: Duration,
}

impl Audit {
    pub(super) fn read(section: &mut Section<'_>, portal: Option<&Portal>) -> Option<Self> {
        let origin = section.optional("origin", origin);
        let wait = section.or("wait", r#""2s""#, patience);
        let origin = origin.or_else(|| portal.map(|portal| format!("{}/audit", portal.host())));
        Some(Self { origin: origin?, wait: wait? })
    }
}

/// A key name as C2SP's signed-note has it: no spaces, no plus sign.
fn origin(node: &Node) -> Result<String, String> {
    let text = filled(node)?;
    if text.chars().any(|c| c.is_whitespace() || c == '+') {
        return Err("must have neither spaces nor `+` (C2SP signed-note)".to_owned());
    }
    Ok(text)
}

fn patience(node: &Node) -> Result<Duration, String> {
    let wait = duration(node)?;
    let bounds = Duration::from_millis(100)..=Duration::from_secs(10);
    if bounds.contains(&wait) { Ok(wait) } else { Err("expected 100ms to 10s".to_owned()) }
}
