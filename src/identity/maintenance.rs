//! Clears up after what has run out, once a minute and by one broker at a time: sessions, ceremonies and codes go, and
//! logins past a limit end, each with its entry in one transaction. Nothing here decides who may do what: whatever has
//! run out was refused before it was cleared away.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::time::sleep;

use super::IdentityFault;
use crate::{
    audit::{ChangeFault, Draft, Event, Log},
    model::{Clock, LoginId, Timestamp},
    store::{
        self, StoreFault, login,
        maintenance::{self, Fleeting},
        revocation::{self, RevokedKind},
        session,
    },
};

/// Clears up.
pub struct Maintenance {
    pool: PgPool,
    log: Log,
    clock: Arc<dyn Clock>,
    idle: Duration,
}

/// What a round has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Rows that were deleted.
    pub rows: u64,
    /// Logins that were ended.
    pub logins: u64,
}

impl Maintenance {
    /// Logins end when they were not used for `idle`, or reached their own end.
    pub fn new(pool: PgPool, log: Log, clock: Arc<dyn Clock>, idle: Duration) -> Self {
        Self { pool, log, clock, idle }
    }

    /// Clears up again and again. Runs until it is dropped.
    pub async fn run(self) {
        loop {
            sleep(EVERY).await;
            if let Err(fault) = self.round().await {
                tracing::warn!(%fault, "what has expired could not be cleared away; it will be tried again");
            }
        }
    }

    /// Clears up once. None: another broker is at it.
    pub async fn round(&self) -> Result<Option<Cleared>, IdentityFault> {
        // Held while the round lasts, and gone with the connection if this broker dies. Nothing is changed under it.
        let mut lock = store::begin(&self.pool).await?;
        if !maintenance::try_lock(&mut *lock).await? {
            return Ok(None);
        }
        let mut cleared = Cleared::default();
        for what in Fleeting::ALL {
            loop {
                let rows = maintenance::clear(&self.pool, what, self.clock.now(), AT_ONCE).await?;
                cleared.rows += rows;
                if rows < u64::from(AT_ONCE) {
                    break;
                }
            }
        }
        loop {
            let now = self.clock.now();
            let overdue = maintenance::overdue_logins(&self.pool, now.minus(self.idle), now, AT_ONCE).await?;
            let mut ended = 0;
            for login in &overdue {
                ended += u64::from(self.end(*login, now).await?);
            }
            cleared.logins += ended;
            // Those that were used meanwhile live on, and are not looked at twice.
            if overdue.len() < AT_ONCE as usize || ended == 0 {
                break;
            }
        }
        lock.rollback().await.map_err(StoreFault::from)?;
        Ok(Some(cleared))
    }

    /// Ends a login, if it still is past a limit, and with it everything that hangs on it.
    async fn end(&self, id: LoginId, now: Timestamp) -> Result<bool, IdentityFault> {
        let Some(row) = login::login(&self.pool, id).await? else { return Ok(false) };
        let active_after = now.minus(self.idle);
        let done = self.log.append_within(move |db| {
            let owner = row.identity.clone();
            Box::pin(async move {
                let Some(cause) = maintenance::end_overdue(&mut *db, id, active_after, now).await? else {
                    return Ok(((), Vec::new()));
                };
                session::delete_of_login(&mut *db, id).await?;
                revocation::revoke(&mut *db, RevokedKind::Login, id.uuid(), &cause, now).await?;
                let event = Event::LoginEnded { login: id, owner, cause };
                Ok(((), vec![Draft { caller: None, event, happened_at: now, request: None }]))
            })
        });
        match done.await {
            Ok(_) => Ok(true),
            Err(ChangeFault::Unneeded) => Ok(false),
            Err(fault) => Err(fault.into()),
        }
    }
}

const EVERY: Duration = Duration::from_secs(60);

/// Rows in one statement, so that no transaction is long.
const AT_ONCE: u32 = 500;
