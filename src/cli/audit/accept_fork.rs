//! `bailiwick audit accept-fork`: the database is not what was published, and somebody decides that the log goes on with
//! it all the same. Says first what differs; the decision, who took it and why are the first entry of another epoch.

use std::path::PathBuf;

use clap::Args;
use sqlx::PgConnection;

use super::super::{
    CliFault, ConfigFile, Ending,
    migrate::connect_up_to_date,
    operator::said,
    output::{changed, remark, say},
};
use crate::{
    app::signing::signers,
    audit::{
        Signed, Signers,
        fork::{self, Acceptance},
        published::{Published, Record},
    },
    config::{Settings, Shipping},
    credential::Wrapping,
    model::{Clock as _, SystemClock, SystemEntropy},
    shipping::{self, CheckpointFile},
    store::{
        checkpoint,
        key::{self, KeyPurpose},
    },
};

/// `bailiwick audit accept-fork`
#[derive(Debug, Args)]
pub(in crate::cli) struct AcceptFork {
    #[command(flatten)]
    config: ConfigFile,
    /// Who decides, by name: it stands in the log for ever
    #[arg(long, value_name = "NAME", value_parser = said)]
    by: String,
    /// Why, in a sentence: it stands in the log for ever
    #[arg(long, value_name = "TEXT", value_parser = said)]
    why: String,
    /// The file of published checkpoints; from the configuration if it is left out
    #[arg(long, value_name = "FILE")]
    published: Option<PathBuf>,
    /// Do it; without this, only say what differs
    #[arg(long)]
    yes: bool,
}

impl AcceptFork {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        let settings = self.config.load()?;
        let pool = connect_up_to_date(&settings.database).await?;
        let mut db = pool.acquire().await.map_err(CliFault::could_not_look)?;
        let publics = key::publics(&mut *db, KeyPurpose::Checkpoint).await.map_err(CliFault::could_not_look)?;
        let wrapping = Wrapping::new(settings.keys.wrapping_key_file.clone());
        let signers =
            signers(&settings, &pool, &wrapping, SystemClock.now()).await.map_err(CliFault::could_not_look)?;
        let published = match self.published(&settings, publics)? {
            Some(published) => published,
            None => newest_of_ours(&mut db, &signers).await?,
        };

        let Some(found) = fork::look(&mut db, &published, &signers).await.map_err(CliFault::could_not_look)? else {
            return Err(CliFault::failed("the database continues what was published; there is nothing to accept"));
        };
        remark(&found);
        if !self.yes {
            remark(
                "Nothing was changed. Stop every broker, look for a newer copy of the database, and only if there is none repeat this with --yes.",
            );
            return Ok(Ending::No);
        }
        let (clock, entropy) = (SystemClock, SystemEntropy);
        let acceptance = Acceptance {
            published: &published,
            signers: &signers,
            by: &self.by,
            why: &self.why,
            clock: &clock,
            entropy: &entropy,
        };
        let began = fork::accept(&mut db, &acceptance).await.map_err(CliFault::failed)?;
        changed(format_args!("epoch {} has begun", began.epoch));
        self.publish(&settings.shipping, &began)?;
        say(format_args!("epoch {} begins at entry {}, accepted by {}", began.epoch, began.size - 1, self.by));
        let verifier = signers.verifiers().next().map(|key| key.of_epoch(began.epoch));
        if let Some(verifier) = verifier {
            remark("Witnesses know the log by another name from here on; give them this key:");
            say(verifier);
        }
        Ok(Ending::Yes)
    }

    fn published(&self, settings: &Settings, publics: Vec<Vec<u8>>) -> Result<Option<Published>, CliFault> {
        if let Some(path) = &self.published {
            let there = std::fs::metadata(path);
            there.map_err(|fault| CliFault::could_not_look(format_args!("{}: {fault}", path.display())))?;
        }
        let file = self.file(&settings.shipping);
        let file = Shipping { checkpoint_file: file, ..Shipping::default() };
        shipping::published(&file, &settings.audit.origin, publics).map_err(CliFault::could_not_look)
    }

    /// The first checkpoint of the new epoch goes where the last one of the old is.
    fn publish(&self, settings: &Shipping, began: &Signed) -> Result<(), CliFault> {
        let Some(path) = self.file(settings) else { return Ok(()) };
        let record = Record { at: SystemClock.now(), note: began.note.clone() };
        let appended = CheckpointFile::new(path).append(&record);
        appended.map_err(|fault| {
            CliFault::failed(format!("the epoch began, and its checkpoint was not published: {fault}"))
        })
    }

    fn file(&self, settings: &Shipping) -> Option<PathBuf> {
        self.published.clone().or_else(|| settings.checkpoint_file.clone())
    }
}

/// The newest checkpoint in the database that a key of ours has signed, for a log of which nothing is kept elsewhere.
async fn newest_of_ours(db: &mut PgConnection, signers: &Signers) -> Result<Published, CliFault> {
    let stored = checkpoint::newest(db).await.map_err(CliFault::could_not_look)?;
    let keys: Vec<_> = signers.verifiers().cloned().collect();
    let ours = stored.and_then(|stored| Published::open(&stored.note, signers.origin(), &keys).ok());
    let ours =
        ours.ok_or_else(|| CliFault::could_not_look("nothing is known to be published: give --published FILE"))?;
    remark("Nothing is known to be published. What is compared is the newest checkpoint in the database itself.");
    Ok(ours)
}
