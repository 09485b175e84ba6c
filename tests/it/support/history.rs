//! A made-up history: entries of a plausible company, the same for every run, each from its place alone. For tests and
//! the benchmark of searching, which need far more entries than anybody would append one by one.

use bailiwick::{
    audit::{
        ClosedBy, Entry, Event, SignInStep,
        entry::{Columns, Salt},
        tree::{Hash, leaf_hash},
    },
    model::{
        Action, AppName, Assurance, AssuranceLevel, Attributes, BrokerId, Caller, CanonicalPath, Cause, ClusterName,
        Context, CredentialId, Decision, Entropy as _, Identity, KubernetesRequest, LoginId, Method, PersonId,
        PolicyVersion, Presented, Reach, RequestId, Resource, Scope, SeededEntropy, Timestamp, Upgrade, Verdict,
        WebRequest,
    },
};
use sqlx::PgConnection;
use uuid::Uuid;

/// How many people there are. The last of them is hardly ever there.
pub const PEOPLE: u64 = 400;

/// When it begins: 2026-10-01.
pub const START: i64 = 1_790_812_800_000_000;

const APPS: [&str; 8] = ["wiki", "grafana", "tickets", "billing", "jenkins", "registry", "metabase", "vault"];

const CLUSTERS: [&str; 3] = ["prod", "staging", "edge"];

const SECTIONS: [&str; 6] = ["docs", "api", "static", "admin", "search", "boards"];

const VERBS: [&str; 6] = ["get", "list", "watch", "create", "patch", "delete"];

const RESOURCES: [&str; 5] = ["pods", "deployments", "configmaps", "secrets", "services"];

/// A number below `below` that belongs to `place` and `what`.
fn pick(place: u64, what: u64, below: u64) -> u64 {
    let mut z = place.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ what.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % below
}

/// An id that belongs to `of` and `number`.
pub fn id(of: u64, number: u64) -> Uuid {
    uuid::Builder::from_random_bytes(((u128::from(of) << 96) | u128::from(number)).to_be_bytes()).into_uuid()
}

/// Person `number`'s id.
pub fn person(number: u64) -> PersonId {
    PersonId::from_uuid(id(1, number))
}

/// How many entries share an instant, as those of a batch do.
pub const BATCH: u64 = 64;

/// When the entry at `place` was recorded.
pub fn recorded_at(place: u64, pace: i64) -> Timestamp {
    Timestamp::from_micros(START + (place / BATCH * BATCH) as i64 * pace)
}

/// The entry at `place`, where one comes every `pace` microseconds: the first of a pair is most often a decision, the
/// second what became of it.
pub fn entry(place: u64, pace: i64) -> Entry {
    let pair = place / 2;
    let recorded_at = recorded_at(place, pace);
    // Few people do most: the smaller of three draws. The last person comes once in some hundred thousand entries.
    let rare = pick(pair, 9, 50_000) == 7;
    let number = if rare { PEOPLE - 1 } else { (0..3).map(|draw| pick(pair, draw, PEOPLE - 1)).min().unwrap() };
    let kind = pick(pair, 10, 100);
    let (event, caller) = match (place % 2, kind) {
        (0, _) => decision(pair, kind, number, rare),
        (_, 0..90) => (outcome(place), decision(pair, kind, number, rare).1),
        _ => other(place, number),
    };
    let mut salt = [0; 16];
    SeededEntropy::new(place).fill(&mut salt);
    Entry {
        broker: BrokerId::from_uuid(id(7, pick(place / 512, 0, 3))),
        caller,
        event,
        happened_at: Timestamp::from_micros(recorded_at.micros() - 900 - pick(place, 11, 4_000) as i64),
        recorded_at,
        request: Some(RequestId::from_uuid(id(2, pair))),
        salt: Salt(salt),
    }
}

/// A caller: whoever has `number`, with the login and address of that hour.
fn caller(pair: u64, number: u64, scope: Scope, presented: Presented) -> Caller {
    let names = ["Ada", "Grace", "Edsger", "Barbara", "Alan", "Niklaus", "Donald", "Frances"];
    let families = ["Lovelace", "Hopper", "Dijkstra", "Liskov", "Turing", "Wirth", "Knuth", "Allen"];
    let name = if number == PEOPLE - 1 {
        "Zoe Last".to_owned()
    } else {
        format!("{} {}", names[number as usize % 8], families[number as usize / 8 % 8])
    };
    Caller {
        person: person(number),
        identity: Identity {
            provider: "corp".parse().unwrap(),
            issuer: "https://id.example.test".into(),
            subject: format!("u-{number}"),
            name,
        },
        groups: vec![format!("team-{}", number % 20), "staff".into()],
        login: LoginId::from_uuid(id(3, number * 100_000 + pair / 20_000)),
        presented,
        scope,
        assurance: Assurance { level: AssuranceLevel::Passkey, at: Timestamp::from_micros(START) },
        acr: None,
        address: [10, (number % 4) as u8, (number / 4 % 50) as u8, pick(number, 12, 250) as u8].into(),
    }
}

fn decision(pair: u64, kind: u64, number: u64, rare: bool) -> (Event, Option<Caller>) {
    let is_web = pick(pair, 13, 10) < 7;
    let (action, scope, presented) = if is_web { web(pair) } else { kubernetes(pair, number) };
    let caller = caller(pair, number, scope, presented);
    let verdict = match kind {
        0..90 => Verdict::Allow,
        90..98 => Verdict::Deny,
        _ => Verdict::StepUp,
    };
    let rule = if rare { "break-glass".to_owned() } else { format!("team-{}-may", number % 20) };
    let decision = Decision {
        verdict,
        cause: if verdict == Verdict::Allow { Cause::Permitted } else { Cause::NoRule },
        policies: if verdict == Verdict::Deny && kind.is_multiple_of(2) { Vec::new() } else { vec![rule] },
        reasons: if verdict == Verdict::Allow { Vec::new() } else { vec!["ask your team's lead".into()] },
        errors: Vec::new(),
        fresh: None,
    };
    let hash = |of: &str| hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, of.as_bytes()));
    let policy = PolicyVersion { entities: hash("e"), policies: hash("p"), schema: hash("s") };
    let context = Context {
        acr: None,
        address: caller.address,
        assurance: "passkey".into(),
        assurance_age: pick(pair, 14, 3_000) as i64,
        credential: caller.presented.kind().into(),
        time: Timestamp::from_micros(START),
    };
    (Event::Decision { action, context, decision: decision.into(), policy: policy.into() }, Some(caller))
}

fn web(pair: u64) -> (Action, Scope, Presented) {
    let app: AppName = APPS[pick(pair, 15, 8) as usize].parse().unwrap();
    let section = SECTIONS[pick(pair, 16, 6) as usize];
    // One path in four is of a page that hardly anybody else asks for.
    let page = if pick(pair, 17, 4) == 0 { pick(pair, 18, 1_000_000) } else { pick(pair, 18, 300) };
    let path = CanonicalPath::parse(&format!("/{section}/{page}")).unwrap();
    let method = if pick(pair, 19, 8) == 0 { Method::Post } else { Method::Get };
    let action = Action::Web(WebRequest { app: app.clone(), method, path, query: None, upgrade: Upgrade::None });
    let presented = Presented::AppSession(bailiwick::model::AppSessionId::from_uuid(id(4, pair / 5_000)));
    (action, Scope::App { app }, presented)
}

fn kubernetes(pair: u64, number: u64) -> (Action, Scope, Presented) {
    let cluster: ClusterName = CLUSTERS[pick(pair, 20, 3) as usize].parse().unwrap();
    let (verb, resource) = (VERBS[pick(pair, 21, 6) as usize], RESOURCES[pick(pair, 22, 5) as usize]);
    let namespace = format!("team-{}", number % 20);
    let name = if verb == "list" || verb == "watch" { String::new() } else { format!("web-{}", pick(pair, 23, 500)) };
    let slash = if name.is_empty() { "" } else { "/" };
    let path = format!("/api/v1/namespaces/{namespace}/{resource}{slash}{name}");
    let attributes = Attributes::Resource(Resource {
        api_version: "v1".into(),
        verb: verb.into(),
        resource: resource.into(),
        namespace: namespace.clone(),
        name,
        ..Resource::default()
    });
    let method = if verb == "create" { Method::Post } else { Method::Get };
    let upgrade = Upgrade::None;
    let scope = Scope::Cluster { cluster: cluster.clone(), namespaces: vec![namespace], reach: Reach::Full };
    let credential = CredentialId::from_uuid(id(5, number * 100_000 + pair / 10_000));
    let action = Action::Kubernetes(KubernetesRequest { cluster, method, path, query: None, attributes, upgrade });
    (action, scope, Presented::Certificate(credential))
}

fn outcome(place: u64) -> Event {
    let status = [200, 200, 200, 304, 404, 500][pick(place, 24, 6) as usize];
    let (received, sent) = (pick(place, 25, 900), pick(place, 26, 90_000));
    let closed_by = ClosedBy::Upstream;
    Event::Outcome { status: Some(status), received, sent, duration: pick(place, 27, 80_000), closed_by }
}

fn other(place: u64, number: u64) -> (Event, Option<Caller>) {
    let caller = caller(place / 2, number, Scope::Portal, Presented::Session);
    let address = format!("198.51.{}.{}", pick(place, 28, 100), pick(place, 29, 250));
    match pick(place, 30, 5) {
        0 => {
            let fault = (pick(place, 31, 6) == 0).then(|| "the passkey is not known".to_owned());
            let provider = Some("corp".parse().unwrap());
            (Event::SignIn { step: SignInStep::Passkey, provider, fault, address }, None)
        }
        1 => (Event::LoginEnded { login: caller.login, owner: caller.identity, cause: "idle".into() }, None),
        2 => {
            let network = format!("203.0.{}.0/24", pick(place, 32, 200));
            let (from, until) = (recorded_at(place, 1), recorded_at(place, 1));
            let (check, why, target) = ("token".into(), "not known here".into(), "wiki".into());
            (Event::Refusals { check, why, target, network, from, until, count: 1 + pick(place, 33, 500) }, None)
        }
        3 => {
            let credential = CredentialId::from_uuid(id(5, number * 100_000));
            (Event::CredentialRevoked { credential, cause: "the login has ended".into() }, Some(caller))
        }
        _ => {
            let (check, why) = ("path".into(), format!("\r\n\u{1b}[2J=cmd|'{}'", pick(place, 34, 9)));
            (Event::Refused { check, why, target: "vault".into(), address }, Some(caller))
        }
    }
}

/// Makes room for entries up to `until`, as the superuser.
pub async fn make_room(db: &mut PgConnection, until: u64, pace: i64) {
    let mut at = START;
    let end = recorded_at(until, pace).micros();
    while at <= end {
        bailiwick::store::entry::ensure_partitions(&mut *db, Timestamp::from_micros(at)).await.unwrap();
        at += 28 * 86_400 * 1_000_000;
    }
    bailiwick::store::entry::ensure_partitions(&mut *db, Timestamp::from_micros(end)).await.unwrap();
}

/// Writes the entries `from..until` as they would lie in the table, by COPY; the tree over them is left out. Returns the
/// hashes of their leaves.
pub async fn write(db: &mut PgConnection, (from, until): (u64, u64), pace: i64) -> Vec<Hash> {
    use std::fmt::Write as _;
    let statement = "copy entry (leaf_index, recorded_at, leaf, happened_at, kind, broker, request, person, login,
                                 credential, verdict, target) from stdin";
    let mut copy = db.copy_in_raw(statement).await.unwrap();
    let (mut text, mut hashes) = (String::new(), Vec::new());
    let uuid = |id: Option<Uuid>| id.map_or("\\N".to_owned(), |id| id.to_string());
    for place in from..until {
        let entry = entry(place, pace);
        let (leaf, columns) = (entry.leaf().unwrap(), Columns::of(&entry));
        hashes.push(leaf_hash(&leaf));
        let leaf = hex::encode(leaf);
        let ids = [columns.request, columns.person, columns.login, columns.credential].map(uuid).join("\t");
        let (verdict, target) = (columns.verdict.unwrap_or("\\N"), columns.target.unwrap_or("\\N".to_owned()));
        let (recorded_at, happened_at) = (entry.recorded_at, entry.happened_at);
        let (kind, broker) = (columns.kind, columns.broker);
        writeln!(
            text,
            "{place}\t{recorded_at}\t\\\\x{leaf}\t{happened_at}\t{kind}\t{broker}\t{ids}\t{verdict}\t{target}"
        )
        .unwrap();
        if text.len() > 1 << 20 {
            copy.send(std::mem::take(&mut text).into_bytes()).await.unwrap();
        }
    }
    copy.send(text.into_bytes()).await.unwrap();
    copy.finish().await.unwrap();
    hashes
}

/// Says that the log has `size` entries, without a tree that would prove it.
pub async fn claim_size(db: &mut PgConnection, size: u64, pace: i64) {
    let statement =
        "insert into head (epoch, size, parent_size, origin, root, edge, hashes, batch, broker, recorded_at)
                     values (0, $1, $1 - 1, 'auth.example.test/audit', sha256(''), '',
                             decode(repeat('00', 32), 'hex'), gen_random_uuid(), null, $2)";
    let (size, at) = (i64::try_from(size).unwrap(), recorded_at(size, pace).to_datetime());
    sqlx::query(statement).bind(size).bind(at).execute(db).await.unwrap();
}
