//! Bodies as they pass through: counted, without trailers (which could carry fields past the stripping rules), and cut
//! when what they hang on has gone. The log is told how each ended.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::{place::Place, upstream::Outgoing};
use crate::{
    access::{Meter, Pending},
    audit::ClosedBy,
    listener::{BoxError, RequestBody, ResponseBody},
};

/// How many pieces of a request's body have left.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU64);

impl Progress {
    pub(super) fn pieces(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A request's body on its way to the upstream.
pub(super) fn upload(body: RequestBody, meter: Arc<Meter>, progress: Arc<Progress>) -> Outgoing {
    Upload { inner: body, meter, progress }.boxed_unsync()
}

struct Upload {
    inner: RequestBody,
    meter: Arc<Meter>,
    progress: Arc<Progress>,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        loop {
            match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        this.meter.received(data.len() as u64);
                        this.progress.0.fetch_add(1, Ordering::Relaxed);
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                Some(Err(fault)) => return Poll::Ready(Some(Err(fault.into()))),
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

/// A response's body on its way to the caller.
pub(super) fn download(body: Incoming, owed: Pending, place: Place) -> ResponseBody {
    let meter = owed.meter();
    Download { inner: body, meter, owed: Some(owed), place }.boxed_unsync()
}

struct Download {
    inner: Incoming,
    meter: Arc<Meter>,
    owed: Option<Pending>,
    place: Place,
}

impl Download {
    fn finish(&mut self, by: ClosedBy) {
        if let Some(owed) = self.owed.take() {
            owed.finish(by);
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if this.owed.is_none() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(by) = Pin::new(&mut this.place).poll(cx) {
            this.finish(by);
            return Poll::Ready(Some(Err("this stream was closed by the broker".into())));
        }
        loop {
            match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        this.meter.sent(data.len() as u64);
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                Some(Err(fault)) => {
                    this.finish(ClosedBy::UpstreamFault);
                    return Poll::Ready(Some(Err(fault.into())));
                }
                None => {
                    this.finish(ClosedBy::Upstream);
                    return Poll::Ready(None);
                }
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

impl Drop for Download {
    fn drop(&mut self) {
        // hyper drops a body at its last byte, without asking whether there is more.
        let by = if self.inner.is_end_stream() { ClosedBy::Upstream } else { ClosedBy::Caller };
        self.finish(by);
    }
}
