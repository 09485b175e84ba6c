//! Bodies as they pass through the front door: a request's, which must keep coming, and a response's.
//! Remembers whether a request's body was read to its end, since what was not read must never become the next request.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

use super::activity::Busy;

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request that has been let in.
pub struct RequestBody {
    inner: Timed<Incoming>,
    _busy: Option<Busy>,
}

/// The body of a response.
pub type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;

/// Why a request's body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyFault {
    /// Nothing came for too long.
    #[error("the request's body stopped coming")]
    Idle,
    /// The connection or its framing broke.
    #[error("the request's body broke off")]
    Broken(#[source] BoxError),
}

/// No body.
pub fn empty() -> ResponseBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that is at hand.
pub fn full(bytes: impl Into<Bytes>) -> ResponseBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

impl RequestBody {
    /// The connection is busy until it has gone.
    pub(super) fn new(inner: Timed<Incoming>, busy: Option<Busy>) -> Self {
        Self { inner, _busy: busy }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        Pin::new(&mut self.get_mut().inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A request's body that must keep coming.
pub(super) struct Timed<B> {
    inner: B,
    limit: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
    finished: Arc<AtomicBool>,
}

impl<B: Body> Timed<B> {
    /// `finished` becomes true when the body has been read to its end.
    pub(super) fn new(inner: B, limit: Duration, finished: Arc<AtomicBool>) -> Self {
        finished.store(inner.is_end_stream(), Ordering::Release);
        Self { inner, limit, deadline: None, finished }
    }
}

impl<B> Body for Timed<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) {
            this.deadline = None;
            if frame.is_none() || this.inner.is_end_stream() {
                this.finished.store(true, Ordering::Release);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(|fault| BodyFault::Broken(fault.into()))));
        }
        let limit = this.limit;
        let deadline = this.deadline.get_or_insert_with(|| Box::pin(sleep(limit)));
        match deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(BodyFault::Idle))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A response's body that holds `guard` until it has gone.
pub(super) struct Guarded<G> {
    inner: ResponseBody,
    _guard: G,
}

impl<G> Guarded<G> {
    pub(super) fn new(inner: ResponseBody, guard: G) -> Self {
        Self { inner, _guard: guard }
    }
}

impl<G: Unpin> Body for Guarded<G> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.get_mut().inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
