//! What an HTTP/2 connection writes in one turn, gathered into one write: its frames come one by one, each with a flush of
//! its own, and each would otherwise be a TLS record and a system call of its own.
//!
//! INVARIANT: what was gathered in a turn is on its way at the end of that turn, whatever became of the turn; and no more than
//! [`FULL`] bytes wait, so that a caller who does not read stops whoever writes.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes that wait.
const FULL: usize = 32 * 1024;
/// A piece as large as this leaves as it is, without being copied.
const LARGE: usize = 8 * 1024;

/// A connection's bytes, whose writes wait for the end of the turn.
pub(super) struct Gathered<S>(Arc<Mutex<Held<S>>>);

/// Ends the turns of the connection whose writes are [`Gathered`].
pub(super) struct Turns<S> {
    held: Arc<Mutex<Held<S>>>,
    has_waited: bool,
}

struct Held<S> {
    stream: S,
    bytes: Vec<u8>,
    /// How many of them have left.
    left: usize,
    /// Why the rest cannot leave. Told to the connection when it flushes.
    fault: Option<io::ErrorKind>,
}

/// Gathers what is written to `stream`, until a turn ends.
pub(super) fn gather<S>(stream: S) -> (Gathered<S>, Turns<S>) {
    let held = Arc::new(Mutex::new(Held { stream, bytes: Vec::new(), left: 0, fault: None }));
    (Gathered(Arc::clone(&held)), Turns { held, has_waited: false })
}

impl<S: AsyncWrite + Unpin> Turns<S> {
    /// One turn of `connection`. It comes after those whose turn it is already, so that what they write goes out in the
    /// same turn.
    pub(super) fn take<F: Future>(&mut self, connection: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.has_waited = !self.has_waited;
        if self.has_waited {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = connection.poll(cx);
        let mut held = lock(&self.held);
        if let Poll::Ready(Err(fault)) = held.send(cx) {
            held.fault = Some(fault.kind());
            cx.waker().wake_by_ref();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> Held<S> {
    /// Sends all that was gathered.
    fn send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.bytes.get(self.left..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.left += n,
            }
        }
        self.bytes.clear();
        // A connection that was busy once does not keep all of it.
        self.bytes.shrink_to(LARGE);
        self.left = 0;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Makes room for `more` bytes. False: they are too many to wait, and nothing waits any more before them.
    fn has_room(&mut self, more: usize, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let waits = more < LARGE;
        if !waits || self.bytes.len() + more > FULL {
            ready!(self.send(cx))?;
        }
        Poll::Ready(Ok(waits))
    }
}

fn lock<S>(held: &Mutex<Held<S>>) -> MutexGuard<'_, Held<S>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.0).stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut held = lock(&self.0);
        let all = bufs.iter().map(|buf| buf.len()).sum();
        if !ready!(held.has_room(all, cx))? {
            return Pin::new(&mut held.stream).poll_write_vectored(cx, bufs);
        }
        for buf in bufs {
            held.bytes.extend_from_slice(buf);
        }
        Poll::Ready(Ok(all))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Done when the turn ends.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(lock(&self.0).fault.map_or(Ok(()), |kind| Err(kind.into())))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut held = lock(&self.0);
        ready!(held.send(cx))?;
        Pin::new(&mut held.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, task::Waker};

    use super::*;

    /// Keeps each write apart, until it is told what else to do.
    #[derive(Default)]
    struct Wire {
        writes: Vec<Vec<u8>>,
        blocks: bool,
        fault: Option<io::ErrorKind>,
    }

    impl AsyncWrite for Wire {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            let this = self.get_mut();
            match this.fault {
                Some(kind) => Poll::Ready(Err(kind.into())),
                None if this.blocks => Poll::Pending,
                None => {
                    this.writes.push(buf.to_vec());
                    Poll::Ready(Ok(buf.len()))
                }
            }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn cx() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    fn write(stream: &mut Gathered<Wire>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut *stream).poll_write(&mut cx(), bytes);
        let flushed = Pin::new(stream).poll_flush(&mut cx());
        if let Poll::Ready(Err(fault)) = flushed { Poll::Ready(Err(fault)) } else { wrote }
    }

    #[test]
    fn what_is_written_in_one_turn_leaves_at_once_at_its_end() {
        let (mut stream, mut turns) = gather(Wire::default());
        let frames = poll_fn(|_| {
            for frame in [b"one ", b"two "] {
                assert!(write(&mut stream, frame).is_ready());
            }
            Poll::<()>::Pending
        });
        let mut frames = pin!(frames);
        assert!(turns.take(frames.as_mut(), &mut cx()).is_pending());
        assert!(lock(&turns.held).bytes.is_empty(), "others come first");
        for _ in 0..3 {
            assert!(turns.take(frames.as_mut(), &mut cx()).is_pending());
        }
        assert_eq!(lock(&turns.held).stream.writes, [b"one two "; 2]);
    }

    #[test]
    fn a_caller_who_does_not_read_stops_whoever_writes() {
        let (mut stream, mut turns) = gather(Wire { blocks: true, ..Wire::default() });
        let piece = [0; LARGE / 2];
        for _ in 0..FULL / piece.len() {
            assert!(write(&mut stream, &piece).is_ready());
        }
        assert!(write(&mut stream, &piece).is_pending());
        lock(&turns.held).stream.blocks = false;
        let mut nothing = pin!(std::future::pending::<()>());
        for _ in 0..2 {
            assert!(turns.take(nothing.as_mut(), &mut cx()).is_pending());
        }
        assert!(write(&mut stream, b"small").is_ready());
        assert!(write(&mut stream, &[1; LARGE]).is_ready(), "what is large does not wait, nor what came before it");
        let sizes: Vec<_> = lock(&turns.held).stream.writes.iter().map(Vec::len).collect();
        assert_eq!(sizes, [FULL, 5, LARGE]);
    }

    #[test]
    fn the_connection_is_told_that_nothing_leaves_any_more() {
        let (mut stream, mut turns) = gather(Wire { fault: Some(io::ErrorKind::BrokenPipe), ..Wire::default() });
        assert!(write(&mut stream, b"frame").is_ready());
        let mut nothing = pin!(std::future::pending::<()>());
        for _ in 0..2 {
            assert!(turns.take(nothing.as_mut(), &mut cx()).is_pending());
        }
        assert!(
            matches!(write(&mut stream, b"frame"), Poll::Ready(Err(fault)) if fault.kind() == io::ErrorKind::BrokenPipe)
        );
    }
}
