//! The door to one cluster, on a host name of its own: a certificate says who asks, the gate says whether they may, and
//! then the request runs there as that person.
//!
//! An attacker controls the whole request, and the certificate is all that they can show. Every answer of the broker's
//! own is a `metav1.Status`, so that kubectl can print the reason.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use http::{HeaderMap, Request, Response, request::Parts};
use hyper::body::Body;

use super::{
    Rooms,
    forward::{Came, Failed, forward},
    ids::Ids,
    impersonate,
    kubernetes_request::{self, may_upgrade},
    place::Place,
    status::{Reason, status},
    target::{Target, TargetFault},
    upgrade,
    upstream::Upstream,
};
use crate::{
    access::{Permit, Refusal},
    audit::{ASTRAY, Asker, Refused},
    config,
    identity::NotPresented,
    listener::{Peer, RequestBody, ResponseBody, Service},
    model::{Action, Caller, ClusterName, KubernetesRequest, Method, ProviderName, RequestId, Upgrade},
};

/// The door to one cluster.
pub struct KubernetesDoor {
    cluster: ClusterName,
    rooms: Rooms,
    ids: Ids,
    upstream: Arc<Upstream>,
    prefixes: HashMap<ProviderName, String>,
}

impl KubernetesDoor {
    /// The door to `cluster`; names there carry the prefixes of their `providers`.
    pub fn new(
        cluster: &config::Cluster,
        providers: &[config::Provider],
        rooms: Rooms,
    ) -> Result<Arc<Self>, TargetFault> {
        let prefix = |provider: &config::Provider| (provider.name.clone(), provider.kubernetes_prefix.clone());
        Ok(Arc::new(Self {
            cluster: cluster.name.clone(),
            ids: Ids::new(Arc::clone(&rooms.entropy)),
            rooms,
            upstream: Upstream::kubernetes(Target::of_cluster(cluster)?)?,
            prefixes: providers.iter().map(prefix).collect(),
        }))
    }

    /// Whether what the door needs of files is there and right.
    pub fn check(cluster: &config::Cluster) -> Result<(), TargetFault> {
        Target::of_cluster(cluster).map(drop)
    }

    /// As a service for the host table.
    pub fn service(self: &Arc<Self>) -> Service {
        let door = Arc::clone(self);
        Service::from_fn(move |peer, request| Arc::clone(&door).answer(peer, request))
    }

    async fn answer(self: Arc<Self>, peer: Peer, mut request: Request<RequestBody>) -> Response<ResponseBody> {
        let id = self.ids.draw();
        let connection = request.extensions_mut().remove::<hyper::upgrade::OnUpgrade>();
        let (parts, body) = request.into_parts();
        let caller = match self.caller(&peer).await {
            Ok(caller) => caller,
            Err(why) => return self.nobody(&why, peer.address, id),
        };
        let asked = match self.read(&parts, &body) {
            Ok(asked) => asked,
            Err((check, why)) => return self.refuse(&caller, check, &why, id),
        };
        let permit = match self.rooms.gate.ask(&caller, id, Action::Kubernetes(asked)).await {
            Ok(permit) => permit,
            Err(refusal) => return self.refused(refusal, peer.address),
        };
        self.pass(permit, Came { headers: parts.headers, body, connection }, id).await
    }

    async fn caller(&self, peer: &Peer) -> Result<Asker, NotPresented> {
        let certificate = peer.certificate.as_ref().ok_or(NotPresented::Nothing)?;
        self.rooms.callers.from_certificate(certificate, peer.address).await
    }

    /// 401 only where another credential would help.
    fn nobody(&self, why: &NotPresented, address: IpAddr, id: RequestId) -> Response<ResponseBody> {
        let login = "run `bailiwick login`, then try again";
        match why {
            NotPresented::Unavailable(_) => self.note(None, "unavailable", LOST, address, id),
            NotPresented::Nothing => self.note(None, "certificate", NO_CERTIFICATE, address, id),
            why => self.note(None, "certificate", &why.to_string(), address, id),
        }
        match why {
            NotPresented::Unavailable(fault) => {
                tracing::error!(%fault, request = %id, "cannot look up who asks");
                status(Reason::ServiceUnavailable, &format!("{LOST}; try again in a moment"), Some(id))
            }
            NotPresented::WrongScope => status(Reason::Forbidden, &format!("{why}"), Some(id)),
            NotPresented::Nothing => {
                let command = format!("`bailiwick kube login {}`", self.cluster);
                status(Reason::Unauthorized, &format!("{NO_CERTIFICATE}; run {command}"), Some(id))
            }
            _ => status(Reason::Unauthorized, &format!("{why}; {login}"), Some(id)),
        }
    }

    fn refuse(&self, caller: &Caller, check: &'static str, why: &str, id: RequestId) -> Response<ResponseBody> {
        let reason = if check == "method" { Reason::MethodNotAllowed } else { Reason::BadRequest };
        self.note(Some(caller), check, why, caller.address, id);
        status(reason, why, Some(id))
    }

    /// Notes a refusal before the gate.
    fn note(&self, caller: Option<&Caller>, check: &'static str, why: &str, address: IpAddr, request: RequestId) {
        let refused = Refused { check, why, target: self.cluster.as_str(), address, request: Some(request) };
        self.rooms.refusals.note(caller, refused);
    }

    /// What the API server would understand; or which check refuses it, and why.
    fn read(&self, parts: &Parts, body: &RequestBody) -> Result<KubernetesRequest, (&'static str, String)> {
        if impersonates(&parts.headers) {
            return Err(("impersonation", "impersonation is not offered here: requests run as who you are".to_owned()));
        }
        let method: Method =
            parts.method.as_str().parse().map_err(|()| ("method", "this method is not allowed".to_owned()))?;
        let upgrade = upgrade::asked(&parts.headers);
        let asked = kubernetes_request::read(&self.cluster, method, parts.uri.path(), parts.uri.query(), upgrade)
            .map_err(|fault| ("path", fault.to_string()))?;
        if upgrade != Upgrade::None && !may_upgrade(&asked.attributes) {
            return Err(("upgrade", "this is not something that can become a stream".to_owned()));
        }
        if upgrade != Upgrade::None && !body.is_end_stream() {
            return Err(("upgrade", "a request that is to become a stream has no body".to_owned()));
        }
        Ok(asked)
    }

    fn refused(&self, refusal: Refusal, address: IpAddr) -> Response<ResponseBody> {
        match refusal {
            Refusal::Denied { decision, request } => {
                status(Reason::Forbidden, &format!("bailiwick: {}", decision.sentence()), Some(request))
            }
            Refusal::StepUp { request, .. } => {
                let message =
                    "bailiwick: this asks for your passkey again: run `bailiwick login --fresh`, then try again";
                status(Reason::Forbidden, message, Some(request))
            }
            Refusal::Unavailable { why, request } => {
                tracing::warn!(why, %request, "a decision cannot be made");
                self.note(None, "unavailable", why, address, request);
                let text = if self.rooms.log.is_broken() { ASTRAY } else { "no decision can be made just now" };
                status(Reason::ServiceUnavailable, &format!("bailiwick: {text}"), Some(request))
            }
        }
    }

    async fn pass(&self, permit: Permit, came: Came, id: RequestId) -> Response<ResponseBody> {
        let caller = permit.caller();
        let Some(prefix) = self.prefixes.get(&caller.identity.provider) else {
            return status(Reason::Forbidden, "bailiwick: your provider is no longer configured", Some(id));
        };
        let ours = match impersonate::fields(caller, id, prefix) {
            Ok(ours) => ours,
            Err(why) => return status(Reason::Forbidden, &format!("bailiwick: {why}"), Some(id)),
        };
        let place = Place::new(&self.rooms.streams, &permit);
        match forward(permit, &self.upstream, ours, came, place).await {
            Ok(response) => response,
            Err(failed) => {
                let reason = match failed {
                    Failed::TimedOut => Reason::Timeout,
                    Failed::Ended => Reason::Unauthorized,
                    Failed::Internal => Reason::InternalError,
                    Failed::Unrecorded => Reason::ServiceUnavailable,
                    Failed::Unreachable | Failed::Broken | Failed::Redirect => Reason::BadGateway,
                };
                status(reason, &format!("bailiwick: {failed}"), Some(id))
            }
        }
    }
}

const NO_CERTIFICATE: &str = "no client certificate was presented";
const LOST: &str = "it cannot be looked up who you are";

/// `kubectl --as` and its like, in any spelling.
fn impersonates(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().replace(['_', '.'], "-").starts_with("impersonate"))
}
