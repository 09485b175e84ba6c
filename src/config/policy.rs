//! `[policy]`: where the rules are.

use std::path::PathBuf;

use super::reader::Section;

/// Where the rules are; both are watched.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The folder of `.cedar` files.
    pub folder: PathBuf,
    /// The entities file: groups and who is in them.
    pub entities: PathBuf,
}

impl Policy {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let files = section.files();
        let folder = section.required("folder", |node| files.folder(node));
        let entities = section.required("entities", |node| files.file(node));
        Some(Self { folder: folder?, entities: entities? })
    }
}
