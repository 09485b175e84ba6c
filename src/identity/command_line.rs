//! Lets the command line act for a login: a one-time code after confirmation in the portal (RFC 8252), exchanged by
//! whoever has the PKCE verifier (RFC 7636, S256 only) for an opaque token that lives as long as the login.
//! The portal checks where the code is sent: loopback only.

use std::{sync::Arc, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::PgPool;

use super::{Denial, IdentityFault, Visit, handover::ended, login::caller_of, presented::Callers, secret};
use crate::{
    access::Permit,
    audit::{Draft, Event, Log},
    model::{Action, Clock, CredentialId, Entropy, Identity, PortalAction, Presented, Reach, Scope, Timestamp},
    store::{
        command_line_grant,
        credential::{self, NewCredential},
        login::LoginRow,
    },
};

/// Makes and exchanges codes for tokens. Cheap to clone.
#[derive(Clone)]
pub struct CommandLines {
    pool: PgPool,
    log: Log,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    callers: Callers,
}

/// A command-line token, shown once.
#[derive(Clone, Debug)]
pub struct Token {
    /// The token itself.
    pub secret: SecretString,
    /// Its row.
    pub credential: CredentialId,
    /// For whom it acts.
    pub identity: Identity,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
}

const LIFE: Duration = Duration::from_secs(60);
/// So that whoever finds one knows what it is.
const PREFIX: &str = "bailiwick_";

impl CommandLines {
    /// Tokens for logins that `callers` finds alive.
    pub fn new(pool: PgPool, log: Log, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>, callers: Callers) -> Self {
        Self { pool, log, clock, entropy, callers }
    }

    /// A code for the login of whoever has the permit, bound to the challenge.
    pub async fn authorize(&self, permit: Permit, challenge: &str) -> Result<String, IdentityFault> {
        let (caller, action, mut pending) = permit.spend();
        if action != Action::Portal(PortalAction::AuthorizeCommandLine) {
            pending.not_forwarded("another permit");
            return Err(Denial::NotPermitted.into());
        }
        if challenge.len() != 43 || !challenge.bytes().all(is_base64url) {
            pending.answered(400);
            return Err(IdentityFault::BadRequest("the challenge is not an S256 challenge"));
        }
        pending.sent();
        let code = secret::fresh(self.entropy.as_ref());
        let expires_at = self.clock.now().plus(LIFE);
        let kept =
            command_line_grant::insert(&self.pool, &secret::hash(&code), challenge, caller.login, expires_at).await;
        pending.answered(if kept.is_ok() { 200 } else { 503 });
        kept?;
        Ok(code)
    }

    /// Uses a code up, and issues a token if the verifier is the one that its challenge was made of.
    pub async fn exchange(&self, code: &str, verifier: &str, visit: &Visit) -> Result<Token, IdentityFault> {
        let denied = || IdentityFault::from(Denial::OneTimeCode);
        let found = command_line_grant::take(&self.pool, &secret::hash(code)).await?.ok_or_else(denied)?;
        let known = secret::same(found.challenge.as_bytes(), secret::challenge(verifier).as_bytes());
        let well_formed = (43..=128).contains(&verifier.len()) && verifier.bytes().all(is_unreserved);
        if !known || !well_formed || found.expires_at <= self.clock.now() {
            return Err(denied());
        }
        let row = self.callers.live_and_whole(found.login).await.map_err(ended)?;
        self.issue(&row, visit).await
    }

    async fn issue(&self, row: &LoginRow, visit: &Visit) -> Result<Token, IdentityFault> {
        let now = self.clock.now();
        let id = CredentialId::random(self.entropy.as_ref());
        let token = SecretString::from(format!("{PREFIX}{}", secret::fresh(self.entropy.as_ref())));
        let new = NewCredential {
            id,
            login: row.id,
            person: row.person,
            serial: None,
            key_hash: secret::hash(token.expose_secret()),
            scope: Scope::Portal,
            issued_at: now,
            not_after: row.expires_at,
        };
        let event = Event::CredentialIssued {
            credential: id,
            cluster: None,
            namespaces: Vec::new(),
            reach: Reach::Full,
            serial: None,
            not_after: row.expires_at,
        };
        let caller = caller_of(row, Presented::Token(id), Scope::Portal, visit.address);
        let draft = Draft { caller: Some(caller.into()), event, happened_at: now, request: Some(visit.request) };
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
        Ok(Token { secret: token, credential: id, identity: row.identity.clone(), expires_at: row.expires_at })
    }
}

const fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

const fn is_unreserved(byte: u8) -> bool {
    is_base64url(byte) || byte == b'.' || byte == b'~'
}
