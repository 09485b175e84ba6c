//! Connections to an upstream that speaks HTTP/1.1 in the clear, kept open from one exchange to the next.
//!
//! A connection has no task of its own: whoever has an exchange on it moves it along, in the caller's task, so that nobody
//! needs to be woken in between. INVARIANT: it carries one exchange at a time and is lent again only when hyper has seen the
//! end of both messages; and a request goes out a second time only when not a byte of it was written the first time.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, Connection, SendRequest},
};
use tokio::{task::unconstrained, time::sleep};

use super::{
    body::Source,
    dial::{Dial, Wire},
    place::{Alarm, Place},
    upload::Grip,
    upstream::{NoAnswer, Outgoing},
};

/// The connections to one upstream.
pub(super) struct Lanes(Arc<Home>);

/// Where connections wait for their next exchange.
struct Home {
    dial: Dial,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// The last one that came home goes out first.
    lanes: Vec<Lane>,
    /// Whether somebody looks after them.
    watched: bool,
}

/// One connection, with one exchange on it or none. Dropping it closes it.
pub(super) struct Lane(Box<Parts>);

struct Parts {
    sender: SendRequest<Outgoing>,
    /// None once it has ended.
    connection: Option<Connection<Wire, Outgoing>>,
    bell: Arc<Bell>,
    waker: Waker,
    alarm: Option<Alarm>,
    /// How many looks it has waited through.
    looks: u8,
    home: Weak<Home>,
}

/// A request, as long as it may be sent.
pub(super) type Unsent = Option<Request<Outgoing>>;

/// An upstream's answer, and where the rest of it comes from.
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    pub(super) from: Source,
}

/// Most connections that wait.
const MOST: usize = 256;
/// How often waiting connections are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// After how many looks they are closed.
const LOOKS: u8 = 12;

impl Lanes {
    pub(super) fn new(dial: Dial) -> Self {
        Self(Arc::new(Home { dial, idle: Mutex::default() }))
    }

    /// Sends `request`, for as long as `place` lasts.
    pub(super) async fn send(&self, request: &mut Unsent, place: &mut Place) -> Result<Answered, NoAnswer> {
        while let Some(lane) = self.0.take() {
            match lane.send(request, place).await {
                // It was closed while it waited.
                Err(_) if request.is_some() => {}
                answered => return answered,
            }
        }
        let lane = place.bound(Box::pin(self.open())).await??;
        lane.send(request, place).await
    }

    async fn open(&self) -> Result<Lane, NoAnswer> {
        let wire = self.0.dial.connect().await.map_err(|fault| NoAnswer::Unreachable(fault.into()))?;
        let (sender, connection) = http1::handshake(wire).await.map_err(|fault| NoAnswer::Unreachable(fault.into()))?;
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        let (connection, home) = (Some(connection), Arc::downgrade(&self.0));
        Ok(Lane(Box::new(Parts { sender, connection, bell, waker, alarm: None, looks: 0, home })))
    }
}

impl Lane {
    /// Sends `request`, and takes it; gives it back if nothing of it was written.
    async fn send(mut self, request: &mut Unsent, place: &mut Place) -> Result<Answered, NoAnswer> {
        let Some(sent) = request.take() else { return Err(NoAnswer::Unreachable("nothing to send".into())) };
        place.lend(self.0.alarm.take());
        let grip = sent.body().grip();
        let mut answer = pin!(self.0.sender.try_send_request(sent));
        let answered = poll_fn(|cx| {
            if let Poll::Ready(answered) =
                self.drive_for(cx, |cx| Pin::new(&mut unconstrained(answer.as_mut())).poll(cx))
            {
                return Poll::Ready(Ok(answered));
            }
            Pin::new(&mut *place).poll(cx).map(Err)
        });
        match answered.await {
            Ok(Ok(response)) => Ok(Answered { response, from: self.rest(grip, place) }),
            Ok(Err(mut fault)) => {
                *request = fault.take_message();
                Err(NoAnswer::Broken(fault.into_error().into()))
            }
            Err(by) => Err(NoAnswer::Ended(by)),
        }
    }

    /// Moves the exchange along, and then asks what waits for it.
    ///
    /// Whatever waits becomes ready by nothing else, so it need not wake anybody as long as the connection lives.
    pub(super) fn drive_for<T>(
        &mut self,
        cx: &mut Context<'_>,
        what: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Parts { connection, bell, waker, .. } = &mut *self.0;
        if let Some(open) = connection {
            bell.rings_for(cx.waker());
            if let Poll::Ready(ended) = Pin::new(open).poll(&mut Context::from_waker(waker)) {
                if let Err(fault) = ended {
                    tracing::debug!(%fault, "a connection to an upstream broke");
                }
                *connection = None;
            }
        }
        if connection.is_some() { what(&mut Context::from_waker(Waker::noop())) } else { what(cx) }
    }

    /// Goes home if both messages have ended, though what came may not have been read. A request's body may still be on
    /// its way: whoever passes the answer on reads it no faster than the caller does, and a caller may read nothing
    /// before all of its body has left. So that has a task of its own, which has the body in its `grip` until the last byte
    /// has left.
    fn rest(self, grip: Option<Grip>, place: &mut Place) -> Source {
        if self.is_done() {
            self.go_home(place.alarm());
            return Source::Hand;
        }
        match grip {
            Some(grip) => {
                tokio::spawn(grip.until_cut(self.finish_alone()));
                Source::Elsewhere
            }
            None => Source::Lane(self),
        }
    }

    /// Moves the exchange along to its end.
    async fn finish_alone(mut self) {
        poll_fn(|cx| {
            let going_on = self.drive_for(cx, |_| Poll::<()>::Pending);
            if self.0.connection.is_none() || self.is_done() { Poll::Ready(()) } else { going_on }
        })
        .await;
        self.go_home(None);
    }

    fn is_done(&self) -> bool {
        self.0.connection.is_some() && self.0.sender.is_ready()
    }

    /// Waits for the next exchange, if the last one has ended as it should; closes otherwise.
    pub(super) fn go_home(mut self, alarm: Option<Alarm>) {
        if !self.is_done() {
            return;
        }
        self.0.bell.is_for_nobody();
        self.0.alarm = alarm;
        self.0.looks = 0;
        if let Some(home) = self.0.home.upgrade() {
            home.put(self);
        }
    }

    /// Whether it is still open, and has not waited for too long.
    fn may_wait(&mut self) -> bool {
        self.0.looks = self.0.looks.saturating_add(1);
        let nothing = self.drive_for(&mut Context::from_waker(Waker::noop()), |_| Poll::<()>::Pending);
        nothing.is_pending() && self.is_done() && self.0.looks <= LOOKS
    }
}

impl Home {
    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Lane> {
        self.idle().lanes.pop()
    }

    fn put(self: &Arc<Self>, lane: Lane) {
        let mut idle = self.idle();
        if idle.lanes.len() < MOST {
            idle.lanes.push(lane);
        }
        if !idle.watched {
            idle.watched = true;
            tokio::spawn(watch(Arc::downgrade(self)));
        }
    }
}

/// Closes connections that the upstream has closed or that nobody uses. Ends when none waits.
async fn watch(home: Weak<Home>) {
    loop {
        sleep(LOOK).await;
        let Some(home) = home.upgrade() else { return };
        let mut idle = home.idle();
        idle.lanes.retain_mut(Lane::may_wait);
        if idle.lanes.is_empty() {
            idle.watched = false;
            return;
        }
    }
}

/// Wakes whoever has the connection; nobody while it waits.
#[derive(Default)]
struct Bell(Mutex<Option<Waker>>);

impl Bell {
    fn rings_for(&self, waker: &Waker) {
        let mut rings_for = self.rung();
        if !rings_for.as_ref().is_some_and(|other| other.will_wake(waker)) {
            let _before = rings_for.replace(waker.clone());
        }
    }

    fn is_for_nobody(&self) {
        let _before = self.rung().take();
    }

    fn rung(&self) -> MutexGuard<'_, Option<Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(waker) = &*self.rung() {
            waker.wake_by_ref();
        }
    }
}
