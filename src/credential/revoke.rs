//! Credentials that were issued: which count, whose they are, and revoking one. INVARIANT: the row, what tells every broker and
//! the entry are one transaction, and whoever revokes has a permit that names the credential and its owner.

use std::sync::Arc;

use sqlx::PgPool;

use super::{CredentialFault, unmet};
use crate::{
    access::Permit,
    audit::{Draft, Event, Log},
    model::{Action, Caller, Clock, CredentialId, LoginId, PortalAction, RequestId},
    store::{
        credential::{self, HeldCredential},
        expect_rows,
        revocation::{self, RevokedKind},
    },
};

/// What was issued. Cheap to clone.
#[derive(Clone)]
pub struct Credentials {
    pool: PgPool,
    log: Log,
    clock: Arc<dyn Clock>,
}

impl Credentials {
    /// Those in this database.
    pub fn new(pool: PgPool, log: Log, clock: Arc<dyn Clock>) -> Self {
        Self { pool, log, clock }
    }

    /// Those of these logins that count, the newest first. At most two hundred of each.
    pub async fn live_of(&self, logins: &[LoginId]) -> Result<Vec<HeldCredential>, CredentialFault> {
        Ok(credential::live_of(&self.pool, logins, self.clock.now()).await?)
    }

    /// A credential, whether it counts or not.
    pub async fn credential(&self, id: CredentialId) -> Result<Option<HeldCredential>, CredentialFault> {
        Ok(credential::credential(&self.pool, id).await?)
    }

    /// Revokes the credential that an administrator, or its owner, has a permit to revoke. False: it was revoked before.
    pub async fn revoke(&self, permit: Permit) -> Result<bool, CredentialFault> {
        let request = permit.request();
        let (caller, action, mut pending) = permit.spend();
        let Action::Portal(PortalAction::RevokeCredential { credential, owner }) = action else {
            pending.not_forwarded("another permit");
            return Err(CredentialFault::NotPermitted);
        };
        // The rules judged by the owner that was named; it must be the owner that the row names.
        let row = credential::credential(&self.pool, credential).await?;
        if row.is_none_or(|row| (row.owner.issuer, row.owner.subject) != (owner.issuer, owner.subject)) {
            pending.not_forwarded("another owner");
            return Err(CredentialFault::NotPermitted);
        }
        pending.sent();
        let result = self.revoke_for(&caller, request, credential).await;
        pending.answered(if result.is_ok() { 200 } else { 503 });
        result
    }

    async fn revoke_for(
        &self,
        by: &Caller,
        request: RequestId,
        credential: CredentialId,
    ) -> Result<bool, CredentialFault> {
        let now = self.clock.now();
        let event = Event::CredentialRevoked { credential, cause: CAUSE.to_owned() };
        let draft = Draft { caller: Some(by.into()), event, happened_at: now, request: Some(request) };
        let result = self
            .log
            .append_within(move |db| {
                let draft = draft.clone();
                Box::pin(async move {
                    let done = credential::revoke(&mut *db, credential, CAUSE, now).await?;
                    expect_rows(NOT_YET, 1, u64::from(done))?;
                    revocation::revoke(db, RevokedKind::Credential, credential.uuid(), CAUSE, now).await?;
                    Ok(((), vec![draft]))
                })
            })
            .await;
        match result {
            Ok(_) => Ok(true),
            Err(fault) if unmet(&fault) == Some(NOT_YET) => Ok(false),
            Err(fault) => Err(fault.into()),
        }
    }
}

const CAUSE: &str = "revoked by request";

const NOT_YET: &str = "credential that was not revoked yet";
