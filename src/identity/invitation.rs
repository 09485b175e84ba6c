//! Invitations to register a first passkey. Whether an invitation is needed, or enough, is for the rules to say.

use std::{sync::Arc, time::Duration};

use super::{Denial, IdentityFault};
use crate::{
    access::Permit,
    audit::{Draft, Event, Log},
    model::{Action, Clock, Entropy, Identity, PersonId, PortalAction, Timestamp},
    store::invitation,
};

/// Invites people. Cheap to clone.
#[derive(Clone)]
pub struct Invitations {
    log: Log,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// How long an invitation stands.
pub const LIFE: Duration = Duration::from_secs(3 * 24 * 60 * 60);

impl Invitations {
    /// Invitations that are recorded in `log`.
    pub fn new(log: Log, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { log, clock, entropy }
    }

    /// Invites the person of the permit; the answer is until when.
    pub async fn invite(&self, permit: Permit) -> Result<Timestamp, IdentityFault> {
        let request = permit.request();
        let (caller, action, mut pending) = permit.spend();
        let Action::Portal(PortalAction::Invite { person }) = action else {
            pending.not_forwarded("another permit");
            return Err(Denial::NotPermitted.into());
        };
        pending.sent();
        let by = caller.person;
        let draft =
            |event, at| Draft { caller: Some((&caller).into()), event, happened_at: at, request: Some(request) };
        let result = self.keep(&person, (Some(by), None), draft).await;
        pending.answered(if result.is_ok() { 200 } else { 503 });
        result
    }

    /// Invites somebody on the word of the operator, who holds the database anyway: the first administrator.
    /// `by` is who that is, by name.
    pub async fn invite_as_operator(&self, person: &Identity, by: &str) -> Result<Timestamp, IdentityFault> {
        let draft = |event, at| Draft { caller: None, event, happened_at: at, request: None };
        self.keep(person, (None, Some(by.to_owned())), draft).await
    }

    async fn keep(
        &self,
        person: &Identity,
        (by, operator): (Option<PersonId>, Option<String>),
        draft: impl FnOnce(Event, Timestamp) -> Draft,
    ) -> Result<Timestamp, IdentityFault> {
        let now = self.clock.now();
        let expires_at = now.plus(LIFE);
        let id = uuid::Builder::from_random_bytes(self.entropy.bytes()).into_uuid();
        let event = Event::Invited { person: person.clone(), expires_at, before: None, by: operator };
        let draft = draft(event, now);
        let person = person.clone();
        let ((), _receipt) = self
            .log
            .append_within(move |db| {
                let (person, mut draft) = (person.clone(), draft.clone());
                Box::pin(async move {
                    let key = (person.issuer.as_str(), person.subject.as_str());
                    if let Event::Invited { before, .. } = &mut draft.event {
                        *before = invitation::open_until(&mut *db, key, now).await?;
                    }
                    invitation::insert(db, id, key, by, now, expires_at).await?;
                    Ok(((), vec![draft]))
                })
            })
            .await?;
        Ok(expires_at)
    }
}
