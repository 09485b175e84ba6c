//! Passkeys: registered once for a person, asserted at each sign-in and step-up, always with user verification.
//!
//! The relying party is the portal's own host and exact origin: no parent domain, no sibling, no other port. A ceremony
//! is kept on the server, bound to its login, good for five minutes and for one attempt. What the browser sends is a
//! stranger's until the signature holds; whose passkeys may answer is decided by the login, never by what was sent.
//! INVARIANT: a first passkey needs a permit of the gate, and losing all passkeys never makes another one the first.

use std::sync::Arc;

use serde_json::Value;
use sqlx::PgPool;
use webauthn_rs::prelude::{
    CreationChallengeResponse, Passkey, PasskeyAuthentication, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, RequestChallengeResponse, Webauthn, WebauthnBuilder, WebauthnError,
};
use webauthn_rs_proto::ResidentKeyRequirement;

use super::{
    Denial, IdentityFault, Visit,
    login::{CEREMONY, sign_in_step},
};
use crate::{
    access::Permit,
    audit::{ChangeFault, Draft, Event, Log, SignInStep},
    config, credential,
    model::{Action, AssuranceLevel, Caller, CeremonyId, Clock, EnrolRequest, Entropy, LoginId, PasskeyId, PersonId},
    store::{
        ceremony::{self, Purpose},
        expect_rows, invitation, login,
        passkey::{self, NewPasskey, PasskeyRow},
        person::{self, Person},
    },
};

/// Registers and asserts passkeys. Cheap to clone.
#[derive(Clone)]
pub struct Passkeys {
    relying_party: Arc<Webauthn>,
    rp_id: Arc<str>,
    origin: Arc<str>,
    pool: PgPool,
    log: Log,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

const FIRST: &str = "person without a passkey until now";
const OWN: &str = "passkey that is nobody's yet";
const INVITED: &str = "open invitation";
const ALIVE: &str = "login that lives";
const GROWN: &str = "passkey whose counter has grown";
const LONGEST_LABEL: usize = 60;

impl Passkeys {
    /// Passkeys of the portal's host and origin.
    pub fn new(
        portal: &config::Portal,
        pool: PgPool,
        log: Log,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, IdentityFault> {
        let relying_party = WebauthnBuilder::new(portal.host(), &portal.url)
            .map(|builder| builder.rp_name("Bailiwick").timeout(CEREMONY))
            .and_then(WebauthnBuilder::build)
            .map_err(|_| IdentityFault::Internal("the portal's URL cannot be a relying party"))?;
        let (rp_id, origin) = (Arc::from(portal.host()), Arc::from(portal.origin()));
        Ok(Self { relying_party: Arc::new(relying_party), rp_id, origin, pool, log, clock, entropy })
    }

    /// What to ask the gate before a first passkey: whether the caller is invited is for the rules to weigh.
    pub async fn enrol_request(&self, caller: &Caller) -> Result<EnrolRequest, IdentityFault> {
        let key = (caller.identity.issuer.as_str(), caller.identity.subject.as_str());
        let invited = invitation::is_open(&self.pool, key, self.clock.now()).await?;
        Ok(EnrolRequest { invited })
    }

    /// Begins the registration of a first passkey.
    pub async fn begin_enrolment(
        &self,
        permit: Permit,
    ) -> Result<(CeremonyId, CreationChallengeResponse), IdentityFault> {
        let (caller, action, mut pending) = permit.spend();
        let result = match action {
            Action::Enrol(_) => {
                pending.sent();
                self.begin_enrolment_of(&caller).await
            }
            _ => Err(Denial::NotPermitted.into()),
        };
        pending.answered(status(&result));
        result
    }

    /// Registers the first passkey, and makes the login whole: the registration verified the user.
    pub async fn finish_enrolment(
        &self,
        permit: Permit,
        ceremony: CeremonyId,
        answer: &RegisterPublicKeyCredential,
        label: &str,
        visit: &Visit,
    ) -> Result<PasskeyId, IdentityFault> {
        let (caller, action, mut pending) = permit.spend();
        let result = match action {
            Action::Enrol(enrol) => {
                pending.sent();
                self.finish_enrolment_of(&caller, enrol, ceremony, answer, label, visit).await
            }
            _ => Err(Denial::NotPermitted.into()),
        };
        pending.answered(status(&result));
        result
    }

    /// Begins an assertion with the passkeys of the caller.
    pub async fn begin_assertion(
        &self,
        caller: &Caller,
    ) -> Result<(CeremonyId, RequestChallengeResponse), IdentityFault> {
        let rows = passkey::passkeys_of(&self.pool, caller.person, &self.rp_id).await?;
        let keys = rows.iter().map(passkey_in).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(Denial::NoPasskey.into());
        }
        let begun = self.relying_party.start_passkey_authentication(&keys);
        let (options, state) = begun.map_err(|_| IdentityFault::Internal("the assertion could not begin"))?;
        let id = self.keep(caller.login, Purpose::Assert, serde_json::to_value(&state)).await?;
        Ok((id, options))
    }

    /// Takes the assertion: half a login becomes whole, a whole one has proven itself anew. A refusal is recorded
    /// before it is returned. Afterwards cycle the session's id.
    pub async fn finish_assertion(
        &self,
        caller: &Caller,
        ceremony: CeremonyId,
        answer: &PublicKeyCredential,
        visit: &Visit,
    ) -> Result<(), IdentityFault> {
        let step = match caller.assurance.level {
            AssuranceLevel::Provider => SignInStep::Passkey,
            AssuranceLevel::Passkey => SignInStep::StepUp,
        };
        let result = self.finish_assertion_of(caller, step, ceremony, answer, visit).await;
        if let Err(fault) = &result {
            let _receipt = self.log.append(self.step(step, Some(fault), caller, visit)).await?;
        }
        result
    }

    async fn begin_enrolment_of(
        &self,
        caller: &Caller,
    ) -> Result<(CeremonyId, CreationChallengeResponse), IdentityFault> {
        let person = self.person_without_passkey(caller.person).await?;
        let shown = format!("{}/{}", person.identity.provider, person.identity.subject);
        let begun =
            self.relying_party.start_passkey_registration(person.user_handle, &shown, &person.identity.name, None);
        let (mut options, state) = begun.map_err(|_| IdentityFault::Internal("the registration could not begin"))?;
        if let Some(selection) = &mut options.public_key.authenticator_selection {
            selection.resident_key = Some(ResidentKeyRequirement::Preferred);
        }
        let id = self.keep(caller.login, Purpose::Enrol, serde_json::to_value(&state)).await?;
        Ok((id, options))
    }

    async fn finish_enrolment_of(
        &self,
        caller: &Caller,
        enrol: EnrolRequest,
        ceremony: CeremonyId,
        answer: &RegisterPublicKeyCredential,
        label: &str,
        visit: &Visit,
    ) -> Result<PasskeyId, IdentityFault> {
        let state = self.take(ceremony, caller.login, Purpose::Enrol).await?;
        let state: PasskeyRegistration =
            serde_json::from_value(state).map_err(|_| IdentityFault::Internal("registration state"))?;
        self.check_client_data(&answer.response.client_data_json)?;
        let found = self.relying_party.finish_passkey_registration(answer, &state).map_err(refused)?;
        let now = self.clock.now();
        let new = NewPasskey {
            id: PasskeyId::random(self.entropy.as_ref()),
            person: caller.person,
            rp_id: self.rp_id.to_string(),
            credential_id: found.cred_id().to_vec(),
            state: serde_json::to_value(&found).map_err(|_| IdentityFault::Internal("passkey"))?,
            label: label.chars().filter(|c| !c.is_control()).take(LONGEST_LABEL).collect(),
            created_at: now,
        };
        let id = new.id;
        let enrolled = Draft {
            caller: Some(caller.into()),
            event: Event::Enrolled { passkey: id, first: true, rp_id: self.rp_id.to_string() },
            happened_at: now,
            request: Some(visit.request),
        };
        let drafts = vec![enrolled, self.step(SignInStep::Passkey, None, caller, visit)];
        let (login, identity) = (caller.login, caller.identity.clone());
        let change = self.log.append_within(move |db| {
            let (new, drafts, identity) = (new.clone(), drafts.clone(), identity.clone());
            Box::pin(async move {
                let key = (identity.issuer.as_str(), identity.subject.as_str());
                let used = invitation::consume(&mut *db, key, now).await?;
                expect_rows(INVITED, 1, u64::from(used || !enrol.invited))?;
                let first = person::mark_enrolled(&mut *db, new.person, now).await?;
                expect_rows(FIRST, 1, u64::from(first))?;
                expect_rows(OWN, 1, u64::from(passkey::insert(&mut *db, &new).await?))?;
                expect_rows(ALIVE, 1, u64::from(login::assure(db, login, now).await?))?;
                Ok(((), drafts))
            })
        });
        let ((), _receipt) = change.await.map_err(undone)?;
        Ok(id)
    }

    async fn finish_assertion_of(
        &self,
        caller: &Caller,
        step: SignInStep,
        ceremony: CeremonyId,
        answer: &PublicKeyCredential,
        visit: &Visit,
    ) -> Result<(), IdentityFault> {
        let state = self.take(ceremony, caller.login, Purpose::Assert).await?;
        let state: PasskeyAuthentication =
            serde_json::from_value(state).map_err(|_| IdentityFault::Internal("assertion state"))?;
        self.check_client_data(&answer.response.client_data_json)?;
        let found = self.relying_party.finish_passkey_authentication(answer, &state).map_err(refused)?;
        if !found.user_verified() {
            return Err(Denial::Passkey("the user was not verified").into());
        }
        // Looked up anew: one that was removed since the ceremony began no longer counts.
        let rows = passkey::passkeys_of(&self.pool, caller.person, &self.rp_id).await?;
        let row = rows.into_iter().find(|row| row.credential_id == found.cred_id().as_slice());
        let row = row.ok_or(Denial::NoPasskey)?;
        let mut key = passkey_in(&row)?;
        key.update_credential(&found);
        let state = serde_json::to_value(&key).map_err(|_| IdentityFault::Internal("passkey"))?;
        let (id, login, counter, now) = (row.id, caller.login, found.counter(), self.clock.now());
        let draft = self.step(step, None, caller, visit);
        let change = self.log.append_within(move |db| {
            let (state, draft) = (state.clone(), draft.clone());
            Box::pin(async move {
                let grown = passkey::mark_used(&mut *db, id, &state, counter, now).await?;
                expect_rows(GROWN, 1, u64::from(grown))?;
                expect_rows(ALIVE, 1, u64::from(login::assure(db, login, now).await?))?;
                Ok(((), vec![draft]))
            })
        });
        let ((), _receipt) = change.await.map_err(undone)?;
        Ok(())
    }

    async fn person_without_passkey(&self, id: PersonId) -> Result<Person, IdentityFault> {
        let person = person::person(&self.pool, id).await?.ok_or(IdentityFault::Internal("person"))?;
        if person.enrolled_at.is_some() { Err(Denial::AlreadyEnrolled.into()) } else { Ok(person) }
    }

    async fn keep(
        &self,
        login: LoginId,
        purpose: Purpose,
        state: serde_json::Result<Value>,
    ) -> Result<CeremonyId, IdentityFault> {
        let state = state.map_err(|_| IdentityFault::Internal("ceremony state"))?;
        let (id, now) = (CeremonyId::random(self.entropy.as_ref()), self.clock.now());
        ceremony::insert(&self.pool, id, Some(login), purpose, &state, now, now.plus(CEREMONY)).await?;
        Ok(id)
    }

    async fn take(&self, id: CeremonyId, login: LoginId, purpose: Purpose) -> Result<Value, IdentityFault> {
        let state = ceremony::take(&self.pool, id, Some(login), purpose, self.clock.now()).await?;
        state.ok_or_else(|| Denial::NoCeremony.into())
    }

    /// The exact origin, as text, and not from within a frame of another one (WebAuthn Level 3, section 5.8.1): the
    /// library compares parsed URLs, and is asked as well. Software authenticators end the origin in a slash.
    fn check_client_data(&self, json: &[u8]) -> Result<(), IdentityFault> {
        let data: Value = serde_json::from_slice(json).map_err(|_| Denial::Passkey("it is malformed"))?;
        let origin = data.get("origin").and_then(Value::as_str).unwrap_or_default();
        if origin.strip_suffix('/').unwrap_or(origin) != &*self.origin {
            return Err(Denial::Passkey("it is for another origin").into());
        }
        match data.get("crossOrigin") {
            None | Some(Value::Bool(false)) => Ok(()),
            Some(_) => Err(Denial::Passkey("it comes from within another site").into()),
        }
    }

    fn step(&self, step: SignInStep, fault: Option<&IdentityFault>, caller: &Caller, visit: &Visit) -> Draft {
        sign_in_step(step, Some(&caller.identity.provider), fault, Some(caller), visit, self.clock.now())
    }
}

fn passkey_in(row: &PasskeyRow) -> Result<Passkey, IdentityFault> {
    serde_json::from_value(row.state.clone()).map_err(|_| IdentityFault::Internal("a stored passkey is malformed"))
}

fn refused(fault: WebauthnError) -> IdentityFault {
    let why = match fault {
        WebauthnError::CredentialPossibleCompromise => return Denial::Counter.into(),
        WebauthnError::MismatchedChallenge => "it answers another challenge",
        WebauthnError::InvalidRPOrigin => "it is for another origin",
        WebauthnError::InvalidRPIDHash => "it is for another relying party",
        WebauthnError::UserNotPresent | WebauthnError::UserNotVerified => "the user was not verified",
        WebauthnError::CredentialNotFound => "it is not one of your passkeys",
        WebauthnError::InvalidClientDataType => "it answers another question",
        _ => "it is malformed or wrongly signed",
    };
    Denial::Passkey(why).into()
}

/// Which expectation of the transaction was not met; everything was rolled back.
fn undone(fault: ChangeFault) -> IdentityFault {
    match credential::unmet(&fault) {
        Some(FIRST) => Denial::AlreadyEnrolled.into(),
        Some(OWN) => Denial::PasskeyTaken.into(),
        Some(INVITED) => Denial::NotInvited.into(),
        Some(ALIVE) => Denial::LoginEnded.into(),
        Some(GROWN) => Denial::Counter.into(),
        _ => fault.into(),
    }
}

fn status<T>(result: &Result<T, IdentityFault>) -> u16 {
    match result {
        Ok(_) => 200,
        Err(IdentityFault::Denied(_)) => 403,
        Err(IdentityFault::BadRequest(_)) => 400,
        Err(_) => 503,
    }
}
