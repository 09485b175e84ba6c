//! An answer on its way out, counted as it goes: the log is told how much of a page or a file was really taken, and
//! whether its reader stayed to the end.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::{
    access::{Pending, Permit},
    audit::ClosedBy,
};

/// Uses `permit` up on `response`: its status, and its bytes as they leave.
pub fn told(permit: Permit, response: Response) -> Response {
    owed(permit.spend().2, response)
}

/// The same, when the permit is used up already.
pub fn owed(mut pending: Pending, response: Response) -> Response {
    pending.meter().status(response.status().as_u16());
    pending.sent();
    response.map(|inner| Body::new(Counted { inner, pending: Some(pending) }))
}

/// A body that is counted. Dropped before its end, it is the caller who went away.
struct Counted {
    inner: Body,
    pending: Option<Pending>,
}

impl Counted {
    fn finish(&mut self, by: ClosedBy) {
        if let Some(pending) = self.pending.take() {
            pending.finish(by);
        }
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                if let Some(pending) = &self.pending {
                    pending.meter().sent(u64::try_from(bytes).unwrap_or(u64::MAX));
                }
            }
            Poll::Ready(None) => self.finish(ClosedBy::Upstream),
            Poll::Ready(Some(Err(_))) => self.finish(ClosedBy::Broker),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // Whoever knows the length stops asking when it is through.
        if self.inner.is_end_stream() {
            self.finish(ClosedBy::Upstream);
        }
    }
}
