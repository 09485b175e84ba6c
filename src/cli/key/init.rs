//! `bailiwick key init`: makes the keys that a broker needs, once. Where a log was signed already, new keys are made only
//! when somebody says by name that the old ones are lost, and the log says so for ever.
//! INVARIANT: keys that exist are never replaced, and no wrapping key is made beside them, without that.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use sqlx::PgPool;

use super::{
    super::{CliFault, ConfigFile, Ending, migrate::connect_up_to_date, operator::said, output},
    print, publish,
};
use crate::{
    app::signing::signers,
    audit::lost_keys::{self, Decided},
    config::Settings,
    credential::{
        CredentialFault, Wrapping,
        keys::{self, Inventory},
    },
    model::{Clock as _, Entropy, SystemClock, SystemEntropy},
    store::{
        self, head,
        key::{self, KeyPurpose},
    },
};

/// `bailiwick key init`
#[derive(Debug, Args)]
pub(in crate::cli) struct Init {
    #[command(flatten)]
    config: ConfigFile,
    /// What wraps the keys is lost for good: make new ones, and let the log go on as another epoch
    #[arg(long, requires_all = ["by", "why"])]
    lost: bool,
    /// Who decides that, by name: it stands in the log for ever
    #[arg(long, value_name = "NAME", value_parser = said, requires = "lost")]
    by: Option<String>,
    /// Why, in a sentence: it stands in the log for ever
    #[arg(long, value_name = "TEXT", value_parser = said, requires = "lost")]
    why: Option<String>,
}

impl Init {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        let settings = self.config.load_without_keys()?;
        let pool = connect_up_to_date(&settings.database).await?;
        match (&self.by, &self.why) {
            (Some(by), Some(why)) => replace_lost(&settings, &pool, Decided { by, why }).await,
            _ => make(&settings, &pool).await,
        }
    }
}

/// The first keys of a broker; or nothing, if they are there.
async fn make(settings: &Settings, pool: &PgPool) -> Result<Ending, CliFault> {
    let mut change = store::begin(pool).await.map_err(CliFault::failed)?;
    let path = settings.keys.wrapping_key_file.path();
    let are_keys_there = key::any(&mut *change).await.map_err(CliFault::could_not_look)?;
    if are_keys_there && !path.exists() {
        let what = format!("the database has keys that were wrapped with {}, which is not there", path.display());
        return Err(lost(what));
    }
    let checkpoint = key::active(&mut *change, KeyPurpose::Checkpoint).await.map_err(CliFault::could_not_look)?;
    let is_signed = head::has_entries(&mut *change).await.map_err(CliFault::could_not_look)?;
    if is_signed && checkpoint.is_none() {
        return Err(lost("the log has entries that other keys have signed"));
    }
    make_wrapping_file(settings)?;
    let wrapping = Wrapping::new(settings.keys.wrapping_key_file.clone());
    let made = keys::init(&mut change, &wrapping, settings.portal.host(), SystemClock.now(), &SystemEntropy).await;
    let inventory = made.map_err(|fault| match fault {
        CredentialFault::Wrapping(_) => lost(fault),
        fault => CliFault::failed(fault),
    })?;
    change.commit().await.map_err(CliFault::failed)?;
    output::remark(if inventory.made {
        output::changed("keys were made, and `bailiwick key show` shows them");
        "made the keys that were missing"
    } else {
        "there are keys already; nothing changed"
    });
    print(settings, &inventory)
}

/// New keys for a log that others have signed.
async fn replace_lost(settings: &Settings, pool: &PgPool, decided: Decided<'_>) -> Result<Ending, CliFault> {
    make_wrapping_file(settings)?;
    let wrapping = Wrapping::new(settings.keys.wrapping_key_file.clone());
    let (now, entropy) = (SystemClock.now(), SystemEntropy);
    let mut change = store::begin(pool).await.map_err(CliFault::failed)?;
    let inventory = match keys::show(&mut change, &wrapping).await {
        Ok(inventory) => {
            let signers = signers(settings, pool, &wrapping, now).await.map_err(CliFault::could_not_look)?;
            if lost_keys::is_signed_by(&mut change, &signers).await.map_err(CliFault::could_not_look)? {
                return Err(CliFault::failed(
                    "the wrapping key opens the keys of this log, so nothing is lost and nothing was changed; \
                     `bailiwick key rotate checkpoint` replaces a key",
                ));
            }
            inventory
        }
        Err(CredentialFault::Wrapping(_) | CredentialFault::NoKey(_) | CredentialFault::Key(_)) => {
            keys::replace_lost(&mut change, &wrapping, settings.portal.host(), now, &entropy)
                .await
                .map_err(CliFault::failed)?
        }
        Err(fault) => return Err(CliFault::could_not_look(fault)),
    };
    let signers = crate::app::signing::signers_in(settings, &mut change, &wrapping, now).await;
    let signers = signers.map_err(CliFault::failed)?;
    let begun = lost_keys::go_on(&mut change, &signers, decided, (now, &entropy)).await.map_err(CliFault::failed)?;
    change.commit().await.map_err(CliFault::failed)?;
    let mut db = pool.acquire().await.map_err(CliFault::failed)?;
    let signed = begun.sign(&mut db, &signers, now).await.map_err(CliFault::failed)?;
    output::changed(format_args!("epoch {} has begun, with new keys", signed.epoch));
    publish(settings, &signed.note)?;
    output::remark(format_args!(
        "epoch {} begins at entry {}, with new keys, decided by {}: {}",
        signed.epoch,
        signed.size - 1,
        decided.by,
        decided.why
    ));
    for key in signers.strangers() {
        output::remark(format_args!("lost, and named there: {key}"));
    }
    output::remark(
        "Every certificate and token from before is void. Nobody vouches for the key below: hand it to auditors and \
         witnesses yourself. Whoever checks the whole log gives the old key and this one.",
    );
    print(settings, &Inventory { made: true, ..inventory })
}

fn make_wrapping_file(settings: &Settings) -> Result<(), CliFault> {
    let path = settings.keys.wrapping_key_file.path();
    let made = make_wrapping_key(path, &SystemEntropy);
    if made.map_err(|fault| CliFault::failed(format!("{}: {fault}", path.display())))? {
        output::remark(format_args!("made {}", path.display()));
        output::remark("Back it up with the database: neither is worth anything without the other.");
    }
    Ok(())
}

/// Keys are missing that a log was signed with.
fn lost(what: impl std::fmt::Display) -> CliFault {
    CliFault::failed(format!(
        "{what}. Put the file back from its backup. Only if there is none, `bailiwick key init --lost --by NAME --why \
         TEXT` makes new keys: credentials end, and the log goes on as another epoch, which says who decided that"
    ))
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
