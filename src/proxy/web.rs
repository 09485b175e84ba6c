//! The door to one web app, on a host of its own: who asks, may they, and then it is forwarded.
//!
//! An attacker controls the whole request, and perhaps a sibling host. Refused first are paths that could be read in two
//! ways and changes that another site's page asks for; then whoever has no app session is sent to the portal (or told
//! so, if nobody is looking); then the gate is asked.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, request::Parts};
use hyper::body::Body as _;
use uuid::Uuid;

use super::{
    Rooms,
    answer::{RefusedPage, plain, problem, see_other},
    browser::{self, Kind},
    cookies,
    forward::{Came, Failed, forward},
    handover,
    ids::Ids,
    ours::Ours,
    place::Place,
    target::{Target, TargetFault},
    told::{self, Names, Told},
    upgrade,
    upstream::Upstream,
};
use crate::{
    access::{Permit, Refusal},
    audit::{ASTRAY, Asker, Refused, summary},
    config::{self, Portal},
    identity::NotPresented,
    listener::{RequestBody, ResponseBody, Service},
    model::{Action, AppName, Caller, CanonicalPath, Method, RequestId, Upgrade, WebRequest},
};

/// The door to one app.
pub struct WebDoor {
    pub(super) app: AppName,
    /// The app's origin, as browsers see it.
    pub(super) origin: String,
    /// The portal's origin.
    pub(super) portal: String,
    pub(super) rooms: Rooms,
    ids: Ids,
    told: Told,
    upstream: Arc<Upstream>,
}

/// A request that has not passed the first checks, and why.
struct Unfit {
    status: StatusCode,
    check: &'static str,
    why: String,
}

/// A request that has passed the first checks.
pub(super) struct Arrived {
    pub(super) request: RequestId,
    pub(super) address: IpAddr,
    pub(super) method: Method,
    pub(super) path: CanonicalPath,
    query: Option<String>,
    upgrade: Upgrade,
    kind: Kind,
}

impl WebDoor {
    /// The door to `app`, which may keep everybody waiting for as long as `patience`.
    pub fn new(app: &config::App, portal: &Portal, rooms: Rooms, patience: Duration) -> Result<Arc<Self>, TargetFault> {
        let host = app.host.to_string();
        let origin = app.origin(portal);
        let proto = if origin.starts_with("http:") { "http" } else { "https" };
        let front = told::Front {
            host: HeaderValue::try_from(&host).map_err(|_| TargetFault::Address(host.clone()))?,
            proto: HeaderValue::from_static(proto),
        };
        Ok(Arc::new(Self {
            app: app.name.clone(),
            origin,
            portal: portal.url.origin().ascii_serialization(),
            ids: Ids::new(Arc::clone(&rooms.entropy)),
            rooms,
            upstream: Upstream::web(Target::of_app(app)?, &host, patience)?,
            told: Told::new(front, if app.forward_identity { Names::Told } else { Names::Withheld }),
        }))
    }

    /// Whether what the door needs of files is there and right.
    pub fn check(app: &config::App) -> Result<(), TargetFault> {
        Target::of_app(app).map(drop)
    }

    /// As a service for the host table.
    pub fn service(self: &Arc<Self>) -> Service {
        let door = Arc::clone(self);
        Service::from_fn(move |peer, request| Arc::clone(&door).answer(peer.address, request))
    }

    async fn answer(self: Arc<Self>, address: IpAddr, mut request: Request<RequestBody>) -> Response<ResponseBody> {
        let connection = request.extensions_mut().remove::<hyper::upgrade::OnUpgrade>();
        let (parts, body) = request.into_parts();
        let id = self.ids.draw();
        let arrived = match self.first_checks(&parts, &body, id, address) {
            Ok(arrived) => arrived,
            Err(unfit) => return Box::pin(self.unfit(unfit, &parts.headers, id, address)).await,
        };
        if handover::is_reserved(&arrived.path) {
            return Box::pin(handover::reserved(&self, &parts, &arrived)).await;
        }
        let caller = match self.caller(&parts.headers, arrived.address).await {
            Ok(caller) => caller,
            Err(why) => return self.nobody(&arrived, &why),
        };
        let permit = match self.rooms.gate.ask(&caller, arrived.request, self.action(&arrived)).await {
            Ok(permit) => permit,
            Err(refusal) => return self.refused(&arrived, &caller, refusal),
        };
        self.pass(&arrived, permit, Came { headers: parts.headers, body, connection }).await
    }

    fn action(&self, arrived: &Arrived) -> Action {
        Action::Web(WebRequest {
            app: self.app.clone(),
            method: arrived.method,
            path: arrived.path.clone(),
            query: arrived.query.clone(),
            upgrade: arrived.upgrade,
        })
    }

    /// What can be refused without knowing who asks.
    fn first_checks(
        &self,
        parts: &Parts,
        body: &RequestBody,
        request: RequestId,
        address: IpAddr,
    ) -> Result<Arrived, Unfit> {
        let unfit = |status, check, why: &str| Err(Unfit { status, check, why: why.to_owned() });
        let Ok(method) = parts.method.as_str().parse::<Method>() else {
            return unfit(StatusCode::METHOD_NOT_ALLOWED, "method", "this method is not allowed");
        };
        let path = match CanonicalPath::parse(parts.uri.path()) {
            Ok(path) => path,
            Err(fault) => return unfit(StatusCode::BAD_REQUEST, "path", &fault.to_string()),
        };
        let upgrade = match upgrade::asked(&parts.headers) {
            Upgrade::WebSocket if method == Method::Get => Upgrade::WebSocket,
            _ => Upgrade::None,
        };
        if upgrade != Upgrade::None && !body.is_end_stream() {
            // An app that ignores the body of such a request would read it as a request of its own.
            return unfit(StatusCode::BAD_REQUEST, "upgrade", "a request that is to become a stream has no body");
        }
        let headers = &parts.headers;
        if upgrade != Upgrade::None && !browser::may_open_stream(headers, &self.origin) {
            return unfit(StatusCode::FORBIDDEN, "origin", "another site's page may not open streams here");
        }
        if !browser::may_change(method, headers, &self.origin) {
            return unfit(StatusCode::FORBIDDEN, "origin", "another site's page may not change anything here");
        }
        let query = parts.uri.query().map(str::to_owned);
        Ok(Arrived { request, address, method, path, query, upgrade, kind: browser::kind(method, headers) })
    }

    /// Refuses what is unfit, in the name of whoever shows a session.
    async fn unfit(
        &self,
        unfit: Unfit,
        headers: &HeaderMap,
        request: RequestId,
        address: IpAddr,
    ) -> Response<ResponseBody> {
        let caller = self.behind(headers, address).await;
        self.note(caller.as_deref(), unfit.check, &unfit.why, address, request);
        problem(unfit.status, &unfit.why, Some(request), None)
    }

    /// Whose session came with a request that is refused whoever it is: it keeps no login alive.
    pub(super) async fn behind(&self, headers: &HeaderMap, address: IpAddr) -> Option<Asker> {
        let cookie = cookies::one(headers, cookies::APP_SESSION)?;
        self.rooms.callers.behind_app_cookie(cookie, &self.app, address).await.ok()
    }

    /// Notes a refusal before the gate.
    pub(super) fn note(
        &self,
        caller: Option<&Caller>,
        check: &'static str,
        why: &str,
        address: IpAddr,
        request: RequestId,
    ) {
        let refused = Refused { check, why, target: self.app.as_str(), address, request: Some(request) };
        self.rooms.refusals.note(caller, refused);
    }

    async fn caller(&self, headers: &HeaderMap, address: IpAddr) -> Result<Asker, NotPresented> {
        let cookie = cookies::one(headers, cookies::APP_SESSION).ok_or(NotPresented::Nothing)?;
        self.rooms.callers.from_app_cookie(cookie, &self.app, address).await
    }

    /// Nobody asks: on to the portal, if somebody is looking.
    fn nobody(&self, arrived: &Arrived, why: &NotPresented) -> Response<ResponseBody> {
        if let NotPresented::Unavailable(fault) = why {
            tracing::error!(%fault, request = %arrived.request, "cannot look up who asks");
            let detail = "it cannot be looked up who you are";
            self.note(None, "unavailable", detail, arrived.address, arrived.request);
            return problem(StatusCode::SERVICE_UNAVAILABLE, detail, Some(arrived.request), None);
        }
        self.note(None, "app-session", &why.to_string(), arrived.address, arrived.request);
        match arrived.kind {
            Kind::Navigation => handover::begin(self, &arrived.target()),
            Kind::Fetch => {
                let detail = format!("{why}; open {} in a browser", self.origin);
                problem(StatusCode::UNAUTHORIZED, &detail, Some(arrived.request), Some(&self.origin))
            }
        }
    }

    fn refused(&self, arrived: &Arrived, caller: &Caller, refusal: Refusal) -> Response<ResponseBody> {
        if let Refusal::Unavailable { why, .. } = &refusal {
            self.note(None, "unavailable", why, arrived.address, arrived.request);
        }
        match (refusal, arrived.kind) {
            (Refusal::Denied { decision, request }, Kind::Navigation) => {
                let asked = summary(&self.action(arrived));
                RefusedPage::new(&self.portal, self.app.as_str(), asked, caller, &decision, request)
                    .answer(&self.portal)
            }
            (Refusal::Denied { decision, request }, Kind::Fetch) => {
                problem(StatusCode::FORBIDDEN, &decision.sentence(), Some(request), None)
            }
            (Refusal::StepUp { .. }, Kind::Navigation) => see_other(&self.at_portal("step-up", &arrived.target(), &[])),
            (Refusal::StepUp { request, .. }, Kind::Fetch) => {
                let location = self.at_portal("step-up", "/", &[]);
                let detail = "this asks for your passkey again";
                problem(StatusCode::UNAUTHORIZED, detail, Some(request), Some(&location))
            }
            (Refusal::Unavailable { request, .. }, Kind::Navigation) if self.rooms.log.is_broken() => {
                tracing::warn!(%request, "the audit log is not what was published");
                plain(StatusCode::SERVICE_UNAVAILABLE, ASTRAY)
            }
            (Refusal::Unavailable { request, .. }, Kind::Fetch) if self.rooms.log.is_broken() => {
                tracing::warn!(%request, "the audit log is not what was published");
                problem(StatusCode::SERVICE_UNAVAILABLE, ASTRAY, Some(request), None)
            }
            (Refusal::Unavailable { why, request }, Kind::Navigation) => {
                tracing::warn!(why, %request, "a decision cannot be made");
                plain(StatusCode::SERVICE_UNAVAILABLE, "No decision can be made just now. Try again in a moment.")
            }
            (Refusal::Unavailable { why, request }, Kind::Fetch) => {
                tracing::warn!(why, %request, "a decision cannot be made");
                let detail = "no decision can be made just now";
                problem(StatusCode::SERVICE_UNAVAILABLE, detail, Some(request), None)
            }
        }
    }

    /// An address of the portal that leads back to `target` of this app.
    pub(super) fn at_portal(&self, page: &str, target: &str, also: &[(&str, &str)]) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("app", self.app.as_str()).extend_pairs(also).append_pair("return", target);
        format!("{}/{page}?{}", self.portal, query.finish())
    }

    async fn pass(&self, arrived: &Arrived, permit: Permit, came: Came) -> Response<ResponseBody> {
        let Some(ours) = self.fields(arrived, &permit.standing().caller) else {
            let detail = "your name cannot be passed on";
            return problem(StatusCode::FORBIDDEN, detail, Some(arrived.request), None);
        };
        let place = Place::new(&self.rooms.streams, &permit);
        match forward(permit, &self.upstream, ours, came, place).await {
            Ok(response) => response,
            Err(failed) => {
                let status = match failed {
                    Failed::TimedOut => StatusCode::GATEWAY_TIMEOUT,
                    Failed::Ended => StatusCode::UNAUTHORIZED,
                    Failed::Internal => StatusCode::INTERNAL_SERVER_ERROR,
                    Failed::Unrecorded => StatusCode::SERVICE_UNAVAILABLE,
                    Failed::Unreachable | Failed::Broken | Failed::Redirect => StatusCode::BAD_GATEWAY,
                };
                problem(status, &failed.to_string(), Some(arrived.request), None)
            }
        }
    }

    /// What the app is told. None if it cannot be said in a header field.
    fn fields(&self, arrived: &Arrived, asker: &Asker) -> Option<Ours> {
        let mut ours = Ours::beside(self.told.of(asker)?);
        let id = arrived.request.uuid().hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned();
        ours.add(REQUEST, HeaderValue::try_from(id).ok()?);
        Some(ours)
    }
}

const REQUEST: HeaderName = HeaderName::from_static("bailiwick-request");

impl Arrived {
    /// Path and query, to come back to.
    fn target(&self) -> String {
        match &self.query {
            Some(query) if query.len() < 4096 => format!("{}?{query}", self.path),
            _ => self.path.to_string(),
        }
    }
}
