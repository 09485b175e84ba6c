//! `bailiwick key`: makes the broker's own keys, and shows their public halves.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Subcommand;

use super::{CliFault, ConfigFile, Ending, migrate::connect_up_to_date, output};
use crate::{
    audit::checkpoint::Verifier,
    config::Settings,
    credential::{
        Wrapping,
        keys::{self, Inventory},
    },
    model::{Clock as _, Entropy, SystemClock, SystemEntropy},
};

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
    let made = make_wrapping_key(path, &SystemEntropy);
    if made.map_err(|fault| CliFault::failed(format!("{}: {fault}", path.display())))? {
        output::remark(format_args!("made {}", path.display()));
        output::remark("Back it up with the database: neither is worth anything without the other.");
    }
    let pool = connect_up_to_date(&settings.database).await?;
    let wrapping = Wrapping::new(settings.keys.wrapping_key_file.clone());
    let mut change = pool.begin().await.map_err(CliFault::failed)?;
    let inventory = keys::init(&mut change, &wrapping, settings.portal.host(), SystemClock.now(), &SystemEntropy)
        .await
        .map_err(CliFault::failed)?;
    change.commit().await.map_err(CliFault::failed)?;
    output::remark(if inventory.made {
        "made the keys that were missing"
    } else {
        "there are keys already; nothing changed"
    });
    print(&settings, &inventory)
}

async fn show(config: &ConfigFile) -> Result<Ending, CliFault> {
    let settings = config.load()?;
    let pool = connect_up_to_date(&settings.database).await?;
    let mut db = pool.acquire().await.map_err(CliFault::could_not_look)?;
    let wrapping = Wrapping::new(settings.keys.wrapping_key_file.clone());
    let inventory = keys::show(&mut db, &wrapping).await.map_err(CliFault::could_not_look)?;
    print(&settings, &inventory)
}

fn print(settings: &Settings, inventory: &Inventory) -> Result<Ending, CliFault> {
    let public = inventory.checkpoint_public.as_slice().try_into().map_err(CliFault::failed)?;
    let verifier = Verifier::new(&settings.audit.origin, public).map_err(CliFault::failed)?;
    output::remark(
        "\nThe key that checks the log (bailiwick audit verify --key); give it to auditors, apart from the log:",
    );
    output::say(verifier);
    output::remark("\nThe authority of client certificates:");
    output::say(pem("CERTIFICATE", &inventory.authority));
    Ok(Ending::Yes)
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).filter_map(|at| text.get(at..text.len().min(at + 64))).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----", lines.join("\n"))
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
    fn pem_has_lines_of_64() {
        let text = pem("X", &[0; 50]);
        let lengths: Vec<usize> = text.lines().map(str::len).collect();
        assert_eq!(lengths, [17, 64, 4, 15]);
    }

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
