//! What an export says about itself, and whether its files are still what it says.

use std::{
    io::{self, Read},
    path::Path,
};

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::Format;

/// What came out of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Of this form: 1.
    pub version: u32,
    /// The log's name, as in its checkpoints.
    pub log: String,
    /// What was looked for, as in a page's address; empty: everything.
    pub search: String,
    /// How it was written.
    pub format: Format,
    /// How many entries.
    pub entries: u64,
    /// The first of them.
    pub first_leaf: Option<u64>,
    /// The last of them.
    pub last_leaf: Option<u64>,
    /// How many entries the log had; later ones are not in it.
    pub log_size: u64,
    /// How many entries could not be written, because they are archived, as an entry of the log says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<u64>,
    /// How many could not be written, because they are gone and no entry says that they were archived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<u64>,
    /// How many are not what was recorded: left out, or written as bytes where nothing was asked of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged: Option<u64>,
    /// The files, beside the manifest.
    pub files: Vec<File>,
    /// The newest checkpoint of the log: a C2SP signed note.
    pub checkpoint: Option<String>,
}

/// One file of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its name, without a folder.
    pub name: String,
    /// How long it is.
    pub bytes: u64,
    /// SHA-256 of it, in lower-case hex.
    pub sha256: String,
}

/// A file that is not what the manifest says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {what}")]
pub struct Mismatch {
    /// Which.
    pub name: String,
    /// What is wrong.
    pub what: String,
}

impl Manifest {
    /// Its bytes, as they are written and hashed: pretty JSON and a line end.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// SHA-256 of those, in hex: what the log says of an export.
    pub fn sha256(&self) -> String {
        hex::encode(aws_lc_rs::digest::digest(&SHA256, &self.to_bytes()))
    }
}

/// A file that cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {source}")]
pub struct Unseen {
    /// Which.
    pub name: String,
    /// Why not.
    pub source: io::Error,
}

/// Compares the files in `folder` with what `manifest` says of them. Whether the manifest itself is what came out of the
/// export, the log knows: by its SHA-256.
pub fn check(manifest: &Manifest, folder: &Path) -> Result<Vec<Mismatch>, Unseen> {
    let mut wrong = Vec::new();
    if manifest.files.len() != 1 {
        let what = format!("names {} files, and an export has one", manifest.files.len());
        wrong.push(Mismatch { name: "the manifest".to_owned(), what });
    }
    for file in &manifest.files {
        let mut say = |what: String| wrong.push(Mismatch { name: file.name.clone(), what });
        if Path::new(&file.name).file_name().is_none_or(|name| name != file.name.as_str()) {
            say("is no name of a file beside the manifest".to_owned());
            continue;
        }
        let measured = std::fs::File::open(folder.join(&file.name)).and_then(|mut file| measure(&mut file));
        let (bytes, sha256, lines) = measured.map_err(|source| Unseen { name: file.name.clone(), source })?;
        if bytes != file.bytes {
            say(format!("has {bytes} bytes, not {}", file.bytes));
        } else if sha256 != file.sha256 {
            say(format!("has the SHA-256 {sha256}, not {}", file.sha256));
        } else if lines != manifest.entries + u64::from(manifest.format == Format::Csv) {
            say(format!("has {lines} lines, which is not what {} entries are", manifest.entries));
        }
    }
    Ok(wrong)
}

fn measure(file: &mut impl Read) -> io::Result<(u64, String, u64)> {
    let (mut hash, mut bytes, mut lines) = (Context::new(&SHA256), 0, 0);
    let mut part = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut part)?;
        let part = part.get(..read).unwrap_or_default();
        if part.is_empty() {
            return Ok((bytes, hex::encode(hash.finish()), lines));
        }
        hash.update(part);
        bytes += part.len() as u64;
        lines += part.iter().filter(|byte| **byte == b'\n').count() as u64;
    }
}

pub(super) const VERSION: u32 = 1;
