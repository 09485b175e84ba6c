//! One task for each destination: hands it the newest note, again and again with longer pauses until it is taken.
//! A note that is overtaken by a newer one while its destination is away is not missed: the newer one covers it.

use std::{io::Write as _, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{destination::Destination, file::CheckpointFile, post::Post, witness::WitnessClient};
use crate::{
    audit::{Log, Signed, published::Record},
    model::Clock,
};

/// How a note gets there.
pub(super) enum Carrier {
    /// Appended to a file. While it cannot be, the log takes nothing, if it is required.
    File {
        file: CheckpointFile,
        /// The log to hold.
        required: Option<Log>,
    },
    /// Printed.
    Stdout,
    /// Posted.
    Post(Box<Post>),
    /// Cosigned.
    Witness(Box<WitnessClient>),
}

/// Why a destination did not take a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Undelivered {
    /// It failed.
    Failed(String),
    /// It knows another history.
    Forked(String),
}

impl From<String> for Undelivered {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// Runs until it is told to stop, and delivers what is left then, if that works at once.
pub(super) async fn run(
    mut carrier: Carrier,
    destination: Arc<Destination>,
    mut notes: watch::Receiver<Option<Arc<Signed>>>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    notes.mark_changed();
    let mut pause = SHORTEST_PAUSE;
    let mut is_owed = false;
    loop {
        let is_stopping = tokio::select! {
            biased;
            () = stop.cancelled() => true,
            changed = notes.changed(), if !is_owed => changed.is_err(),
            () = sleep(pause), if is_owed => false,
        };
        let is_news = notes.has_changed().unwrap_or(false);
        let newest = notes.borrow_and_update().clone();
        if let Some(signed) = newest.filter(|_| is_owed || is_news || !is_stopping) {
            destination.owes();
            is_owed = match carrier.deliver(&signed, clock.as_ref()).await {
                Ok(()) => {
                    destination.delivered(signed.size);
                    pause = SHORTEST_PAUSE;
                    false
                }
                Err(Undelivered::Failed(why)) => {
                    destination.failed(why);
                    true
                }
                Err(Undelivered::Forked(what)) => {
                    destination.forked(what);
                    true
                }
            };
            carrier.hold(is_owed.then_some(&*destination));
            pause = if is_owed { (pause * 2).min(carrier.longest_pause()) } else { pause };
        }
        if is_stopping {
            return;
        }
    }
}

impl Carrier {
    async fn deliver(&mut self, signed: &Signed, clock: &dyn Clock) -> Result<(), Undelivered> {
        let record = || Record { at: clock.now(), note: signed.note.clone() };
        match self {
            Self::File { file, .. } => {
                let (file, record) = (file.clone(), record());
                let appended = tokio::task::spawn_blocking(move || file.append(&record)).await;
                appended.map_err(|fault| fault.to_string())?.map_err(|fault| fault.to_string())?;
                Ok(())
            }
            Self::Stdout => {
                let mut out = std::io::stdout().lock();
                out.write_all(record().line().as_bytes())
                    .and_then(|()| out.flush())
                    .map_err(|fault| fault.to_string())?;
                Ok(())
            }
            Self::Post(post) => Ok(post.deliver(signed).await?),
            Self::Witness(witness) => {
                let asked = timeout(PATIENCE, witness.deliver(signed)).await;
                asked.unwrap_or_else(|_| Err("it took too long".to_owned().into()))
            }
        }
    }

    /// Stops the log, or lets it go on, where it depends on this carrier.
    fn hold(&self, failing: Option<&Destination>) {
        let Self::File { required: Some(log), .. } = self else { return };
        log.hold(failing.map(|destination| format!("checkpoints cannot be published in the {}", destination.name())));
    }

    /// Something on this machine is tried again soon; somebody else's is left in peace.
    fn longest_pause(&self) -> Duration {
        match self {
            Self::File { .. } | Self::Stdout => Duration::from_secs(2),
            Self::Post(_) | Self::Witness(_) => Duration::from_secs(60),
        }
    }
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(250);

/// The longest that a witness is asked about one note.
const PATIENCE: Duration = Duration::from_secs(20);
