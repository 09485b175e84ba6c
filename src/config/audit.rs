//! `[audit]`: the log's name and its patience.

use std::{path::PathBuf, time::Duration};

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
    /// How long entries stay in the database; none: for ever.
    pub retention: Option<Duration>,
    /// Where archives of older ones go.
    pub archive_folder: Option<PathBuf>,
}

impl Audit {
    pub(super) fn read(section: &mut Section<'_>, portal: Option<&Portal>) -> Option<Self> {
        let origin = section.optional("origin", origin);
        let wait = section.or("wait", r#""2s""#, patience);
        let retention = section.or("retention", r#""forever""#, retention);
        let files = section.files();
        let archive_folder = section.optional("archive_folder", |node| files.place(node));
        let origin = origin.or_else(|| portal.map(|portal| format!("{}/audit", portal.host())));
        Some(Self { origin: origin?, wait: wait?, retention: retention?, archive_folder })
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

/// `forever`, or at least a month: only whole months go.
fn retention(node: &Node) -> Result<Option<Duration>, String> {
    if filled(node)? == "forever" {
        return Ok(None);
    }
    let span = duration(node).map_err(|fault| format!("{fault}, `400d` or `forever`"))?;
    if span >= MONTH { Ok(Some(span)) } else { Err("expected `forever` or at least 31d".to_owned()) }
}

const MONTH: Duration = Duration::from_secs(31 * 24 * 60 * 60);

fn patience(node: &Node) -> Result<Duration, String> {
    let wait = duration(node)?;
    let bounds = Duration::from_millis(100)..=Duration::from_secs(10);
    if bounds.contains(&wait) { Ok(wait) } else { Err("expected 100ms to 10s".to_owned()) }
}
