//! What arrives: all of it, in order, in each shape; and how far it has got is known.

use std::time::Duration;

use bailiwick::{
    config::{BatchFormat, Begin, Collector, Destination},
    shipping::collector::Pace,
    store::{self, collector::Advance},
};

use super::{Endpoint, cursor, fill, http, pace, ship, skipped, to, until_failing, until_shipped};
use crate::support::{database, eventually};

#[tokio::test]
async fn every_entry_arrives_once_and_in_order_in_each_shape() {
    for format in [BatchFormat::Ndjson, BatchFormat::JsonArray, BatchFormat::Loki] {
        let db = database().await;
        fill(&db.pool, 75).await;
        let endpoint = Endpoint::willing(format).await;
        let collectors = ship(&db.pool, to(http(&endpoint.url, format)), pace()).await;
        let cursor = until_shipped(&db.pool, 75).await;
        assert_eq!((cursor.shipped, cursor.skipped, cursor.fault), (75, 0, None));
        assert_eq!(endpoint.taken(), (0..75).collect::<Vec<_>>());
        fill(&db.pool, 3).await;
        until_shipped(&db.pool, 78).await;
        assert_eq!(endpoint.taken().len(), 78);
        collectors.stop().await;
    }
}

#[tokio::test]
async fn a_file_gets_a_line_for_each_entry_wherever_it_is_moved_meanwhile() {
    let db = database().await;
    fill(&db.pool, 5).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.ndjson");
    let _collectors = ship(&db.pool, to(Destination::File(path.clone())), pace()).await;
    until_shipped(&db.pool, 5).await;
    std::fs::rename(&path, folder.path().join("events.1")).unwrap();
    fill(&db.pool, 5).await;
    until_shipped(&db.pool, 10).await;
    let indexes = |name: &str| -> Vec<u64> {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        text.lines().map(|line| super::event(line)["metadata"]["sequence"].as_u64().unwrap()).collect()
    };
    assert_eq!((indexes("events.1"), indexes("events.ndjson")), ((0..5).collect(), (5..10).collect()));
}

#[tokio::test]
async fn a_new_collector_may_begin_now_and_want_only_some_kinds() {
    let db = database().await;
    fill(&db.pool, 5).await;
    let endpoint = Endpoint::willing(BatchFormat::Ndjson).await;
    let wanted = Collector {
        from: Begin::Now,
        kinds: vec!["broker-stopped".into()],
        ..to(http(&endpoint.url, BatchFormat::Ndjson))
    };
    let _collectors = ship(&db.pool, wanted, pace()).await;
    until_shipped(&db.pool, 5).await;
    fill(&db.pool, 2).await;
    until_shipped(&db.pool, 7).await;
    let (log, _tasks) = crate::support::audit::log(&db.pool).await;
    drop(log.append(crate::support::audit::stopped()).await.unwrap());
    until_shipped(&db.pool, 8).await;
    assert_eq!(endpoint.taken(), [7]);
}

#[tokio::test]
async fn one_broker_ships_and_another_takes_over_when_it_stops_or_dies() {
    let db = database().await;
    fill(&db.pool, 10).await;
    let endpoint = Endpoint::willing(BatchFormat::Ndjson).await;
    let wanted = || to(http(&endpoint.url, BatchFormat::Ndjson));
    // Nobody loses it for being slow.
    let patient = Pace { hold: Duration::from_secs(3_600), ..pace() };
    let quick = Pace { hold: Duration::from_millis(400), ..pace() };
    let first = ship(&db.pool, wanted(), patient).await;
    until_shipped(&db.pool, 10).await;
    let second = ship(&db.pool, wanted(), quick).await;
    fill(&db.pool, 10).await;
    until_shipped(&db.pool, 20).await;
    assert!(first.figures().is_held && !second.figures().is_held);
    // It dies: dropped without a word, so its hold has to run out, and the hour is over.
    drop(first);
    let over = "update collector_cursor set held_until = now() - interval '1 second'";
    sqlx::raw_sql(over).execute(&db.owner).await.unwrap();
    fill(&db.pool, 10).await;
    until_shipped(&db.pool, 30).await;
    eventually(async || second.figures().is_held.then_some(())).await;
    endpoint.assert_complete(30);
}

#[tokio::test]
async fn a_broker_that_was_paused_cannot_move_the_cursor_of_the_one_after_it() {
    use bailiwick::model::{BrokerId, SystemEntropy, Timestamp};
    let db = database().await;
    let (one, two) = (BrokerId::random(&SystemEntropy), BrokerId::random(&SystemEntropy));
    let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
    let by = Advance { from: 0, until: 5, epoch: 0, shipped: 5, skipped: 0 };
    store::collector::ensure(&db.pool, "siem", 0, at(0)).await.unwrap();
    let first = store::collector::take(&db.pool, "siem", one, at(0), at(10)).await.unwrap().unwrap();
    assert_eq!(store::collector::take(&db.pool, "siem", two, at(9), at(19)).await.unwrap(), None);
    let second = store::collector::take(&db.pool, "siem", two, at(11), at(21)).await.unwrap().unwrap();
    assert!(!store::collector::advance(&db.pool, "siem", first.fence, by, at(12)).await.unwrap());
    assert!(!store::collector::keep(&db.pool, "siem", first.fence, at(99)).await.unwrap());
    assert!(!store::collector::fail(&db.pool, "siem", first.fence, "late", at(12)).await.unwrap());
    assert!(store::collector::advance(&db.pool, "siem", second.fence, by, at(12)).await.unwrap());
    assert!(!store::collector::advance(&db.pool, "siem", second.fence, by, at(12)).await.unwrap(), "not twice");
    store::collector::release(&db.pool, "siem", second.fence).await.unwrap();
    assert!(store::collector::take(&db.pool, "siem", one, at(12), at(22)).await.unwrap().is_some());
}

#[tokio::test]
async fn retention_may_ask_how_far_everybody_has_got() {
    let db = database().await;
    let names = |all: &[&str]| all.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let maintenance = db.another_pool("bailiwick_maintenance");
    assert_eq!(store::collector::shipped_to(&maintenance, &[]).await.unwrap(), None);
    assert_eq!(store::collector::shipped_to(&maintenance, &names(&["siem"])).await.unwrap(), Some(0));
    fill(&db.pool, 4).await;
    let endpoint = Endpoint::willing(BatchFormat::Ndjson).await;
    let _collectors = ship(&db.pool, to(http(&endpoint.url, BatchFormat::Ndjson)), pace()).await;
    until_shipped(&db.pool, 4).await;
    assert_eq!(store::collector::shipped_to(&maintenance, &names(&["siem"])).await.unwrap(), Some(4));
    assert_eq!(store::collector::shipped_to(&maintenance, &names(&["siem", "new"])).await.unwrap(), Some(0));
}

#[tokio::test]
async fn entries_that_are_gone_from_the_database_are_no_silent_gap() {
    let db = database().await;
    fill(&db.pool, 8).await;
    sqlx::raw_sql("delete from entry where leaf_index < 3 or leaf_index = 5").execute(&db.owner).await.unwrap();
    let endpoint = Endpoint::willing(BatchFormat::Ndjson).await;
    let _collectors = ship(&db.pool, to(http(&endpoint.url, BatchFormat::Ndjson)), pace()).await;
    // Two entries more say what is missing, and arrive as well.
    let cursor = until_shipped(&db.pool, 10).await;
    assert_eq!((endpoint.taken(), cursor.skipped, cursor.shipped), (vec![3, 4, 6, 7, 8, 9], 4, 6));
    let skips: Vec<(i64, i64, String)> =
        sqlx::query_as("select from_leaf, until_leaf, why from collector_skip order by 1")
            .fetch_all(&db.owner)
            .await
            .unwrap();
    let why = "not in the database any more";
    assert_eq!(skips, [(0, 3, why.to_owned()), (5, 6, why.to_owned())]);
    assert_eq!(skipped(&db.pool).await, [(0, 3, why.to_owned()), (5, 6, why.to_owned())]);
}

#[tokio::test]
async fn a_log_that_was_cut_shorter_than_what_was_shipped_raises_the_alarm() {
    let db = database().await;
    fill(&db.pool, 4).await;
    let endpoint = Endpoint::willing(BatchFormat::Ndjson).await;
    let _collectors = ship(&db.pool, to(http(&endpoint.url, BatchFormat::Ndjson)), pace()).await;
    until_shipped(&db.pool, 4).await;
    sqlx::raw_sql("delete from head where size > 2").execute(&db.owner).await.unwrap();
    let fault = until_failing(&db.pool).await.fault.unwrap();
    assert!(fault.contains("it was cut"), "{fault}");
    assert_eq!(cursor(&db.pool).await.unwrap().next_leaf, 4);
}

#[tokio::test]
async fn the_command_line_says_how_far_it_has_got_and_what_stands_in_the_way() {
    let db = database().await;
    fill(&db.pool, 4).await;
    let closed = "http://127.0.0.1:1/push";
    let _collectors = ship(&db.pool, to(http(closed, BatchFormat::Ndjson)), pace()).await;
    until_failing(&db.pool).await;
    let run = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_bailiwick"));
        command.args(["audit", "collectors", "--database", &db.auditor_url]).args(arguments).output().await.unwrap()
    };
    let table = eventually(async || Some(run(&[]).await)).await;
    let text = String::from_utf8(table.stdout).unwrap();
    assert_eq!(table.status.code(), Some(1), "{text}");
    assert!(text.contains("siem") && text.contains("0/0") && text.contains("127.0.0.1 did not answer"), "{text}");
    let json: serde_json::Value = serde_json::from_slice(&run(&["-o", "json"]).await.stdout).unwrap();
    assert_eq!((&json[0]["lag"], &json[0]["next_leaf"]), (&4.into(), &0.into()));
}
