//! A request's body on its way to the upstream: counted, without trailers, and on a leash, since it can outlast the answer
//! and then hangs on nothing that the answer hung on. INVARIANT: nothing more of it is taken from the caller once its leash
//! is gone, and a lane waits no longer than the upstream's patience for the rest of it to leave.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

use super::place::Place;
use crate::{
    access::{Meter, Pending},
    audit::ClosedBy,
    listener::{BoxError, RequestBody},
};

/// A request's body.
pub(super) struct Upload {
    inner: RequestBody,
    meter: Arc<Meter>,
    held: Option<Held>,
}

/// The body's end of the leash.
struct Held {
    grip: Grip,
    cuts: Pin<Box<WaitForCancellationFutureOwned>>,
    broke_off: Arc<AtomicBool>,
}

/// Held by whoever has some of the body: it has gone when nobody holds this any more.
#[derive(Clone)]
pub(super) struct Grip {
    cut: CancellationToken,
    _gone: Arc<DropGuard>,
}

/// Cuts the body when dropped, unless all of it has gone by then.
pub(super) struct Leash {
    cut: CancellationToken,
    gone: CancellationToken,
    /// For how long the upstream may take nothing once it has answered.
    patience: Duration,
    /// Whether it stopped coming before its end.
    broke_off: Arc<AtomicBool>,
}

impl Upload {
    /// What came as `inner` for an upstream that may take nothing for as long as `patience`; and its leash unless it is empty.
    pub(super) fn new(inner: RequestBody, meter: Arc<Meter>, patience: Duration) -> (Self, Option<Leash>) {
        if inner.is_end_stream() {
            return (Self { inner, meter, held: None }, None);
        }
        let (cut, gone) = (CancellationToken::new(), CancellationToken::new());
        let cuts = Box::pin(cut.clone().cancelled_owned());
        let broke_off = Arc::new(AtomicBool::new(false));
        let grip = Grip { cut: cut.clone(), _gone: Arc::new(gone.clone().drop_guard()) };
        let held = Held { grip, cuts, broke_off: Arc::clone(&broke_off) };
        (Self { inner, meter, held: Some(held) }, Some(Leash { cut, gone, patience, broke_off }))
    }

    /// For whoever takes it over; none if there is nothing to cut.
    pub(super) fn grip(&self) -> Option<Grip> {
        self.held.as_ref().map(|held| held.grip.clone())
    }
}

impl Grip {
    /// Does `work`, by which the body leaves, until it is done or cut.
    pub(super) async fn until_cut(self, work: impl Future<Output = ()>) {
        self.cut.run_until_cancelled(work).await;
    }
}

impl Leash {
    /// Whether there is still something at its other end.
    pub(super) fn holds(&self) -> bool {
        !self.gone.is_cancelled()
    }

    /// Holds the body, after all of the answer has gone, until it has left, nothing has come for as long as the upstream is
    /// waited for, or `place` says that it must end. Only then has the exchange ended.
    pub(super) async fn outlast(self, owed: Pending, mut place: Place) {
        place.expect_rest(self.patience, owed.meter());
        let by = tokio::select! {
            () = self.gone.cancelled() => match self.broke_off.load(Ordering::Relaxed) {
                true => ClosedBy::Caller,
                false => ClosedBy::Upstream,
            },
            by = place => by,
        };
        drop(self);
        owed.finish(by);
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        if self.holds() {
            self.cut.cancel();
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Some(held) = &mut this.held
            && held.cuts.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Some(Err("this request was ended by the broker".into())));
        }
        loop {
            match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        this.meter.received(data.len() as u64);
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                Some(Err(fault)) => {
                    if let Some(held) = &this.held {
                        held.broke_off.store(true, Ordering::Relaxed);
                    }
                    return Poll::Ready(Some(Err(fault.into())));
                }
                None => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
