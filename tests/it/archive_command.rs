//! `bailiwick audit archive` as cron runs it: months leave the database for a folder, the log stays provable, and a run
//! that is killed, or cannot write, has dropped nothing.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use bailiwick::{
    app,
    config::Settings,
    model::{Clock as _, FrozenClock, SystemClock, SystemEntropy},
    store::{self, archive::parts},
};
use sqlx::Acquire as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{
    Site, database, eventually,
    ledger::{Said, cli, tamper},
};

/// A site that served a hundred days ago, seventy days ago and today; it keeps 31 days.
struct Old {
    site: Site,
    config: PathBuf,
    key: String,
    owner: String,
}

impl Old {
    async fn grown() -> Self {
        let site = Site::prepare(database().await, "@id(\"all\") permit(principal, action, resource);").await;
        let config = site.configure_with("[audit]\nretention = \"31d\"\narchive_folder = \"archive\"\n");
        fs::create_dir(site.folder.path().join("archive")).unwrap();
        let clock = Arc::new(FrozenClock::at(SystemClock.now()));
        for ago in [100, 70, 0] {
            let then = SystemClock.now().micros() - ago * 86_400_000_000;
            let clock = if ago == 0 {
                clock.clone()
            } else {
                Arc::new(FrozenClock::at(bailiwick::model::Timestamp::from_micros(then)))
            };
            let settings = Settings::load(&config).unwrap();
            app::start(settings, clock, Arc::new(SystemEntropy)).await.unwrap().stop().await;
        }
        let shown = site.bailiwick(&["key", "show"]);
        let key = shown.lines().find(|line| line.contains("/audit+")).unwrap().to_owned();
        let owner = site.database.broker_url.replace("bailiwick_broker", "bailiwick_owner");
        Self { site, config, key, owner }
    }

    fn archive(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
        command.args(["audit", "archive", "--url", &self.owner, "--config"]).arg(&self.config);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    async fn run(&self) -> (Option<i32>, String) {
        let mut command = self.archive();
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        (output.status.code(), crate::support::kubernetes::printed(&output))
    }

    async fn verify(&self, more: &[&str]) -> Said {
        let url = &self.site.database.auditor_url;
        cli(&[&["audit", "verify", "--database", url, "--key", &self.key], more].concat()).await
    }

    /// How many entries have their bodies, how many months were archived, and how many of these were dropped.
    async fn counts(&self) -> (i64, i64, i64) {
        let query = "select (select count(*) from entry), (select count(*) from archive),
                            (select count(*) from archive where dropped_at is not null)";
        sqlx::query_as(query).fetch_one(&self.site.database.owner).await.unwrap()
    }

    fn folder(&self) -> PathBuf {
        self.site.folder.path().join("archive")
    }

    /// The archives, oldest first.
    fn files(&self) -> Vec<String> {
        let mut files: Vec<_> = fs::read_dir(self.folder()).unwrap().map(|file| file.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
        files.sort();
        files.into_iter().map(|file| file.to_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_months_leave_for_a_folder_and_the_log_stays_provable() {
    let old = Old::grown().await;
    let (all, ..) = old.counts().await;
    let (code, said) = old.run().await;
    assert!(code == Some(0) && said.matches("archived and dropped entry_").count() == 2, "{said}");
    let files = old.files();
    assert_eq!((files.len(), old.counts().await.1, old.counts().await.2), (2, 2, 2));
    let (left, ..) = old.counts().await;
    let gone = all + 2 - left;
    assert!(gone >= 6, "{gone}: the other months had entries as well");

    let said = old.verify(&[]).await;
    assert!(
        said.code == 0 && said.out.contains(&format!("{gone} of them by their hashes alone; 0 bodies")),
        "{said:?}"
    );
    let said = old.verify(&["--archive", &files[0], "--archive", &files[1]]).await;
    assert!(said.code == 0 && said.out.contains(&format!("alone; {gone} bodies in archives given")), "{said:?}");
    let url = &old.site.database.auditor_url;
    for (of, code, told) in [
        (vec!["proof", "inclusion", "0"], 0, ""),
        (vec!["proof", "consistency", "1"], 0, ""),
        (vec!["bundle", "--leaf", "0"], 2, "entry 0 is not in the database: it was archived"),
    ] {
        let said = cli(&[&["audit"], of.as_slice(), &["--database", url]].concat()).await;
        assert!(said.code == code && said.err.contains(told), "{of:?}: {said:?}");
    }
    let (code, said) = old.run().await;
    assert!(code == Some(0) && said.contains("nothing to do"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_has_dropped_nothing_that_is_not_archived_and_the_next_one_goes_on() {
    let old = Old::grown().await;
    let (all, ..) = old.counts().await;
    let db = &old.site.database;

    // Killed after the file is there, before the log says so: nobody can write to the table of archives.
    let mut holding = db.owner.acquire().await.unwrap();
    let mut hold = holding.begin().await.unwrap();
    sqlx::raw_sql("lock table archive in exclusive mode").execute(&mut *hold).await.unwrap();
    let child = old.archive().spawn().unwrap();
    eventually(async || (!old.files().is_empty()).then_some(())).await;
    kill(child);
    hold.rollback().await.unwrap();
    db.end_connections().await;
    assert_eq!(eventually(async || Some(old.counts().await)).await, (all, 0, 0));

    // Killed after the log says so, before the month is dropped: somebody still reads it.
    let month = parts(&db.owner).await.unwrap().remove(0).name;
    let mut holding = db.owner.acquire().await.unwrap();
    let mut hold = holding.begin().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("lock table {month} in access share mode")))
        .execute(&mut *hold)
        .await
        .unwrap();
    let child = old.archive().spawn().unwrap();
    eventually(async || (old.counts().await.1 == 1).then_some(())).await;
    kill(child);
    hold.rollback().await.unwrap();
    assert_eq!(old.counts().await, (all + 1, 1, 0), "recorded, and all of it still there");
    let said = old.verify(&[]).await;
    assert_eq!(said.code, 0, "{said:?}");

    let (code, said) = old.run().await;
    assert!(code == Some(0) && said.matches("archived and dropped entry_").count() == 2, "{said}");
    let files = old.files();
    let said = old.verify(&["--archive", &files[0], "--archive", &files[1]]).await;
    assert_eq!((said.code, old.counts().await.2), (0, 2), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_can_be_written_nothing_is_dropped() {
    let old = Old::grown().await;
    let (all, ..) = old.counts().await;
    // No file may be longer than a block, as on a disk that is full.
    let mut full = Command::new("sh");
    full.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_bailiwick")]);
    full.args(["audit", "archive", "--url", &old.owner, "--config"]).arg(&old.config);
    let output = tokio::task::spawn_blocking(move || full.output().unwrap()).await.unwrap();
    let said = crate::support::kubernetes::printed(&output);
    assert_eq!((output.status.code(), old.counts().await, old.files().len()), (Some(1), (all, 0, 0), 0), "{said}");
    // The folder is not there, or is none.
    fs::remove_dir_all(old.folder()).unwrap();
    assert_eq!((old.run().await.0, old.counts().await), (Some(1), (all, 0, 0)));
    fs::write(old.folder(), "a file").unwrap();
    assert_eq!((old.run().await.0, old.counts().await), (Some(1), (all, 0, 0)));
    // An account that may only serve can drop nothing.
    fs::remove_file(old.folder()).unwrap();
    fs::create_dir(old.folder()).unwrap();
    let serving = Old { owner: old.site.database.broker_url.clone(), ..old };
    let (code, said) = serving.run().await;
    assert_eq!((code, serving.counts().await), (Some(1), (all, 0, 0)), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_room_for_next_month_is_not_ready() {
    let site = Site::prepare(database().await, "@id(\"all\") permit(principal, action, resource);").await;
    let ready = site.start(None).await;
    assert!(readiness(&ready).await.starts_with("HTTP/1.1 200"));
    ready.stop().await;
    // Nobody makes room any more, and next month's is gone.
    let db = &site.database;
    let next = parts(&db.owner).await.unwrap().pop().unwrap().name;
    tamper(db, &format!("drop table {next}")).await;
    tamper(db, "create or replace function ensure_partitions(moment timestamptz) returns void language sql as ''")
        .await;
    let full = site.start(None).await;
    let said = readiness(&full).await;
    assert!(said.starts_with("HTTP/1.1 503") && said.contains("no room made for next month's entries"), "{said}");
    full.stop().await;
    assert!(store::head::newest(&db.owner).await.unwrap().size > 0);
}

async fn readiness(broker: &app::Running) -> String {
    let mut stream = tokio::net::TcpStream::connect(broker.status.unwrap()).await.unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    said
}

/// kill -9; it may have ended by itself.
fn kill(mut child: Child) {
    let _ = child.kill();
    child.wait().unwrap();
}
