//! Whether an append waits longer while somebody reads the whole log in one snapshot: a transaction that stays open, and
//! pg_dump over and over. In turns with the same load undisturbed, so that the ratio means something.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use super::{
    load::{Brokers, Measured},
    median,
    support::server::{Server, end_group},
};

/// Measures and says it.
pub async fn compare(server: &Server, rounds: usize, each: Duration) {
    let brokers = Brokers::open(server, 1).await;
    let (mut open, mut dumped) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let alone = brokers.append(CALLERS, each).await;
        let mut reader = PgConnection::connect(&server.url("postgres", "bailiwick")).await.unwrap();
        sqlx::raw_sql("begin isolation level repeatable read; select count(*) from entry")
            .execute(&mut reader)
            .await
            .unwrap();
        let beside = brokers.append(CALLERS, each).await;
        open.push((ratio(&beside, &alone, 0.5), ratio(&beside, &alone, 0.99)));
        let dump = server.dump();
        let busy = brokers.append(CALLERS, each).await;
        end_group(dump);
        dumped.push((ratio(&busy, &alone, 0.5), ratio(&busy, &alone, 0.99)));
        reader.close().await.unwrap();
    }
    println!("\nwith {CALLERS} callers, the wait as a ratio to the same undisturbed: p50, p99");
    say("a snapshot stays open", &open);
    say("and pg_dump reads besides", &dumped);
    brokers.close().await;
}

fn ratio(disturbed: &Measured, alone: &Measured, quantile: f64) -> f64 {
    disturbed.wait(quantile) / alone.wait(quantile)
}

fn say(what: &str, ratios: &[(f64, f64)]) {
    let over = |of: &dyn Fn(&(f64, f64)) -> f64| median(ratios.iter().map(of).collect());
    println!("  {:>5.2} {:>5.2}  {what}", over(&|(p50, _)| *p50), over(&|(_, p99)| *p99));
}

const CALLERS: usize = 64;
