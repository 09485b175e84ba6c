//! What somebody has to look into is said three times: in the broker's log, in `/metrics`, and at the head of the portal's
//! pages, there only to those who may read the audit log. Whole brokers, with a real gap and real forks.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
    sync::Arc,
};

use bailiwick::{
    app::{self, Running},
    audit::{Event, checkpoint::Verifier, tree::empty_root},
    config::Settings,
    identity::{Sessions, session::LOGIN},
    model::{Clock as _, SystemClock, SystemEntropy},
    store::{login, person},
};
use tower_sessions::Session;

use super::all;
use crate::{
    fork::set_back,
    proxy::wire::{exchange, status},
    support::{
        TestDb, audit::ORIGIN, database, eventually, ledger::tamper, plain::write_configuration, rows,
        witness::TestWitness,
    },
};

/// Everybody has a page, and Grace may read the log.
const RULES: &str = r#"
@id("home") permit (principal, action == Action::"home", resource);
@id("log") permit (principal == User::"corp/grace", action in [Action::"readAudit", Action::"readTotals", Action::"exportAudit"], resource);
@id("entries") permit (principal == User::"corp/grace", action == Action::"readEntry", resource);
@id("some") permit (principal == User::"corp/edsger", action == Action::"readAudit", resource);
"#;

#[tokio::test]
async fn a_gap_is_in_log_and_metrics_and_on_the_pages_of_those_who_may_read_the_audit_log() {
    let (db, folder) = (database().await, tempfile::tempdir().unwrap());
    prepare(&db, folder.path(), "[shipping]\ncheckpoint_file = \"checkpoints\"\nrequired = true\n");
    let broker = Broker::start(db, folder).await;
    assert!(broker.alarms(&broker.reader).await.is_empty());
    assert_eq!((broker.metric("log_gaps").await, broker.metric("log_lost_entries_total").await), (0, 0));

    // While checkpoints cannot leave nobody is let in, and who comes all the same is what the log could not take.
    let file = broker.folder.path().join("checkpoints");
    eventually(async || {
        let _ = fs::remove_file(&file);
        fs::create_dir(&file).ok()
    })
    .await;
    // It counts before the log can tell of it.
    eventually(async || {
        let page = broker.page(&broker.reader).await;
        (status(&page) == 503 && broker.metric("log_gaps").await == 1).then_some(())
    })
    .await;
    fs::remove_dir(&file).unwrap();
    let lost = eventually(async || {
        let events = all(&broker.db).await.into_iter().map(|entry| entry.event);
        events.into_iter().find_map(|event| if let Event::Gap { lost, .. } = event { Some(lost) } else { None })
    })
    .await;

    assert_eq!((broker.metric("log_gaps").await, broker.metric("log_lost_entries_total").await), (1, lost));
    assert!(broker.alarms(&broker.reader).await[0].starts_with(&taken(lost)));
    assert!(broker.alarms(&broker.other).await.is_empty());
    let told = broker.logged();
    assert!(told.contains("the audit log has a gap") && told.contains(&format!("lost={lost}")), "{told}");

    // It is the log's: another broker, that has lost nothing, says the same.
    let broker = broker.again().await;
    eventually(async || (broker.metric("log_gaps").await == 1).then_some(())).await;
    assert_eq!(broker.metric("log_lost_entries_total").await, 0);
    let said = broker.alarms(&broker.reader).await;
    let [said] = said.as_slice() else { panic!("{said:?}") };
    assert!(said.starts_with(&format!("{} on ", taken(lost))) && said.contains("href=\"/audit?what=gap\""), "{said}");
    assert!(broker.alarms(&broker.other).await.is_empty());
    let listed = broker.page_at("/audit?what=gap", &broker.reader).await;
    assert!(status(&listed) == 200 && listed.contains(">gap</span>"), "{listed}");
    broker.running.stop().await;
}

fn taken(lost: u64) -> String {
    format!("The audit log could not take {lost} {}", if lost == 1 { "entry" } else { "entries" })
}

#[tokio::test]
async fn an_entry_that_a_reader_finds_missing_is_an_alarm_for_those_who_may_know_how_much_there_is() {
    let (db, folder) = (database().await, tempfile::tempdir().unwrap());
    prepare(&db, folder.path(), "");
    let broker = Broker::start(db, folder).await;
    assert!(broker.alarms(&broker.reader).await.is_empty());
    tamper(&broker.db, "delete from entry where leaf_index = 1").await;
    assert_eq!(broker.metric("log_unreadable").await, 0, "nobody has looked");
    for _ in 0..2 {
        let list = broker.page_at("/audit", &broker.reader).await;
        assert_eq!(status(&list), 200, "{list}");
        let gone = broker.page_at("/audit/entries/1", &broker.reader).await;
        assert_eq!(status(&gone), 500, "{gone}");
        assert_eq!(broker.metric("log_unreadable").await, 1);
    }
    let said = broker.alarms(&broker.reader).await;
    let [said] = said.as_slice() else { panic!("{said:?}") };
    assert!(said.starts_with("Entries of the audit log that are missing") && said.contains(": 1. Run "), "{said}");
    let scoped = signed_in(&broker.db, "edsger").await;
    for other in [&scoped, &broker.other] {
        assert!(broker.alarms(other).await.is_empty(), "it may be about what they may not read");
    }
    assert!(broker.logged().contains("the audit log cannot be read whole"));
    broker.running.stop().await;
}

#[tokio::test]
async fn an_entry_that_a_page_finds_altered_is_an_alarm_and_its_evidence_says_what_does_not_hold() {
    for way in ["", "/proof", "/evidence"] {
        let (db, folder) = (database().await, tempfile::tempdir().unwrap());
        prepare(&db, folder.path(), "");
        let broker = Broker::start(db, folder).await;
        let page = || broker.page_at("/audit/entries/0", &broker.reader);
        eventually(async || page().await.contains(">proven</span>").then_some(())).await;
        assert_eq!(broker.metric("log_unreadable").await, 0);
        let forged = "convert_to(replace(convert_from(leaf, 'utf8'), '\"rules\":', '\"rules\":1'), 'utf8')";
        tamper(&broker.db, &format!("update entry set leaf = {forged} where leaf_index = 0")).await;

        let answer = broker.page_at(&format!("/audit/entries/0{way}"), &broker.reader).await;
        assert!(!answer.contains("ry again") && answer.contains("omebody has been at the database"), "{answer}");
        assert!(answer.contains("not lead to the root of the checkpoint"), "{answer}");
        assert_eq!(status(&answer), if way.is_empty() { 200 } else { 500 }, "{answer}");
        assert_eq!(answer.contains("role=\"alert\""), way.is_empty(), "{answer}");
        assert_eq!(broker.metric("log_unreadable").await, 1, "{way}");
        let said = broker.alarms(&broker.reader).await;
        assert!(said.iter().any(|said| said.contains("not what was recorded")), "{said:?}");
        assert!(broker.alarms(&broker.other).await.is_empty());
        assert!(broker.logged().contains("entry 0 is not what was recorded"), "{}", broker.logged());
        broker.running.stop().await;
    }
}

#[tokio::test]
async fn a_checkpoint_by_a_key_that_is_not_known_here_is_no_alarm_and_one_that_claims_a_known_key_in_vain_is() {
    let (db, folder) = (database().await, tempfile::tempdir().unwrap());
    prepare(&db, folder.path(), "");
    let broker = Broker::start(db, folder).await;
    let page = || broker.page_at("/audit/entries/0", &broker.reader);
    eventually(async || page().await.contains(">proven</span>").then_some(())).await;
    tamper(
        &broker.db,
        "create function refuse_more() returns trigger language plpgsql as 'begin return null; end';
         create trigger refuse_more before insert on checkpoint for each row execute function refuse_more()",
    )
    .await;
    // As another broker's is, whose key has not been taken up here.
    tamper(&broker.db, "create table ours as select distinct key from checkpoint").await;
    tamper(
        &broker.db,
        "update checkpoint set key = gen_random_uuid(), note = replace(note, '\u{2014} ', '\u{2014} x')",
    )
    .await;
    let shown = page().await;
    assert!(status(&shown) == 200 && shown.contains("not proven here yet"), "{shown}");
    assert_eq!(broker.metric("log_unreadable").await, 0);
    assert!(broker.alarms(&broker.reader).await.is_empty());

    tamper(&broker.db, "update checkpoint set key = (select key from ours)").await;
    let shown = page().await;
    assert!(shown.contains("not signed by a known key"), "{shown}");
    assert_eq!(broker.metric("log_unreadable").await, 1);
    assert!(!broker.alarms(&broker.reader).await.is_empty());
    broker.running.stop().await;
}

#[tokio::test]
async fn a_witness_that_has_seen_another_log_is_an_alarm_for_those_who_may_read_ours_until_it_has_not() {
    let (db, folder) = (database().await, tempfile::tempdir().unwrap());
    let witness = TestWitness::start("witness.example/w1", &[]).await;
    let more = format!("[[witness]]\nurl = \"{}\"\nkey = \"{}\"\n", witness.url(), witness.key);
    witness.learn(ORIGIN, &[prepare(&db, folder.path(), &more)]);
    witness.pretend(ORIGIN, 1, [9; 32]);
    let broker = Broker::start(db, folder).await;
    eventually(async || (broker.metric("log_fork").await == 1).then_some(())).await;

    let said = broker.alarms(&broker.reader).await;
    let [said] = said.as_slice() else { panic!("{said:?}") };
    assert!(said.starts_with("The witness witness.example/w1 has seen another log: "), "{said}");
    assert!(broker.alarms(&broker.other).await.is_empty(), "an alarm stops nobody");
    let told = broker.logged();
    assert!(told.contains("the audit log is not what was published"), "{told}");

    witness.pretend(ORIGIN, 0, empty_root());
    eventually(async || (broker.metric("log_fork").await == 0).then_some(())).await;
    assert!(broker.alarms(&broker.reader).await.is_empty());
    broker.running.stop().await;
}

#[tokio::test]
async fn a_database_that_was_set_back_is_in_log_and_metrics_and_nobody_is_shown_a_page() {
    let (db, folder) = (database().await, tempfile::tempdir().unwrap());
    prepare(&db, folder.path(), "");
    let broker = Broker::start(db, folder).await;
    assert!(broker.alarms(&broker.reader).await.is_empty());
    assert_eq!((broker.metric("log_fork").await, broker.metric("log_up").await), (0, 1));

    set_back(&broker.db, 2).await;
    eventually(async || (broker.metric("log_fork").await == 1).then_some(())).await;
    assert_eq!(broker.metric("log_up").await, 0);
    let ready = broker.of_machines("/readyz").await;
    assert!(status(&ready) == 503 && ready.contains("audit accept-fork") && !ready.contains("went back"), "{ready}");
    let said = "The audit log does not continue what was published, so nothing is let through";
    for who in [&broker.reader, &broker.other] {
        let page = broker.page(who).await;
        assert_eq!(status(&page), 503, "{page}");
        assert!(page.contains(said) && page.contains("bailiwick audit accept-fork"), "{page}");
        assert!(!page.contains("ry again") && !page.contains("went back"), "{page}");
    }
    let told = broker.logged();
    assert!(told.contains("the audit log is not what it was") && told.contains("audit accept-fork"), "{told}");
}

/// A broker that runs, and two people who are signed in.
struct Broker {
    db: TestDb,
    folder: tempfile::TempDir,
    running: Running,
    /// The cookie of somebody who may read the audit log.
    reader: String,
    /// The cookie of somebody who may not.
    other: String,
    _logging: tracing::subscriber::DefaultGuard,
}

impl Broker {
    /// Starts one over what was prepared. Its tasks run on this thread, and so what they log goes to a file.
    async fn start(db: TestDb, folder: tempfile::TempDir) -> Self {
        let file = File::create(folder.path().join("log")).unwrap();
        let logging = tracing_subscriber::fmt().with_writer(file).with_ansi(false).finish();
        let logging = tracing::subscriber::set_default(logging);
        let settings = Settings::load(&folder.path().join("bailiwick.toml"));
        let settings = settings.unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        let running = app::start(settings, Arc::new(SystemClock), Arc::new(SystemEntropy)).await.unwrap();
        let (reader, other) = (signed_in(&db, "grace").await, signed_in(&db, "ada").await);
        Self { db, folder, running, reader, other, _logging: logging }
    }

    /// Stops, and starts another over the same.
    async fn again(self) -> Self {
        let Self { db, folder, running, _logging, .. } = self;
        running.stop().await;
        Self::start(db, folder).await
    }

    /// Somebody's own page, head and all.
    async fn page(&self, cookie: &str) -> String {
        self.page_at("/", cookie).await
    }

    async fn page_at(&self, path: &str, cookie: &str) -> String {
        let head = "HTTP/1.1\r\nHost: auth.example.localhost:1\r\nConnection: close\r\n";
        exchange(self.running.addresses[0], &format!("GET {path} {head}Cookie: {cookie}\r\n\r\n")).await
    }

    /// The alarms at the head of that page, once it is shown.
    async fn alarms(&self, cookie: &str) -> Vec<String> {
        let page = eventually(async || Some(self.page(cookie).await).filter(|page| status(page) == 200)).await;
        let alarms = page.split("role=\"alert\">").skip(1);
        alarms.map(|rest| rest.split("</p>").next().unwrap().trim().to_owned()).collect()
    }

    /// What machines are told at `path`.
    async fn of_machines(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        exchange(self.running.status.unwrap(), &request).await
    }

    async fn metric(&self, name: &str) -> u64 {
        let (all, name) = (self.of_machines("/metrics").await, format!("bailiwick_{name} "));
        let value = all.lines().find_map(|line| line.strip_prefix(&name));
        value.unwrap_or_else(|| panic!("{name} is not in {all}")).parse().unwrap()
    }

    fn logged(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

/// Writes the configuration of a broker, with something `more`, and makes its keys: the one that signs the log.
fn prepare(db: &TestDb, folder: &Path, more: &str) -> Verifier {
    let config = write_configuration(folder, db, RULES, &format!("[audit]\norigin = \"{ORIGIN}\"\n{more}"));
    let mut init = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
    let made = init.args(["key", "init", "--config"]).arg(config).output().unwrap();
    let printed = String::from_utf8(made.stdout).unwrap();
    printed.lines().next().unwrap().parse().unwrap()
}

/// The cookie of somebody who has signed in all the way.
async fn signed_in(db: &TestDb, subject: &str) -> String {
    let now = SystemClock.now();
    let caller = rows::half_login_at(&db.pool, subject, now).await;
    assert!(login::assure(&db.pool, caller.login, now).await.unwrap());
    person::mark_enrolled(&db.pool, caller.person, now).await.unwrap();
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let sessions = Sessions::new(db.pool.clone(), clock, entropy, rows::limits().absolute);
    let session = Session::new(None, Arc::new(sessions), None);
    session.insert(LOGIN, caller.login).await.unwrap();
    session.save().await.unwrap();
    format!("__Host-bailiwick={}", session.id().unwrap())
}
