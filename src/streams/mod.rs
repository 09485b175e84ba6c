//! Every stream that is open, and what it hangs on: its login, its credential or app session, and the rule that allowed
//! it. When one of these goes, the stream is closed within a second, and the log says why.
//!
//! INVARIANT: fails closed: a feed that is stale, a log that is dead or a broker that stops closes everything.
//! Moving bytes is the proxy's work; it asks [`StreamGuard::closed`] when to stop.

mod cause;
mod watch;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::PgPool;
use tokio::{
    sync::watch as cell,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    access::{Gate, Standing},
    audit::{Draft, Event, Log, Unrecorded},
    model::{Clock, Entropy, RequestId, StreamId},
    store::feed::{Feed, Revoked},
};

pub use cause::Cause;

/// The open streams of this broker. Cheap to clone.
#[derive(Clone)]
pub struct Streams(Arc<Shared>);

struct Shared {
    open: Mutex<HashMap<StreamId, Held>>,
    watched: Watched,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// What streams hang on, and where it is looked up.
pub struct Watched {
    /// What has ended.
    pub feed: Feed,
    /// Whether the same would still be allowed.
    pub gate: Gate,
    /// Whether anything can still be recorded.
    pub log: Log,
    /// For logins that ran into a time limit.
    pub pool: PgPool,
    /// How long a login may go unused. An open stream is no use.
    pub idle: Duration,
}

struct Held {
    id: StreamId,
    standing: Arc<Standing>,
    request: RequestId,
    /// Whether the log was told that it begins; then it is told of the end as well.
    is_told: bool,
    close: cell::Sender<Option<Cause>>,
}

/// A stream's place in the registry. Dropping it is leaving, and is noted.
#[must_use = "a stream that is not held is not closed"]
pub struct StreamGuard {
    id: StreamId,
    streams: Streams,
    closed: cell::Receiver<Option<Cause>>,
}

impl Streams {
    /// An empty registry, watched until the task is aborted.
    pub fn open(watched: Watched, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> (Self, JoinHandle<()>) {
        let streams = Self(Arc::new(Shared { open: Mutex::default(), watched, clock, entropy }));
        // Subscribed before the first stream can enter, or one could miss its end.
        let (news, rules) = (streams.0.watched.feed.subscribe(), streams.0.watched.gate.live().changed());
        let task = tokio::spawn(streams.clone().watch(news, rules));
        (streams, task)
    }

    /// Enters what turns out to be a stream: it has lasted for a while, and goes on. If what it hangs on went while the
    /// request was under way, it is closed at once.
    pub fn enter(&self, standing: Arc<Standing>, request: RequestId) -> StreamGuard {
        let id = StreamId::random(self.0.entropy.as_ref());
        self.note(&standing, request, Event::StreamOpened { stream: id });
        self.hold(id, standing, request, true)
    }

    /// Enters what is to be a stream once it is answered: it ends with what it hangs on from now on, and the log is told by
    /// [`StreamGuard::begin`] or [`StreamGuard::begin_on_record`].
    pub fn await_stream(&self, standing: Arc<Standing>, request: RequestId) -> StreamGuard {
        self.hold(StreamId::random(self.0.entropy.as_ref()), standing, request, false)
    }

    fn hold(&self, id: StreamId, standing: Arc<Standing>, request: RequestId, is_told: bool) -> StreamGuard {
        let (close, closed) = cell::channel(None);
        let held = Held { id, standing, request, is_told, close };
        // Entered first and looked at then: what ends in between is seen by one or the other.
        let entered = held.again();
        self.held().insert(id, held);
        if let Some(cause) = self.fault_of(&entered) {
            self.close_where(|held| (held.id == id).then(|| cause.clone()));
        }
        StreamGuard { id, streams: self.clone(), closed }
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.held().len()
    }

    /// Closes all and waits until they have left, or until `patience` is over. For the broker's end.
    pub async fn drain(&self, patience: Duration) {
        let left = async {
            loop {
                self.close_where(|_| Some(Cause::Stopping));
                if self.count() == 0 {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        // Whoever has not left by then is cut off with the process.
        let _ = timeout(patience, left).await;
    }

    /// Closes each open stream for which there is a cause, and notes why.
    fn close_where(&self, cause: impl Fn(&Held) -> Option<Cause>) {
        let mut closed = Vec::new();
        for held in self.held().values() {
            if held.close.borrow().is_some() {
                continue;
            }
            if let Some(cause) = cause(held) {
                held.close.send_replace(Some(cause.clone()));
                if held.is_told {
                    closed.push((Arc::clone(&held.standing), held.request, held.id, cause));
                }
            }
        }
        for (standing, request, stream, cause) in closed {
            self.note(&standing, request, Event::StreamClosed { stream, cause: cause.to_string() });
        }
    }

    fn note(&self, standing: &Standing, request: RequestId, event: Event) {
        self.0.watched.log.note(self.draft(standing, request, event));
    }

    fn draft(&self, standing: &Standing, request: RequestId, event: Event) -> Draft {
        Draft { caller: Some(standing.caller.clone()), event, happened_at: self.0.clock.now(), request: Some(request) }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<StreamId, Held>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn again(&self) -> Self {
        Self { standing: Arc::clone(&self.standing), close: self.close.clone(), ..*self }
    }

    /// The cause, if `revoked` is something that this stream hangs on.
    fn hangs_on(&self, revoked: &Revoked) -> Option<Cause> {
        let caller = &self.standing.caller;
        cause::targets(caller)
            .contains(&(revoked.kind, revoked.target))
            .then(|| Cause::Ended { kind: revoked.kind, why: revoked.cause.clone() })
    }
}

impl StreamGuard {
    /// The stream's id in the log.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Notes that it begins, unless that is told.
    pub fn begin(&self) {
        self.tell(|draft| self.streams.0.watched.log.note(draft));
    }

    /// Returns once it is on disk that it begins: only then may a byte of it pass. Asked once; where it was noted already, nobody
    /// knows whether that is on disk, so it may not.
    pub async fn begin_on_record(&self) -> Result<(), Unrecorded> {
        let opened = self.tell(|draft| self.streams.0.watched.log.append(draft)).ok_or(Unrecorded::Closed)?;
        let Err(unrecorded) = opened.await else { return Ok(()) };
        if unrecorded != Unrecorded::TimedOut {
            // It never will be, and what did not begin does not end.
            self.set_told(false);
        }
        self.streams.close_where(|held| (held.id == self.id).then_some(Cause::LogDead));
        Err(unrecorded)
    }

    /// Tells that it begins, unless that is told. Its end comes after it in the log, whatever brings it: the registry is held.
    fn tell<T>(&self, to: impl FnOnce(Draft) -> T) -> Option<T> {
        let mut all = self.streams.held();
        let held = all.get_mut(&self.id).filter(|held| !held.is_told)?;
        held.is_told = true;
        let told = to(self.streams.draft(&held.standing, held.request, Event::StreamOpened { stream: held.id }));
        if let Some(cause) = held.close.borrow().clone() {
            let event = Event::StreamClosed { stream: held.id, cause: cause.to_string() };
            self.streams.note(&held.standing, held.request, event);
        }
        Some(told)
    }

    fn set_told(&self, is_told: bool) {
        if let Some(held) = self.streams.held().get_mut(&self.id) {
            held.is_told = is_told;
        }
    }

    /// Waits until the stream must end, and says why. Once it has, it says so again at once.
    pub fn closed(&self) -> impl Future<Output = Cause> + Send + 'static {
        let mut closed = self.closed.clone();
        async move {
            match closed.wait_for(Option::is_some).await {
                Ok(cause) => cause.clone().unwrap_or(Cause::Forgotten),
                Err(_) => Cause::Forgotten,
            }
        }
    }

    /// Why the stream was closed, if it was.
    pub fn cause(&self) -> Option<Cause> {
        self.closed.borrow().clone()
    }
}

/// Why a stream closed that the broker did not close.
const LEFT: &str = "its caller or its upstream ended it";

impl Drop for StreamGuard {
    fn drop(&mut self) {
        let left = self.streams.held().remove(&self.id);
        // What the broker closed it has noted already; everything else that ends is noted here, so that each stream that
        // was opened is closed in the log as well. Its request's outcome says who ended it.
        if let Some(held) = left.filter(|held| held.is_told)
            && held.close.borrow().is_none()
        {
            let event = Event::StreamClosed { stream: held.id, cause: LEFT.to_owned() };
            self.streams.note(&held.standing, held.request, event);
        }
    }
}
