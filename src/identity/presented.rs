//! What came with a request becomes a caller, or a reason why not. Whoever was found may be found again without looking
//! (see `known`); every refusal comes from the rows.
//!
//! An attacker presents whatever they like. Secrets are looked up by hash, so that what was cut, lengthened or made up
//! is simply unknown; a certificate counts by its row and its key, whatever else it says.

use std::{net::IpAddr, sync::Arc, time::Duration};

use sqlx::PgPool;
use tower_sessions::Session;

use super::{
    known::{Found, Known, Shown},
    login::caller_of,
    secret,
    session::LOGIN,
};
use crate::{
    audit::Asker,
    config,
    credential::x509::Facts,
    model::{AppName, AssuranceLevel, Caller, Clock, LoginId, Presented, Scope, Timestamp},
    store::{
        StoreFault, app_session,
        credential::{self, CredentialRow},
        feed::Feed,
        login::{self, LoginRow},
    },
};

/// Finds out who calls. Cheap to clone.
#[derive(Clone)]
pub struct Callers {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    limits: config::Login,
    authority: Option<Arc<[u8]>>,
    known: Known,
}

/// Why nobody calls.
#[derive(Debug, thiserror::Error)]
pub enum NotPresented {
    /// Nothing was presented.
    #[error("nothing was presented; sign in")]
    Nothing,
    /// The login has ended.
    #[error("the login has ended; sign in again")]
    Ended,
    /// The login or credential has reached a limit.
    #[error("the login or credential has expired; sign in again")]
    Expired,
    /// The credential was revoked, or the app session ended.
    #[error("the credential was revoked")]
    Revoked,
    /// Nothing of ours.
    #[error("what was presented is not known here")]
    Unknown,
    /// Something of ours, for somewhere else.
    #[error("what was presented is for somewhere else")]
    WrongScope,
    /// It could not be looked up: 503.
    #[error("it could not be looked up")]
    Unavailable(#[source] StoreFault),
}

/// Whether to be found counts as using the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    /// It does: a login that is used does not go idle.
    OfUse,
    /// It does not: the request is refused, and keeps no login alive.
    OfRefusal,
}

const ACTIVITY: Duration = Duration::from_secs(60);

impl From<StoreFault> for NotPresented {
    fn from(fault: StoreFault) -> Self {
        Self::Unavailable(fault)
    }
}

impl Callers {
    /// Judges by `limits`; accepts certificates of the authority with this certificate (DER), if there is one.
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>, limits: config::Login, authority: Option<&[u8]>) -> Self {
        let authority = authority.and_then(Facts::subject_of).map(Arc::from);
        Self { pool, clock, limits, authority, known: Known::default() }
    }

    /// The same, remembering whom it finds for as long as `feed` tells of no change.
    pub fn remembering(self, feed: Feed) -> Self {
        Self { known: Known::until_told_by(feed), ..self }
    }

    /// Waits until this broker knows of whatever was ended or changed before this was called.
    pub async fn catch_up(&self) {
        self.known.catch_up().await;
    }

    /// The caller of a portal session: maybe half a login, which its assurance says.
    pub async fn from_session(&self, session: &Session, address: IpAddr) -> Result<Caller, NotPresented> {
        self.in_session(session, address, Finding::OfUse).await
    }

    /// Whose portal session came with a request that is refused whoever it is: for the log's entry alone.
    pub async fn behind_session(&self, session: &Session, address: IpAddr) -> Result<Caller, NotPresented> {
        self.in_session(session, address, Finding::OfRefusal).await
    }

    async fn in_session(&self, session: &Session, address: IpAddr, finding: Finding) -> Result<Caller, NotPresented> {
        let login: Option<LoginId> = session.get(LOGIN).await.map_err(|fault| {
            NotPresented::Unavailable(StoreFault::Database(sqlx::Error::Protocol(format!("session: {fault}"))))
        })?;
        let row = self.live(login.ok_or(NotPresented::Nothing)?, finding).await?;
        Ok(caller_of(&row, Presented::Session, Scope::Portal, address))
    }

    /// The caller of an app session, by the value of its cookie.
    pub async fn from_app_cookie(&self, cookie: &str, app: &AppName, address: IpAddr) -> Result<Asker, NotPresented> {
        self.by_app_cookie(cookie, app, address, Finding::OfUse).await
    }

    /// Whose app session came with a request that is refused whoever it is: for the log's entry alone.
    pub async fn behind_app_cookie(&self, cookie: &str, app: &AppName, address: IpAddr) -> Result<Asker, NotPresented> {
        self.by_app_cookie(cookie, app, address, Finding::OfRefusal).await
    }

    async fn by_app_cookie(
        &self,
        cookie: &str,
        app: &AppName,
        address: IpAddr,
        finding: Finding,
    ) -> Result<Asker, NotPresented> {
        let shown = Shown::app_cookie(cookie);
        if let Some(caller) = self.known.caller(&shown, self.clock.now(), address)
            && caller.scope.is_app(app)
        {
            return Ok(caller);
        }
        // Seldom needed, and larger than all else that a request is moved as.
        Box::pin(self.in_app_session(shown, app, address, finding)).await
    }

    /// The caller of an app session, from the rows.
    async fn in_app_session(
        &self,
        shown: Shown,
        app: &AppName,
        address: IpAddr,
        finding: Finding,
    ) -> Result<Asker, NotPresented> {
        let noted = self.known.note();
        let found = app_session::app_session(&self.pool, shown.hash()).await?;
        let found = found.ok_or(NotPresented::Unknown)?;
        if found.app != app.as_str() {
            return Err(NotPresented::WrongScope);
        }
        if found.ended_at.is_some() {
            return Err(NotPresented::Revoked);
        }
        let row = whole(self.live(found.login, finding).await?)?;
        let caller =
            Asker::from(caller_of(&row, Presented::AppSession(found.id), Scope::App { app: app.clone() }, address));
        self.known.remember(shown, noted, self.found(&row, &caller, row.expires_at));
        Ok(caller)
    }

    /// The caller of a client certificate, DER, whose signature and possession TLS has checked.
    pub async fn from_certificate(&self, der: &[u8], address: IpAddr) -> Result<Asker, NotPresented> {
        let (shown, now) = (Shown::certificate(der), self.clock.now());
        if let Some(caller) = self.known.caller(&shown, now, address) {
            return Ok(caller);
        }
        let noted = self.known.note();
        let facts = Facts::read(der).ok_or(NotPresented::Unknown)?;
        if self.authority.as_deref() != Some(facts.issuer.as_slice()) {
            return Err(NotPresented::Unknown);
        }
        if now < facts.not_before || now > facts.not_after {
            return Err(NotPresented::Expired);
        }
        let found = credential::certificate(&self.pool, &facts.serial).await?.ok_or(NotPresented::Unknown)?;
        if !secret::same(&found.key_hash, &facts.key_hash) {
            return Err(NotPresented::Unknown);
        }
        let row = self.unrevoked(&found, now, Finding::OfUse).await?;
        let until = found.not_after.min(facts.not_after);
        let caller = Asker::from(caller_of(&row, Presented::Certificate(found.id), found.scope, address));
        self.known.remember(shown, noted, self.found(&row, &caller, until));
        Ok(caller)
    }

    /// The caller of a bearer token.
    pub async fn from_token(&self, token: &str, address: IpAddr) -> Result<Asker, NotPresented> {
        self.by_token(token, address, Finding::OfUse).await
    }

    /// Whose token came with a request that is refused whoever it is: for the log's entry alone.
    pub async fn behind_token(&self, token: &str, address: IpAddr) -> Result<Asker, NotPresented> {
        self.by_token(token, address, Finding::OfRefusal).await
    }

    async fn by_token(&self, token: &str, address: IpAddr, finding: Finding) -> Result<Asker, NotPresented> {
        let shown = Shown::token(token);
        if let Some(caller) = self.known.caller(&shown, self.clock.now(), address) {
            return Ok(caller);
        }
        let noted = self.known.note();
        let found = credential::token(&self.pool, shown.hash()).await?.ok_or(NotPresented::Unknown)?;
        let row = self.unrevoked(&found, self.clock.now(), finding).await?;
        let caller = Asker::from(caller_of(&row, Presented::Token(found.id), found.scope, address));
        self.known.remember(shown, noted, self.found(&row, &caller, found.not_after));
        Ok(caller)
    }

    /// The caller that `row` and what was shown make, and until when nothing need be looked up again: at the first of
    /// its limits, and when its use is to be noted.
    fn found(&self, row: &LoginRow, caller: &Asker, until: Timestamp) -> Found {
        let idle = row.active_at.plus(self.limits.idle);
        let until = until.min(row.expires_at).min(idle).min(row.active_at.plus(ACTIVITY));
        Found { caller: caller.clone(), since: self.clock.now(), until }
    }

    async fn unrevoked(
        &self,
        found: &CredentialRow,
        now: Timestamp,
        finding: Finding,
    ) -> Result<LoginRow, NotPresented> {
        if found.revoked_at.is_some() {
            return Err(NotPresented::Revoked);
        }
        if now > found.not_after {
            return Err(NotPresented::Expired);
        }
        whole(self.live(found.login, finding).await?)
    }

    /// What hangs on a login was made after its passkey; half a login has nothing of the kind.
    pub(super) async fn live_and_whole(&self, id: LoginId) -> Result<LoginRow, NotPresented> {
        whole(self.live(id, Finding::OfUse).await?)
    }

    /// The login's row, if it lives; notes a use, at most once a minute.
    async fn live(&self, id: LoginId, finding: Finding) -> Result<LoginRow, NotPresented> {
        let now = self.clock.now();
        let mut row = login::login(&self.pool, id).await?.ok_or(NotPresented::Unknown)?;
        if row.ended_at.is_some() {
            return Err(NotPresented::Ended);
        }
        if now >= row.expires_at || now >= row.active_at.plus(self.limits.idle) {
            return Err(NotPresented::Expired);
        }
        if finding == Finding::OfUse && now.since(row.active_at) >= ACTIVITY {
            login::touch(&self.pool, id, now.minus(ACTIVITY), now).await?;
            row.active_at = now;
        }
        Ok(row)
    }
}

fn whole(row: LoginRow) -> Result<LoginRow, NotPresented> {
    if row.assurance.level == AssuranceLevel::Passkey { Ok(row) } else { Err(NotPresented::WrongScope) }
}
