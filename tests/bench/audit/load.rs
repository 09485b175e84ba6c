//! Callers who each wait for the receipt of one entry before they hand in the next, spread over one broker or several.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bailiwick::{
    audit::{Draft, Event, Limits, Log, Tasks},
    model::{Action, BrokerId, CanonicalPath, SystemClock, SystemEntropy, Verdict},
};
use sqlx::PgPool;
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinSet, yield_now},
    time::timeout,
};

use super::{
    cpu,
    support::{
        audit::{decision, request, signers},
        server::Server,
    },
};

/// Brokers on one database, each with a pool of its own.
pub struct Brokers {
    running: Vec<(Log, Tasks)>,
    owner: PgPool,
}

/// What was seen.
pub struct Measured {
    waits: Vec<u32>,
    took: Duration,
    cpu: Duration,
    rows_each: usize,
    batches: i64,
}

impl Measured {
    pub fn new(mut waits: Vec<u32>, took: Duration, cpu: Duration, rows_each: usize) -> Self {
        waits.sort_unstable();
        Self { waits, took, cpu, rows_each, batches: 0 }
    }

    /// Rows a second.
    pub fn rate(&self) -> f64 {
        (self.waits.len() * self.rows_each) as f64 / self.took.as_secs_f64()
    }

    /// A quantile of the waits, in milliseconds.
    pub fn wait(&self, quantile: f64) -> f64 {
        let at = (self.waits.len() as f64 * quantile) as usize;
        self.waits.get(at.min(self.waits.len().saturating_sub(1))).map_or(f64::NAN, |micros| f64::from(*micros) / 1e3)
    }

    /// Processor time of this process for each row, in microseconds.
    pub fn cpu_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / (self.waits.len() * self.rows_each) as f64
    }

    /// Rows in each batch.
    pub fn batch(&self) -> f64 {
        self.waits.len() as f64 / self.batches as f64
    }
}

impl Brokers {
    pub async fn open(server: &Server, count: usize) -> Self {
        let mut running = Vec::new();
        for _ in 0..count {
            let limits = Limits { wait: Duration::from_secs(60), ..Limits::default() };
            let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
            let pool = server.pool("bailiwick_broker", 8);
            let broker = BrokerId::random(&SystemEntropy);
            running.push(Log::open(pool, signers(), broker, clock, entropy, limits).await.unwrap());
        }
        Self { running, owner: server.pool("postgres", 1) }
    }

    /// So many callers, for so long.
    pub async fn append(&self, callers: usize, each: Duration) -> Measured {
        let (batches, cpu, start) = (self.batches().await, cpu::used(), Instant::now());
        let mut tasks = JoinSet::new();
        for caller in 0..callers {
            let log = self.running[caller % self.running.len()].0.clone();
            tasks.spawn(async move {
                let usual = decision(caller as u64, Verdict::Allow);
                let (mut waits, mut nth) = (Vec::new(), 0);
                while start.elapsed() < each {
                    let draft = again(&usual, nth << 16 | caller as u64);
                    let asked = Instant::now();
                    let receipt = log.append(draft).await.unwrap();
                    waits.push(asked.elapsed().as_micros() as u32);
                    assert!(receipt.epoch() == 0);
                    nth += 1;
                }
                waits
            });
        }
        let waits = tasks.join_all().await.concat();
        let mut measured = Measured::new(waits, start.elapsed(), cpu::used() - cpu, 1);
        measured.batches = self.batches().await - batches;
        measured
    }

    /// How many commits there were.
    async fn batches(&self) -> i64 {
        sqlx::query_scalar("select count(*) from head").fetch_one(&self.owner).await.unwrap()
    }

    pub async fn close(self) {
        for (_, tasks) in self.running {
            tasks.stop(Duration::from_secs(30)).await;
        }
    }
}

/// What the callers cost by themselves: the same tasks with the same drafts, told by one that does nothing else.
pub async fn callers_alone(callers: usize, each: Duration) -> Measured {
    let (asked, mut waiting) = mpsc::unbounded_channel::<(Draft, oneshot::Sender<()>)>();
    let telling = tokio::spawn(async move {
        let mut batch = Vec::new();
        while waiting.recv_many(&mut batch, callers).await > 0 {
            // As the log does, it lets those who were just told hand in their next first.
            let mut before = 0;
            while batch.len() > before {
                before = batch.len();
                yield_now().await;
                while let Ok(next) = waiting.try_recv() {
                    batch.push(next);
                }
            }
            batch.drain(..).for_each(|(_, reply)| reply.send(()).unwrap());
        }
    });
    let (cpu, start, mut tasks) = (cpu::used(), Instant::now(), JoinSet::new());
    for caller in 0..callers {
        let asked = asked.clone();
        tasks.spawn(async move {
            let usual = decision(caller as u64, Verdict::Allow);
            let (mut waits, mut nth) = (Vec::new(), 0);
            while start.elapsed() < each {
                let draft = again(&usual, nth << 16 | caller as u64);
                let (began, (reply, told)) = (Instant::now(), oneshot::channel());
                asked.send((draft, reply)).unwrap();
                timeout(Duration::from_secs(60), told).await.unwrap().unwrap();
                waits.push(began.elapsed().as_micros() as u32);
                nth += 1;
            }
            waits
        });
    }
    let waits = tasks.join_all().await.concat();
    let measured = Measured::new(waits, start.elapsed(), cpu::used() - cpu, 1);
    drop(asked);
    telling.await.unwrap();
    measured
}

/// What someone who is known asks next: for another page, under another id. A broker remembers the rest, as `usual` does.
pub fn again(usual: &Draft, n: u64) -> Draft {
    let mut draft = Draft { request: Some(request(n)), ..usual.clone() };
    if let Event::Decision { action: Action::Web(web), .. } = &mut draft.event {
        web.path = CanonicalPath::parse(&format!("/page-{n}")).unwrap();
    }
    draft
}
