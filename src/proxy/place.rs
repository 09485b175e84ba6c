//! A response's place among the open streams. What is known to be a stream takes it on record before a byte passes; anything else takes it when
//! it has been open for a while, so that short requests leave no trace there. Nothing is missed in between: whoever
//! enters is checked against what has ended meanwhile. The patience with an upstream that does not answer, or does not take
//! the rest of a request, is kept here too, with the same alarm.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::{upload::Leash, upstream::NoAnswer};
use crate::{
    access::{Meter, Permit, Standing},
    audit::{ClosedBy, Unrecorded},
    model::RequestId,
    streams::{Cause, StreamGuard, Streams},
};

/// After which an open response counts as a stream. Together with the registry's own pace well within a second.
const A_WHILE: Duration = Duration::from_millis(400);

/// Goes off when a place has to be looked at. To set one that there is already costs next to nothing.
pub(super) type Alarm = Pin<Box<Sleep>>;

/// Resolves when the response must end, with who says so. Dropped, it leaves the registry, and the request's body ends.
pub(super) struct Place {
    streams: Streams,
    standing: Arc<Standing>,
    request: RequestId,
    began: Instant,
    alarm: Option<Alarm>,
    patience: Option<Patience>,
    held: Option<Held>,
    is_to_stream: bool,
    leash: Option<Leash>,
}

struct Held {
    closed: Pin<Box<dyn Future<Output = Cause> + Send>>,
    guard: StreamGuard,
}

/// For how long the upstream may say nothing after the last piece of the request.
struct Patience {
    limit: Duration,
    until: Instant,
    meter: Arc<Meter>,
    received: u64,
}

impl Place {
    pub(super) fn new(streams: &Streams, permit: &Permit) -> Self {
        Self {
            streams: streams.clone(),
            standing: permit.standing(),
            request: permit.request(),
            began: Instant::now(),
            alarm: None,
            patience: None,
            held: None,
            is_to_stream: false,
            leash: None,
        }
    }

    /// The answer, if it is what was asked for, will be a stream: the log is to have that on disk before a byte of it passes, so
    /// nothing is noted of it before.
    pub(super) fn expect_stream(&mut self) {
        self.is_to_stream = true;
    }

    /// The answer is another one.
    pub(super) fn expect_no_stream(&mut self) {
        self.is_to_stream = false;
        if let Some(held) = &self.held {
            held.guard.begin();
        }
    }

    /// Takes its place now.
    pub(super) fn take(&mut self) {
        self.taken();
    }

    /// Takes its place now, and returns once the log has that on disk: for what is known to be a stream before it passes a byte.
    pub(super) async fn take_on_record(&mut self) -> Result<(), Unrecorded> {
        self.taken().guard.begin_on_record().await
    }

    fn taken(&mut self) -> &mut Held {
        self.held.get_or_insert_with(|| {
            let standing = Arc::clone(&self.standing);
            let guard = match self.is_to_stream {
                true => self.streams.await_stream(standing, self.request),
                false => self.streams.enter(standing, self.request),
            };
            Held { closed: Box::pin(guard.closed()), guard }
        })
    }

    /// Has the request's body end with it.
    pub(super) fn hold(&mut self, leash: Option<Leash>) {
        self.leash = leash;
    }

    /// What the request's body is held by, from whoever looks after it from now on.
    pub(super) fn leash(&mut self) -> Option<Leash> {
        self.leash.take()
    }

    /// Also ends, by timeout, when nothing has come for `limit` since the last piece that `meter` received, until the upstream
    /// has answered.
    pub(super) fn expect_answer(&mut self, limit: Duration, meter: Arc<Meter>) {
        self.expect_progress(self.began, limit, meter);
    }

    /// The same from now on, for the rest of what the upstream has answered already.
    pub(super) fn expect_rest(&mut self, limit: Duration, meter: Arc<Meter>) {
        self.expect_progress(Instant::now(), limit, meter);
    }

    fn expect_progress(&mut self, since: Instant, limit: Duration, meter: Arc<Meter>) {
        let (until, received) = (since + limit, meter.received_so_far());
        self.patience = Some(Patience { limit, until, meter, received });
        if self.held.is_some() {
            self.set_alarm(until);
        }
    }

    /// Whether it has been open for a while.
    pub(super) fn is_late(&self) -> bool {
        self.began.elapsed() >= A_WHILE
    }

    /// The upstream has answered.
    pub(super) fn answered(&mut self) {
        self.patience = None;
    }

    /// Uses an alarm that somebody else has no more use for.
    pub(super) fn lend(&mut self, alarm: Option<Alarm>) {
        if let (None, None, Some(mut alarm)) = (&self.alarm, &self.held, alarm) {
            alarm.as_mut().reset(self.began + A_WHILE);
            self.alarm = Some(alarm);
        }
    }

    /// The alarm, from whoever will not ask any more.
    pub(super) fn alarm(&mut self) -> Option<Alarm> {
        self.alarm.take()
    }

    /// The end of `work`, or of this.
    pub(super) async fn bound<T>(&mut self, work: impl Future<Output = T>) -> Result<T, NoAnswer> {
        tokio::select! {
            done = work => Ok(done),
            by = self => Err(NoAnswer::Ended(by)),
        }
    }

    /// Waits until it has been open for a while, or until the alarm that was set then.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let late = self.began + A_WHILE;
        self.alarm.get_or_insert_with(|| Box::pin(sleep_until(late))).as_mut().poll(cx)
    }

    fn set_alarm(&mut self, until: Instant) {
        match &mut self.alarm {
            Some(alarm) => alarm.as_mut().reset(until),
            None => self.alarm = Some(Box::pin(sleep_until(until))),
        }
    }
}

impl Patience {
    /// Until when, if something has come since it was last asked.
    fn again(&mut self) -> Option<Instant> {
        let received = self.meter.received_so_far();
        if received == self.received {
            return None;
        }
        self.received = received;
        self.until = Instant::now() + self.limit;
        Some(self.until)
    }
}

impl Future for Place {
    type Output = ClosedBy;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ClosedBy> {
        let this = self.get_mut();
        if this.held.is_none() {
            ready!(this.poll_alarm(cx));
            this.take();
            if let Some(until) = this.patience.as_ref().map(|patience| patience.until) {
                this.set_alarm(until);
            }
        }
        let Some(held) = &mut this.held else { return Poll::Pending };
        if let Poll::Ready(cause) = held.closed.as_mut().poll(cx) {
            return Poll::Ready(cause.closed_by());
        }
        while this.patience.is_some() {
            ready!(this.poll_alarm(cx));
            match this.patience.as_mut().and_then(Patience::again) {
                Some(until) => this.set_alarm(until),
                None => return Poll::Ready(ClosedBy::Timeout),
            }
        }
        Poll::Pending
    }
}
