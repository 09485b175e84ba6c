//! One upstream and its connections. Sends what it is given and nothing else: no redirects are followed, nothing is
//! retried once a byte has left.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Request, Response, Uri, uri::Authority, uri::PathAndQuery};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::{
    client::legacy::{Client, Error as ClientError},
    rt::{TokioExecutor, TokioTimer},
};

use super::{
    dial::Dial,
    headers::Destination,
    target::{Target, TargetFault, Token},
};
use crate::listener::BoxError;

/// The body of a request to an upstream.
pub(super) type Outgoing = UnsyncBoxBody<bytes::Bytes, BoxError>;

/// Clients per cluster: an API server allows a hundred streams on a connection, and one is easily a bottleneck.
const CLUSTER_CLIENTS: usize = 4;
const IDLE: Duration = Duration::from_secs(60);

/// A protected thing, reachable.
pub struct Upstream {
    pub(super) destination: Destination,
    /// For how long it may say nothing at all about an ordinary request.
    pub(super) patience: Duration,
    clients: Vec<Client<Dial, Outgoing>>,
    next: AtomicUsize,
    upgrades: Dial,
    scheme: http::uri::Scheme,
    authority: Authority,
    prefix: String,
    token: Token,
}

/// Why an upstream gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    /// Nothing left the broker.
    #[error("the upstream cannot be reached: {0}")]
    Unreachable(#[source] BoxError),
    /// Something may have arrived there.
    #[error("the upstream broke off: {0}")]
    Broken(#[source] BoxError),
}

impl Upstream {
    /// A web app. `host` is what browsers call it, and what it is told; apps build their links from it.
    pub fn web(target: Target, host: &str) -> Result<Arc<Self>, TargetFault> {
        Self::new(target, Some(host), Destination::Web, 1, Duration::from_secs(120))
    }

    /// A cluster. An API server answers ordinary requests within 60 seconds by itself.
    pub fn kubernetes(target: Target) -> Result<Arc<Self>, TargetFault> {
        Self::new(target, None, Destination::Kubernetes, CLUSTER_CLIENTS, Duration::from_secs(70))
    }

    fn new(
        target: Target,
        host: Option<&str>,
        destination: Destination,
        clients: usize,
        patience: Duration,
    ) -> Result<Arc<Self>, TargetFault> {
        let authority = host.unwrap_or(&target.authority);
        let client = || {
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .http2_keep_alive_interval(Duration::from_secs(20))
                .http2_keep_alive_timeout(Duration::from_secs(20))
                .build(target.dial.clone())
        };
        Ok(Arc::new(Self {
            destination,
            patience,
            clients: (0..clients).map(|_| client()).collect(),
            next: AtomicUsize::new(0),
            upgrades: target.dial.for_upgrades(),
            scheme: target.scheme.clone(),
            authority: authority.parse().map_err(|_| TargetFault::Address(authority.to_owned()))?,
            prefix: target.prefix,
            token: target.token,
        }))
    }

    /// The address of `path` there.
    pub(super) fn uri(&self, path: &str, query: Option<&str>) -> Option<Uri> {
        let target = match query {
            Some(query) => format!("{}{path}?{query}", self.prefix),
            None => format!("{}{path}", self.prefix),
        };
        // INVARIANT: what is sent is what was judged, byte for byte.
        let parsed = PathAndQuery::try_from(target.as_str()).ok().filter(|parsed| parsed.as_str() == target)?;
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(parsed);
        Uri::from_parts(parts).ok()
    }

    /// The upstream's own name, for `Host` on connections that become streams.
    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// What the broker shows with each request.
    pub(super) async fn authorization(&self) -> Result<Option<http::HeaderValue>, TargetFault> {
        self.token.header().await
    }

    /// Sends a request over a shared connection.
    pub(super) async fn send(&self, request: Request<Outgoing>) -> Result<Response<Incoming>, NoAnswer> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.clients.len().max(1);
        let Some(client) = self.clients.get(turn) else {
            return Err(NoAnswer::Unreachable("no client".into()));
        };
        client.request(request).await.map_err(|fault: ClientError| match fault.is_connect() {
            true => NoAnswer::Unreachable(fault.into()),
            false => NoAnswer::Broken(fault.into()),
        })
    }

    /// A connection that serves one request and may become a stream.
    pub(super) async fn connect(&self) -> Result<http1::SendRequest<Outgoing>, NoAnswer> {
        let unreachable = |fault: io::Error| NoAnswer::Unreachable(fault.into());
        let wire = self.upgrades.connect().await.map_err(unreachable)?;
        let (sender, connection) = http1::handshake(wire).await.map_err(|fault| NoAnswer::Unreachable(fault.into()))?;
        tokio::spawn(async move {
            if let Err(fault) = connection.with_upgrades().await {
                tracing::debug!(%fault, "a connection to an upstream broke");
            }
        });
        Ok(sender)
    }
}
