//! One's own page, and ending a login from it.

use std::collections::HashMap;

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use http::StatusCode;
use tower_sessions::Session;

use super::{
    Portal, PortalFault, PortalState,
    caller::{SignedIn, Visitor},
    entry_words::display,
    page::{AppTile, ClusterTile, CredentialRow, HomePage, LoginRow, PasskeyRow, show},
    told::told,
    words,
};
use crate::{
    access::Permit,
    model::{
        Action, AssuranceLevel, Caller, CanonicalPath, ClusterName, IssueRequest, LoginId, Method, PortalAction, Reach,
        Upgrade, WebRequest,
    },
    store::{self, login::LoginRow as StoredLogin},
};

/// GET /
pub async fn page(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    SignedIn(caller): SignedIn,
    session: Session,
) -> Result<Response, PortalFault> {
    let permit = portal.ask_on_the_way(&caller, visit.request, PortalAction::Home, (&session, "/")).await?;
    let now = portal.clock.now();
    let logins = portal.logins.live(Some(caller.person)).await?;
    let mut hanging = portal.hanging_on(&logins).await?;
    let ends = logins.iter().find(|login| login.id == caller.login).map(|login| login.expires_at);
    let passkeys = store::passkey::passkeys_of(&portal.pool, caller.person, portal.settings.portal.host()).await?;
    let page = HomePage {
        frame: portal.frame(&permit, "/"),
        name: caller.identity.name.clone(),
        proven: words::ago(now, caller.assurance.at),
        ends: ends.map(|ends| words::ahead(now, ends)).unwrap_or_default(),
        apps: portal.open_apps(&permit),
        command_line: format!("bailiwick login --portal {}", portal.settings.portal.origin()),
        clusters: portal.open_clusters(&permit),
        logins: logins.iter().map(|login| login_row(&portal, login, &mut hanging, &caller)).collect(),
        passkeys: passkeys
            .iter()
            .map(|passkey| PasskeyRow {
                label: passkey.label.clone(),
                created: words::day(passkey.created_at),
                used: passkey.used_at.map(|used| words::ago(now, used)),
            })
            .collect(),
    };
    Ok(told(permit, show(StatusCode::OK, &page)))
}

/// POST /sessions/{id}/end
pub async fn end_session(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    SignedIn(caller): SignedIn,
    session: Session,
    Path(id): Path<LoginId>,
) -> Result<Response, PortalFault> {
    let own = portal.end_login(&caller, id, visit.request).await?;
    if id == caller.login {
        session.flush().await.map_err(PortalFault::failure)?;
        return Ok(Redirect::to("/signed-out").into_response());
    }
    Ok(Redirect::to(if own { "/" } else { "/sessions" }).into_response())
}

impl PortalState {
    /// Ends a login, if the rules let this caller. True: it was one of their own.
    pub async fn end_login(
        &self,
        caller: &Caller,
        login: LoginId,
        request: crate::model::RequestId,
    ) -> Result<bool, PortalFault> {
        let row = self.logins.login(login).await?.ok_or(PortalFault::NoSuch("session"))?;
        let own = row.person == caller.person;
        let action = PortalAction::EndSession { login, owner: row.identity };
        let permit = self.ask(caller, request, Action::Portal(action)).await?;
        self.logins.end_permitted(permit).await.map_err(PortalFault::recorded)?;
        Ok(own)
    }

    /// The apps whose front page the rules would let the holder of `permit` see.
    fn open_apps(&self, permit: &Permit) -> Vec<AppTile> {
        let Ok(front) = CanonicalPath::parse("/") else { return Vec::new() };
        let opens = |app: &&crate::config::App| {
            let path = front.clone();
            let look =
                WebRequest { app: app.name.clone(), method: Method::Get, path, query: None, upgrade: Upgrade::None };
            self.would_allow(permit, Action::Web(look))
        };
        let tile = |app: &crate::config::App| AppTile {
            name: app.name.to_string(),
            letter: app.name.as_str().chars().take(1).collect(),
            url: format!("{}/", app.origin(&self.settings.portal)),
            host: app.host.to_string(),
        };
        self.settings.app.iter().filter(opens).map(tile).collect()
    }

    /// The clusters for which the rules would give the holder of `permit` a certificate, be it only for reading.
    fn open_clusters(&self, permit: &Permit) -> Vec<ClusterTile> {
        let names = self.settings.cluster.iter().map(|cluster| &cluster.name);
        let open = names.filter(|name| self.would_issue(permit, name));
        open.map(|name| ClusterTile { name: name.to_string(), command: format!("bailiwick kube login {name}") })
            .collect()
    }

    /// Whether a certificate for the cluster would be issued to the holder of `permit`.
    pub fn would_issue(&self, permit: &Permit, cluster: &ClusterName) -> bool {
        let lifetime = self.settings.login.credential.as_secs();
        [Reach::Full, Reach::ReadOnly].into_iter().any(|reach| {
            let namespaces = Vec::new();
            let issue = IssueRequest { cluster: cluster.clone(), namespaces, reach, lifetime, key: String::new() };
            self.would_allow(permit, Action::Issue(issue))
        })
    }
}

/// An open login as pages show it to `caller`, with what hangs on it.
pub fn login_row(
    portal: &Portal,
    login: &StoredLogin,
    hanging: &mut HashMap<LoginId, Vec<CredentialRow>>,
    caller: &Caller,
) -> LoginRow {
    LoginRow {
        id: login.id.to_string(),
        person: login.identity.name.clone(),
        display: display(&login.identity),
        agent: words::agent(&login.agent),
        address: login.address.clone(),
        started: words::moment(login.started_at),
        started_exact: login.started_at.to_string(),
        active: words::ago(portal.clock.now(), login.active_at),
        half: login.assurance.level < AssuranceLevel::Passkey,
        this: login.id == caller.login,
        credentials: hanging.remove(&login.id).unwrap_or_default(),
    }
}
