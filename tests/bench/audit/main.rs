//! `make bench-audit`: how fast the log makes entries durable, beside what the same Postgres does without us: plain binary
//! COPY of the same rows into a table of the same shape, and one commit for each row. Everything is interleaved in one
//! run, so that the ratios mean something on a machine that other things use too; figures are medians over the rounds.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement that cannot go on is to stop"
)]

mod cpu;
mod load;
mod parts;
mod plain;
mod snapshot;
mod support;

use std::{path::Path, time::Duration};

use load::{Brokers, Measured, callers_alone};
use support::server::Server;

/// `rounds`, and for how long each measurement runs.
struct Options {
    rounds: usize,
    each: Duration,
    place: String,
    is_alone: bool,
}

/// What one round saw with one number of callers.
struct Row {
    one: Measured,
    three: Measured,
    copy: Measured,
    single: Measured,
    callers: Measured,
}

fn main() {
    let options = Options::read();
    if !options.is_alone {
        parts::measure();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::start(Path::new(&options.place), SETTINGS).await;
        server.migrate().await;
        if options.is_alone {
            return alone(&server, &options).await;
        }
        compare(&server, &options).await;
        snapshot::compare(&server, options.rounds, options.each).await;
    });
}

/// Nothing but one broker with many callers, to be looked at with a profiler.
async fn alone(server: &Server, options: &Options) {
    let broker = Brokers::open(server, 1).await;
    for _ in 0..options.rounds {
        let seen = broker.append(512, options.each).await;
        let callers = callers_alone(512, options.each).await.cpu_each();
        println!(
            "{:.0} rows/s, {:.1} a batch, {:.2} us of CPU each, of which {callers:.2} are the callers'",
            seen.rate(),
            seen.batch(),
            seen.cpu_each()
        );
    }
    broker.close().await;
}

async fn compare(server: &Server, options: &Options) {
    plain::prepare(server).await;
    let one = Brokers::open(server, 1).await;
    let three = Brokers::open(server, 3).await;
    let mut rows: Vec<Vec<Row>> = CALLERS.map(|_| Vec::new()).into();
    for round in 0..=options.rounds {
        for (nth, callers) in CALLERS.into_iter().enumerate() {
            let row = Row {
                one: one.append(callers, options.each).await,
                copy: plain::copy(server, callers, options.each).await,
                three: three.append(callers, options.each).await,
                single: plain::single(server, callers, options.each).await,
                callers: callers_alone(callers, options.each).await,
            };
            // The first round only warms up.
            if round > 0 {
                rows[nth].push(row);
            }
        }
        eprintln!("round {round} of {}", options.rounds);
    }
    report(&rows);
    one.close().await;
    three.close().await;
}

fn report(rows: &[Vec<Row>]) {
    println!("\nrows/s, p50 and p99 of the wait in ms; fsync and synchronous_commit on");
    println!(
        "{:>7} | {:>22} | {:>22} | {:>22} | {:>22} | {:>9} | {:>9} | {:>9} | {:>9} | {:>7} | {:>7} | {:>7}",
        "callers",
        "one broker",
        "three brokers",
        "COPY, so many a commit",
        "a commit for each row",
        "one/COPY",
        "three/COPY",
        "p99/COPY",
        "p99/single",
        "CPU us",
        "callers",
        "a batch"
    );
    for (callers, rounds) in CALLERS.into_iter().zip(rows) {
        let over = |of: &dyn Fn(&Row) -> f64| median(rounds.iter().map(of).collect());
        let shown = |of: &dyn Fn(&Row) -> &Measured| {
            let over = |figure: &dyn Fn(&Measured) -> f64| over(&|row| figure(of(row)));
            format!("{:>8.0} {:>6.2} {:>6.2}", over(&Measured::rate), over(&|m| m.wait(0.5)), over(&|m| m.wait(0.99)))
        };
        println!(
            "{callers:>7} | {} | {} | {} | {} | {:>9.2} | {:>10.2} | {:>9.2} | {:>10.2} | {:>7.1} | {:>7.1} | {:>7.1}",
            shown(&|row| &row.one),
            shown(&|row| &row.three),
            shown(&|row| &row.copy),
            shown(&|row| &row.single),
            over(&|row| row.one.rate() / row.copy.rate()),
            over(&|row| row.three.rate() / row.copy.rate()),
            over(&|row| row.one.wait(0.99) / row.copy.wait(0.99)),
            over(&|row| row.one.wait(0.99) / row.single.wait(0.99)),
            over(&|row| row.one.cpu_each()),
            over(&|row| row.callers.cpu_each()),
            over(&|row| row.one.batch()),
        );
    }
    println!(
        "CPU is the broker's process with the callers in it; \"callers\" is what these take by themselves, making their \
         drafts and being woken; rounds: {}",
        rows[0].len()
    );
}

/// The middle one.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Options {
    fn read() -> Self {
        let mut options =
            Self { rounds: 5, each: Duration::from_millis(1_500), place: "/var/tmp".to_owned(), is_alone: false };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
            match word.as_str() {
                "--rounds" => options.rounds = value().parse().expect("a number of rounds"),
                "--millis" => options.each = Duration::from_millis(value().parse().expect("a number of milliseconds")),
                "--place" => options.place = value(),
                "--alone" => options.is_alone = true,
                "--bench" => {}
                _ => panic!("unknown: {word}; known are --rounds N, --millis N, --place FOLDER and --alone"),
            }
        }
        options
    }
}

const CALLERS: [usize; 4] = [1, 8, 64, 512];

const SETTINGS: &[&str] =
    &["synchronous_commit=on", "max_connections=120", "shared_buffers=512MB", "max_wal_size=4GB", "wal_buffers=16MB"];
