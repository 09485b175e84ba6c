//! `bailiwick audit forget-collector`: somebody decides that a collector gets nothing any more, so that nobody waits for it.
//! INVARIANT: one that is configured here, or that a broker ships to, is never forgotten; and that it was, by whom and why,
//! is in the log in the same transaction.

use std::sync::Arc;

use clap::Args;

use super::{
    super::{
        CliFault, ConfigFile, Ending,
        invite::{PATIENCE, open_log},
        operator::said,
        output::{changed, say},
    },
    owner::Owner,
};
use crate::{
    audit::{ChangeFault, Draft, Event, Log},
    config::Settings,
    model::{Clock, SystemClock, SystemEntropy},
    store::{self, collector, head},
};

/// `bailiwick audit forget-collector`
#[derive(Debug, Args)]
pub(in crate::cli) struct ForgetCollector {
    /// Its name, as `bailiwick audit collectors` says it
    name: String,
    /// Who decides, by name: it stands in the log for ever
    #[arg(long, value_name = "NAME", value_parser = said)]
    by: String,
    /// Why, in a sentence: it stands in the log for ever
    #[arg(long, value_name = "TEXT", value_parser = said)]
    why: String,
    #[command(flatten)]
    owner: Owner,
    #[command(flatten)]
    config: ConfigFile,
}

impl ForgetCollector {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        let settings = self.config.load()?;
        self.refuse_configured(&settings)?;
        let pool =
            store::connect_with(&self.owner.url()?, &settings.database).await.map_err(CliFault::could_not_look)?;
        let clock = Arc::new(SystemClock);
        self.refuse_unforgettable(&pool, clock.now()).await?;
        let (log, tasks) = open_log(&settings, pool, clock.clone(), Arc::new(SystemEntropy)).await?;
        let forgotten = self.forget(&log, clock.as_ref()).await;
        tasks.stop(PATIENCE).await;
        forgotten?;
        let told = format!("the collector {} is forgotten", self.name);
        changed(&told);
        say(told);
        Ok(Ending::Yes)
    }

    fn refuse_configured(&self, settings: &Settings) -> Result<(), CliFault> {
        if settings.collector.iter().any(|collector| collector.name.as_str() == self.name) {
            let message = format!("the configuration names the collector {}: remove it there first", self.name);
            return Err(CliFault::could_not_look(message));
        }
        Ok(())
    }

    /// Says why it cannot be forgotten before a log is opened for it.
    async fn refuse_unforgettable(&self, pool: &sqlx::PgPool, now: crate::model::Timestamp) -> Result<(), CliFault> {
        let cursors = collector::list(pool).await.map_err(CliFault::could_not_look)?;
        match cursors.iter().find(|cursor| cursor.name == self.name) {
            None => Err(CliFault::could_not_look(format!("there is no collector {}", self.name))),
            Some(cursor) if cursor.is_held(now) => Err(self.is_held()),
            Some(_) => Ok(()),
        }
    }

    async fn forget(&self, log: &Log, clock: &dyn Clock) -> Result<(), CliFault> {
        let now = clock.now();
        let forgotten = log.append_within(move |db| {
            let (name, why) = (self.name.clone(), format!("forgotten by {}: {}", self.by, self.why));
            Box::pin(async move {
                let Some(from) = collector::forget(&mut *db, &name, now).await? else { return Ok(((), Vec::new())) };
                // At the least it does not get the next one.
                let until = head::newest(&mut *db).await?.size.max(from + 1);
                let event = Event::CollectorSkipped { collector: name, from, until, why };
                Ok(((), vec![Draft { caller: None, event, happened_at: now, request: None }]))
            })
        });
        match forgotten.await {
            Ok(_) => Ok(()),
            Err(ChangeFault::Unneeded) => Err(self.is_held()),
            Err(fault) => Err(CliFault::failed(fault)),
        }
    }

    fn is_held(&self) -> CliFault {
        CliFault::could_not_look(format!(
            "a broker ships to the collector {}: remove it from its configuration first",
            self.name
        ))
    }
}
