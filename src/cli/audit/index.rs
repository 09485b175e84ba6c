//! `bailiwick audit verify --index`: whether the search index says what the entries say, once the log itself was found
//! sound. The index proves nothing, but what it hides is not found by searching.

use serde::Serialize;
use sqlx::PgConnection;

use super::{
    super::{
        CliFault,
        output::{Paint, remark, say},
    },
    progress::Progress,
    shown,
};
use crate::audit::{
    search::{CheckedIndex, check_index},
    verify::Report,
};

/// What was found of the log and, if that was asked for, of its index.
#[derive(Serialize)]
pub(super) struct Answer<'r> {
    #[serde(flatten)]
    pub(super) report: &'r Report,
    /// None: it was not asked for, or the log itself is broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<CheckedIndex>,
}

impl Answer<'_> {
    pub(super) fn is_sound(&self) -> bool {
        self.report.is_sound() && self.index.as_ref().is_none_or(|index| index.broken.is_none())
    }
}

/// Compares every block with its entries.
pub(super) async fn check(db: &mut PgConnection) -> Result<CheckedIndex, CliFault> {
    let mut progress = Progress::begin();
    let checked = check_index(db, |done, of| progress.show(done, of)).await;
    progress.end();
    checked.map_err(CliFault::could_not_look)
}

/// Says what came of it, below what was said of the log.
pub(super) fn tell(index: Option<&CheckedIndex>) {
    let Some(index) = index else {
        return remark("The search index was not checked, because the log itself is broken.");
    };
    if let Some(what) = &index.broken {
        return say(format_args!("{} the search index: {what}", shown(Paint::Red, "broken:")));
    }
    let archived = if index.archived > 0 { format!("; {} are archived", index.archived) } else { String::new() };
    say(format_args!("  index        {} of {} complete blocks are sound{archived}", index.checked, index.blocks));
}
