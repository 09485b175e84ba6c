//! The log when things break, each at one exact moment: lost COMMITs, a database that is away, callers who give up,
//! a database that is not what it was. Whatever happens: no receipt without an entry, no entry twice,
//! recovery without a hand.

#![allow(unused_must_use, reason = "these tests append for the sake of the entry, and no receipt permits anything")]

use std::{sync::Arc, time::Duration};

use bailiwick::{
    audit::{ChangeFault, Draft, Event, Limits, State, Unrecorded},
    model::{SystemClock, Verdict},
};
use sqlx::PgPool;

use crate::support::{
    audit::{decision, entries, kinds, limits, log, log_at, outcome, request, stopped},
    chaos::{Chaos, Fault},
    database, eventually,
};

#[tokio::test]
async fn an_entry_whose_commit_was_not_answered_is_recorded_once_and_gets_its_receipt() {
    let db = database().await;
    let chaos = Chaos::before(&db);
    let (log, _tasks) = log(&chaos.pool(&db)).await;
    log.append(stopped()).await.unwrap();
    chaos.arm(Fault::LostAnswer("page-77"));
    let receipt = log.append(decision(77, Verdict::Allow)).await.unwrap();
    assert!(chaos.has_struck());
    assert_eq!(receipt.leaf_index(), 1);
    assert_eq!(kinds(&db.pool).await, ["broker-stopped", "decision"]);
    assert_eq!(log.append(stopped()).await.unwrap().leaf_index(), 2);
}

#[tokio::test]
async fn an_entry_that_never_reached_the_database_is_offered_again() {
    let db = database().await;
    let chaos = Chaos::before(&db);
    let (log, _tasks) = log(&chaos.pool(&db)).await;
    log.append(stopped()).await.unwrap();
    chaos.arm(Fault::LostMessage("page-77"));
    assert_eq!(log.append(decision(77, Verdict::Allow)).await.unwrap().leaf_index(), 1);
    assert!(chaos.has_struck());
    assert_eq!(kinds(&db.pool).await, ["broker-stopped", "decision"]);
}

#[tokio::test]
async fn a_lost_commit_gives_way_when_another_broker_took_its_place() {
    let db = database().await;
    let chaos = Chaos::before(&db);
    let (one, _tasks) = log(&chaos.pool(&db)).await;
    let (two, _others) = log(&db.pool).await;
    one.append(stopped()).await.unwrap();
    for n in 0..5 {
        chaos.arm(if n % 2 == 0 { Fault::LostMessage("page-77") } else { Fault::LostAnswer("page-77") });
        let (mine, theirs) =
            tokio::join!(one.append(decision(77, Verdict::Deny)), two.append(decision(n, Verdict::Deny)));
        assert_ne!(mine.unwrap().leaf_index(), theirs.unwrap().leaf_index());
        assert!(chaos.has_struck());
    }
    assert_eq!(entries(&db.pool).await.len(), 11);
}

#[tokio::test]
async fn a_change_whose_commit_was_not_answered_happens_once() {
    let db = database().await;
    let chaos = Chaos::before(&db);
    let (log, _tasks) = log(&chaos.pool(&db)).await;
    let faults = [Fault::LostAnswer("COMMIT"), Fault::LostMessage("COMMIT"), Fault::LostAnswer("COMMIT")];
    for (round, fault) in (0..).zip(faults) {
        chaos.arm(fault);
        let (_, receipt) = log
            .append_within(|db| {
                Box::pin(async move {
                    let change = "insert into policy_text
                                  select sha256(convert_to(count(*)::text, 'UTF8')), 'policies', count(*)::text, now()
                                  from policy_text";
                    sqlx::query(change).execute(db).await?;
                    Ok(((), vec![stopped()]))
                })
            })
            .await
            .unwrap();
        assert!(chaos.has_struck());
        assert_eq!(receipt.leaf_index(), 2 * round);
        assert_eq!(log.append(stopped()).await.unwrap().leaf_index(), 2 * round + 1, "the log goes on");
        let (changes,): (i64,) = sqlx::query_as("select count(*) from policy_text").fetch_one(&db.owner).await.unwrap();
        assert_eq!((changes as u64, entries(&db.pool).await.len() as u64), (round + 1, 2 * round + 2));
    }
}

#[tokio::test]
async fn a_change_whose_fate_nobody_could_learn_is_said_to_be_unsettled_and_the_log_goes_on() {
    for (fault, kept) in [(Fault::LostAnswer("COMMIT"), 1), (Fault::LostMessage("COMMIT"), 0)] {
        let db = database().await;
        let chaos = Chaos::before(&db);
        let (log, _tasks) = log(&chaos.pool(&db)).await;
        chaos.arm_for_good(fault);
        let changed = log
            .append_within(|db| {
                Box::pin(async move {
                    let change = "insert into policy_text values (sha256('a'), 'policies', 'a', now())";
                    sqlx::query(change).execute(db).await?;
                    Ok(((), vec![decision(5, Verdict::Allow)]))
                })
            })
            .await;
        assert!(matches!(changed, Err(ChangeFault::Unrecorded(Unrecorded::Unsettled))), "{:?}", changed.err());
        eventually(async || (!log.alive()).then_some(())).await;
        chaos.mend();
        eventually(async || log.alive().then_some(())).await;
        // Both are there or neither, and the place that was in doubt is settled.
        assert_eq!(log.append(stopped()).await.unwrap().leaf_index(), kept);
        let (changes,): (i64,) = sqlx::query_as("select count(*) from policy_text").fetch_one(&db.owner).await.unwrap();
        assert_eq!((changes as u64, entries(&db.pool).await.len() as u64), (kept, kept + 1));
    }
}

#[tokio::test]
async fn with_the_database_away_everyone_is_refused_in_time_and_it_recovers_by_itself() {
    let db = database().await;
    let patience = Limits { wait: Duration::from_millis(800), ..limits() };
    let (log, _tasks) = log_at(&db.pool, Arc::new(SystemClock), patience).await;
    log.append(stopped()).await.unwrap();
    db.cut_off().await;
    let refused = log.append(decision(1, Verdict::Allow)).await.unwrap_err();
    assert!(matches!(refused, Unrecorded::TimedOut | Unrecorded::Down), "{refused}");
    eventually(async || (!log.alive()).then_some(())).await;
    assert!(matches!(log.health().state, State::Down(_)));
    assert_eq!(log.readiness().unwrap_err(), "The audit log cannot be written. The broker's log says why.");
    // Once it is known to be away, nobody waits: whoever does is answered by their patience, and differently.
    assert_eq!(log.append(decision(2, Verdict::Allow)).await.unwrap_err(), Unrecorded::Down);

    // What has happened already is kept until the database is back.
    for n in 10..15 {
        log.note(outcome(n));
    }
    db.restore().await;
    eventually(async || log.alive().then_some(())).await;
    assert_eq!(log.append(decision(3, Verdict::Deny)).await.map(|receipt| receipt.leaf_index() >= 6), Ok(true));
    let kinds = kinds(&db.pool).await;
    assert_eq!(kinds.iter().filter(|kind| **kind == "outcome").count(), 5);
    let allowed: Vec<_> =
        entries(&db.pool).await.into_iter().filter(|entry| entry.request == Some(request(2))).collect();
    assert!(allowed.is_empty(), "nobody was told that it was recorded, and it was not");
    let (lost, why) = gap(&db.pool).await;
    // The first was on its way when the database went, and may be there after all.
    let is_there = entries(&db.pool).await.iter().any(|entry| entry.request == Some(request(1)));
    assert_eq!((lost, why.as_str()), (if is_there { 1 } else { 2 }, "the log could not be written"));
    assert_eq!(log.health().lost, lost);
}

#[tokio::test]
async fn a_backend_that_is_killed_between_entries_is_not_even_noticed() {
    let db = database().await;
    let (log, _tasks) = log(&db.pool).await;
    for n in 0..4 {
        assert_eq!(log.append(decision(n, Verdict::Allow)).await.unwrap().leaf_index(), n);
        db.end_connections().await;
    }
    assert!(log.alive());
}

#[tokio::test]
async fn a_caller_who_gave_up_is_told_no_and_the_log_says_that_nothing_was_forwarded() {
    let db = database().await;
    let patience = Limits { wait: Duration::from_millis(300), ..limits() };
    let (log, _tasks) = log_at(&db.pool, Arc::new(SystemClock), patience).await;
    log.append(stopped()).await.unwrap();
    let held = db.hold_the_head().await;
    assert_eq!(log.append(decision(1, Verdict::Allow)).await.unwrap_err(), Unrecorded::TimedOut);
    held.rollback().await.unwrap();
    eventually(async || (kinds(&db.pool).await.len() == 3).then_some(())).await;
    let entries = entries(&db.pool).await;
    assert!(matches!(&entries[1].event, Event::Decision { .. }));
    assert!(matches!(&entries[2].event, Event::NotForwarded { .. }));
    assert_eq!((entries[2].request, &entries[2].caller), (Some(request(1)), &entries[1].caller));
}

#[tokio::test]
async fn a_caller_who_went_away_while_it_was_recorded_is_closed_as_well() {
    let db = database().await;
    let (log, _tasks) = log(&db.pool).await;
    log.append(stopped()).await.unwrap();
    let held = db.hold_the_head().await;
    let gone = tokio::spawn({
        let log = log.clone();
        async move { log.append(decision(1, Verdict::Allow)).await.map(drop) }
    });
    db.wait_for_the_head().await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    held.rollback().await.unwrap();
    eventually(async || (kinds(&db.pool).await == ["broker-stopped", "decision", "not-forwarded"]).then_some(())).await;
}

#[tokio::test]
async fn a_full_queue_refuses_and_takes_more_when_it_has_room() {
    let db = database().await;
    let patience = Limits { wait: Duration::from_secs(60), ..limits() };
    let (log, _tasks) = log_at(&db.pool, Arc::new(SystemClock), patience).await;
    log.append(stopped()).await.unwrap();
    let held = db.hold_the_head().await;
    let first = tokio::spawn({
        let log = log.clone();
        async move { log.append(stopped()).await.map(drop) }
    });
    db.wait_for_the_head().await;
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..4_200 {
        let log = log.clone();
        waiting.spawn(async move { log.append(decision(n, Verdict::Deny)).await.map(drop) });
    }
    let mut full = 0;
    while full < 104 {
        match waiting.join_next().await.unwrap().unwrap() {
            Err(Unrecorded::Full) => full += 1,
            other => panic!("{other:?} while the head was held"),
        }
    }
    held.rollback().await.unwrap();
    first.await.unwrap().unwrap();
    assert!(waiting.join_all().await.iter().all(Result::is_ok));
    assert_eq!(gap(&db.pool).await, (104, "too many entries waited".to_owned()));
    assert_eq!(entries(&db.pool).await.len(), 2 + 4_096 + 1);
    assert_eq!(log.health().lost, 104);
}

#[tokio::test]
async fn an_entry_that_is_too_long_is_refused_and_stops_nobody() {
    let db = database().await;
    let (log, _tasks) = log(&db.pool).await;
    let draft = |why: String| {
        let (check, target, address) = ("path".into(), "a\0b".into(), "127.0.0.1".into());
        Draft { event: Event::Refused { check, why, target, address }, ..stopped() }
    };
    assert_eq!(log.append(draft("x".repeat(1 << 20))).await.unwrap_err(), Unrecorded::Unfit);
    log.append(draft("\0 and \u{1b}[2J are only text".into())).await.map(drop).unwrap();
    assert_eq!(kinds(&db.pool).await.first(), Some(&"refused"));
    assert_eq!(gap(&db.pool).await, (1, "an entry did not fit".to_owned()));
}

#[tokio::test]
async fn a_log_that_went_backwards_is_not_written_to() {
    let db = database().await;
    let (log, _tasks) = log(&db.pool).await;
    for n in 0..5 {
        log.append(decision(n, Verdict::Deny)).await.unwrap();
    }
    sqlx::raw_sql("delete from entry where leaf_index >= 3; delete from head where size > 3")
        .execute(&db.owner)
        .await
        .unwrap();
    let refused = log.append(decision(9, Verdict::Allow)).await.unwrap_err();
    assert!(matches!(refused, Unrecorded::TimedOut | Unrecorded::Broken), "{refused}");
    assert!(matches!(log.health().state, State::Broken(what) if what.contains("went back to 3 entries, it had 5")));
    assert_eq!(log.append(decision(9, Verdict::Allow)).await.unwrap_err(), Unrecorded::Broken);
    assert_eq!(entries(&db.pool).await.len(), 3);
}

#[tokio::test]
async fn a_forked_log_is_noticed_while_nothing_is_written() {
    let db = database().await;
    let (one, _tasks) = log(&db.pool).await;
    one.append(stopped()).await.unwrap();
    sqlx::query("update head set root = sha256('another') where size = 1").execute(&db.owner).await.unwrap();
    eventually(async || (!one.alive()).then_some(())).await;
    assert!(matches!(one.health().state, State::Broken(what) if what.contains("forked")));
    let broker = bailiwick::model::BrokerId::random(&bailiwick::model::SystemEntropy);
    let opened = bailiwick::audit::Log::open(
        db.pool.clone(),
        crate::support::audit::signers(),
        broker,
        Arc::new(SystemClock),
        Arc::new(bailiwick::model::SystemEntropy),
        limits(),
    );
    assert!(matches!(opened.await, Err(bailiwick::audit::LogFault::Broken(_))), "nor does it open");
}

/// The one gap that the log tells of, once it does: how many entries, and why.
async fn gap(pool: &PgPool) -> (u64, String) {
    eventually(async || {
        let gaps = entries(pool).await.into_iter().filter_map(|entry| match entry.event {
            Event::Gap { lost, why, .. } => Some((lost, why)),
            _ => None,
        });
        let gaps: Vec<_> = gaps.collect();
        assert!(gaps.len() < 2, "{gaps:?}");
        gaps.into_iter().next()
    })
    .await
}
