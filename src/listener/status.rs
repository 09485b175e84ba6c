//! What machines ask about the broker: is it alive, is it ready, what does it count. Loopback only, a port of its own.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::ListenerFault;

/// Whether the broker can serve; if not, why not, one line each.
pub type Readiness = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The listener for machines that watch the broker.
pub struct StatusListener {
    socket: TcpListener,
    ready: Readiness,
    metrics: Arc<Registry>,
}

impl StatusListener {
    /// Takes the port, on loopback only.
    pub async fn bind(at: SocketAddr, ready: Readiness, metrics: Arc<Registry>) -> Result<Self, ListenerFault> {
        if !at.ip().is_loopback() {
            return Err(ListenerFault::NotLoopback(at));
        }
        let socket = TcpListener::bind(at).await.map_err(|source| ListenerFault::Bind { at, source })?;
        Ok(Self { socket, ready, metrics })
    }

    /// Where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }

    /// Serves until `stop`.
    pub async fn serve(self, stop: CancellationToken) {
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (ready, metrics, stop) = (Arc::clone(&self.ready), Arc::clone(&self.metrics), stop.clone());
            connections.spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let response = answer(&request, &ready, &metrics);
                    async move { Ok::<_, Infallible>(response) }
                });
                let mut server = http1::Builder::new();
                server.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(60));
                tokio::select! {
                    _ = server.serve_connection(TokioIo::new(stream), service) => {}
                    () = stop.cancelled() => {}
                }
            });
        }
    }
}

fn answer<B>(request: &Request<B>, ready: &Readiness, metrics: &Registry) -> Response<Full<Bytes>> {
    const PLAIN: &str = "text/plain; charset=utf-8";
    const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let (status, kind, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/healthz") => (StatusCode::OK, PLAIN, "ok\n".to_owned()),
        (&Method::GET | &Method::HEAD, "/readyz") => match ready() {
            Ok(()) => (StatusCode::OK, PLAIN, "ok\n".to_owned()),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{why}\n")),
        },
        (&Method::GET | &Method::HEAD, "/metrics") => {
            let mut text = String::new();
            match encode(&mut text, metrics) {
                Ok(()) => (StatusCode::OK, METRICS, text),
                Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "cannot count\n".to_owned()),
            }
        }
        (&Method::GET | &Method::HEAD, _) => (StatusCode::NOT_FOUND, PLAIN, "not found\n".to_owned()),
        _ => (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "method not allowed\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(path: &str, ready: Result<(), String>) -> u16 {
        let request = Request::get(path).body(()).unwrap();
        let ready: Readiness = Arc::new(move || ready.clone());
        answer(&request, &ready, &Registry::default()).status().as_u16()
    }

    #[test]
    fn a_broker_that_is_not_ready_is_still_alive() {
        assert_eq!(ask("/healthz", Err("no feed".into())), 200);
        assert_eq!(ask("/readyz", Err("no feed".into())), 503);
        assert_eq!(ask("/readyz", Ok(())), 200);
        assert_eq!(ask("/metrics", Ok(())), 200);
        assert_eq!(ask("/admin", Ok(())), 404);
    }
}
