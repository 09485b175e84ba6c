//! kill -9 at random points, round after round: a broker, the other one, a backend, the whole of Postgres, or a broker and
//! Postgres at once. After each round everything recovers by itself, and the app's record is held against the log.

use std::{path::Path, time::Duration};

use bailiwick::model::{Entropy, SeededEntropy};
use sqlx::PgPool;

use super::{
    load::Load,
    rounds as how_many, seed,
    site::{Site, judge_heads},
};
use crate::support::server::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_nothing_was_forwarded_without_its_entry() {
    let mut server = Server::start(Path::new("/var/tmp"), SETTINGS).await;
    server.migrate().await;
    let mut site = Site::prepare(&server, &server.url("bailiwick_broker", "bailiwick")).await;
    site.all_serve().await;
    let pool = server.pool("postgres", 2);
    let mut dice = Dice(SeededEntropy::new(seed()));
    let load = Load::start(CALLERS, &site.addresses());
    let mut kills = std::collections::BTreeMap::<&str, u64>::new();
    for round in 1..=how_many() {
        site.upstream.reached_by(20 + dice.throw(100) as usize).await;
        tokio::time::sleep(Duration::from_micros(dice.throw(50_000))).await;
        let victim = VICTIMS[dice.throw(VICTIMS.len() as u64) as usize];
        *kills.entry(victim).or_default() += 1;
        match victim {
            "one broker" => site.brokers[0].kill(),
            "the other broker" => site.brokers[1].kill(),
            "a backend" => server.kill_backend(dice.throw(64) as usize),
            "Postgres" => server.kill(),
            _ => {
                server.kill();
                site.brokers[dice.throw(2) as usize].kill();
            }
        }
        if !server.is_running() {
            server.resume().await;
        }
        site.all_serve().await;
        let counts = load.counts().to_string();
        let (forwarded, size) = judge(&site, &pool).await;
        // Callers that went on would make each round's log longer than the round before had made it.
        load.resting(|| site.verify());
        eprintln!("round {round}: killed {victim}; {forwarded} forwarded, {size} entries, {counts}");
    }
    let counts = load.stop().await;
    let (forwarded, size) = judge(&site, &pool).await;
    let said = site.verify();
    eprintln!("seed {}, {kills:?}: {forwarded} requests forwarded, lost 0; {counts}; {size} entries: {said}", seed());
}

/// The app's record against the log, and the chain of heads. Asked again when Postgres has just died under it.
async fn judge(site: &Site, pool: &PgPool) -> (usize, u64) {
    loop {
        if let Ok(judged) = site.judge(pool).await
            && judge_heads(pool).await.is_ok()
        {
            return judged;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

struct Dice(SeededEntropy);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        u64::from_be_bytes((&self.0 as &dyn Entropy).bytes()) % sides
    }
}

const VICTIMS: [&str; 5] = ["one broker", "the other broker", "a backend", "Postgres", "Postgres and a broker"];

const CALLERS: usize = 12;

const SETTINGS: &[&str] = &["synchronous_commit=on", "max_connections=100", "shared_buffers=64MB"];
