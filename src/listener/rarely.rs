//! Something that a connection waits for beside its requests, and that is looked at only when it has something to say:
//! not whenever a byte comes.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Resolves as its inner future does. INVARIANT: it is polled by one task alone, the first that does.
pub(super) struct Rarely<F> {
    inner: Pin<Box<F>>,
    bell: Arc<Bell>,
    waker: Waker,
}

impl<F: Future> Rarely<F> {
    pub(super) fn new(inner: F) -> Self {
        let bell = Arc::new(Bell { rung: AtomicBool::new(true), task: OnceLock::new() });
        let waker = Waker::from(Arc::clone(&bell));
        Self { inner: Box::pin(inner), bell, waker }
    }
}

impl<F: Future> Future for Rarely<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        if !this.bell.rung.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        // Known before the bell is silenced: what rings from then on wakes the task.
        this.bell.task.get_or_init(|| cx.waker().clone());
        this.bell.rung.swap(false, Ordering::AcqRel);
        this.inner.as_mut().poll(&mut Context::from_waker(&this.waker))
    }
}

struct Bell {
    rung: AtomicBool,
    task: OnceLock<Waker>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }
}
