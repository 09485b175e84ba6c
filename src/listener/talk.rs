//! The HTTP that is spoken on a connection, in whichever version, until the connection ends or has to.
//! Leaves what is answered to whoever answers; sees to it that nobody keeps the broker waiting.

use std::{
    convert::Infallible,
    future::poll_fn,
    net::IpAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::Service,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use super::{
    BoxError, Limits,
    activity::{Activity, Busy, End, Watched},
    body::Guarded,
    connection::Shared,
    gather::gather,
    rarely::Rarely,
    turned::{STALLED, of_connection},
};

/// Which versions of HTTP a connection may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    One,
    Two,
    Either,
}

/// A connection, and who is told of what about it.
pub(super) struct Talk<'a> {
    pub(super) shared: &'a Shared,
    pub(super) activity: Arc<Activity>,
    pub(super) speaks: Speaks,
    pub(super) address: IpAddr,
    pub(super) host: Option<Arc<str>>,
}

impl Talk<'_> {
    /// Answers what comes over `stream` by `service`.
    pub(super) async fn over<S, A>(self, stream: S, service: A)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        A: Service<Request<Incoming>, Response = Response<Guarded<Busy>>, Error = Infallible> + Send + 'static,
        A::Future: Send + 'static,
    {
        let stream = Watched::new(stream, Arc::clone(&self.activity));
        let limits = &self.shared.limits;
        match self.speaks {
            Speaks::One => {
                let connection = one(limits).serve_connection(TokioIo::new(stream), service).with_upgrades();
                self.until_it_ends(pin!(connection), Future::poll, http1::UpgradeableConnection::graceful_shutdown)
                    .await;
            }
            Speaks::Two => {
                let (stream, mut turns) = gather(stream);
                let connection = two(limits).serve_connection(TokioIo::new(stream), service);
                let turn = |connection: Pin<&mut _>, cx: &mut Context<'_>| turns.take(connection, cx);
                self.until_it_ends(pin!(connection), turn, http2::Connection::graceful_shutdown).await;
            }
            Speaks::Either => {
                let builder = either(limits);
                let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
                self.until_it_ends(pin!(connection), Future::poll, auto::UpgradeableConnection::graceful_shutdown)
                    .await;
            }
        }
    }

    /// Lets a connection take its turns until it ends, has nothing more to do, or stalls.
    async fn until_it_ends<C, E>(
        self,
        mut connection: Pin<&mut C>,
        mut turn: impl FnMut(Pin<&mut C>, &mut Context<'_>) -> Poll<Result<(), E>>,
        wind_up: impl Fn(Pin<&mut C>),
    ) where
        E: Into<BoxError>,
    {
        let Self { shared, activity, speaks, address, host } = self;
        let heads_one_at_a_time = speaks != Speaks::Two;
        let end = |stopping| Rarely::new(Arc::clone(&activity).end(stopping, shared.limits, heads_one_at_a_time));
        let mut ends = end(Some(shared.stopping.clone()));
        let ended = loop {
            let mut turns = poll_fn(|cx| turn(connection.as_mut(), cx));
            tokio::select! {
                biased;
                ended = &mut turns => break ended,
                why = &mut ends => match why {
                    End::Stalled => return shared.tell(STALLED, host.as_deref(), address),
                    End::Idle => {
                        wind_up(connection.as_mut());
                        let _ = timeout(Duration::from_secs(1), poll_fn(|cx| turn(connection.as_mut(), cx))).await;
                        return;
                    }
                    End::Stopping => {
                        wind_up(connection.as_mut());
                        ends = end(None);
                    }
                },
            }
        };
        if let Err(fault) = ended.map_err(Into::into) {
            tracing::debug!(%fault, "a connection broke");
            if let Some(away) = of_connection(fault.as_ref()) {
                shared.tell(away, host.as_deref(), address);
            }
        }
    }
}

fn one(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // No limit on the number of fields but hyper's own of 100, for which it takes no memory; `admit` counts again.
    // `Activity` holds heads and silence to their limits, without an alarm for each request.
    builder.header_read_timeout(None).max_buf_size(head(limits));
    builder
}

fn two(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(ASK)
        .keep_alive_timeout(ASK);
    builder
}

/// The same, for whoever does not say first which it will be.
fn either(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().header_read_timeout(None).max_buf_size(head(limits));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(ASK)
        .keep_alive_timeout(ASK);
    builder
}

fn head(limits: &Limits) -> usize {
    limits.header_bytes.max(8192)
}

/// After so much silence an HTTP/2 connection is asked whether it is still there, and has as long to answer.
const ASK: Duration = Duration::from_secs(20);
