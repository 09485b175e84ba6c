//! `[keys]`: what the broker's own keys are wrapped with.

use super::{SecretFile, reader::Section};

/// Where the wrapping key is.
#[derive(Clone, Debug)]
pub struct Keys {
    /// 32 bytes in base64, mode 0600. Back it up with the database: neither is worth anything without the other.
    pub wrapping_key_file: SecretFile,
}

impl Keys {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let files = section.files();
        let wrapping_key_file = section.required("wrapping_key_file", |node| files.wrapping_key(node));
        Some(Self { wrapping_key_file: wrapping_key_file? })
    }
}
