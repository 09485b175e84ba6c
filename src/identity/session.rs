//! The portal's session store for tower-sessions, on our own Postgres.
//!
//! INVARIANT: only a SHA-256 of an id is stored; saving never brings a deleted session back; a session's login is set
//! when its row is made. So whoever signs in or is promoted calls `session.cycle_id()` after inserting [`LOGIN`], and
//! an id that was planted before is worth nothing. Limits and assurance are the login's, not the bag's.

use std::{pin::Pin, sync::Arc, time::Duration};

use sqlx::PgPool;
use tower_sessions::{
    SessionStore,
    session::{Id, Record},
    session_store::{Error, Result},
};

use super::secret;
use crate::{
    model::{Clock, Entropy, LoginId, Timestamp},
    store::session,
};

/// The bag's key for the login, a [`LoginId`].
pub const LOGIN: &str = "login";
/// The bag's key for the sign-in or passkey ceremony that this browser has begun, a `CeremonyId`.
pub const CEREMONY: &str = "ceremony";
/// The bag's key for the ID token, kept only for signing out at the provider.
pub const ID_TOKEN: &str = "id_token";

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    absolute: Duration,
}

/// A session in which nobody has signed in lasts so long.
const ANONYMOUS: Duration = Duration::from_secs(60 * 60);

impl Sessions {
    /// Sessions of people who have signed in last as long as their login can: `absolute`.
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>, absolute: Duration) -> Self {
        Self { pool, clock, entropy, absolute }
    }

    async fn create_row(&self, record: &mut Record) -> Result<()> {
        let login = login_of(record)?;
        let now = self.clock.now();
        let expires_at = now.plus(if login.is_some() { self.absolute } else { ANONYMOUS });
        for _ in 0..3 {
            // Drawn here: the id that came along was not drawn from our entropy.
            record.id = Id(i128::from_le_bytes(self.entropy.bytes()));
            record.expiry_date = expires_at.to_datetime();
            let bag = bag(record)?;
            let made = session::insert(&self.pool, &hash(record.id), login, &bag, now, expires_at).await;
            if made.map_err(backend)? {
                return Ok(());
            }
        }
        Err(Error::Backend("no free session id".to_owned()))
    }

    async fn save_row(&self, record: &Record) -> Result<()> {
        let (login, now, hash) = (login_of(record)?, self.clock.now(), hash(record.id));
        if session::update(&self.pool, &hash, login, &bag(record)?, now).await.map_err(backend)? {
            return Ok(());
        }
        match session::live_session(&self.pool, &hash, now).await.map_err(backend)? {
            Some(_) => Err(Error::Backend("a session takes up a login only under a new id".to_owned())),
            // Deleted meanwhile, by signing out for example: it stays so.
            None => Ok(()),
        }
    }

    async fn load_row(&self, id: Id) -> Result<Option<Record>> {
        let found = session::live_session(&self.pool, &hash(id), self.clock.now()).await.map_err(backend)?;
        let Some((data, expires_at)) = found else { return Ok(None) };
        let data = serde_json::from_value(data).map_err(|_| Error::Decode("the session's bag".to_owned()))?;
        Ok(Some(Record { id, data, expiry_date: Timestamp::to_datetime(expires_at) }))
    }
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

impl SessionStore for Sessions {
    fn create<'s, 'r, 'a>(&'s self, record: &'r mut Record) -> Answer<'a, ()>
    where
        's: 'a,
        'r: 'a,
        Self: 'a,
    {
        Box::pin(self.create_row(record))
    }

    fn save<'s, 'r, 'a>(&'s self, record: &'r Record) -> Answer<'a, ()>
    where
        's: 'a,
        'r: 'a,
        Self: 'a,
    {
        Box::pin(self.save_row(record))
    }

    fn load<'s, 'r, 'a>(&'s self, id: &'r Id) -> Answer<'a, Option<Record>>
    where
        's: 'a,
        'r: 'a,
        Self: 'a,
    {
        Box::pin(self.load_row(*id))
    }

    fn delete<'s, 'r, 'a>(&'s self, id: &'r Id) -> Answer<'a, ()>
    where
        's: 'a,
        'r: 'a,
        Self: 'a,
    {
        Box::pin(async move { session::delete(&self.pool, &hash(*id)).await.map_err(backend) })
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions")
    }
}

fn hash(id: Id) -> Vec<u8> {
    secret::hash(id.0.to_le_bytes())
}

/// The bag alone: the id must not be stored, and `serde_json` would write it with the record.
fn bag(record: &Record) -> Result<serde_json::Value> {
    serde_json::to_value(&record.data).map_err(|_| Error::Encode("the session's bag".to_owned()))
}

fn login_of(record: &Record) -> Result<Option<LoginId>> {
    let login = record.data.get(LOGIN).cloned();
    let login = login.map(serde_json::from_value).transpose();
    login.map_err(|_| Error::Encode("the session's login".to_owned()))
}

fn backend(fault: crate::store::StoreFault) -> Error {
    Error::Backend(fault.to_string())
}
