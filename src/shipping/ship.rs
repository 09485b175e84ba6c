//! The handle on everything that is shipped: what is served as the newest checkpoint, what is late, what is wrong.
//! The tasks behind it are owned by whoever opened it, and stopped after the log.

use std::{
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::PgPool;
use tokio::{
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use url::Position;

use super::{
    CheckpointFile, Lost, Reading, ShippingFault,
    carrier::{self, Carrier},
    collector::{Owed, Unshipped},
    destination::Destination,
    gaps::Gaps,
    post::{Post, client},
    witness::WitnessClient,
};
use crate::{
    audit::{Log, Signed, checkpoint::with_signatures, published::Record},
    config,
    model::Clock,
};

/// The handle. Clones share it.
#[derive(Clone)]
pub struct Shipping {
    inner: Arc<Inner>,
}

struct Inner {
    log: Log,
    destinations: Vec<Arc<Destination>>,
    cosigned: Arc<Cosigned>,
    unshipped: Unshipped,
    gaps: Gaps,
}

/// The tasks that ship.
pub struct ShippingTasks {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

/// The newest checkpoint, as it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Which life of the log.
    pub epoch: u64,
    /// The signed note.
    pub note: String,
}

impl Shipping {
    /// Starts to ship the checkpoints of `log` as the settings say.
    pub fn open(
        settings: &config::Shipping,
        witnesses: &[config::Witness],
        log: &Log,
        pool: &PgPool,
        clock: &Arc<dyn Clock>,
    ) -> Result<(Self, ShippingTasks), ShippingFault> {
        let file = settings.checkpoint_file.clone().map(CheckpointFile::new);
        let cosigned = Arc::new(Cosigned::new(witnesses.len(), file.clone(), Arc::clone(clock)));
        let mut carriers = Vec::new();
        if let Some(file) = file {
            match (file.try_out(), settings.required) {
                (Err(fault), true) => return Err(fault),
                (Err(fault), false) => tracing::error!(%fault, "checkpoints cannot be published"),
                (Ok(()), _) => {}
            }
            let name = format!("checkpoint file {}", file.path().display());
            carriers.push((name, true, Carrier::File { file, required: settings.required.then(|| log.clone()) }));
        }
        if settings.checkpoint_stdout {
            carriers.push(("standard output".to_owned(), true, Carrier::Stdout));
        }
        if let Some(url) = &settings.checkpoint_url {
            let post = Post::new(url.clone(), client(settings.ca_file.as_ref())?);
            // No more of it than that: a path may be a secret.
            let name = format!("address {}", &url[Position::BeforeHost..Position::AfterPort]);
            carriers.push((name, false, Carrier::Post(Box::new(post))));
        }
        for settings in witnesses {
            let witness = WitnessClient {
                address: settings.url.clone(),
                witness: settings.key.parse()?,
                client: client(settings.ca_file.as_ref())?,
                pool: pool.clone(),
                log: log.clone(),
                cosigned: Arc::clone(&cosigned),
                known: (0, 0),
            };
            let name = format!("witness {}", witness.witness.name());
            carriers.push((name, false, Carrier::Witness(Box::new(witness))));
        }
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        let mut destinations = Vec::new();
        for (name, is_needed, carrier) in carriers {
            let destination = Arc::new(Destination::new(name, is_needed));
            destinations.push(Arc::clone(&destination));
            tasks.spawn(carrier::run(carrier, destination, log.checkpoints(), Arc::clone(clock), stop.clone()));
        }
        let (unshipped, gaps) = (Unshipped::default(), Gaps::default());
        let for_collectors = unshipped.clone().run(pool.clone(), Arc::clone(clock));
        let for_gaps = gaps.clone().run(pool.clone(), log.clone(), Arc::clone(clock));
        let stopped = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = for_collectors => {}
                () = for_gaps => {}
            }
        });
        let inner = Arc::new(Inner { log: log.clone(), destinations, cosigned, unshipped, gaps });
        Ok((Self { inner }, ShippingTasks { tasks, stop }))
    }

    /// The newest checkpoint: with every cosignature that is configured, unless such a one is much older.
    pub fn newest(&self) -> Option<Served> {
        let newest = self.inner.log.checkpoints().borrow().clone()?;
        let note = self.inner.cosigned.newest(&newest);
        Some(Served { epoch: newest.epoch, note })
    }

    /// Every destination, in the order of the configuration.
    pub fn readings(&self) -> Vec<Reading> {
        self.inner.destinations.iter().map(|destination| destination.reading()).collect()
    }

    /// Collectors that are owed entries and have no broker, this one or another.
    pub fn unshipped(&self) -> Vec<Owed> {
        self.inner.unshipped.owed()
    }

    /// Whether the database, or a witness, knows another history than was published.
    pub fn is_forked(&self) -> bool {
        self.inner.log.is_broken() || self.inner.destinations.iter().any(|destination| destination.reading().is_forked)
    }

    /// What the log could not take in the last seven days: at any broker, as the log tells, and at this one.
    pub fn lost(&self) -> Lost {
        self.inner.gaps.all(self.inner.log.health().lost)
    }

    /// What somebody has to look into about what is shipped, in sentences. A database that is another one is not among
    /// them: then no page is shown.
    pub fn alarms(&self) -> Vec<String> {
        let late = self.readings().into_iter().filter_map(|reading| reading.alarm);
        late.chain(self.unshipped().iter().map(Owed::alarm)).collect()
    }

    /// Why the broker should not be sent requests.
    pub fn readiness(&self) -> Result<(), String> {
        let late = self.readings().into_iter().filter(|reading| reading.is_needed).find_map(|reading| reading.alarm);
        late.map_or(Ok(()), Err)
    }
}

impl ShippingTasks {
    /// Returns when one of them has ended, which they do not do by themselves.
    pub async fn ended(&mut self) -> Result<(), JoinError> {
        match self.tasks.join_next().await {
            Some(ended) => ended,
            None => pending().await,
        }
    }

    /// Delivers what is left, for at most `patience`, and ends.
    pub async fn stop(mut self, patience: Duration) {
        self.stop.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(patience, ended).await.is_err() {
            tracing::warn!("the last checkpoint could not be published everywhere");
        }
    }
}

/// Notes with the cosignatures that came so far: a few of the newest.
pub(super) struct Cosigned {
    witnesses: usize,
    file: Option<CheckpointFile>,
    clock: Arc<dyn Clock>,
    notes: Mutex<Vec<Note>>,
}

struct Note {
    signed: Signed,
    by: Vec<String>,
}

impl Cosigned {
    fn new(witnesses: usize, file: Option<CheckpointFile>, clock: Arc<dyn Clock>) -> Self {
        Self { witnesses, file, clock, notes: Mutex::default() }
    }

    /// Takes a cosignature that holds. The note is published again once it has all of them.
    pub(super) fn add(&self, signed: &Signed, by: &str, line: &str) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let at =
            match notes.iter().position(|note| (note.signed.epoch, note.signed.size) == (signed.epoch, signed.size)) {
                Some(at) => at,
                None => {
                    if notes.len() >= KEPT {
                        notes.remove(0);
                    }
                    notes.push(Note { signed: signed.clone(), by: Vec::new() });
                    notes.len() - 1
                }
            };
        let Some(note) = notes.get_mut(at).filter(|note| note.by.iter().all(|known| known != by)) else { return };
        let merged = with_signatures(&note.signed.note, &signed.note).and_then(|note| with_signatures(&note, line));
        if let Ok(merged) = merged {
            note.signed.note = merged;
            note.by.push(by.to_owned());
        }
        if note.by.len() == self.witnesses
            && let Some(file) = self.file.clone()
        {
            let record = Record { at: self.clock.now(), note: note.signed.note.clone() };
            tokio::task::spawn_blocking(move || {
                if let Err(fault) = file.append(&record) {
                    tracing::error!(%fault, "a cosigned checkpoint could not be published in the file");
                }
            });
        }
    }

    /// The note to serve: the newest that all have cosigned, if it is not much older than `newest`.
    fn newest(&self, newest: &Signed) -> String {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let all = notes.iter().filter(|note| note.signed.epoch == newest.epoch && note.by.len() == self.witnesses);
        let best = all.max_by_key(|note| note.signed.size);
        let is_fresh = |note: &&Note| newest.at.since(note.signed.at) <= STALE;
        match best.filter(is_fresh) {
            Some(note) => note.signed.note.clone(),
            None => {
                let same =
                    notes.iter().find(|note| (note.signed.epoch, note.signed.size) == (newest.epoch, newest.size));
                same.map_or_else(|| newest.note.clone(), |note| note.signed.note.clone())
            }
        }
    }
}

/// How many notes wait for their cosignatures.
const KEPT: usize = 16;

/// How much older a checkpoint may be that is served because it is cosigned.
const STALE: Duration = Duration::from_secs(30);
