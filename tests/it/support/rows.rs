//! Rows that a test arranges without walking there: people and logins in a state of its choosing.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bailiwick::{
    config,
    model::{
        Assurance, AssuranceLevel, Caller, Entropy as _, FrozenClock, Identity, LoginId, PersonId, Presented, Scope,
        SystemEntropy, Timestamp,
    },
    store::{login, person},
};
use sqlx::PgPool;

/// When the tests of rows begin: 2027-01-15.
pub const NOON: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

/// Where everybody comes from.
pub const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

/// A clock that stands at [`NOON`].
pub fn clock() -> Arc<FrozenClock> {
    Arc::new(FrozenClock::at(NOON))
}

/// The limits that a file has which does not mention them.
pub fn limits() -> config::Login {
    config::Login {
        idle: Duration::from_secs(15 * 60),
        absolute: Duration::from_secs(12 * 60 * 60),
        credential: Duration::from_secs(60 * 60),
        step_up: Duration::from_secs(5 * 60),
    }
}

/// An identity at the provider `corp`.
pub fn identity(subject: &str) -> Identity {
    Identity {
        provider: "corp".parse().unwrap(),
        issuer: "https://id.example".to_owned(),
        subject: subject.to_owned(),
        name: subject.to_owned(),
    }
}

/// Half a login of `subject`, begun at [`NOON`].
pub async fn half_login(pool: &PgPool, subject: &str) -> Caller {
    half_login_at(pool, subject, NOON).await
}

/// The same, begun at `now`.
pub async fn half_login_at(pool: &PgPool, subject: &str, now: Timestamp) -> Caller {
    let entropy = SystemEntropy;
    let handle = uuid::Builder::from_random_bytes({
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        bytes
    });
    let identity = identity(subject);
    let person = person::admit(pool, PersonId::random(&entropy), handle.into_uuid(), &identity, now).await.unwrap();
    let new = login::NewLogin {
        id: LoginId::random(&entropy),
        person: person.id,
        groups: vec!["staff".to_owned()],
        acr: None,
        provider_session: None,
        address: HOME,
        agent: "a test".to_owned(),
        started_at: now,
        expires_at: now.plus(limits().absolute),
    };
    login::insert(pool, &new).await.unwrap();
    Caller {
        person: person.id,
        identity,
        groups: new.groups,
        login: new.id,
        presented: Presented::Session,
        scope: Scope::Portal,
        assurance: Assurance { level: AssuranceLevel::Provider, at: now },
        acr: None,
        address: HOME,
    }
}

/// A whole login of `subject`, as if a passkey had been asserted at [`NOON`].
pub async fn whole_login(pool: &PgPool, subject: &str) -> Caller {
    let half = half_login(pool, subject).await;
    assert!(login::assure(pool, half.login, NOON).await.unwrap());
    Caller { assurance: Assurance { level: AssuranceLevel::Passkey, at: NOON }, ..half }
}
