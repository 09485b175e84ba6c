//! What the command line asks: JSON over bearer tokens, no cookies, errors as RFC 9457.
//! Every answer about a person comes after the gate's; instants are RFC 3339.

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Portal, PortalFault, PortalState,
    caller::{Bearer, Visitor},
    entry_words::display,
    told::told,
};
use crate::{
    access::Permit,
    config::Cluster,
    credential::CertificateRequest,
    identity::Visit,
    model::{Action, Caller, ClusterName, IssueRequest, LoginId, PersonId, PortalAction, Reach},
    store::login::LoginRow,
};

/// What is exchanged for a token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    code: String,
    verifier: String,
}

/// POST /api/v1/command-line/token
pub async fn token(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    Json(exchange): Json<Exchange>,
) -> Result<Json<Value>, PortalFault> {
    let token = portal.command_lines.exchange(&exchange.code, &exchange.verifier, &visit).await?;
    Ok(Json(json!({
        "token": token.secret.expose_secret(),
        "person": display(&token.identity),
        "expires_at": token.expires_at.to_string(),
    })))
}

/// GET /api/v1/status
pub async fn status(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    Bearer(caller): Bearer,
) -> Result<Response, PortalFault> {
    let permit = portal.ask_home(&caller, &visit).await?;
    let login = portal.logins.login(caller.login).await?.ok_or(PortalFault::NobodyHere)?;
    let status = Json(json!({
        "person": display(&caller.identity),
        "name": caller.identity.name,
        "groups": caller.groups,
        "login": caller.login,
        "assured_at": login.assurance.at.to_string(),
        "active_at": login.active_at.to_string(),
        "expires_at": login.expires_at.to_string(),
        "idle_seconds": portal.settings.login.idle.as_secs(),
    }));
    Ok(told(permit, status.into_response()))
}

/// POST /api/v1/sign-out
pub async fn sign_out(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    Bearer(caller): Bearer,
) -> Result<Json<Value>, PortalFault> {
    portal.logins.sign_out(&caller, None, &portal.settings.portal.url, &visit).await?;
    Ok(Json(json!({ "ended": caller.login })))
}

/// GET /api/v1/clusters
pub async fn clusters(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    Bearer(caller): Bearer,
) -> Result<Response, PortalFault> {
    let permit = portal.ask_home(&caller, &visit).await?;
    let open = portal.settings.cluster.iter().filter(|cluster| portal.would_issue(&permit, &cluster.name));
    let authority = portal.server_authority();
    let clusters: Vec<Value> = open.map(|cluster| portal.cluster_words(cluster, authority.as_deref())).collect();
    Ok(told(permit, Json(json!({ "clusters": clusters })).into_response()))
}

/// A certificate that is asked for: the less, the better.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateWish {
    csr: String,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default)]
    read_only: bool,
    lifetime: Option<u64>,
}

/// POST /api/v1/clusters/{cluster}/certificates
pub async fn certificate(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    Bearer(caller): Bearer,
    Path(cluster): Path<ClusterName>,
    Json(wish): Json<CertificateWish>,
) -> Result<Json<Value>, PortalFault> {
    let known = portal.settings.cluster.iter().find(|known| known.name == cluster).ok_or(PortalFault::NotFound)?;
    let request = CertificateRequest::from_pem(&wish.csr)?;
    let longest = portal.settings.login.credential.as_secs();
    let action = Action::Issue(IssueRequest {
        cluster: known.name.clone(),
        namespaces: distinct(wish.namespaces)?,
        reach: if wish.read_only { Reach::ReadOnly } else { Reach::Full },
        lifetime: wish.lifetime.unwrap_or(longest).min(longest),
        key: request.key_hash(),
    });
    let permit = portal.ask(&caller, visit.request, action).await?;
    let issued = portal.issuer.issue(permit, &request).await?;
    Ok(Json(json!({
        "certificate": issued.certificate,
        "serial": issued.serial,
        "not_after": issued.not_after.to_string(),
    })))
}

/// GET /api/v1/sessions: everybody's for those who may list them, otherwise one's own.
pub async fn sessions(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    Bearer(caller): Bearer,
) -> Result<Response, PortalFault> {
    let (permit, whose) = portal.ask_whose(&caller, &visit).await?;
    let rows = portal.logins.live(whose).await?;
    let sessions: Vec<Value> = rows.iter().map(|row| session_words(row, &caller)).collect();
    Ok(told(permit, Json(json!({ "sessions": sessions })).into_response()))
}

/// POST /api/v1/sessions/{id}/end
pub async fn end_session(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    Bearer(caller): Bearer,
    Path(id): Path<LoginId>,
) -> Result<Json<Value>, PortalFault> {
    portal.end_login(&caller, id, visit.request).await?;
    Ok(Json(json!({ "ended": id })))
}

impl PortalState {
    async fn ask_home(&self, caller: &Caller, visit: &Visit) -> Result<Permit, PortalFault> {
        self.ask(caller, visit.request, Action::Portal(PortalAction::Home)).await
    }

    /// Everybody's for those who may list sessions, otherwise one's own.
    pub async fn ask_whose(&self, caller: &Caller, visit: &Visit) -> Result<(Permit, Option<PersonId>), PortalFault> {
        let home = self.ask_home(caller, visit).await?;
        let everybodys = Action::Portal(PortalAction::ListSessions);
        if !self.would_allow(&home, everybodys.clone()) {
            return Ok((home, Some(caller.person)));
        }
        home.spend().2.answered(200);
        Ok((self.ask(caller, visit.request, everybodys).await?, None))
    }

    /// What a kubeconfig needs to know. It holds no secret.
    fn cluster_words(&self, cluster: &Cluster, authority: Option<&str>) -> Value {
        json!({
            "name": cluster.name,
            "server": self.server_address(cluster),
            "tls_server_name": cluster.host,
            "certificate_authority": authority,
        })
    }

    fn server_address(&self, cluster: &Cluster) -> String {
        if let Some(url) = &cluster.server_url {
            return url.as_str().trim_end_matches('/').to_owned();
        }
        match cluster.listen.or(self.settings.listener.https).map(|at| at.port()) {
            None | Some(443) => format!("https://{}", cluster.host),
            Some(port) => format!("https://{}:{port}", cluster.host),
        }
    }

    /// What clients must trust to reach a cluster through us: the chain above our own server certificate, or that
    /// certificate itself where there is no chain. Read anew each time, because it is replaced while we run.
    fn server_authority(&self) -> Option<String> {
        let file = self.settings.listener.certificate_file.as_ref()?;
        let text = std::fs::read(file).ok()?;
        let chain: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok).collect();
        let above = if chain.len() > 1 { chain.get(1..)? } else { chain.as_slice() };
        Some(above.iter().map(|certificate| pem(certificate)).collect())
    }
}

fn session_words(row: &LoginRow, caller: &Caller) -> Value {
    json!({
        "id": row.id,
        "person": display(&row.identity),
        "address": row.address,
        "agent": row.agent,
        "started_at": row.started_at.to_string(),
        "active_at": row.active_at.to_string(),
        "expires_at": row.expires_at.to_string(),
        "current": row.id == caller.login,
    })
}

/// Namespaces as Kubernetes names them (RFC 1123 labels), each once, in order, and not without end.
fn distinct(mut namespaces: Vec<String>) -> Result<Vec<String>, PortalFault> {
    namespaces.sort();
    namespaces.dedup();
    let sound = namespaces.len() <= 64 && namespaces.iter().all(|name| name.parse::<ClusterName>().is_ok());
    if sound {
        Ok(namespaces)
    } else {
        Err(PortalFault::BadRequest("A namespace is not one, or there are too many.".into()))
    }
}

/// RFC 7468.
fn pem(der: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_checked_and_each_named_once() {
        let own = |names: &[&str]| distinct(names.iter().map(|&name| name.to_owned()).collect());
        assert_eq!(own(&["b", "a", "b"]).unwrap(), ["a", "b"]);
        assert!(own(&["kube/system"]).is_err() && own(&["*"]).is_err() && own(&[""]).is_err());
    }
}
