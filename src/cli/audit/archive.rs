//! `bailiwick audit archive`: writes months of the log that are older than `[audit] retention` as bundles, and drops them.
//! For cron, by an account that owns the database: the broker's own account can drop nothing.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use sqlx::{PgConnection, PgPool};

use super::{
    super::{
        CliFault, ConfigFile, Ending,
        invite::{PATIENCE, open_log},
        output::{changed, remark, say},
    },
    interrupted,
    out::warn,
    owner::Owner,
};
use crate::{
    audit::{
        Log,
        archive::{ArchiveFault, Due, archive, drop_month, due},
    },
    config::Settings,
    model::{Clock, SystemClock, SystemEntropy},
    store,
};

/// `bailiwick audit archive`
#[derive(Debug, Args)]
pub(in crate::cli) struct Archive {
    #[command(flatten)]
    config: ConfigFile,
    /// Change nothing: say what would be archived and dropped
    #[arg(long)]
    dry_run: bool,
    /// Where archives go; from the configuration if it is left out
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    owner: Owner,
}

impl Archive {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        let settings = self.config.load()?;
        let Some(retention) = settings.audit.retention else {
            say("nothing to do: `[audit] retention` is forever");
            return Ok(Ending::Yes);
        };
        let url = self.owner.url()?;
        let folder = self.folder.clone().or_else(|| settings.audit.archive_folder.clone());
        let folder = folder.ok_or_else(|| {
            CliFault::could_not_look("name the folder for archives: `[audit] archive_folder`, or --folder")
        })?;
        let pool = store::connect_with(&url, &settings.database).await.map_err(CliFault::could_not_look)?;
        let clock = Arc::new(SystemClock);
        let mut db = pool.acquire().await.map_err(CliFault::could_not_look)?;
        let mut due = due(&mut db, retention, clock.now()).await.map_err(fault)?;
        let owed = hold_back(&mut db, &settings, &mut due).await?;
        drop(db);
        let ending = if owed { Ending::No } else { Ending::Yes };
        if owed && due.is_empty() {
            return Ok(ending);
        }
        if due.is_empty() {
            say("nothing to do: no month of the log is old enough");
            return Ok(Ending::Yes);
        }
        if self.dry_run {
            due.iter().for_each(|due| tell("would archive and drop", due));
            return Ok(ending);
        }
        interrupted::leave_no_parts();
        let entropy = Arc::new(SystemEntropy);
        let (log, tasks) = open_log(&settings, pool.clone(), clock.clone(), entropy).await?;
        let done = all(&pool, &log, &due, &folder, clock.as_ref()).await;
        tasks.stop(PATIENCE).await;
        done.map(|()| ending)
    }
}

/// Takes out the months that a collector has not taken whole yet; whether there were any.
async fn hold_back(db: &mut PgConnection, settings: &Settings, due: &mut Vec<Due>) -> Result<bool, CliFault> {
    let names: Vec<String> = settings.collector.iter().map(|collector| collector.name.to_string()).collect();
    let shipped = store::collector::shipped_to(db, &names).await.map_err(CliFault::could_not_look)?;
    let before = due.len();
    due.retain(|due| {
        let is_taken = shipped.is_none_or(|shipped| due.entries.end <= shipped);
        if !is_taken {
            tell("kept, because a collector has not taken all of it (see `bailiwick audit collectors`):", due);
        }
        is_taken
    });
    Ok(due.len() < before)
}

async fn all(pool: &PgPool, log: &Log, due: &[Due], folder: &Path, clock: &dyn Clock) -> Result<(), CliFault> {
    for due in due {
        let archived = match &due.archived {
            Some(archived) => archived.clone(),
            None => {
                let (archived, name) = archive(pool, log, due, folder, clock.now()).await.map_err(fault)?;
                warn(&folder.join(&archived.file), &name);
                archived
            }
        };
        let mut db = pool.acquire().await.map_err(CliFault::failed)?;
        drop_month(&mut db, &archived, folder, clock.now()).await.map_err(fault)?;
        changed(format_args!("{} is archived and dropped", due.part.name));
        tell("archived and dropped", due);
        remark(format_args!("  {}  SHA-256 {}", folder.join(&archived.file).display(), hex::encode(archived.sha256)));
    }
    Ok(())
}

fn tell(what: &str, due: &Due) {
    let (first, last) = (due.entries.start, due.entries.end - 1);
    say(format_args!("{what} {}: entries {first} to {last}, {} bytes in the database", due.part.name, due.part.bytes));
}

fn fault(fault: ArchiveFault) -> CliFault {
    match fault {
        ArchiveFault::Store(_) => CliFault::could_not_look(fault),
        fault => CliFault::failed(fault),
    }
}
