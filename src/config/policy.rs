//! `[policy]`: where the rules are.

use std::path::PathBuf;

/// Where the rules are; both are watched.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The folder of `.cedar` files.
    pub folder: PathBuf,
    /// The entities file: groups and who is in them.
    pub entities: PathBuf,
}
