//! The portal: sign-in, one's own page, the pages of administration, and the API that the command line uses.
//!
//! Every route and every layer is on this page, in order. A handler's extractors establish who calls, its first lines
//! ask the gate, and the rest runs on the permit. Statuses are chosen in `error`; SQL is the store's; what is proxied
//! is another room's.

mod administration;
mod api;
pub mod assets;
mod audit;
mod blame;
mod caller;
mod command_line;
mod credentials;
mod destination;
mod entry_words;
pub mod errands;
mod error;
mod guard;
mod handover;
mod headers;
mod home;
mod log;
pub mod pace;
pub mod page;
mod passkey;
mod refusal;
mod sign_in;
mod state;
mod told;
mod words;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    handler::Handler,
    middleware::{from_fn, from_fn_with_state},
    routing::{self, MethodRouter},
};
use http::Method;
use tower::ServiceBuilder;
use tower_sessions::{SessionManagerLayer, cookie::SameSite};

pub use error::PortalFault;
pub use guard::{COOKIE, FROM_ELSEWHERE, Stranger};
pub use state::{Portal, PortalState};

/// Whom a route answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Openness {
    /// Anybody.
    Open,
    /// Whoever has half a login or a whole one.
    HalfSignedIn,
    /// Whoever has a whole login.
    SignedIn,
    /// Whoever shows a command-line token.
    Token,
}

/// One route: the census in the tests walks all of them.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with its parameters in braces.
    pub path: &'static str,
    /// Whom it answers.
    pub openness: Openness,
    handler: MethodRouter<Portal>,
}

/// Every route.
pub fn routes() -> Vec<Route> {
    use Openness::{HalfSignedIn, Open, SignedIn, Token};
    vec![
        // Signing in and out.
        get("/sign-in", Open, sign_in::page),
        post("/sign-in", Open, sign_in::begin),
        get("/sign-in/callback", Open, sign_in::callback),
        get("/passkey", HalfSignedIn, passkey::page),
        post("/passkey/begin", HalfSignedIn, passkey::begin),
        post("/passkey/finish", HalfSignedIn, passkey::finish),
        get("/enrol", HalfSignedIn, passkey::enrol_page),
        post("/enrol/begin", HalfSignedIn, passkey::enrol_begin),
        post("/enrol/finish", HalfSignedIn, passkey::enrol_finish),
        get("/onward", SignedIn, sign_in::go_onward),
        post("/sign-out", HalfSignedIn, sign_in::sign_out),
        get("/signed-out", Open, sign_in::signed_out),
        // Proving oneself again, and going on to an app or back to the command line. The pages turn anybody who is not
        // signed in towards the sign-in themselves, because they must remember more than their own address.
        get("/step-up", SignedIn, passkey::step_up_page),
        post("/step-up/begin", SignedIn, passkey::step_up_begin),
        post("/step-up/finish", SignedIn, passkey::step_up_finish),
        get("/handover", SignedIn, handover::carry),
        get("/command-line", SignedIn, command_line::page),
        post("/command-line", SignedIn, command_line::answer),
        // One's own page, and administration.
        get("/", SignedIn, home::page),
        get("/sessions", SignedIn, administration::sessions),
        post("/sessions/{id}/end", SignedIn, home::end_session),
        post("/credentials/{id}/revoke", SignedIn, credentials::revoke),
        get("/audit", SignedIn, audit::page),
        get("/audit/entries/{leaf}", SignedIn, audit::entry),
        get("/audit/entries/{leaf}/proof", SignedIn, audit::proof),
        get("/audit/entries/{leaf}/evidence", SignedIn, audit::evidence),
        get("/audit/export", SignedIn, audit::export),
        get("/audit/manifests/{name}", SignedIn, audit::manifest),
        post("/audit/searches", SignedIn, audit::save),
        post("/audit/searches/remove", SignedIn, audit::remove),
        get("/policy", SignedIn, administration::policy),
        // The command line's API.
        post("/api/v1/command-line/token", Open, api::token),
        get("/api/v1/status", Token, api::status),
        post("/api/v1/sign-out", Token, api::sign_out),
        get("/api/v1/clusters", Token, api::clusters),
        post("/api/v1/clusters/{cluster}/certificates", Token, api::certificate),
        get("/api/v1/sessions", Token, api::sessions),
        post("/api/v1/sessions/{id}/end", Token, api::end_session),
        get("/api/v1/credentials", Token, credentials::list),
        post("/api/v1/credentials/{id}/revoke", Token, credentials::revoke_for_program),
        // The log's hashes and its newest checkpoint: nothing that reveals an entry.
        get("/log/{*path}", Open, log::serve),
        // The sheet, the glyph and the passkey script.
        get("/static/{file}", Open, assets::serve),
    ]
}

/// The portal as a service. Its requests carry a [`Peer`](crate::listener::Peer) as an extension.
pub fn router(portal: Portal) -> Router {
    let sessions = SessionManagerLayer::new(portal.sessions.clone())
        .with_name(COOKIE)
        .with_http_only(true)
        .with_secure(true)
        .with_same_site(SameSite::Lax)
        .with_path("/");
    // Outermost first.
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(portal.clone(), headers::name_request))
        .layer(from_fn_with_state(portal.clone(), headers::dress))
        .layer(from_fn_with_state(portal.clone(), error::put_into_words))
        .layer(from_fn_with_state(portal.clone(), headers::tell_doors))
        .layer(from_fn(headers::limit_time))
        .layer(from_fn_with_state(portal.clone(), guard::guard))
        .layer(DefaultBodyLimit::max(headers::LARGEST_BODY))
        .layer(sessions);
    let router = routes().into_iter().fold(Router::new(), |router, route| router.route(route.path, route.handler));
    router.fallback(async || PortalFault::NotFound).layer(layers).with_state(portal)
}

fn get<H: Handler<T, Portal>, T: 'static>(path: &'static str, openness: Openness, handler: H) -> Route {
    Route { method: Method::GET, path, openness, handler: routing::get(handler) }
}

fn post<H: Handler<T, Portal>, T: 'static>(path: &'static str, openness: Openness, handler: H) -> Route {
    Route { method: Method::POST, path, openness, handler: routing::post(handler) }
}
