//! Reading the log on the command line is in the log: the real binary, the auditor's account, and a broker that takes what
//! was staged. What an auditor could do with the account's own statements is tried as well.

#![allow(unused_must_use, reason = "these tests append for the sake of the entry, and no receipt permits anything")]

use std::{process::Command, sync::Arc, time::Duration};

use bailiwick::{
    audit::{Entry, Event, Log, follow_readings, record_readings},
    identity::Maintenance,
    model::{ReadingId, SystemClock, SystemEntropy, Verdict},
    store::reading::{self, Staged},
};
use sqlx::{AssertSqlSafe, PgPool};

use crate::support::{
    TestDb,
    audit::{decision, entries, log, signer},
    broker::Process,
    database, eventually,
    ledger::{Said, cli},
    plain::write_configuration,
};

#[tokio::test]
async fn every_command_that_shows_entries_is_recorded_by_a_running_broker() {
    let (db, log) = three_entries().await;
    let broker = tokio::spawn(follow_readings(db.pool.clone(), log.clone(), Arc::new(SystemClock)));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("entries.csv");
    let out = out.to_str().unwrap();
    for (arguments, expected) in [
        (vec!["search", "verdict=deny", "--before", "9"], ("search", "verdict=deny&before=9", Some(1))),
        (vec!["tail", "-n", "2"], ("tail", "", Some(2))),
        (vec!["bundle", "--leaf", "0", "--leaf", "1-2"], ("bundle", "leaf=0&leaf=1-2", Some(3))),
        (vec!["export", "--where", "wiki", "--format", "csv", "--out", out], ("export", "where=wiki", Some(3))),
    ] {
        let before = readings(&db.pool).await.len();
        let said = audit(&db, &arguments).await;
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.err.contains("The database was told of this reading; a broker puts it into the log."), "{said:?}");
        let many = if arguments[0] == "export" { 2 } else { 1 };
        let told = eventually(async || {
            let told = readings(&db.pool).await.split_off(before);
            (told.len() == many).then_some(told)
        });
        let told = told.await;
        let Event::LogRead { account, client, command, search, entries, address, .. } = &told[many - 1] else {
            unreachable!("only readings were taken");
        };
        assert_eq!((command.as_str(), search.as_str(), *entries), expected);
        assert_eq!((account.as_str(), client.as_str()), ("bailiwick_auditor", "bailiwick 0.1.0"));
        assert_eq!(*address, None, "it came over a socket in the file system");
        if let [Event::LogRead { reading: begun, entries: None, manifest: None, .. }, end] = told.as_slice() {
            let Event::LogRead { reading, manifest: Some(manifest), .. } = end else { panic!("{end:?}") };
            let bytes = std::fs::read(format!("{out}.manifest.json")).unwrap();
            assert_eq!((begun, manifest), (reading, &hex::encode(digest(&bytes))));
        } else {
            assert_eq!(many, 1, "{told:?}");
        }
    }
    broker.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_serves_records_what_an_auditor_reads_and_the_next_search_shows_it() {
    let (db, folder) = (database().await, tempfile::tempdir().unwrap());
    let config = write_configuration(folder.path(), &db, "", "");
    let made = Command::new(env!("CARGO_BIN_EXE_bailiwick")).args(["key", "init", "--config"]).arg(&config).output();
    assert!(made.unwrap().status.success());
    let _broker = Process::serve(&config);
    let said = audit(&db, &["search", "verdict=deny"]).await;
    assert_eq!((said.code, said.out.as_str()), (0, ""), "{said:?}");
    eventually(async || (!readings(&db.pool).await.is_empty()).then_some(())).await;
    let said = audit(&db, &["search", "-o", "json"]).await;
    let expected = ["\"log-read\"", "\"bailiwick_auditor\"", "verdict=deny"];
    let told = said.out.lines().filter(|line| expected.iter().all(|it| line.contains(it)));
    assert_eq!(told.count(), 1, "{said:?}");
}

#[tokio::test]
async fn a_reading_waits_for_a_broker_and_is_told_of_once() {
    let (db, log) = three_entries().await;
    let said = audit(&db, &["tail"]).await;
    assert_eq!(said.code, 0, "no broker records now: {said:?}");
    assert_eq!(readings(&db.pool).await.len(), 0);
    let auditor = db.another_pool("bailiwick_auditor");
    let staged = staged("verdict=deny");
    for _ in 0..2 {
        reading::stage(&auditor, &staged).await.unwrap();
    }
    let (other, _tasks) = crate::support::audit::log(&db.pool).await;
    let (one, two) =
        tokio::join!(record_readings(&db.pool, &log, &SystemClock), record_readings(&db.pool, &other, &SystemClock));
    assert_eq!(one.unwrap() + two.unwrap(), 2, "each of the two is recorded once, whichever broker does it");
    assert_eq!(record_readings(&db.pool, &log, &SystemClock).await.unwrap(), 0);
    reading::stage(&auditor, &staged).await.unwrap();
    assert_eq!(record_readings(&db.pool, &log, &SystemClock).await.unwrap(), 0, "it was said again, and is known");
    assert_eq!(readings(&db.pool).await.len(), 2);
}

#[tokio::test]
async fn an_auditor_can_say_nothing_but_that_the_account_reads() {
    let (db, log) = three_entries().await;
    let auditor = db.another_pool("bailiwick_auditor");
    let id = "00000000-0000-4000-8000-00000000000d";
    let another = "create role reading_disguise; grant reading_disguise to bailiwick_auditor;
                   grant execute on function stage_reading to reading_disguise";
    sqlx::raw_sql(another).execute(&db.owner).await.unwrap();
    let disguised = format!(
        "set role reading_disguise; set application_name = 'broker';
         select stage_reading('{id}', 'search', '', 1, null, 'bailiwick 0.1.0'); reset role"
    );
    sqlx::raw_sql(AssertSqlSafe(disguised)).execute(&auditor).await.unwrap();
    for forbidden in [
        format!("select stage_reading('{id}', 'search', 'other', 1, null, 'bailiwick 0.1.0')"),
        "select stage_reading(gen_random_uuid(), 'decision', '', 1, null, 'x')".to_owned(),
        "select stage_reading(gen_random_uuid(), 'search', repeat('x', 4001), 1, null, 'x')".to_owned(),
        "select stage_reading(gen_random_uuid(), 'search', '', 1, null, repeat('x', 101))".to_owned(),
        "select stage_reading(gen_random_uuid(), 'search', '', -1, null, 'x')".to_owned(),
        "select stage_reading(gen_random_uuid(), 'search', '', 1, 'no hash', 'x')".to_owned(),
        "select stage_reading(gen_random_uuid(), null, '', 1, null, 'x')".to_owned(),
        "insert into reading (id, is_end, account, client, command, search, staged_at)
         values (gen_random_uuid(), false, 'grace', 'x', 'search', '', now())"
            .to_owned(),
        "update reading set account = 'grace'".to_owned(),
        "delete from reading".to_owned(),
        "set session authorization bailiwick_broker".to_owned(),
    ] {
        assert!(sqlx::raw_sql(AssertSqlSafe(forbidden.clone())).execute(&auditor).await.is_err(), "{forbidden}");
    }
    assert_eq!(record_readings(&db.pool, &log, &SystemClock).await.unwrap(), 1);
    let told = readings(&db.pool).await;
    assert!(
        matches!(&told[..], [Event::LogRead { account, search, .. }] if account == "bailiwick_auditor" && search.is_empty()),
        "{told:?}"
    );
    let hidden: bool = sqlx::query_scalar("select has_table_privilege('bailiwick_auditor', 'reading', 'select')")
        .fetch_one(&db.owner)
        .await
        .unwrap();
    assert!(!hidden, "what others read is in the log, for those who may see it");
}

#[tokio::test]
async fn nothing_is_shown_that_cannot_be_recorded() {
    let (db, _log) = three_entries().await;
    let everything = [
        vec!["search"],
        vec!["tail"],
        vec!["tail", "-f"],
        vec!["export"],
        vec!["bundle", "--all"],
        vec!["search", "-o", "json"],
    ];
    let refused = async |hint: &str| {
        for arguments in &everything {
            let said = audit(&db, arguments).await;
            assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
            assert!(said.err.contains("nothing is shown") && said.err.contains(hint), "{said:?}");
        }
    };
    let owner = async |statement: &'static str| sqlx::raw_sql(statement).execute(&db.owner).await.unwrap();
    let full = "insert into reading (id, is_end, account, client, command, search, staged_at)
                select gen_random_uuid(), false, 'bailiwick_auditor', 'x', 'search', '', now()
                  from generate_series(1, 1000)";
    owner(full).await;
    refused("is a broker running?").await;
    owner("delete from reading").await;
    let often = "insert into reading (id, is_end, account, client, command, search, staged_at, recorded_at)
                 select gen_random_uuid(), false, 'bailiwick_auditor', 'x', 'search', '', now(), now()
                   from generate_series(1, 600)";
    let auditor = db.another_pool("bailiwick_auditor");
    let begun = staged("verdict=deny");
    reading::stage(&auditor, &begun).await.unwrap();
    owner(often).await;
    refused("wait a minute").await;
    let ended = Staged { entries: Some(1), manifest: Some("0".repeat(64)), ..begun.clone() };
    for again in [&begun, &ended, &ended] {
        reading::stage(&auditor, again).await.unwrap();
    }
    owner("update reading set staged_at = staged_at - interval '1 minute'").await;
    let later = audit(&db, &["search"]).await;
    assert_eq!(later.code, 0, "{later:?}");
    owner("delete from reading").await;
    // As on a standby that follows its primary, which takes no write from anybody.
    let name: String = sqlx::query_scalar("select current_database()::text").fetch_one(&db.owner).await.unwrap();
    let standby = |on: bool| AssertSqlSafe(format!("alter database {name} set default_transaction_read_only = {on}"));
    sqlx::raw_sql(standby(true)).execute(&db.owner).await.unwrap();
    refused("name the primary").await;
    let verify = audit(&db, &["verify", "--key", &signer().verifier().to_string()]).await;
    assert!(verify.code == 0 && verify.out.starts_with("sound: 3 entries"), "verify shows no entry: {verify:?}");
    let back = format!("set default_transaction_read_only = off; alter database {name} reset all");
    sqlx::raw_sql(AssertSqlSafe(back)).execute(&db.owner).await.unwrap();
    let revoke = "revoke execute on function stage_reading from bailiwick_auditor, bailiwick_broker";
    owner(revoke).await;
    refused("grant bailiwick_auditor to").await;
    owner("drop function stage_reading").await;
    refused("bailiwick migrate").await;
    let wide: Vec<String> = (0..900).flat_map(|_| ["--leaf".to_owned(), "0".to_owned()]).collect();
    let wide: Vec<&str> = std::iter::once("bundle").chain(wide.iter().map(String::as_str)).collect();
    let said = audit(&db, &wide).await;
    assert!(said.code == 2 && said.err.contains("read it in parts"), "{said:?}");
}

#[tokio::test]
async fn what_was_recorded_is_cleared_away_after_a_day_and_nothing_else() {
    let (db, log) = three_entries().await;
    for search in ["old", "new", "waiting"] {
        reading::stage(&db.pool, &staged(search)).await.unwrap();
    }
    let age = "update reading set recorded_at = now() - case search when 'old' then interval '25 hours' end
                where search = 'old';
               update reading set recorded_at = now() where search = 'new'";
    sqlx::raw_sql(age).execute(&db.owner).await.unwrap();
    let maintenance = Maintenance::new(db.pool.clone(), log, Arc::new(SystemClock), Duration::from_secs(600));
    assert_eq!(maintenance.round().await.unwrap().unwrap().rows, 1);
    let left: Vec<String> =
        sqlx::query_scalar("select search from reading order by 1").fetch_all(&db.owner).await.unwrap();
    assert_eq!(left, ["new", "waiting"]);
}

async fn three_entries() -> (TestDb, Log) {
    let db = database().await;
    let (log, tasks) = log(&db.pool).await;
    std::mem::forget(tasks);
    for n in 0..3 {
        log.append(decision(n, if n == 1 { Verdict::Deny } else { Verdict::Allow })).await.unwrap();
    }
    eventually(async || (log.health().signed >= 3).then_some(())).await;
    (db, log)
}

fn staged(search: &str) -> Staged {
    Staged {
        id: ReadingId::random(&SystemEntropy),
        command: "search",
        search: search.to_owned(),
        entries: Some(1),
        manifest: None,
        client: "a test".to_owned(),
    }
}

async fn readings(pool: &PgPool) -> Vec<Event> {
    let all = entries(pool).await;
    let event = |entry: Entry| matches!(entry.event, Event::LogRead { .. }).then_some(entry.event);
    all.into_iter().filter_map(event).collect()
}

async fn audit(db: &TestDb, arguments: &[&str]) -> Said {
    cli(&[&["audit"], arguments, &["--database", &db.auditor_url]].concat()).await
}

fn digest(bytes: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
}
