//! What runs behind the doors. None of it ends before the broker does; if any does, by a panic or otherwise, something is
//! amiss that no door would show, and the broker stops so that whatever runs it starts it anew.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use tokio::task::{JoinError, JoinHandle};

use crate::{
    audit::Tasks,
    shipping::{ShippingTasks, collector::Collectors},
};

/// The tasks behind the doors.
pub(super) struct Behind {
    pub(super) watching: Vec<JoinHandle<()>>,
    pub(super) recording: Tasks,
    pub(super) shipping: ShippingTasks,
    pub(super) collectors: Collectors,
}

impl Behind {
    /// Returns when one of them has ended.
    pub(super) async fn ended(&mut self) -> Result<(), JoinError> {
        tokio::select! {
            ended = first_of(&mut self.watching) => ended,
            ended = self.recording.ended() => ended,
            ended = self.shipping.ended() => ended,
            ended = self.collectors.ended() => ended,
        }
    }

    /// Stops them in good order: the log first, since the others tell of it.
    pub(super) async fn stop(self, patience: Duration) {
        self.recording.stop(patience).await;
        self.shipping.stop(patience).await;
        self.collectors.stop(patience).await;
        for task in self.watching {
            task.abort();
        }
    }
}

async fn first_of(tasks: &mut [JoinHandle<()>]) -> Result<(), JoinError> {
    poll_fn(|cx| {
        let ended = tasks.iter_mut().find_map(|task| match Pin::new(task).poll(cx) {
            Poll::Ready(ended) => Some(ended),
            Poll::Pending => None,
        });
        ended.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn the_first_to_end_is_told_of_and_how() {
        let mut tasks = vec![tokio::spawn(pending()), tokio::spawn(async { panic!("lost its way") })];
        assert!(first_of(&mut tasks).await.is_err_and(|fault| fault.to_string().contains("lost its way")));
        let mut tasks = vec![tokio::spawn(async {}), tokio::spawn(pending())];
        assert!(first_of(&mut tasks).await.is_ok());
    }
}
