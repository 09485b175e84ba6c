//! Carries a login from the portal to an app's host: a one-time code of 60 seconds, bound to the app and to a nonce
//! that the app's host has put into this browser before. INVARIANT: the code opens nothing by itself, so a URL that is
//! leaked, or sent to somebody else, is worthless.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;

use super::{Denial, IdentityFault, presented, secret};
use crate::{
    model::{AppName, AppSessionId, AssuranceLevel, Caller, Clock, Entropy, Presented},
    store::{app_session, handover},
};

/// Makes and redeems codes. Cheap to clone.
#[derive(Clone)]
pub struct Handovers {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    callers: presented::Callers,
}

/// What a code was redeemed for.
#[derive(Clone, Debug)]
pub struct AppCookie {
    /// The value of the app's session cookie.
    pub value: String,
    /// Where to go then: a path of the app, with its query.
    pub return_to: String,
}

const LIFE: Duration = Duration::from_secs(60);
const LONGEST_RETURN: usize = 8192;

impl Handovers {
    /// Hand-overs of logins that `callers` finds alive.
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>, callers: presented::Callers) -> Self {
        Self { pool, clock, entropy, callers }
    }

    /// A new nonce for the app's host to put into the browser, and its hash in hex, to send to the portal.
    pub fn nonce(&self) -> (String, String) {
        let nonce = secret::fresh(self.entropy.as_ref());
        let hash = hex::encode(secret::hash(&nonce));
        (nonce, hash)
    }

    /// A code for the caller's login, the app and the browser whose nonce has this hash.
    pub async fn begin(
        &self,
        caller: &Caller,
        app: &AppName,
        nonce_hash: &str,
        return_to: &str,
    ) -> Result<String, IdentityFault> {
        if caller.presented != Presented::Session || caller.assurance.level != AssuranceLevel::Passkey {
            return Err(Denial::NotPermitted.into());
        }
        let nonce_hash = hex::decode(nonce_hash).ok().filter(|hash| hash.len() == 32);
        let nonce_hash = nonce_hash.ok_or(IdentityFault::BadRequest("the nonce is not a SHA-256"))?;
        let return_to = local(return_to)?;
        let code = secret::fresh(self.entropy.as_ref());
        let expires_at = self.clock.now().plus(LIFE);
        let hash = secret::hash(&code);
        handover::insert(&self.pool, &hash, &nonce_hash, caller.login, app, return_to, expires_at).await?;
        Ok(code)
    }

    /// Uses a code up, and opens an app session if it is for this app and this browser. `nonce` is the nonce cookie.
    pub async fn redeem(&self, app: &AppName, code: &str, nonce: &str) -> Result<AppCookie, IdentityFault> {
        let denied = || IdentityFault::from(Denial::OneTimeCode);
        let found = handover::take(&self.pool, &secret::hash(code)).await?.ok_or_else(denied)?;
        let now = self.clock.now();
        let fits = secret::same(&found.nonce_hash, &secret::hash(nonce)) && found.app == app.as_str();
        if !fits || found.expires_at <= now {
            return Err(denied());
        }
        self.callers.live_and_whole(found.login).await.map_err(ended)?;
        let value = secret::fresh(self.entropy.as_ref());
        let id = AppSessionId::random(self.entropy.as_ref());
        app_session::insert(&self.pool, id, &secret::hash(&value), found.login, app, now).await?;
        Ok(AppCookie { value, return_to: found.return_to })
    }
}

pub(super) fn ended(why: presented::NotPresented) -> IdentityFault {
    match why {
        presented::NotPresented::Unavailable(fault) => IdentityFault::Store(fault),
        _ => Denial::LoginEnded.into(),
    }
}

/// A path of the same host, with its query: nothing that a browser could read as another host.
fn local(path: &str) -> Result<&str, IdentityFault> {
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') && path.len() <= LONGEST_RETURN;
    if plain && path.starts_with('/') && !path.starts_with("//") {
        Ok(path)
    } else {
        Err(IdentityFault::BadRequest("the path to return to is not a path"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_the_same_host_is_returned_to() {
        for good in ["/", "/a?b=c", "/a//b"] {
            assert_eq!(local(good).unwrap(), good);
        }
        for bad in ["", "a", "//evil", "/\\evil", "https://evil", "/a\r\nb", "/ä", "/a b", "\t/a"] {
            assert!(local(bad).is_err(), "{bad:?}");
        }
    }
}
