//! All collectors of a broker: set up together, so that mistakes are told at the start, and stopped together.

use std::{future::pending, sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    super::ocsf::KINDS,
    collect::{Pace, Work},
    reading::Reading,
    sink::{Sink, SinkMistake},
};
use crate::{
    audit::Log,
    config::{Collector, Destination},
    model::{BrokerId, Clock, Entropy},
};

/// Why collectors cannot work as configured.
#[derive(Debug, thiserror::Error)]
pub enum CollectorMistake {
    /// A kind that no entry has.
    #[error("collector `{name}`: no entry is of the kind `{kind}`; `bailiwick audit fields` lists them")]
    Kind {
        /// The collector.
        name: String,
        /// The word.
        kind: String,
    },
    /// Its certificates or files.
    #[error("collector `{name}`: {source}")]
    Sink {
        /// The collector.
        name: String,
        /// What is wrong.
        source: SinkMistake,
    },
}

/// Collectors at work.
#[derive(Default)]
pub struct Collectors {
    tasks: JoinSet<()>,
    stop: CancellationToken,
    readings: Vec<Arc<Reading>>,
}

/// What every collector works with.
#[derive(Clone)]
pub struct Ground {
    /// The log's name.
    pub origin: String,
    /// The database.
    pub pool: PgPool,
    /// Where it is recorded that entries were left out.
    pub log: Log,
    /// This process.
    pub broker: BrokerId,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For pauses that do not fall into step.
    pub entropy: Arc<dyn Entropy>,
}

/// What is wrong with the collectors as configured, without shipping anything.
pub fn check(collectors: &[Collector], origin: &str) -> Vec<CollectorMistake> {
    collectors.iter().filter_map(|collector| sink(collector, origin).err()).collect()
}

impl Collectors {
    /// Begins to ship, as soon as no other broker does.
    pub fn start(collectors: &[Collector], ground: &Ground, pace: Pace) -> Result<Self, CollectorMistake> {
        let mut started = Self::default();
        for settings in collectors {
            let sink = sink(settings, &ground.origin)?;
            let reading = Arc::new(Reading::new(settings.name.to_string()));
            started.readings.push(Arc::clone(&reading));
            let Ground { origin, pool, log, broker, clock, entropy } = ground.clone();
            let settings = settings.clone();
            let work = Work { settings, sink, origin, pool, log, broker, clock, entropy, pace, reading };
            let stop = started.stop.clone();
            started.tasks.spawn(async move {
                // A batch on its way when we stop comes again.
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = work.run() => {}
                }
                work.release().await;
            });
        }
        if collectors.iter().any(|collector| matches!(collector.to, Destination::File(_))) {
            started.survive_hangups();
        }
        Ok(started)
    }

    /// How they are doing.
    pub fn readings(&self) -> Vec<Arc<Reading>> {
        self.readings.clone()
    }

    /// Returns when one of them has ended, which they do not do by themselves.
    pub async fn ended(&mut self) -> Result<(), JoinError> {
        match self.tasks.join_next().await {
            Some(ended) => ended,
            None => pending().await,
        }
    }

    /// Stops, and gives what is held back to other brokers.
    pub async fn stop(mut self, patience: Duration) {
        self.stop.cancel();
        let _ = timeout(patience, async { while self.tasks.join_next().await.is_some() {} }).await;
        self.tasks.shutdown().await;
    }

    /// What rotates logs sends SIGHUP, which would end the process. The file is opened anew for each batch anyway.
    fn survive_hangups(&mut self) {
        match signal(SignalKind::hangup()) {
            Ok(mut hangups) => {
                let stop = self.stop.clone();
                self.tasks.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = async { while hangups.recv().await.is_some() {} } => {}
                    }
                });
            }
            Err(fault) => tracing::warn!(%fault, "SIGHUP will end the broker"),
        }
    }
}

fn sink(collector: &Collector, origin: &str) -> Result<Sink, CollectorMistake> {
    let name = collector.name.to_string();
    if let Some(kind) = collector.kinds.iter().find(|kind| KINDS.iter().all(|known| known.name != kind.as_str())) {
        return Err(CollectorMistake::Kind { name, kind: kind.clone() });
    }
    Sink::new(collector, origin).map_err(|source| CollectorMistake::Sink { name, source })
}
