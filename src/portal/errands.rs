//! Work that goes on after its request was answered, such as an export on its way: owned here, so that a broker that stops
//! lets it finish for a while and ends what is left. Whatever is ended must show that itself.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Everything that is on its way. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Errands {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Errands {
    /// Runs `errand` until it is through, or the broker stops.
    pub fn spawn(&self, errand: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = errand => {}
                () = stop.cancelled() => tracing::warn!("what was on its way was ended, because the broker stops"),
            }
        });
    }

    /// Waits for at most `patience`, then ends what is left.
    pub async fn finish(&self, patience: Duration) {
        self.tasks.close();
        // Being late is no mistake here.
        let _ = timeout(patience, self.tasks.wait()).await;
        self.stop.cancel();
        self.tasks.wait().await;
    }
}
