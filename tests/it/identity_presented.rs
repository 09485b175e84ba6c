//! What comes with a request: who that is, and every way in which it is nobody.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use bailiwick::{
    identity::{Callers, Handovers, NotPresented, Sessions, session::LOGIN},
    model::{
        AppName, AssuranceLevel, Caller, Clock as _, CredentialId, FrozenClock, Presented, Reach, Scope, SystemEntropy,
        Timestamp,
    },
    store::{app_session, credential, login},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _};
use tower_sessions::Session;

use crate::support::{
    TestDb, database,
    rows::{HOME, NOON, clock, half_login, limits, whole_login},
};

fn callers(db: &TestDb, clock: &Arc<FrozenClock>) -> Callers {
    Callers::new(db.pool.clone(), clock.clone(), limits(), None)
}

fn hash(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

#[tokio::test]
async fn a_session_is_its_login_as_long_as_that_lives() {
    let db = database().await;
    let clock = clock();
    let callers = callers(&db, &clock);
    let sessions = Arc::new(Sessions::new(db.pool.clone(), clock.clone(), Arc::new(SystemEntropy), limits().absolute));
    let nobody = Session::new(None, sessions.clone(), None);
    assert!(matches!(callers.from_session(&nobody, HOME).await, Err(NotPresented::Nothing)));

    let half = half_login(&db.pool, "alice").await;
    let session = Session::new(None, sessions, None);
    session.insert(LOGIN, half.login).await.unwrap();
    session.save().await.unwrap();
    assert_eq!(callers.from_session(&session, HOME).await.unwrap(), half);

    login::assure(&db.pool, half.login, NOON).await.unwrap();
    let whole = callers.from_session(&session, HOME).await.unwrap();
    assert_eq!(whole.assurance.level, AssuranceLevel::Passkey, "assurance is read anew, not from the bag");

    login::end(&db.pool, half.login, "test", NOON).await.unwrap();
    assert!(matches!(callers.from_session(&session, HOME).await, Err(NotPresented::Ended)));
}

#[tokio::test]
async fn a_login_ends_when_it_is_idle_and_in_any_case_after_its_time() {
    let db = database().await;
    let clock = clock();
    let callers = callers(&db, &clock);
    let (cookie, app) = ("cookie", "wiki".parse::<AppName>().unwrap());
    let active_at = |caller: Caller| {
        let pool = db.pool.clone();
        async move { login::login(&pool, caller.login).await.unwrap().unwrap().active_at }
    };
    let caller = with_app_session(&db, &app, cookie).await;

    clock.advance(Duration::from_secs(59));
    callers.from_app_cookie(cookie, &app, HOME).await.unwrap();
    assert_eq!(active_at(caller.clone()).await, NOON, "activity is written at most once a minute");
    clock.advance(Duration::from_secs(1));
    callers.from_app_cookie(cookie, &app, HOME).await.unwrap();
    assert_eq!(active_at(caller.clone()).await, clock.now());

    for _ in 0..50 {
        clock.advance(Duration::from_secs(14 * 60));
        callers.from_app_cookie(cookie, &app, HOME).await.unwrap();
    }
    clock.advance(Duration::from_secs(14 * 60));
    callers.from_app_cookie(cookie, &app, HOME).await.unwrap();
    clock.advance(Duration::from_secs(5 * 60));
    assert!(matches!(callers.from_app_cookie(cookie, &app, HOME).await, Err(NotPresented::Expired)), "twelve hours");

    let other = database().await;
    let caller = with_app_session(&other, &app, cookie).await;
    let idle = Arc::new(FrozenClock::at(NOON.plus(limits().idle)));
    let callers = self::callers(&other, &idle);
    assert!(matches!(callers.from_app_cookie(cookie, &app, HOME).await, Err(NotPresented::Expired)), "{caller:?}");
}

async fn with_app_session(db: &TestDb, app: &AppName, cookie: &str) -> Caller {
    let caller = whole_login(&db.pool, "alice").await;
    let id = bailiwick::model::AppSessionId::random(&SystemEntropy);
    app_session::insert(&db.pool, id, &hash(cookie.as_bytes()), caller.login, app, NOON).await.unwrap();
    caller
}

#[tokio::test]
async fn an_app_cookie_opens_its_own_app_and_nothing_else() {
    let db = database().await;
    let callers = callers(&db, &clock());
    let (wiki, other): (AppName, AppName) = ("wiki".parse().unwrap(), "other".parse().unwrap());
    let caller = with_app_session(&db, &wiki, "cookie").await;

    let found = callers.from_app_cookie("cookie", &wiki, HOME).await.unwrap();
    assert_eq!((found.login, found.scope.clone()), (caller.login, Scope::App { app: wiki.clone() }));
    let Presented::AppSession(id) = found.presented else { panic!("{:?}", found.presented) };

    assert!(matches!(callers.from_app_cookie("cookie", &other, HOME).await, Err(NotPresented::WrongScope)));
    for mangled in ["", "cooki", "cookie ", "cookiejunk", "Cookie", "cookie\0"] {
        assert!(matches!(callers.from_app_cookie(mangled, &wiki, HOME).await, Err(NotPresented::Unknown)), "{mangled}");
    }
    assert!(matches!(callers.from_token("cookie", HOME).await, Err(NotPresented::Unknown)), "a cookie is no token");

    app_session::end(&db.pool, id, NOON).await.unwrap();
    assert!(matches!(callers.from_app_cookie("cookie", &wiki, HOME).await, Err(NotPresented::Revoked)));
}

#[tokio::test]
async fn a_token_counts_until_it_is_revoked_and_its_login_ends() {
    let db = database().await;
    let callers = callers(&db, &clock());
    let caller = whole_login(&db.pool, "alice").await;
    let revoked = keep(&db, &caller, None, &hash(b"one"), Scope::Portal, caller_end()).await;
    keep(&db, &caller, None, &hash(b"two"), Scope::Portal, caller_end()).await;
    assert_eq!(callers.from_token("one", HOME).await.unwrap().presented, Presented::Token(revoked));
    credential::revoke(&db.pool, revoked, "test", NOON).await.unwrap();
    assert!(matches!(callers.from_token("one", HOME).await, Err(NotPresented::Revoked)));
    assert!(callers.from_token("two", HOME).await.is_ok());
    login::end(&db.pool, caller.login, "test", NOON).await.unwrap();
    assert!(matches!(callers.from_token("two", HOME).await, Err(NotPresented::Ended)));
    let half = half_login(&db.pool, "bob").await;
    keep(&db, &half, None, &hash(b"three"), Scope::Portal, caller_end()).await;
    assert!(matches!(callers.from_token("three", HOME).await, Err(NotPresented::WrongScope)), "half a login has none");
}

fn caller_end() -> Timestamp {
    NOON.plus(limits().absolute)
}

async fn keep(
    db: &TestDb,
    caller: &Caller,
    serial: Option<&[u8]>,
    key_hash: &[u8],
    scope: Scope,
    not_after: Timestamp,
) -> CredentialId {
    let id = CredentialId::random(&SystemEntropy);
    let new = credential::NewCredential {
        id,
        login: caller.login,
        person: caller.person,
        serial: serial.map(<[u8]>::to_vec),
        key_hash: key_hash.to_vec(),
        scope,
        issued_at: NOON,
        not_after,
    };
    credential::insert(&db.pool, &new).await.unwrap();
    id
}

/// An authority of the test's own.
struct Ca {
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pair = KeyPair::generate().unwrap();
        let der = params.self_signed(&pair).unwrap().der().to_vec();
        Self { der, issuer: Issuer::new(params, pair) }
    }

    fn leaf(&self, serial: &[u8], key: &KeyPair, until: Timestamp) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.serial_number = Some(serial.to_vec().into());
        params.not_before = NOON.minus(Duration::from_secs(30)).to_datetime();
        params.not_after = until.to_datetime();
        params.signed_by(key, &self.issuer).unwrap().der().to_vec()
    }
}

#[tokio::test]
async fn a_certificate_counts_by_its_issuer_its_key_its_row_and_its_login() {
    let db = database().await;
    let clock = clock();
    let ca = Ca::new("ours");
    let callers = Callers::new(db.pool.clone(), clock.clone(), limits(), Some(&ca.der));
    let caller = whole_login(&db.pool, "alice").await;
    let (key, other_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let until = NOON.plus(Duration::from_secs(600));
    let scope =
        Scope::Cluster { cluster: "demo".parse().unwrap(), namespaces: vec!["a".to_owned()], reach: Reach::ReadOnly };
    // A serial whose first bit is set: DER puts a zero before it.
    let serial = [0xff, 1, 2, 3];
    let id = keep(&db, &caller, Some(&serial), &hash(&key.subject_public_key_info()), scope.clone(), until).await;

    let good = ca.leaf(&serial, &key, until);
    let found = callers.from_certificate(&good, HOME).await.unwrap();
    assert_eq!((found.presented, found.scope.clone(), found.login), (Presented::Certificate(id), scope, caller.login));

    let unknown = [
        ("another authority", Ca::new("theirs").leaf(&serial, &key, until)),
        ("another key", ca.leaf(&serial, &other_key, until)),
        ("another serial", ca.leaf(&[0xff, 1, 2, 4], &key, until)),
        ("something after it", [good.as_slice(), b"x"].concat()),
        ("half of it", good[..good.len() / 2].to_vec()),
        ("nothing", Vec::new()),
    ];
    for (what, der) in unknown {
        let result = callers.from_certificate(&der, HOME).await;
        assert!(matches!(result, Err(NotPresented::Unknown)), "{what}: {result:?}");
    }
    let longer = ca.leaf(&serial, &key, until.plus(Duration::from_secs(3600)));
    let early = Arc::new(FrozenClock::at(NOON.minus(Duration::from_secs(31))));
    let early = Callers::new(db.pool.clone(), early, limits(), Some(&ca.der));
    assert!(matches!(early.from_certificate(&good, HOME).await, Err(NotPresented::Expired)), "not yet");

    clock.advance(Duration::from_secs(600));
    assert!(callers.from_certificate(&good, HOME).await.is_ok(), "the last second");
    clock.advance(Duration::from_micros(1));
    assert!(matches!(callers.from_certificate(&good, HOME).await, Err(NotPresented::Expired)), "no leeway");
    assert!(matches!(callers.from_certificate(&longer, HOME).await, Err(NotPresented::Expired)), "the row's word");
}

#[tokio::test]
async fn a_revoked_certificate_and_one_of_an_ended_login_are_refused() {
    let db = database().await;
    let ca = Ca::new("ours");
    let callers = Callers::new(db.pool.clone(), clock(), limits(), Some(&ca.der));
    let caller = whole_login(&db.pool, "alice").await;
    let key = KeyPair::generate().unwrap();
    let until = NOON.plus(Duration::from_secs(600));
    let key_hash = hash(&key.subject_public_key_info());
    let first = keep(&db, &caller, Some(&[1]), &key_hash, Scope::Portal, until).await;
    keep(&db, &caller, Some(&[2]), &key_hash, Scope::Portal, until).await;
    credential::revoke(&db.pool, first, "test", NOON).await.unwrap();
    let refused = callers.from_certificate(&ca.leaf(&[1], &key, until), HOME).await;
    assert!(matches!(refused, Err(NotPresented::Revoked)), "{refused:?}");
    assert!(callers.from_certificate(&ca.leaf(&[2], &key, until), HOME).await.is_ok());
    login::end(&db.pool, caller.login, "test", NOON).await.unwrap();
    let refused = callers.from_certificate(&ca.leaf(&[2], &key, until), HOME).await;
    assert!(matches!(refused, Err(NotPresented::Ended)), "{refused:?}");
}

#[tokio::test]
async fn a_hand_over_is_for_one_browser_one_app_and_one_minute_and_counts_once() {
    let db = database().await;
    let clock = clock();
    let callers = callers(&db, &clock);
    let handovers = Handovers::new(db.pool.clone(), clock.clone(), Arc::new(SystemEntropy), callers.clone());
    let (wiki, other): (AppName, AppName) = ("wiki".parse().unwrap(), "other".parse().unwrap());
    let caller = whole_login(&db.pool, "alice").await;
    let (nonce, nonce_hash) = handovers.nonce();
    let (strange_nonce, _) = handovers.nonce();
    let begin = || handovers.begin(&caller, &wiki, &nonce_hash, "/docs?page=2");

    let code = begin().await.unwrap();
    let cookie = handovers.redeem(&wiki, &code, &nonce).await.unwrap();
    assert_eq!(cookie.return_to, "/docs?page=2");
    assert_eq!(callers.from_app_cookie(&cookie.value, &wiki, HOME).await.unwrap().login, caller.login);
    assert!(handovers.redeem(&wiki, &code, &nonce).await.is_err(), "once");

    let code = begin().await.unwrap();
    assert!(handovers.redeem(&wiki, &code, &strange_nonce).await.is_err(), "in another browser");
    assert!(handovers.redeem(&wiki, &code, &nonce).await.is_err(), "an attempt uses it up");
    let code = begin().await.unwrap();
    assert!(handovers.redeem(&other, &code, &nonce).await.is_err(), "at another app");
    let code = begin().await.unwrap();
    clock.advance(Duration::from_secs(60));
    assert!(handovers.redeem(&wiki, &code, &nonce).await.is_err(), "after a minute");

    let code = begin().await.unwrap();
    login::end(&db.pool, caller.login, "test", NOON).await.unwrap();
    assert!(handovers.redeem(&wiki, &code, &nonce).await.is_err(), "after the login has ended");

    let half = half_login(&db.pool, "bob").await;
    assert!(handovers.begin(&half, &wiki, &nonce_hash, "/").await.is_err(), "half a login opens no app");
    assert!(handovers.begin(&caller, &wiki, "zz", "/").await.is_err());
    assert!(handovers.begin(&caller, &wiki, &nonce_hash, "//evil.example").await.is_err());
    let (codes,): (String,) =
        sqlx::query_as("select coalesce(string_agg(h::text, ''), '') || (select string_agg(a::text, '') from app_session a) from handover h")
            .fetch_one(&db.owner)
            .await
            .unwrap();
    assert!(!codes.contains(&cookie.value), "only hashes are kept");
}
