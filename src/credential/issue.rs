//! Issues certificates. INVARIANT: the row and its entry are committed together, before the certificate
//! leaves; the key, the cluster and the narrowing are those of the permit; nothing outlives the login.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sqlx::PgPool;

use super::{Authority, CertificateRequest, CredentialFault, x509::Leaf};
use crate::{
    access::Permit,
    audit::{Draft, Event, Log},
    config,
    model::{Action, Caller, Clock, CredentialId, Entropy, IssueRequest, RequestId, Scope, Timestamp},
    store::{
        credential::{self, NewCredential},
        login,
    },
};

/// Signs client certificates for whoever has a permit. Cheap to clone.
#[derive(Clone)]
pub struct Issuer {
    authority: Arc<Authority>,
    pool: PgPool,
    log: Log,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    limits: config::Login,
}

/// A certificate that was issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// Its row.
    pub credential: CredentialId,
    /// The certificate, PEM.
    pub certificate: String,
    /// Its serial number, in hex.
    pub serial: String,
    /// The last second in which it is valid.
    pub not_after: Timestamp,
}

impl Issuer {
    /// Signs with `authority`, for at most `limits.credential`.
    pub fn new(
        authority: Arc<Authority>,
        pool: PgPool,
        log: Log,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        limits: config::Login,
    ) -> Self {
        Self { authority, pool, log, clock, entropy, limits }
    }

    /// The authority that signs.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Issues a certificate for the key of `request`, which must be the key of the permit. Lasts as long as was
    /// permitted, at most as long as the settings say, and never past the login.
    pub async fn issue(&self, permit: Permit, request: &CertificateRequest) -> Result<Issued, CredentialFault> {
        let id = permit.request();
        let (caller, action, mut pending) = permit.spend();
        pending.sent();
        let result = match action {
            Action::Issue(asked) if asked.key == request.key_hash() => self.sign(&caller, id, &asked, request).await,
            _ => Err(CredentialFault::NotPermitted),
        };
        pending.answered(match &result {
            Ok(_) => 200,
            Err(CredentialFault::BadRequest(_)) => 400,
            Err(CredentialFault::LoginEnded | CredentialFault::NotPermitted) => 403,
            Err(_) => 503,
        });
        result
    }

    async fn sign(
        &self,
        caller: &Caller,
        id: RequestId,
        asked: &IssueRequest,
        request: &CertificateRequest,
    ) -> Result<Issued, CredentialFault> {
        let now = self.clock.now();
        let not_after = self.not_after(caller, asked, now).await?;
        let credential = CredentialId::random(self.entropy.as_ref());
        let leaf = Leaf { person: caller.person, serial: self.entropy.bytes(), now, not_after };
        let certificate = request.sign(&leaf, &self.authority)?;
        let serial = super::x509::serial_bytes(&leaf.serial);
        let new = NewCredential {
            id: credential,
            login: caller.login,
            person: caller.person,
            serial: Some(serial.clone()),
            key_hash: request.key_digest(),
            scope: Scope::Cluster {
                cluster: asked.cluster.clone(),
                namespaces: asked.namespaces.clone(),
                reach: asked.reach,
            },
            issued_at: now,
            not_after,
        };
        let event = Event::CredentialIssued {
            credential,
            cluster: Some(asked.cluster.clone()),
            namespaces: asked.namespaces.clone(),
            reach: asked.reach,
            serial: Some(hex::encode(&serial)),
            not_after,
        };
        let draft = Draft { caller: Some(caller.into()), event, happened_at: now, request: Some(id) };
        let ((), _receipt) = self
            .log
            .append_within(move |db| {
                let (new, draft) = (new.clone(), draft.clone());
                Box::pin(async move {
                    credential::insert(db, &new).await?;
                    Ok(((), vec![draft]))
                })
            })
            .await?;
        Ok(Issued { credential, certificate: pem(&certificate), serial: hex::encode(serial), not_after })
    }

    /// The last second that permit, settings and login allow.
    async fn not_after(
        &self,
        caller: &Caller,
        asked: &IssueRequest,
        now: Timestamp,
    ) -> Result<Timestamp, CredentialFault> {
        let login = login::login(&self.pool, caller.login).await?.ok_or(CredentialFault::LoginEnded)?;
        let idle = login.active_at.plus(self.limits.idle) <= now;
        if login.ended_at.is_some() || idle {
            return Err(CredentialFault::LoginEnded);
        }
        let lifetime = Duration::from_secs(asked.lifetime).min(self.limits.credential);
        let end = now.plus(lifetime).min(login.expires_at);
        let second = Timestamp::from_micros(end.seconds().saturating_mul(1_000_000));
        if second > now { Ok(second) } else { Err(CredentialFault::LoginEnded) }
    }
}

fn pem(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in body.as_bytes().chunks(64) {
        out.extend(line.iter().map(|&byte| char::from(byte)));
        out.push('\n');
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}
