//! The files of the demonstration: folders that are ours alone, files written whole or not at all.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use super::DemoFault;

pub(super) use crate::config::client::on_path;

/// Makes a folder that only we may enter, if it is not there.
pub(super) fn make_folder(folder: &Path) -> Result<(), DemoFault> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| DemoFault::file("make", folder, source))
}

/// Writes a file that only we may read, whole or not at all.
pub(super) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), DemoFault> {
    let beside = path.with_extension("new");
    let written = fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(content.as_ref()))
        .and_then(|()| fs::rename(&beside, path));
    written.map_err(|source| DemoFault::file("write", path, source))
}

/// Writes a file the first time and leaves it alone afterwards.
pub(super) fn write_once(path: &Path, content: impl FnOnce() -> Vec<u8>) -> Result<(), DemoFault> {
    if path.exists() { Ok(()) } else { write(path, content()) }
}

/// Reads a file as text.
pub(super) fn read(path: &Path) -> Result<String, DemoFault> {
    fs::read_to_string(path).map_err(|source| DemoFault::file("read", path, source))
}
