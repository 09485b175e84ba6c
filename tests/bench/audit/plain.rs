//! The same rows without the log: into a table of the same shape with the same indexes, by binary COPY, so many to a
//! commit, and one by one, each in a commit of its own.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

use bailiwick::{
    audit::{
        Draft, Entry,
        entry::{Columns, Salt},
    },
    model::{BrokerId, Clock as _, RequestId, SystemClock, SystemEntropy, Timestamp, Verdict},
};
use sqlx::PgConnection;
use tokio::task::JoinSet;

use super::{
    cpu,
    load::Measured,
    support::{audit::decision, server::Server},
};

/// Makes the table.
pub async fn prepare(server: &Server) {
    let statements = "create table plain (like entry including all) partition by range (recorded_at);
                      create table plain_all partition of plain for values from (minvalue) to (maxvalue);
                      grant select, insert on plain to bailiwick_broker";
    server.execute("bailiwick", statements).await;
}

/// One connection, `count` rows a commit.
pub async fn copy(server: &Server, count: usize, each: Duration) -> Measured {
    let pool = server.pool("bailiwick_broker", 1);
    let mut db = pool.acquire().await.unwrap();
    let rows: Vec<Encoded> = (0..count).map(|_| Encoded::of(&row())).collect();
    let (cpu, start, mut waits) = (cpu::used(), Instant::now(), Vec::new());
    while start.elapsed() < each {
        let asked = Instant::now();
        let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        rows.iter().for_each(|row| row.put(&mut bytes));
        bytes.extend((-1_i16).to_be_bytes());
        let statement = format!("copy plain ({COLUMNS}) from stdin (format binary)");
        let mut copying = db.copy_in_raw(&statement).await.unwrap();
        copying.send(bytes).await.unwrap();
        assert_eq!(copying.finish().await.unwrap(), count as u64);
        waits.push(asked.elapsed().as_micros() as u32);
    }
    Measured::new(waits, start.elapsed(), cpu::used() - cpu, count)
}

/// `count` connections, at most 64, each committing one row after the other.
pub async fn single(server: &Server, count: usize, each: Duration) -> Measured {
    let count = count.min(64);
    let pool = server.pool("bailiwick_broker", count as u32);
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(pool.acquire().await.unwrap());
    }
    let (cpu, start) = (cpu::used(), Instant::now());
    let mut tasks = JoinSet::new();
    for mut db in connections {
        tasks.spawn(async move {
            let (entry, mut waits) = (row(), Vec::new());
            while start.elapsed() < each {
                let asked = Instant::now();
                insert(&mut db, &entry).await;
                waits.push(asked.elapsed().as_micros() as u32);
            }
            waits
        });
    }
    let waits = tasks.join_all().await.concat();
    Measured::new(waits, start.elapsed(), cpu::used() - cpu, 1)
}

async fn insert(db: &mut PgConnection, entry: &Entry) {
    static INSERT: &str =
        "insert into plain (leaf_index, recorded_at, leaf, happened_at, kind, broker, request, person,
                                              login, credential, verdict, target)
                           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    let columns = Columns::of(entry);
    sqlx::query(INSERT)
        .bind(next())
        .bind(entry.recorded_at.to_datetime())
        .bind(entry.leaf().unwrap())
        .bind(entry.happened_at.to_datetime())
        .bind(columns.kind)
        .bind(columns.broker)
        .bind(RequestId::random(&SystemEntropy).uuid())
        .bind(columns.person)
        .bind(columns.login)
        .bind(columns.credential)
        .bind(columns.verdict)
        .bind(columns.target)
        .execute(db)
        .await
        .unwrap();
}

/// A row ready for COPY, but for what differs each time.
struct Encoded {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Encoded {
    fn of(entry: &Entry) -> Self {
        let columns = Columns::of(entry);
        let (mut before, mut after) = (Vec::new(), Vec::new());
        field(&mut before, Some(&postgres_time(entry.recorded_at)));
        field(&mut before, Some(&entry.leaf().unwrap()));
        field(&mut before, Some(&postgres_time(entry.happened_at)));
        field(&mut before, Some(columns.kind.as_bytes()));
        field(&mut before, Some(columns.broker.as_bytes()));
        for id in [&columns.person, &columns.login, &columns.credential] {
            field(&mut after, id.as_ref().map(|id| id.as_bytes().as_slice()));
        }
        field(&mut after, columns.verdict.map(str::as_bytes));
        field(&mut after, columns.target.as_deref().map(str::as_bytes));
        Self { before, after }
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend(12_i16.to_be_bytes());
        field(out, Some(&next().to_be_bytes()));
        out.extend_from_slice(&self.before);
        field(out, Some(RequestId::random(&SystemEntropy).uuid().as_bytes()));
        out.extend_from_slice(&self.after);
    }
}

fn field(out: &mut Vec<u8>, value: Option<&[u8]>) {
    let length = value.map_or(-1, |value| value.len() as i32);
    out.extend(length.to_be_bytes());
    out.extend_from_slice(value.unwrap_or_default());
}

/// Microseconds since 2000, as Postgres has it.
fn postgres_time(at: Timestamp) -> [u8; 8] {
    (at.micros() - 946_684_800_000_000).to_be_bytes()
}

fn row() -> Entry {
    let Draft { caller, event, happened_at, request } = decision(next() as u64, Verdict::Allow);
    let caller = caller.map(|caller| caller.to_value());
    let salt = Salt((&SystemEntropy as &dyn bailiwick::model::Entropy).bytes());
    let broker = BrokerId::random(&SystemEntropy);
    Entry { broker, caller, event, happened_at, recorded_at: SystemClock.now(), request, salt }
}

fn next() -> i64 {
    static NEXT: AtomicI64 = AtomicI64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

const COLUMNS: &str =
    "leaf_index, recorded_at, leaf, happened_at, kind, broker, request, person, login, credential, verdict, target";
