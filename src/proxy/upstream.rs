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

use bytes::Bytes;
use http::{
    HeaderValue, Response, Uri, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::{
    client::legacy::{Client, Error as ClientError},
    rt::{TokioExecutor, TokioTimer},
};

use super::{
    body::Source,
    dial::Dial,
    headers::Destination,
    lane::{Answered, Lanes, Unsent},
    place::Place,
    target::{Target, TargetFault, Token},
    upload::Upload,
};
use crate::{audit::ClosedBy, listener::BoxError};

/// The body of a request to an upstream.
pub(super) type Outgoing = Upload;

/// Clients per cluster: an API server allows a hundred streams on a connection, and one is easily a bottleneck.
const CLUSTER_CLIENTS: usize = 4;
const IDLE: Duration = Duration::from_secs(60);

/// A protected thing, reachable.
pub struct Upstream {
    pub(super) destination: Destination,
    /// For how long it may say nothing at all about an ordinary request, and take nothing of what it has answered already.
    pub(super) patience: Duration,
    way: Way,
    upgrades: Dial,
    authority: Authority,
    /// The same, as a field.
    host: HeaderValue,
    prefix: String,
    token: Token,
}

/// How requests get there.
enum Way {
    /// In the clear, one at a time on a connection.
    Lanes(Lanes),
    /// Over TLS, which may turn out to be HTTP/2.
    Clients { clients: Vec<Client<Dial, Outgoing>>, next: AtomicUsize, scheme: Scheme },
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
    /// It was waited for no longer.
    #[error("its answer was no longer waited for")]
    Ended(ClosedBy),
}

impl Upstream {
    /// A web app. `host` is what browsers call it, and what it is told; apps build their links from it.
    pub fn web(target: Target, host: &str, patience: Duration) -> Result<Arc<Self>, TargetFault> {
        Self::new(target, Some(host), Destination::Web, 1, patience)
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
        let fault = || TargetFault::Address(authority.to_owned());
        let client = || {
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .http2_keep_alive_interval(Duration::from_secs(20))
                .http2_keep_alive_timeout(Duration::from_secs(20))
                .build(target.dial.clone())
        };
        let way = if target.scheme == Scheme::HTTP {
            Way::Lanes(Lanes::new(target.dial.clone()))
        } else {
            let clients = (0..clients).map(|_| client()).collect();
            Way::Clients { clients, next: AtomicUsize::new(0), scheme: target.scheme.clone() }
        };
        Ok(Arc::new(Self {
            destination,
            patience,
            way,
            upgrades: target.dial.for_upgrades(),
            authority: authority.parse().map_err(|_| fault())?,
            host: HeaderValue::try_from(authority).map_err(|_| fault())?,
            prefix: target.prefix,
            token: target.token,
        }))
    }

    /// The address of `path` there, in origin form (RFC 9112, section 3.2.1).
    pub(super) fn uri(&self, path: &str, query: Option<&str>) -> Option<Uri> {
        let mut target =
            String::with_capacity(self.prefix.len() + path.len() + query.map_or(0, |query| query.len() + 1));
        target.push_str(&self.prefix);
        target.push_str(path);
        if let Some(query) = query {
            target.push('?');
            target.push_str(query);
        }
        let target = Bytes::from(target);
        // INVARIANT: what is sent is what was judged, byte for byte.
        let parsed = PathAndQuery::from_maybe_shared(target.clone())
            .ok()
            .filter(|parsed| parsed.as_str().as_bytes() == target)?;
        Some(Uri::from(parsed))
    }

    /// The upstream's own name, for `Host`.
    pub(super) fn host(&self) -> HeaderValue {
        self.host.clone()
    }

    /// What the broker shows with each request.
    pub(super) async fn authorization(&self) -> Result<Option<http::HeaderValue>, TargetFault> {
        self.token.header().await
    }

    /// Sends `request` over a connection that others use as well, for as long as `place` lasts.
    pub(super) async fn send(
        &self,
        request: &mut Unsent,
        place: &mut Place,
    ) -> Result<(Response<Incoming>, Source), NoAnswer> {
        match &self.way {
            Way::Lanes(lanes) => {
                if let Some(request) = request {
                    request.headers_mut().insert(header::HOST, self.host());
                }
                let Answered { response, from } = lanes.send(request, place).await?;
                Ok((response, from))
            }
            Way::Clients { clients, next, scheme } => {
                let Some(mut request) = request.take() else {
                    return Err(NoAnswer::Unreachable("nothing to send".into()));
                };
                let turn = next.fetch_add(1, Ordering::Relaxed) % clients.len().max(1);
                let Some(client) = clients.get(turn) else {
                    return Err(NoAnswer::Unreachable("no client".into()));
                };
                let Some(uri) = self.absolute(request.uri(), scheme) else {
                    return Err(NoAnswer::Unreachable("no address".into()));
                };
                *request.uri_mut() = uri;
                let answered = place.bound(Box::pin(client.request(request))).await?;
                let response = answered.map_err(|fault: ClientError| match fault.is_connect() {
                    true => NoAnswer::Unreachable(fault.into()),
                    false => NoAnswer::Broken(fault.into()),
                })?;
                Ok((response, Source::Elsewhere))
            }
        }
    }

    /// As the client wants it, which finds a connection by it.
    fn absolute(&self, uri: &Uri, scheme: &Scheme) -> Option<Uri> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = uri.path_and_query().cloned();
        Uri::from_parts(parts).ok()
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
