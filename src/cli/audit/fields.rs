//! `bailiwick audit fields`: every field of every kind of entry, as `docs/AUDIT.md` has them.

use clap::Args;

use super::super::{Ending, output::say};
use crate::shipping::ocsf;

/// `bailiwick audit fields`
#[derive(Debug, Args)]
pub(in crate::cli) struct Fields {}

impl Fields {
    pub(super) fn run(self) -> Ending {
        say(ocsf::page().trim_end());
        Ending::Yes
    }
}
