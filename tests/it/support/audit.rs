//! A log over a test's database, and drafts to put into it.

use std::{sync::Arc, time::Duration};

use bailiwick::{
    audit::{BatchMac, ClosedBy, Draft, Entry, Event, Limits, Log, Signers, Tasks, checkpoint::CheckpointSigner},
    model::{
        Action, Assurance, AssuranceLevel, BrokerId, Caller, CanonicalPath, Cause, Clock, Context, Decision, Identity,
        LoginId, Method, PersonId, PolicyVersion, Presented, RequestId, Scope, SeededEntropy, SystemClock,
        SystemEntropy, Timestamp, Upgrade, Verdict, WebRequest,
    },
};
use sqlx::PgPool;
use uuid::Uuid;

/// The name of every log in tests.
pub const ORIGIN: &str = "auth.example.test/audit";

/// Short enough for tests, long enough for a busy machine: nobody gives up or counts as dead who is only slow.
pub fn limits() -> Limits {
    Limits { wait: Duration::from_secs(30), heartbeat: Duration::from_millis(50), silence: Duration::from_secs(3) }
}

/// The limits of a broker, and time enough for a busy machine.
pub fn patience() -> Limits {
    Limits { wait: Duration::from_secs(15), ..Limits::default() }
}

/// When a feed counts as stale, on a machine that may stand still for a while.
pub const STALE_AFTER: Duration = Duration::from_secs(20);

/// The key of every log in tests.
pub fn signer() -> CheckpointSigner {
    CheckpointSigner::from_seed(ORIGIN, Uuid::from_u128(7), &[7; 32]).unwrap()
}

/// What the brokers of every log in tests know each other's batches by.
pub fn batches() -> BatchMac {
    BatchMac::new(&[9; 32])
}

/// The keys of every log in tests.
pub fn signers() -> Signers {
    signed_by(signer())
}

/// The same, with another that signs.
pub fn signed_by(key: CheckpointSigner) -> Signers {
    Signers::new(key, Vec::new(), batches())
}

/// The log of a broker of its own on `pool`.
pub async fn log(pool: &PgPool) -> (Log, Tasks) {
    log_at(pool, Arc::new(SystemClock), limits()).await
}

/// The same, with its time and patience.
pub async fn log_at(pool: &PgPool, clock: Arc<dyn Clock>, limits: Limits) -> (Log, Tasks) {
    let broker = BrokerId::random(&SystemEntropy);
    Log::open(pool.clone(), signers(), broker, clock, Arc::new(SystemEntropy), limits).await.expect("the log opens")
}

/// The `n`th request.
pub fn request(n: u64) -> RequestId {
    RequestId::from_uuid(Uuid::from_u128(0x1000 + u128::from(n)))
}

/// A caller.
pub fn caller() -> Caller {
    let entropy = SeededEntropy::new(1);
    Caller {
        person: PersonId::random(&entropy),
        identity: Identity {
            provider: "corp".parse().unwrap(),
            issuer: "https://id.example.test".into(),
            subject: "u-1".into(),
            name: "Ada".into(),
        },
        groups: vec!["ops".into()],
        login: LoginId::random(&entropy),
        presented: Presented::Session,
        scope: Scope::Portal,
        assurance: Assurance { level: AssuranceLevel::Passkey, at: Timestamp::from_micros(1) },
        acr: None,
        address: [127, 0, 0, 1].into(),
    }
}

/// The `n`th request of [`caller`], judged.
pub fn decision(n: u64, verdict: Verdict) -> Draft {
    let caller = caller();
    let action = Action::Web(WebRequest {
        app: "wiki".parse().unwrap(),
        method: Method::Get,
        path: CanonicalPath::parse(&format!("/page-{n}")).unwrap(),
        query: None,
        upgrade: Upgrade::None,
    });
    let context = Context {
        acr: None,
        address: caller.address,
        assurance: "passkey".into(),
        assurance_age: 5,
        credential: "session".into(),
        time: Timestamp::from_micros(6),
    };
    let decision = Decision {
        verdict,
        cause: if verdict == Verdict::Allow { Cause::Permitted } else { Cause::NoRule },
        policies: vec!["ops-may-read".into()],
        reasons: Vec::new(),
        errors: Vec::new(),
        fresh: None,
    };
    let policy = PolicyVersion { entities: "e".into(), policies: "p".into(), schema: "s".into() };
    Draft {
        caller: Some(caller.into()),
        event: Event::Decision { action, context, decision: decision.into(), policy: policy.into() },
        happened_at: Timestamp::from_micros(6),
        request: Some(request(n)),
    }
}

/// Something small.
pub fn stopped() -> Draft {
    Draft { caller: None, event: Event::BrokerStopped {}, happened_at: Timestamp::from_micros(6), request: None }
}

/// All entries, in order.
pub async fn entries(pool: &PgPool) -> Vec<Entry> {
    let rows = bailiwick::store::entry::following(pool, 0, 100_000).await.unwrap();
    rows.iter()
        .enumerate()
        .map(|(expected, (index, leaf))| {
            assert_eq!(*index, expected as u64, "the log has a gap");
            Entry::from_leaf(leaf).unwrap()
        })
        .collect()
}

/// The kinds of all entries, in order.
pub async fn kinds(pool: &PgPool) -> Vec<&'static str> {
    entries(pool).await.iter().map(|entry| entry.event.kind()).collect()
}

/// What became of the `n`th request.
pub fn outcome(n: u64) -> Draft {
    let status = Some(200);
    of_request(n, Event::Outcome { status, received: 0, sent: 5, duration: 9, closed_by: ClosedBy::Upstream })
}

/// Something that happened to the `n`th request.
pub fn of_request(n: u64, event: Event) -> Draft {
    Draft { caller: None, event, happened_at: Timestamp::from_micros(7), request: Some(request(n)) }
}
