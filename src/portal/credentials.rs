//! Certificates and tokens that were issued: what hangs on a login, and revoking it, from a page and for programs.

use std::collections::HashMap;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse as _, Redirect, Response},
};
use serde_json::{Value, json};

use super::{
    Portal, PortalFault, PortalState,
    caller::{Bearer, SignedIn, Visitor},
    entry_words::display,
    page::CredentialRow,
    told::told,
    words,
};
use crate::{
    model::{Action, Caller, CredentialId, LoginId, PortalAction, Reach, RequestId, Scope},
    store::{credential::HeldCredential, login::LoginRow},
};

/// POST /credentials/{id}/revoke
pub async fn revoke(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    SignedIn(caller): SignedIn,
    Path(id): Path<CredentialId>,
) -> Result<Response, PortalFault> {
    let is_own = portal.revoke(&caller, id, visit.request).await?;
    Ok(Redirect::to(if is_own { "/" } else { "/sessions" }).into_response())
}

/// GET /api/v1/credentials: everybody's for those who may list sessions, otherwise one's own.
pub async fn list(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    Bearer(caller): Bearer,
) -> Result<Response, PortalFault> {
    let (permit, whose) = portal.ask_whose(&caller, &visit).await?;
    let logins = portal.logins.live(whose).await?;
    let logins: Vec<LoginId> = logins.iter().map(|login| login.id).collect();
    let live = portal.credentials.live_of(&logins).await?;
    let credentials: Vec<Value> = live.iter().map(in_json).collect();
    Ok(told(permit, Json(json!({ "credentials": credentials })).into_response()))
}

/// POST /api/v1/credentials/{id}/revoke
pub async fn revoke_for_program(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    Bearer(caller): Bearer,
    Path(id): Path<CredentialId>,
) -> Result<Json<Value>, PortalFault> {
    portal.revoke(&caller, id, visit.request).await?;
    Ok(Json(json!({ "revoked": id })))
}

impl PortalState {
    /// Revokes a credential, if the rules let this caller. True: it was one of their own.
    async fn revoke(&self, caller: &Caller, id: CredentialId, request: RequestId) -> Result<bool, PortalFault> {
        let row = self.credentials.credential(id).await?.ok_or(PortalFault::NoSuch("credential"))?;
        let is_own = (&row.owner.issuer, &row.owner.subject) == (&caller.identity.issuer, &caller.identity.subject);
        let action = PortalAction::RevokeCredential { credential: id, owner: row.owner };
        let permit = self.ask(caller, request, Action::Portal(action)).await?;
        self.credentials.revoke(permit).await.map_err(PortalFault::recorded)?;
        Ok(is_own)
    }

    /// What hangs on each of these logins, as pages show it.
    pub async fn hanging_on(&self, logins: &[LoginRow]) -> Result<HashMap<LoginId, Vec<CredentialRow>>, PortalFault> {
        let ids: Vec<LoginId> = logins.iter().map(|login| login.id).collect();
        let mut hanging: HashMap<LoginId, Vec<CredentialRow>> = HashMap::new();
        for credential in self.credentials.live_of(&ids).await? {
            let row = CredentialRow {
                id: credential.id.to_string(),
                what: in_words(&credential),
                issued: words::ago(self.clock.now(), credential.issued_at),
                ends: words::ahead(self.clock.now(), credential.not_after),
            };
            hanging.entry(credential.login).or_default().push(row);
        }
        Ok(hanging)
    }
}

/// `certificate for prod, only payments, read-only`, or `token of the command line`
fn in_words(credential: &HeldCredential) -> String {
    let kind = if credential.is_certificate { "certificate" } else { "token" };
    match &credential.scope {
        Scope::Portal => format!("{kind} of the command line"),
        Scope::App { app } => format!("{kind} for {app}"),
        Scope::Cluster { cluster, namespaces, reach } => {
            let only = if namespaces.is_empty() { String::new() } else { format!(", only {}", namespaces.join(", ")) };
            let reach = if *reach == Reach::ReadOnly { ", read-only" } else { "" };
            format!("{kind} for {cluster}{only}{reach}")
        }
    }
}

fn in_json(credential: &HeldCredential) -> Value {
    json!({
        "id": credential.id,
        "session": credential.login,
        "person": display(&credential.owner),
        "what": in_words(credential),
        "kind": if credential.is_certificate { "certificate" } else { "token" },
        "scope": credential.scope,
        "issued_at": credential.issued_at.to_string(),
        "not_after": credential.not_after.to_string(),
    })
}
