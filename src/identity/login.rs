//! Logins: begun at a provider, made whole by a passkey, ended for good.
//!
//! INVARIANT: a login's row alone says whether it lives; every change of it and the entry that tells of it are one
//! transaction. Half a login (the provider's word) reaches enrolment and the passkey and nothing else: the gate sees
//! to that by its assurance.

use std::{net::IpAddr, sync::Arc, time::Duration};

use sqlx::PgPool;
use url::Url;

use super::{
    Denial, IdentityFault,
    oidc::{Answer, Provider, ProviderLogin, SignInState},
};
use crate::{
    access::Permit,
    audit::{Draft, Event, Log, SignInStep},
    config,
    credential::unmet,
    model::{
        Action, Assurance, AssuranceLevel, Caller, CeremonyId, Clock, Entropy, LoginId, PersonId, PortalAction,
        Presented, ProviderName, RequestId, Scope, Timestamp,
    },
    store::{
        ceremony::{self, Purpose},
        expect_rows,
        login::{self, LoginRow, NewLogin},
        person::{self, Person},
        revocation::{self, RevokedKind},
        session,
    },
};

/// Begins and ends logins. Cheap to clone.
#[derive(Clone)]
pub struct Logins {
    pool: PgPool,
    log: Log,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    limits: config::Login,
    providers: Arc<[Provider]>,
}

/// A request of the sign-in pages.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Where it came from, after listed proxies.
    pub address: IpAddr,
    /// The browser's own description.
    pub agent: String,
    /// The request.
    pub request: RequestId,
}

/// What the provider's answer makes: half a login.
#[derive(Clone, Debug)]
pub struct HalfLogin {
    /// The login; put it under [`session::LOGIN`](super::session::LOGIN) and cycle the session's id.
    pub login: LoginId,
    /// Whose.
    pub person: Person,
    /// For signing out at the provider; belongs into the session's bag and nowhere else.
    pub id_token: String,
}

/// A ceremony that has begun must end within this time.
pub(super) const CEREMONY: Duration = Duration::from_secs(5 * 60);
const ENDS_ONCE: &str = "login that had not ended yet";
const LONGEST_AGENT: usize = 300;

impl Logins {
    /// Logins at these providers, within these limits.
    pub fn new(
        pool: PgPool,
        log: Log,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        limits: config::Login,
        providers: Vec<Provider>,
    ) -> Self {
        Self { pool, log, clock, entropy, limits, providers: providers.into() }
    }

    /// The providers, in the order of the configuration.
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// Begins a sign-in: where to send the browser, and the ceremony to remember in its session.
    pub async fn begin(&self, name: &ProviderName, visit: &Visit) -> Result<(Url, CeremonyId), IdentityFault> {
        let provider = self.provider(name)?;
        let (url, state) = provider.begin().await?;
        let id = CeremonyId::random(self.entropy.as_ref());
        let now = self.clock.now();
        let state = serde_json::to_value(&state).map_err(|_| IdentityFault::Internal("sign-in state"))?;
        ceremony::insert(&self.pool, id, None, Purpose::SignIn, &state, now, now.plus(CEREMONY)).await?;
        let _receipt = self.log.append(self.step(SignInStep::Begun, Some(name), None, None, visit)).await?;
        Ok((url, id))
    }

    /// Takes the provider's answer and makes half a login of it. A refusal is recorded before it is returned.
    pub async fn finish(
        &self,
        ceremony: CeremonyId,
        answer: &Answer,
        visit: &Visit,
    ) -> Result<HalfLogin, IdentityFault> {
        let state = ceremony::take(&self.pool, ceremony, None, Purpose::SignIn, self.clock.now()).await?;
        let state: Option<SignInState> = state.and_then(|state| serde_json::from_value(state).ok());
        let result = match &state {
            Some(state) => self.finish_begun(state, answer, visit).await,
            None => Err(Denial::NoCeremony.into()),
        };
        if let Err(fault) = &result {
            let provider = state.as_ref().map(|state| &state.provider);
            let _receipt = self.log.append(self.step(SignInStep::Provider, provider, Some(fault), None, visit)).await?;
        }
        result
    }

    async fn finish_begun(
        &self,
        state: &SignInState,
        answer: &Answer,
        visit: &Visit,
    ) -> Result<HalfLogin, IdentityFault> {
        let found = self.provider(&state.provider)?.finish(answer, state).await?;
        let id_token = found.id_token.clone();
        let (login, person) = self.start(found, visit).await?;
        Ok(HalfLogin { login, person, id_token })
    }

    /// The person's row, the login's row and the entry, in one transaction.
    async fn start(&self, found: ProviderLogin, visit: &Visit) -> Result<(LoginId, Person), IdentityFault> {
        let now = self.clock.now();
        let id = LoginId::random(self.entropy.as_ref());
        let new_person = PersonId::random(self.entropy.as_ref());
        let handle = uuid::Builder::from_random_bytes(self.entropy.bytes()).into_uuid();
        let step = self.step(SignInStep::Provider, Some(&found.identity.provider), None, None, visit);
        let new = NewLogin {
            id,
            person: new_person,
            groups: found.groups.clone(),
            acr: found.acr.clone(),
            provider_session: found.session.clone(),
            address: visit.address,
            agent: printable(&visit.agent),
            started_at: now,
            expires_at: now.plus(self.limits.absolute),
        };
        let (identity, address) = (found.identity, visit.address);
        let (person, _) = self
            .log
            .append_within(move |db| {
                let (mut new, identity, mut step) = (new.clone(), identity.clone(), step.clone());
                Box::pin(async move {
                    let person = person::admit(&mut *db, new_person, handle, &identity, now).await?;
                    new.person = person.id;
                    login::insert(db, &new).await?;
                    step.caller = Some(first_caller(&person, &new, address).into());
                    Ok((person, vec![step]))
                })
            })
            .await?;
        Ok((id, person))
    }

    /// Ends a login, and with it everything that hangs on it, at every broker. False: it had ended before.
    pub async fn end(
        &self,
        login: LoginId,
        by: Option<(&Caller, RequestId)>,
        cause: &str,
    ) -> Result<bool, IdentityFault> {
        self.end_with(login, by, cause, None).await
    }

    /// Ends the login that an administrator, or its owner, has a permit to end. False: it had ended before.
    pub async fn end_permitted(&self, permit: Permit) -> Result<bool, IdentityFault> {
        let request = permit.request();
        let (caller, action, mut pending) = permit.spend();
        let Action::Portal(PortalAction::EndSession { login, owner }) = action else {
            pending.not_forwarded("another permit");
            return Err(Denial::NotPermitted.into());
        };
        // The rules judged by the owner that was named; it must be the owner that the row names.
        let row = login::login(&self.pool, login).await?;
        if row.is_none_or(|row| (row.identity.issuer, row.identity.subject) != (owner.issuer, owner.subject)) {
            pending.not_forwarded("another owner");
            return Err(Denial::NotPermitted.into());
        }
        pending.sent();
        let result = self.end_with(login, Some((&caller, request)), "ended by request", None).await;
        pending.answered(if result.is_ok() { 200 } else { 503 });
        result
    }

    /// Signs the caller out here; the answer is where to sign out at the provider, if it has such a place.
    pub async fn sign_out(
        &self,
        caller: &Caller,
        id_token: Option<&str>,
        back: &Url,
        visit: &Visit,
    ) -> Result<Option<Url>, IdentityFault> {
        let step = self.step(SignInStep::SignOut, Some(&caller.identity.provider), None, Some(caller), visit);
        self.end_with(caller.login, Some((caller, visit.request)), "signed out", Some(step)).await?;
        match (self.provider(&caller.identity.provider), id_token) {
            (Ok(provider), Some(id_token)) => Ok(provider.sign_out_url(id_token, back).await),
            _ => Ok(None),
        }
    }

    /// The logins that live, newest first: one person's, or everybody's. At most a thousand.
    pub async fn live(&self, person: Option<PersonId>) -> Result<Vec<LoginRow>, IdentityFault> {
        let now = self.clock.now();
        Ok(login::live_logins(&self.pool, person, now.minus(self.limits.idle), now).await?)
    }

    /// A login's row, live or not.
    pub async fn login(&self, id: LoginId) -> Result<Option<LoginRow>, IdentityFault> {
        Ok(login::login(&self.pool, id).await?)
    }

    async fn end_with(
        &self,
        id: LoginId,
        by: Option<(&Caller, RequestId)>,
        cause: &str,
        first: Option<Draft>,
    ) -> Result<bool, IdentityFault> {
        let now = self.clock.now();
        let Some(row) = login::login(&self.pool, id).await? else { return Ok(false) };
        let ended = Draft {
            caller: by.map(|(caller, _)| caller.into()),
            event: Event::LoginEnded { login: id, owner: row.identity, cause: cause.to_owned() },
            happened_at: now,
            request: by.map(|(_, request)| request),
        };
        let drafts: Vec<Draft> = first.into_iter().chain([ended]).collect();
        let cause = cause.to_owned();
        let result = self
            .log
            .append_within(move |db| {
                let (drafts, cause) = (drafts.clone(), cause.clone());
                Box::pin(async move {
                    expect_rows(ENDS_ONCE, 1, u64::from(login::end(&mut *db, id, &cause, now).await?))?;
                    session::delete_of_login(&mut *db, id).await?;
                    revocation::revoke(db, RevokedKind::Login, id.uuid(), &cause, now).await?;
                    Ok(((), drafts))
                })
            })
            .await;
        match result {
            Ok(_) => Ok(true),
            Err(fault) if unmet(&fault) == Some(ENDS_ONCE) => Ok(false),
            Err(fault) => Err(fault.into()),
        }
    }

    fn provider(&self, name: &ProviderName) -> Result<&Provider, IdentityFault> {
        let provider = self.providers.iter().find(|provider| provider.name() == name);
        provider.ok_or(IdentityFault::BadRequest("there is no such provider"))
    }

    fn step(
        &self,
        step: SignInStep,
        provider: Option<&ProviderName>,
        fault: Option<&IdentityFault>,
        caller: Option<&Caller>,
        visit: &Visit,
    ) -> Draft {
        sign_in_step(step, provider, fault, caller, visit, self.clock.now())
    }
}

/// The entry that tells of a step.
pub(super) fn sign_in_step(
    step: SignInStep,
    provider: Option<&ProviderName>,
    fault: Option<&IdentityFault>,
    caller: Option<&Caller>,
    visit: &Visit,
    now: Timestamp,
) -> Draft {
    Draft {
        caller: caller.map(Into::into),
        event: Event::SignIn {
            step,
            provider: provider.cloned(),
            fault: fault.map(|fault| printable(&fault.to_string())),
            address: visit.address.to_string(),
        },
        happened_at: now,
        request: Some(visit.request),
    }
}

/// The caller that a login's row makes, with what was presented.
pub(super) fn caller_of(row: &LoginRow, presented: Presented, scope: Scope, address: IpAddr) -> Caller {
    Caller {
        person: row.person,
        identity: row.identity.clone(),
        groups: row.groups.clone(),
        login: row.id,
        presented,
        scope,
        assurance: row.assurance,
        acr: row.acr.clone(),
        address,
    }
}

fn first_caller(person: &Person, new: &NewLogin, address: IpAddr) -> Caller {
    Caller {
        person: person.id,
        identity: person.identity.clone(),
        groups: new.groups.clone(),
        login: new.id,
        presented: Presented::Session,
        scope: Scope::Portal,
        assurance: Assurance { level: AssuranceLevel::Provider, at: new.started_at },
        acr: new.acr.clone(),
        address,
    }
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_AGENT).collect()
}
