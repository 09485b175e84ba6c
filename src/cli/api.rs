//! The portal's API, as the commands of a user ask it.
//!
//! A token goes to the portal that it came from and nowhere else. Names below `.localhost` are this machine, whatever a
//! resolver says (RFC 6761, section 6.3).

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use http::{Method, Request, StatusCode, header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use url::Url;

use super::client::{ClientFault, HeldLogin, address, portal_address};
use crate::model::{CredentialId, LoginId};
use crate::outbound::{Outbound, Plain, Route};

/// A portal, and the login that requests are made under.
pub struct Api {
    portal: Url,
    token: Option<String>,
    http: Outbound,
}

/// A new login, as the portal hands it out.
#[derive(Deserialize)]
pub struct Token {
    /// What proves it.
    pub token: String,
    /// Who it is: provider and subject.
    pub person: String,
    /// The latest that it can end.
    pub expires_at: String,
}

/// How one stands with the portal.
#[derive(Deserialize, Serialize)]
pub struct Status {
    /// Provider and subject.
    pub person: String,
    /// How they are called.
    pub name: String,
    /// The groups that the provider vouches for.
    pub groups: Vec<String>,
    /// The latest that the login can end.
    pub expires_at: String,
}

/// A cluster that may be asked for.
#[derive(Deserialize, Serialize)]
pub struct Cluster {
    /// How it is called.
    pub name: String,
    /// What kubectl dials.
    pub server: String,
    /// The name in the server's certificate, where it is not the one that is dialled.
    #[serde(default)]
    pub tls_server_name: Option<String>,
    /// The authority to trust for it, PEM; none: the system's.
    #[serde(default)]
    pub certificate_authority: Option<String>,
}

/// A certificate for a key of ours.
#[derive(Deserialize)]
pub struct Certificate {
    /// It, and what it hangs on, PEM.
    pub certificate: String,
    /// When it ends.
    pub not_after: String,
}

/// A session of somebody's.
#[derive(Deserialize, Serialize)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub person: String,
    /// Where it was begun.
    pub address: String,
    /// With what.
    pub agent: String,
    /// When it began.
    pub started_at: String,
    /// When it was last used.
    pub active_at: String,
    /// The latest that it can end.
    pub expires_at: String,
    /// Whether it is the one that asks.
    #[serde(default)]
    pub current: bool,
}

/// A certificate or token of somebody's.
#[derive(Deserialize, Serialize)]
pub struct Credential {
    /// Its id.
    pub id: String,
    /// The session that it hangs on.
    pub session: String,
    /// Whose it is.
    pub person: String,
    /// What it is, and for what, in words.
    pub what: String,
    /// certificate or token.
    pub kind: String,
    /// How far it reaches.
    pub scope: Value,
    /// When it was issued.
    pub issued_at: String,
    /// When it ends.
    pub not_after: String,
}

impl Api {
    /// A portal without a login.
    pub fn anonymous(portal: &Url, ca_file: Option<PathBuf>) -> Result<Self, ClientFault> {
        let mut resolve = HashMap::new();
        if let Some(host) = portal.host_str().filter(|host| host.ends_with(".localhost")) {
            let port = portal.port_or_known_default().unwrap_or(443);
            resolve.insert(host.to_owned(), SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        }
        let http = Outbound::new(Route { ca_file, resolve, plain: Plain::Loopback });
        let http = http.map_err(|fault| ClientFault::Other(fault.to_string()))?;
        Ok(Self { portal: portal.clone(), token: None, http })
    }

    /// The portal of a login, under that login.
    pub fn of(login: &HeldLogin) -> Result<Self, ClientFault> {
        let portal = portal_address(&login.portal)?;
        Ok(Self { token: Some(login.token.clone()), ..Self::anonymous(&portal, login.ca_file.clone())? })
    }

    /// Whether anybody answers at the portal's address: asked of a page that is open to all and leaves no entry.
    pub async fn reach(&self) -> Result<(), ClientFault> {
        let unreachable = |why: String| ClientFault::Unreachable { portal: address(&self.portal), why };
        let url = self.portal.join("/sign-in").map_err(|fault| unreachable(fault.to_string()))?;
        let request = Request::get(url.as_str()).body(Vec::new()).map_err(|fault| unreachable(fault.to_string()))?;
        self.http.fetch(request).await.map(drop).map_err(|fault| unreachable(fault.to_string()))
    }

    /// Exchanges the code of a confirmed request for a token (RFC 7636, section 4.5).
    pub async fn exchange(&self, code: &str, verifier: &str) -> Result<Token, ClientFault> {
        self.ask(Method::POST, &["command-line", "token"], Some(json!({ "code": code, "verifier": verifier }))).await
    }

    /// Who one is, and until when.
    pub async fn status(&self) -> Result<Status, ClientFault> {
        self.ask(Method::GET, &["status"], None).await
    }

    /// Ends the login.
    pub async fn sign_out(&self) -> Result<(), ClientFault> {
        self.tell(&["sign-out"]).await
    }

    /// The clusters that one may ask for.
    pub async fn clusters(&self) -> Result<Vec<Cluster>, ClientFault> {
        #[derive(Deserialize)]
        struct Answer {
            clusters: Vec<Cluster>,
        }
        let answer: Answer = self.ask(Method::GET, &["clusters"], None).await?;
        Ok(answer.clusters)
    }

    /// A certificate for a cluster.
    pub async fn certificate(&self, cluster: &str, question: Value) -> Result<Certificate, ClientFault> {
        self.ask(Method::POST, &["clusters", cluster, "certificates"], Some(question)).await
    }

    /// The sessions that one may see.
    pub async fn sessions(&self) -> Result<Vec<Session>, ClientFault> {
        #[derive(Deserialize)]
        struct Answer {
            sessions: Vec<Session>,
        }
        let answer: Answer = self.ask(Method::GET, &["sessions"], None).await?;
        Ok(answer.sessions)
    }

    /// Ends a session.
    pub async fn end_session(&self, id: LoginId) -> Result<(), ClientFault> {
        self.tell(&["sessions", &id.to_string(), "end"]).await
    }

    /// The certificates and tokens that one may see.
    pub async fn credentials(&self) -> Result<Vec<Credential>, ClientFault> {
        #[derive(Deserialize)]
        struct Answer {
            credentials: Vec<Credential>,
        }
        let answer: Answer = self.ask(Method::GET, &["credentials"], None).await?;
        Ok(answer.credentials)
    }

    /// Revokes one.
    pub async fn revoke_credential(&self, id: CredentialId) -> Result<(), ClientFault> {
        self.tell(&["credentials", &id.to_string(), "revoke"]).await
    }

    async fn tell(&self, path: &[&str]) -> Result<(), ClientFault> {
        self.fetch(Method::POST, path, Some(json!({}))).await.map(drop)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: Option<Value>,
    ) -> Result<T, ClientFault> {
        let answer = self.fetch(method, path, body).await?;
        serde_json::from_slice(&answer)
            .map_err(|fault| ClientFault::Strange { portal: address(&self.portal), why: fault.to_string() })
    }

    async fn fetch(&self, method: Method, path: &[&str], body: Option<Value>) -> Result<Vec<u8>, ClientFault> {
        let portal = || address(&self.portal);
        let strange = |why: String| ClientFault::Strange { portal: portal(), why };
        let mut url = self.portal.clone();
        url.path_segments_mut().map_err(|()| strange("no address".to_owned()))?.extend(["api", "v1"]).extend(path);
        let mut request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(header::ACCEPT, "application/json, application/problem+json")
            .header(header::USER_AGENT, concat!("bailiwick/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = request.body(body).map_err(|fault| strange(fault.to_string()))?;
        let answer = self.http.fetch(request).await;
        let answer = answer.map_err(|fault| ClientFault::Unreachable { portal: portal(), why: fault.to_string() })?;
        match answer.status() {
            status if status.is_success() => Ok(answer.into_body()),
            StatusCode::UNAUTHORIZED if self.token.is_some() => Err(ClientFault::LoggedOut { portal: portal() }),
            status => Err(ClientFault::Refused { portal: portal(), why: problem(status, answer.body()) }),
        }
    }
}

/// What a problem document says (RFC 9457), or the bare status.
fn problem(status: StatusCode, body: &[u8]) -> String {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |field: &str| document.get(field).and_then(Value::as_str).map(str::to_owned);
    let request = text("request").or_else(|| text("instance")).map(|id| format!(" (request {id})")).unwrap_or_default();
    text("detail").or_else(|| text("title")).map_or_else(|| status.to_string(), |said| format!("{said}{request}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_portals_own_words() {
        let body = br#"{"title":"Forbidden","detail":"only admins","request":"1f"}"#;
        assert_eq!(problem(StatusCode::FORBIDDEN, body), "only admins (request 1f)");
        assert_eq!(problem(StatusCode::BAD_GATEWAY, b"<html>"), "502 Bad Gateway");
    }
}
