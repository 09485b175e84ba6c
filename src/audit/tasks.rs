//! The tasks behind the log: the writer, the signer, the sweep and the search index. Owned by whoever opened the log.
//! Stopping in good order records what is queued, signs the last head and says that this broker has stopped.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::{JoinError, JoinHandle, JoinSet},
    time::timeout,
};

use super::{search, shared::Shared, signer, sweep, writer::Writer};
use crate::store::broker;

/// See the head of this file. Dropped without [`Tasks::stop`], they end at once, as a crash would end them.
pub struct Tasks {
    shared: Arc<Shared>,
    writer: JoinHandle<()>,
    others: JoinSet<()>,
}

impl Tasks {
    pub(super) fn start(shared: &Arc<Shared>) -> Self {
        let mut others = JoinSet::new();
        others.spawn(signer::run(Arc::clone(shared)));
        others.spawn(sweep::run(Arc::clone(shared)));
        others.spawn(search::follow(Arc::clone(shared)));
        let writer = tokio::spawn(Writer::new(Arc::clone(shared)).run());
        Self { shared: Arc::clone(shared), writer, others }
    }

    /// Returns when one of them has ended, which they do not do by themselves.
    pub async fn ended(&mut self) -> Result<(), JoinError> {
        tokio::select! {
            ended = &mut self.writer => ended,
            Some(ended) = self.others.join_next() => ended,
        }
    }

    /// Takes no more entries, records what is queued, for at most `patience`, and ends.
    pub async fn stop(mut self, patience: Duration) {
        self.shared.tell_of_gap(Duration::ZERO);
        self.shared.queue.close();
        let stopped = async {
            if !self.writer.is_finished() {
                let _ = (&mut self.writer).await;
            }
            let head = *self.shared.head.borrow();
            signer::sign(&self.shared, head).await?;
            let open_from = self.shared.open.from(head.size);
            broker::stop(&self.shared.pool, *self.shared.broker, open_from, self.shared.clock.now()).await
        };
        match timeout(patience, stopped).await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => tracing::error!(%fault, "the audit log did not stop in good order"),
            Err(_) => tracing::error!("the audit log did not stop in time; entries may be missing"),
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.writer.abort();
        self.others.abort_all();
    }
}
