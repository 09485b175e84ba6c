//! What a connection is busy with, so that one that is busy with nothing can be closed.
//! hyper has one limit for a request's head, which also runs while a connection merely waits and takes an alarm for each
//! request. This keeps the two apart, and looks once a second.

use std::{
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::Limits;

/// Shared by a connection, its requests and the one who watches it.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    open: usize,
    seen: usize,
    idle_since: Instant,
    head_since: Option<Instant>,
}

/// Why a connection ends that would have gone on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It has begun a request and does not finish its head.
    Stalled,
    /// It has had nothing to do for long.
    Idle,
    /// The broker stops.
    Stopping,
}

/// What should become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It lives.
    Keep,
    /// It has nothing to do.
    Idle,
    /// It has begun a request and does not finish its head.
    Stalled,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { open: 0, seen: 0, idle_since: Instant::now(), head_since: None })))
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A request has begun; it is over when the guard goes.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.with(|state| {
            state.open += 1;
            state.seen += 1;
            state.head_since = None;
        });
        Busy(Arc::clone(self))
    }

    fn received(&self) {
        self.with(|state| {
            if state.open == 0 {
                state.head_since.get_or_insert_with(Instant::now);
            }
        });
    }

    /// What should become of the connection now. `heads_one_at_a_time` holds for HTTP/1, where bytes between requests
    /// can only be a head.
    fn fate(&self, now: Instant, limits: &Limits, heads_one_at_a_time: bool) -> Fate {
        self.with(|state| {
            let older = |since: Instant, limit| now.saturating_duration_since(since) >= limit;
            match state {
                State { open: 1.., .. } => Fate::Keep,
                State { seen: 0, idle_since, .. } if older(*idle_since, limits.header) => Fate::Stalled,
                State { head_since: Some(since), .. } if heads_one_at_a_time && older(*since, limits.header) => {
                    Fate::Stalled
                }
                State { idle_since, .. } if older(*idle_since, limits.idle) => Fate::Idle,
                _ => Fate::Keep,
            }
        })
    }
}

impl Activity {
    /// Watches over the connection's patience, and waits for `stopping`, if that has not come before.
    pub(super) async fn end(
        self: Arc<Self>,
        stopping: Option<CancellationToken>,
        limits: Limits,
        heads_one_at_a_time: bool,
    ) -> End {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stops = async {
            match &stopping {
                Some(stopping) => stopping.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let mut stops = pin!(stops);
        loop {
            tokio::select! {
                () = &mut stops => return End::Stopping,
                _ = look.tick() => match self.fate(Instant::now(), &limits, heads_one_at_a_time) {
                    Fate::Keep => {}
                    Fate::Stalled => return End::Stalled,
                    Fate::Idle => return End::Idle,
                },
            }
        }
    }
}

/// How often a connection is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// One open request.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Busy {
    /// The same request: it is over when this has gone as well.
    pub(super) fn again(&self) -> Self {
        self.0.with(|state| state.open += 1);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.with(|state| {
            state.open = state.open.saturating_sub(1);
            if state.open == 0 {
                state.idle_since = Instant::now();
            }
        });
    }
}

/// A connection's bytes, watched.
pub(super) struct Watched<T> {
    inner: T,
    activity: Arc<Activity>,
}

impl<T> Watched<T> {
    pub(super) fn new(inner: T, activity: Arc<Activity>) -> Self {
        Self { inner, activity }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.inner).poll_read(cx, buf);
        if buf.filled().len() > before {
            this.activity.received();
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_may_wait_for_long_but_not_dawdle_over_a_head() {
        let limits = Limits::default();
        let activity = Activity::new();
        let after = |seconds| Instant::now() + Duration::from_secs(seconds);
        assert_eq!(activity.fate(after(9), &limits, true), Fate::Keep);
        assert_eq!(activity.fate(after(10), &limits, true), Fate::Stalled, "no first request");
        let busy = activity.begin();
        assert_eq!(activity.fate(after(600), &limits, true), Fate::Keep, "a long response");
        let body = busy.again();
        drop(busy);
        activity.received();
        assert_eq!(activity.fate(after(600), &limits, true), Fate::Keep, "a body that outlasts its answer");
        drop(body);
        assert_eq!(activity.fate(after(59), &limits, true), Fate::Keep);
        assert_eq!(activity.fate(after(61), &limits, true), Fate::Idle);
        activity.received();
        assert_eq!(activity.fate(after(11), &limits, true), Fate::Stalled, "half a head");
        assert_eq!(activity.fate(after(11), &limits, false), Fate::Keep);
    }
}
