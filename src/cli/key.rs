//! `bailiwick key`: makes the broker's own keys, and shows their public halves.

mod init;

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{Args, Subcommand, ValueEnum};

use init::Init;

use super::{CliFault, ConfigFile, Ending, invite::open_log, migrate::connect_up_to_date, operator::Operator, output};
use crate::{
    app::signing::signer,
    audit::{Draft, Event, checkpoint::Verifier, published::Record},
    config::Settings,
    credential::{
        Wrapping,
        keys::{self, Inventory},
    },
    model::{Clock as _, SystemClock, SystemEntropy},
    shipping::CheckpointFile,
    store::{
        head,
        key::{self, KeyPurpose},
    },
};

/// How long the log may take to record the change and to sign.
const PATIENCE: Duration = Duration::from_secs(10);

/// The broker's own keys.
#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Make what is missing: the wrapping key's file, then the keys in the database that it wraps
    #[command(after_help = "Example, when the wrapping key and all its backups are gone:\n  \
                            bailiwick key init --lost --by 'Ada Lovelace' --why 'the host burnt, and the safe with it'")]
    Init(Init),
    /// Show the public halves: the certificate authority, and the keys that check the log's checkpoints
    Show(ConfigFile),
    /// Replace a key by a new one, for which the old one vouches
    #[command(after_help = "Example:\n  bailiwick key rotate checkpoint --overlap 14d")]
    Rotate(Rotate),
}

/// `bailiwick key rotate`
#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// Which key
    purpose: Rotated,
    #[command(flatten)]
    config: ConfigFile,
    /// How long the old key goes on signing along with the new one; 0s if somebody else may have it
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = humantime::parse_duration)]
    overlap: Duration,
    #[command(flatten)]
    operator: Operator,
}

/// A key that can be replaced.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Rotated {
    /// The one that signs the log's checkpoints
    Checkpoint,
}

impl Key {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        match self {
            Self::Init(command) => command.run().await,
            Self::Show(config) => show(&config).await,
            Self::Rotate(rotate) => match rotate.purpose {
                Rotated::Checkpoint => rotate.checkpoint().await,
            },
        }
    }
}

async fn show(config: &ConfigFile) -> Result<Ending, CliFault> {
    let settings = config.load()?;
    let pool = connect_up_to_date(&settings.database).await?;
    let mut db = pool.acquire().await.map_err(CliFault::could_not_look)?;
    let wrapping = Wrapping::new(settings.keys.wrapping_key_file.clone());
    let inventory = keys::show(&mut db, &wrapping).await.map_err(CliFault::could_not_look)?;
    print(&settings, &inventory)?;
    let publics = key::publics(&mut *db, KeyPurpose::Checkpoint).await.map_err(CliFault::could_not_look)?;
    let earlier: Vec<_> = publics.into_iter().filter(|public| *public != inventory.checkpoint_public).collect();
    if !earlier.is_empty() {
        output::remark(
            "\nKeys that signed before, the first one first; each vouches for the next in the log, except where keys were lost:",
        );
    }
    for public in earlier {
        output::say(verifier(&settings, &public)?);
    }
    Ok(Ending::Yes)
}

impl Rotate {
    async fn checkpoint(&self) -> Result<Ending, CliFault> {
        let settings = self.config.load()?;
        let pool = connect_up_to_date(&settings.database).await?;
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
        let wrapping = Wrapping::new(settings.keys.wrapping_key_file.clone());
        let mut db = pool.acquire().await.map_err(CliFault::could_not_look)?;
        let old = keys::checkpoint(&mut db, &wrapping).await.map_err(CliFault::could_not_look)?;
        drop(db);
        let now = clock.now();
        let new = keys::make_checkpoint(&wrapping, now, &*entropy).map_err(CliFault::failed)?;
        let old_signer = signer(&settings, &old).map_err(CliFault::failed)?;
        let (retired, active) = (old_signer.verifier().clone(), verifier(&settings, &new.public)?);

        // The old key signs here: its word for the new one, and then the head with the entry that holds it.
        let (log, tasks) = open_log(&settings, pool.clone(), clock.clone(), entropy).await?;
        let until = now.plus(self.overlap);
        let epoch = log.health().epoch;
        let event = Event::KeyRotated {
            retired: retired.to_string(),
            active: active.to_string(),
            voucher: Some(old_signer.vouch_for(&active, epoch)),
            by: Some(self.operator.name()),
        };
        let rotated = log
            .append_within(|db| {
                let (new, event) = (new.clone(), event.clone());
                Box::pin(async move {
                    key::retire(&mut *db, old.id, now, until).await?;
                    let is_active = key::insert_active(&mut *db, KeyPurpose::Checkpoint, &new).await?;
                    // The word is for one epoch.
                    if !is_active || head::newest(&mut *db).await?.epoch != epoch {
                        return Ok(((), Vec::new()));
                    }
                    Ok(((), vec![Draft { caller: None, event, happened_at: now, request: None }]))
                })
            })
            .await;
        let notes = log.checkpoints();
        tasks.stop(PATIENCE).await;
        let ((), receipt) = rotated.map_err(CliFault::failed)?;
        let vouched = notes.borrow().clone().filter(|signed| signed.size > receipt.leaf_index());
        let vouched = vouched.filter(|signed| retired.open(&signed.note).is_ok());
        let vouched =
            vouched.ok_or_else(|| CliFault::failed("the key was replaced, and the old one could not vouch for it"))?;
        output::changed(format_args!("the key that signs checkpoints is replaced by {active}"));
        publish(&settings, &vouched.note)?;
        output::remark(format_args!(
            "{retired}\nsigns along until {until}, and vouches in entry {} for",
            receipt.leaf_index()
        ));
        output::say(active);
        output::remark("Auditors and witnesses need the new key; brokers take it up by themselves within seconds.");
        Ok(Ending::Yes)
    }
}

/// The note that vouches goes where the others are as well.
fn publish(settings: &Settings, note: &str) -> Result<(), CliFault> {
    let Some(path) = settings.shipping.checkpoint_file.clone() else { return Ok(()) };
    let record = Record { at: SystemClock.now(), note: note.to_owned() };
    let appended = CheckpointFile::new(path).append(&record);
    appended.map_err(|fault| CliFault::failed(format!("the key was replaced, and that was not published: {fault}")))
}

fn verifier(settings: &Settings, public: &[u8]) -> Result<Verifier, CliFault> {
    let public = public.try_into().map_err(CliFault::failed)?;
    Verifier::new(&settings.audit.origin, public).map_err(CliFault::failed)
}

fn print(settings: &Settings, inventory: &Inventory) -> Result<Ending, CliFault> {
    let verifier = verifier(settings, &inventory.checkpoint_public)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_has_lines_of_64() {
        let text = pem("X", &[0; 50]);
        let lengths: Vec<usize> = text.lines().map(str::len).collect();
        assert_eq!(lengths, [17, 64, 4, 15]);
    }
}
