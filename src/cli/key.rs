//! `bailiwick key`: makes the broker's own keys, and shows their public halves.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Subcommand;

use super::{CliFault, ConfigFile, Ending, output};
use crate::model::{Entropy, SystemEntropy};

/// The broker's own keys.
#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Make what is missing: the wrapping key's file, then the keys in the database that it wraps
    Init(ConfigFile),
    /// Show the public halves: the certificate authority, and the key that checks the log's checkpoints
    Show(ConfigFile),
}

impl Key {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        match self {
            Self::Init(config) => init(&config).await,
            Self::Show(config) => show(&config).await,
        }
    }
}

async fn init(config: &ConfigFile) -> Result<Ending, CliFault> {
    let settings = config.load_before_keys()?;
    let path = settings.keys.wrapping_key_file.path();
    if make_wrapping_key(path, &SystemEntropy)
        .map_err(|fault| CliFault::failed(format!("{}: {fault}", path.display())))?
    {
        output::say(format_args!(
            "made {}; back it up with the database, neither is worth anything alone",
            path.display()
        ));
    }
    Ok(Ending::Yes)
}

async fn show(config: &ConfigFile) -> Result<Ending, CliFault> {
    config.load()?;
    Ok(Ending::Yes)
}

/// Writes 32 random bytes, where there is no file yet. False: there is one, and it stays.
fn make_wrapping_key(path: &Path, entropy: &dyn Entropy) -> io::Result<bool> {
    let key: [u8; 32] = entropy.bytes();
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file,
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(fault) => return Err(fault),
    };
    writeln!(file, "{}", STANDARD.encode(key))?;
    file.sync_all()?;
    // The name must survive a crash as well: keys that are wrapped with it are about to be stored.
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;
    use crate::model::SeededEntropy;

    #[test]
    fn a_wrapping_key_is_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wrapping.key");
        assert!(make_wrapping_key(&path, &SeededEntropy::new(1)).unwrap());
        let first = fs::read_to_string(&path).unwrap();
        assert_eq!(STANDARD.decode(first.trim_end()).unwrap().len(), 32);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!make_wrapping_key(&path, &SeededEntropy::new(2)).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), first);
    }
}
