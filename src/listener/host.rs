//! Which service answers for which host name. The table is handed in by app; the listener knows neither portal nor proxy.
//! INVARIANT: a request for a name that is not in the table reaches no service.

use std::{collections::HashMap, convert::Infallible, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::{BoxError, ListenerFault, Peer, RequestBody, ResponseBody};

type Answer = Pin<Box<dyn Future<Output = Response<ResponseBody>> + Send>>;

/// Something that answers requests; it cannot fail, only answer badly.
#[derive(Clone)]
pub struct Service(Arc<dyn Fn(Peer, Request<RequestBody>) -> Answer + Send + Sync>);

impl Service {
    /// From a tower service: an axum router, for one. It finds the [`Peer`] among a request's extensions.
    pub fn new<S, B>(service: S) -> Self
    where
        S: tower::Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self::from_fn(move |peer, mut request| {
            request.extensions_mut().insert(peer);
            let service = service.clone();
            async move {
                let Ok(response) = service.oneshot(request).await;
                response.map(|body| body.map_err(Into::into).boxed_unsync())
            }
        })
    }

    /// From an async function.
    pub fn from_fn<F, R>(answer: F) -> Self
    where
        F: Fn(Peer, Request<RequestBody>) -> R + Send + Sync + 'static,
        R: Future<Output = Response<ResponseBody>> + Send + 'static,
    {
        Self(Arc::new(move |peer, request| Box::pin(answer(peer, request))))
    }

    /// Answers one request of `peer`.
    pub fn answer(&self, peer: Peer, request: Request<RequestBody>) -> Answer {
        (self.0)(peer, request)
    }
}

/// Host name to service. Names in lower case, without port.
#[derive(Clone, Default)]
pub struct HostTable(HashMap<String, Service>);

impl HostTable {
    /// Gives `host` (a port after it is ignored) to `service`.
    pub fn insert(&mut self, host: &str, service: Service) -> Result<(), ListenerFault> {
        let Some(name) = canonical_host(host) else { return Err(ListenerFault::NotAHost(host.to_owned())) };
        match self.0.insert(name, service) {
            None => Ok(()),
            Some(_) => Err(ListenerFault::DuplicateHost(host.to_owned())),
        }
    }

    /// Who answers for `name`, which is canonical.
    pub fn at(&self, name: &str) -> Option<&Service> {
        self.0.get(name)
    }
}

/// The host of an authority (RFC 3986, section 3.2) in lower case, its port checked and dropped. Refuses user
/// information, a trailing dot, and every byte that has no place in a DNS name or an IPv4 address.
pub fn canonical_host(authority: &str) -> Option<String> {
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let is_port =
        |port: &str| port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let sound = port.is_none_or(is_port) && host.len() <= 253 && host.split('.').all(is_label);
    sound.then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_plain_host_name_and_perhaps_a_port() {
        for (authority, host) in [
            ("wiki.example.com", Some("wiki.example.com")),
            ("WIKI.example.com:8443", Some("wiki.example.com")),
            ("127.0.0.1:80", Some("127.0.0.1")),
            ("", None),
            ("a.", None),
            (".a", None),
            ("a..b", None),
            ("me@a", None),
            ("a:", None),
            ("a:b", None),
            ("a:80:80", None),
            ("a:99999", None),
            ("a/b", None),
            ("a b", None),
            ("a\\b", None),
            ("[::1]", None),
            ("-a", None),
        ] {
            assert_eq!(canonical_host(authority).as_deref(), host, "{authority:?}");
        }
    }

    #[test]
    fn one_host_has_one_service() {
        let nobody = || Service::from_fn(|_, _| async { Response::new(super::super::empty()) });
        let mut table = HostTable::default();
        assert!(table.insert("a.test:80", nobody()).is_ok());
        assert!(matches!(table.insert("A.test", nobody()), Err(ListenerFault::DuplicateHost(_))));
        assert!(matches!(table.insert("a_b", nobody()), Err(ListenerFault::NotAHost(_))));
        assert!(table.at("a.test").is_some() && table.at("b.test").is_none());
    }
}
