//! Checkpoints leave the database: to a file, an address, a witness. What does not take them is seen, and lets nobody in
//! only where that was asked for.

#![allow(unused_must_use, reason = "these tests append for the sake of the entry, and no receipt permits anything")]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bailiwick::{
    audit::{
        Draft, Event, Log,
        cosignature::Witness,
        published::{Published, Record, records},
    },
    config,
    model::{Clock, SystemClock, Verdict},
    shipping::{Shipping, ShippingTasks},
    store,
};
use sqlx::PgPool;

use crate::support::{
    audit::{ORIGIN, decision, log, signer},
    database, eventually,
    witness::TestWitness,
};

#[tokio::test]
async fn every_checkpoint_is_in_the_file_within_a_second_and_the_last_one_when_the_broker_stops() {
    let db = database().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoints");
    let (log, recording) = log(&db.pool).await;
    let (shipping, tasks) = ship(&to_file(&path), &[], &log, &db.pool);
    let mut quickest = Duration::MAX;
    for n in 0..5 {
        log.append(decision(n, Verdict::Deny)).await.unwrap();
        let appended = tokio::time::Instant::now();
        eventually(async || (newest(&path)? > n).then_some(())).await;
        quickest = quickest.min(appended.elapsed());
    }
    // Within a second of its signing, which is within a second of its commit; the machine may be busy, but not each time.
    assert!(quickest < Duration::from_secs(2), "it took {quickest:?}");
    assert!(shipping.readiness().is_ok() && shipping.alarms().is_empty() && !shipping.is_forked());
    eventually(async || (shipping.readings()[0].size == 5).then_some(())).await;
    log.append(decision(9, Verdict::Deny)).await.unwrap();
    recording.stop(Duration::from_secs(10)).await;
    tasks.stop(Duration::from_secs(10)).await;
    assert_eq!(newest(&path), Some(6));
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_an_alarm_and_stops_nobody_unless_it_is_required() {
    let db = database().await;
    let (log, _recording) = log(&db.pool).await;
    // Whatever is written here fails with ENOSPC, as on a disk that is full.
    let full = Path::new("/dev/full");
    let (shipping, tasks) = ship(&to_file(full), &[], &log, &db.pool);
    log.append(decision(1, Verdict::Deny)).await.unwrap();
    eventually(async || (shipping.readings()[0].behind > Duration::from_secs(1)).then_some(())).await;
    assert!(log.append(decision(2, Verdict::Deny)).await.is_ok(), "nobody is stopped");
    tasks.stop(Duration::from_secs(10)).await;

    let required = config::Shipping { required: true, ..to_file(full) };
    let (_shipping, tasks) = ship(&required, &[], &log, &db.pool);
    log.append(decision(3, Verdict::Deny)).await;
    eventually(async || (!log.alive()).then_some(())).await;
    assert!(log.append(decision(4, Verdict::Deny)).await.is_err());
    tasks.stop(Duration::from_secs(10)).await;
    let nowhere = config::Shipping { required: true, ..to_file(Path::new("/nonexistent/checkpoints")) };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    assert!(Shipping::open(&nowhere, &[], &log, &db.pool, &clock).is_err(), "it does not even start");
}

#[tokio::test]
async fn a_log_that_was_held_goes_on_once_the_file_can_be_written() {
    let db = database().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoints");
    let (log, _recording) = log(&db.pool).await;
    let required = config::Shipping { required: true, ..to_file(&path) };
    let (_shipping, _tasks) = ship(&required, &[], &log, &db.pool);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    log.append(decision(1, Verdict::Deny)).await;
    eventually(async || (!log.alive()).then_some(())).await;
    std::fs::remove_dir(&path).unwrap();
    eventually(async || log.alive().then_some(())).await;
    eventually(async || newest(&path)).await;
    assert!(log.append(decision(2, Verdict::Deny)).await.is_ok());
}

#[tokio::test]
async fn an_address_gets_the_newest_note_until_it_takes_it() {
    let db = database().await;
    let (log, _recording) = log(&db.pool).await;
    let got = Arc::new(std::sync::Mutex::new(Vec::<String>::new()));
    let seen = Arc::clone(&got);
    let handler = async move |body: String| {
        let mut seen = seen.lock().unwrap();
        seen.push(body);
        if seen.len() < 3 { http::StatusCode::SERVICE_UNAVAILABLE } else { http::StatusCode::NO_CONTENT }
    };
    let router = axum::Router::new().route("/notes", axum::routing::post(handler));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("http://{address}/notes");
    tokio::spawn(async move { axum::serve(listener, router).await });
    let settings = config::Shipping { checkpoint_url: Some(url.parse().unwrap()), ..config::Shipping::default() };
    let (shipping, _tasks) = ship(&settings, &[], &log, &db.pool);
    log.append(decision(1, Verdict::Deny)).await.unwrap();
    eventually(async || (shipping.readings()[0].size == 1).then_some(())).await;
    let got = got.lock().unwrap();
    assert_eq!(got.len(), 3, "twice refused, once taken");
    assert!(got.iter().all(|note| signer().verifier().open(note).is_ok_and(|stated| stated.size == 1)));
    assert_eq!(shipping.readings()[0].name, format!("address {address}"), "with its port, and without its path");
    assert!(shipping.readiness().is_ok());
}

#[tokio::test]
async fn witnesses_cosign_every_checkpoint_and_two_brokers_do_not_confuse_them() {
    let db = database().await;
    let witnesses = [
        TestWitness::start("witness.example/w1", &[signer().verifier().clone()]).await,
        TestWitness::start("witness.example/w2", &[signer().verifier().clone()]).await,
    ];
    let settings: Vec<_> = witnesses.iter().map(configured).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoints");
    let brokers = [log(&db.pool).await, log(&db.another_pool("bailiwick_broker")).await];
    let ships: Vec<_> = brokers.iter().map(|(log, _)| ship(&to_file(&path), &settings, log, &db.pool)).collect();
    for n in 0..700 {
        brokers[n % 2].0.append(decision(n as u64, Verdict::Deny)).await.unwrap();
    }
    for witness in &witnesses {
        eventually(async || (witness.seen(ORIGIN).0 == 700).then_some(())).await;
        assert!(witness.statuses().iter().all(|status| [200, 409].contains(status)), "{:?}", witness.statuses());
    }
    eventually(async || {
        let all = ships.iter().filter_map(|(shipping, _)| shipping.newest());
        let mut cosigned = all.filter(|served| is_cosigned_by(&served.note, &witnesses));
        cosigned.next()
    })
    .await;
    // The note with both cosignatures is published again.
    eventually(async || {
        let text = std::fs::read_to_string(&path).ok()?;
        let all = records(&text).unwrap();
        all.iter().any(|record| is_cosigned_by(&record.note, &witnesses)).then_some(())
    })
    .await;
    assert!(ships.iter().all(|(shipping, _)| !shipping.is_forked()));
}

#[tokio::test]
async fn a_witness_that_knows_another_history_is_an_alarm_and_is_not_believed() {
    let db = database().await;
    let witness = TestWitness::start("witness.example/w1", &[signer().verifier().clone()]).await;
    let (log, _recording) = log(&db.pool).await;
    for n in 0..5 {
        log.append(decision(n, Verdict::Deny)).await.unwrap();
    }
    witness.pretend(ORIGIN, 3, [9; 32]);
    let (shipping, _tasks) = ship(&config::Shipping::default(), &[configured(&witness)], &log, &db.pool);
    eventually(async || shipping.is_forked().then_some(())).await;
    assert_eq!(witness.statuses()[..2], [409, 422]);
    assert!(shipping.alarms()[0].contains("witness.example/w1"), "{:?}", shipping.alarms());
    assert!(log.append(decision(6, Verdict::Deny)).await.is_ok(), "an alarm, and never a command");
    assert!(!shipping.newest().unwrap().note.contains("witness.example"));
}

#[tokio::test]
async fn a_witness_of_another_key_or_another_log_gives_no_cosignature() {
    let db = database().await;
    let (log, _recording) = log(&db.pool).await;
    log.append(decision(1, Verdict::Deny)).await.unwrap();
    let stranger = TestWitness::start("witness.example/w1", &[]).await;
    let (shipping, tasks) = ship(&config::Shipping::default(), &[configured(&stranger)], &log, &db.pool);
    eventually(async || stranger.statuses().contains(&404).then_some(())).await;
    tasks.stop(Duration::from_secs(10)).await;
    assert!(!shipping.is_forked());

    let witness = TestWitness::start("witness.example/w2", &[signer().verifier().clone()]).await;
    let mistaken = config::Witness { key: stranger.key.clone(), ..configured(&witness) };
    let (shipping, _tasks) = ship(&config::Shipping::default(), &[mistaken], &log, &db.pool);
    eventually(async || witness.statuses().contains(&200).then_some(())).await;
    eventually(async || (shipping.readings()[0].behind > Duration::ZERO).then_some(())).await;
    assert!(!shipping.newest().unwrap().note.contains("witness.example"));
}

#[tokio::test]
async fn a_gap_is_seen_however_far_the_index_is_behind() {
    let db = database().await;
    // Nobody indexes while another is at it.
    let mut indexing = db.owner.begin().await.unwrap();
    assert!(store::search::take_turn(&mut *indexing).await.unwrap());
    let (log, _recording) = log(&db.pool).await;
    let now = SystemClock.now();
    let event = Event::Gap { lost: 3, from: now, until: now, why: "away".to_owned() };
    log.append(Draft { caller: None, event, happened_at: now, request: None }).await.unwrap();
    for part in 0..17_u64 {
        let mut appending = tokio::task::JoinSet::new();
        for n in 0..1_024 {
            let log = log.clone();
            appending.spawn(async move { log.append(decision(part * 1_024 + n, Verdict::Deny)).await.map(drop) });
        }
        assert!(appending.join_all().await.iter().all(Result::is_ok));
    }
    let (shipping, tasks) = ship(&config::Shipping::default(), &[], &log, &db.pool);
    let lost = eventually(async || Some(shipping.lost()).filter(|lost| lost.gaps > 0)).await;
    assert_eq!((lost.gaps, lost.entries), (1, 3), "once, though it is this broker's own");
    tasks.stop(Duration::from_secs(10)).await;
}

fn configured(witness: &TestWitness) -> config::Witness {
    config::Witness { url: witness.url().parse().unwrap(), key: witness.key.clone(), ca_file: None }
}

fn is_cosigned_by(note: &str, witnesses: &[TestWitness]) -> bool {
    let lines: String =
        note.lines().filter(|line| line.starts_with('\u{2014}')).map(|line| format!("{line}\n")).collect();
    witnesses.iter().all(|witness| {
        let key: Witness = witness.key.parse().unwrap();
        key.cosignature(note, &lines).is_ok_and(|found| found.is_some())
    })
}

fn to_file(path: &Path) -> config::Shipping {
    config::Shipping { checkpoint_file: Some(path.to_owned()), ..config::Shipping::default() }
}

#[tokio::test]
async fn a_witness_that_refuses_the_very_first_checkpoint_is_no_sign_of_a_fork() {
    let db = database().await;
    let (log, _recording) = log(&db.pool).await;
    let known = TestWitness::start("witness.example/w1", &[]).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let refuse = async move || {
        counter.fetch_add(1, Ordering::SeqCst);
        (http::StatusCode::UNPROCESSABLE_ENTITY, "not for here")
    };
    let router = axum::Router::new().route("/prefix/add-checkpoint", axum::routing::post(refuse));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/prefix", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let witness = config::Witness { url, key: known.key.clone(), ca_file: None };
    let (shipping, _tasks) = ship(&config::Shipping::default(), &[witness], &log, &db.pool);
    log.append(decision(1, Verdict::Deny)).await.unwrap();
    eventually(async || (asked.load(Ordering::SeqCst) > 2).then_some(())).await;
    assert!(!shipping.is_forked() && shipping.alarms().is_empty(), "{:?}", shipping.alarms());
}

fn ship(
    settings: &config::Shipping,
    witnesses: &[config::Witness],
    log: &Log,
    pool: &PgPool,
) -> (Shipping, ShippingTasks) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    Shipping::open(settings, witnesses, log, pool, &clock).unwrap()
}

/// How many entries the newest record in the file covers; every record must be signed.
fn newest(path: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let keys = [signer().verifier().clone()];
    let open = |record: &Record| Published::open(&record.note, ORIGIN, &keys).unwrap().checkpoint.size;
    records(&text).unwrap().iter().map(open).max()
}
