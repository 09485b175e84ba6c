//! A response's place among the open streams. What is known to be a stream takes it at once; anything else takes it when
//! it has been open for a while, so that short requests leave no trace there. Nothing is missed in between: whoever
//! enters is checked against what has ended meanwhile.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

use crate::{
    access::{Permit, Standing},
    audit::ClosedBy,
    model::RequestId,
    streams::{Cause, StreamGuard, Streams},
};

/// After which an open response counts as a stream. Together with the registry's own pace well within a second.
const A_WHILE: Duration = Duration::from_millis(400);

/// Resolves when the response must end, with who says so. Leaves the registry when dropped.
pub(super) struct Place {
    streams: Streams,
    standing: Arc<Standing>,
    request: RequestId,
    wait: Pin<Box<Sleep>>,
    held: Option<Held>,
}

struct Held {
    closed: Pin<Box<dyn Future<Output = Cause> + Send>>,
    _guard: StreamGuard,
}

impl Place {
    pub(super) fn new(streams: &Streams, permit: &Permit) -> Self {
        Self {
            streams: streams.clone(),
            standing: permit.standing(),
            request: permit.request(),
            wait: Box::pin(sleep(A_WHILE)),
            held: None,
        }
    }

    /// Takes its place now.
    pub(super) fn take(&mut self) {
        if self.held.is_none() {
            let guard = self.streams.enter(Arc::clone(&self.standing), self.request);
            self.held = Some(Held { closed: Box::pin(guard.closed()), _guard: guard });
        }
    }
}

impl Future for Place {
    type Output = ClosedBy;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ClosedBy> {
        let this = self.get_mut();
        if this.held.is_none() {
            ready!(this.wait.as_mut().poll(cx));
            this.take();
        }
        let Some(held) = &mut this.held else { return Poll::Pending };
        held.closed.as_mut().poll(cx).map(|cause| cause.closed_by())
    }
}
