//! An answer's body on its way to the caller: counted, without trailers (which could carry fields past the stripping
//! rules), and cut when what it hangs on has gone. The log is told how it ended.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::{lane::Lane, place::Place};
use crate::{
    access::{Meter, Pending},
    audit::ClosedBy,
    listener::{BoxError, ResponseBody},
};

/// A response's body on its way to the caller, over `lane`, or from wherever it is at hand.
pub(super) fn download(body: Incoming, from: Source, owed: Pending, place: Place) -> ResponseBody {
    let meter = owed.meter();
    Download { inner: body, from, broken: None, meter, left: Some(Left { owed, place }) }.boxed_unsync()
}

/// Where a response's body comes from.
pub(super) enum Source {
    /// A connection that has to be moved along.
    Lane(Lane),
    /// All of it has come.
    Hand,
    /// A connection that is moved along elsewhere.
    Elsewhere,
}

struct Download {
    inner: Incoming,
    from: Source,
    /// What it broke with, told a turn later: what came before shall be on its way by then.
    broken: Option<hyper::Error>,
    meter: Arc<Meter>,
    left: Option<Left>,
}

/// What is left of an exchange until it has ended.
struct Left {
    owed: Pending,
    place: Place,
}

impl Download {
    fn finish(&mut self, by: ClosedBy) {
        let Some(Left { owed, mut place }) = self.left.take() else { return };
        if let Source::Lane(lane) = std::mem::replace(&mut self.from, Source::Elsewhere)
            && by == ClosedBy::Upstream
        {
            lane.go_home(place.alarm());
        }
        match place.leash() {
            Some(leash) if by == ClosedBy::Upstream && leash.holds() => {
                tokio::spawn(leash.outlast(owed, place));
            }
            _ => owed.finish(by),
        }
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let inner = Pin::new(&mut self.inner);
        match &mut self.from {
            Source::Lane(lane) => lane.drive_for(cx, |cx| inner.poll_frame(cx)),
            Source::Hand | Source::Elsewhere => inner.poll_frame(cx),
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let Some(Left { place, .. }) = &mut this.left else { return Poll::Ready(None) };
        if let Some(fault) = this.broken.take() {
            this.finish(ClosedBy::UpstreamFault);
            return Poll::Ready(Some(Err(fault.into())));
        }
        // What is at hand already needs no place, unless the caller is slow to take it.
        if matches!(this.from, Source::Hand) && place.is_late() {
            place.take();
            this.from = Source::Elsewhere;
        }
        if !matches!(this.from, Source::Hand)
            && let Poll::Ready(by) = Pin::new(place).poll(cx)
        {
            this.finish(by);
            return Poll::Ready(Some(Err("this stream was closed by the broker".into())));
        }
        loop {
            match ready!(this.poll_inner(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        this.meter.sent(data.len() as u64);
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                Some(Err(fault)) => {
                    this.broken = Some(fault);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
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
        let by = match &self.broken {
            Some(_) => ClosedBy::UpstreamFault,
            None if self.inner.is_end_stream() => ClosedBy::Upstream,
            None => ClosedBy::Caller,
        };
        self.finish(by);
    }
}
