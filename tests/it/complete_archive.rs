//! Retention: months go into bundles and then away, the log stays sound without them, and whoever helps it along is found.

use std::{fs, future::ready, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use bailiwick::{
    audit::{
        Event, Log, Storage, Tasks,
        archive::{ArchiveFault, Due, archive, drop_month, due},
        verify::{self, Anchors, Report},
    },
    model::{Clock as _, FrozenClock, Timestamp, Verdict},
    store::archive::archived,
};
use sqlx::PgPool;

use crate::support::{
    TestDb,
    audit::{ORIGIN, decision, limits, log_at, signer},
    database, eventually,
    ledger::{keep_key, tamper},
    plain::write_configuration,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// 2026-01-10.
const START: Timestamp = Timestamp::from_micros(1_767_996_000_000_000);
const RETENTION: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// A log with 300 entries in each of January to March 2026, and the owner's hand on it. It is the 10th of April.
struct Spring {
    db: TestDb,
    clock: Arc<FrozenClock>,
    owner: PgPool,
    log: Log,
    /// The log as the owner's job writes to it.
    job: Log,
    folder: tempfile::TempDir,
    _tasks: [Tasks; 2],
}

impl Spring {
    async fn come() -> Self {
        Self::of(300).await
    }

    /// With so many in each month.
    async fn of(each: u64) -> Self {
        let db = database().await;
        let clock = Arc::new(FrozenClock::at(START));
        let (log, tasks) = log_at(&db.pool, clock.clone(), limits()).await;
        keep_key(&db, &signer(), "active").await;
        for month in 0..3 {
            for few in (0..each).step_by(300) {
                let mut writing = tokio::task::JoinSet::new();
                for nth in few..each.min(few + 300) {
                    let (log, nth) = (log.clone(), 10_000 * month + nth);
                    writing.spawn(async move { log.append(decision(nth, Verdict::Deny)).await.map(drop) });
                }
                assert!(writing.join_all().await.iter().all(Result::is_ok));
            }
            clock.advance(30 * DAY);
        }
        let owner = db.another_pool("bailiwick_owner");
        let (job, jobs) = log_at(&owner, clock.clone(), limits()).await;
        let folder = tempfile::tempdir().unwrap();
        let spring = Self { db, clock, owner, log, job, folder, _tasks: [tasks, jobs] };
        spring.signed(3 * each as i64).await;
        spring
    }

    async fn signed(&self, size: i64) {
        eventually(async || {
            let (newest,): (Option<i64>,) =
                sqlx::query_as("select max(size) from checkpoint").fetch_one(&self.db.owner).await.unwrap();
            (newest >= Some(size)).then_some(())
        })
        .await;
    }

    async fn due(&self) -> Vec<Due> {
        let mut db = self.owner.acquire().await.unwrap();
        due(&mut db, RETENTION, self.clock.now()).await.unwrap()
    }

    /// What the cron job does.
    async fn clear(&self) -> Vec<String> {
        let mut files = Vec::new();
        for due in self.due().await {
            let now = self.clock.now();
            let (archived, _) = archive(&self.owner, &self.job, &due, self.folder.path(), now).await.unwrap();
            let mut db = self.owner.acquire().await.unwrap();
            drop_month(&mut db, &archived, self.folder.path(), now).await.unwrap();
            files.push(archived.file);
        }
        files
    }

    async fn verified(&self) -> Report {
        self.verified_while(Vec::new(), |_| {}).await
    }

    /// With checkpoints that were kept. Hears how many entries are done, after each page of them.
    async fn verified_while(&self, checkpoints: Vec<String>, mut meanwhile: impl FnMut(u64)) -> Report {
        let mut db = self.db.another_pool("bailiwick_auditor").acquire().await.unwrap();
        let anchors = Anchors { keys: vec![signer().verifier().clone()], checkpoints, ..Anchors::default() };
        verify::database(&mut db, ready(Vec::new()), &anchors, |done, _| meanwhile(done)).await.unwrap()
    }

    fn at(&self, file: &str) -> std::path::PathBuf {
        self.folder.path().join(file)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_that_is_archived_and_dropped_while_it_is_verified_is_not_missing() {
    let spring = Spring::of(2_300).await;
    let now = |work: &mut dyn FnMut()| tokio::task::block_in_place(work);
    let runtime = tokio::runtime::Handle::current();
    let mut pages = 0;
    let report = spring
        .verified_while(Vec::new(), |_| {
            pages += 1;
            if pages == 1 {
                now(&mut || drop(runtime.block_on(spring.clear())));
            }
        })
        .await;
    assert!(report.is_sound(), "{:?}", report.broken);
    assert_eq!((report.size, report.archived, report.entries, report.missing), (6_902, 4_600, 2_302, 0));

    // What merely goes meanwhile is missing, and so is more than was archived.
    for (first, gone) in [(4_600, 5_000), (5_000, 5_100)] {
        let delete = format!("delete from entry where leaf_index >= {first} and leaf_index < {gone}");
        let mut pages = 0;
        let report = spring
            .verified_while(Vec::new(), |done| {
                pages += usize::from(done >= 4_600);
                if pages == 1 {
                    now(&mut || runtime.block_on(tamper(&spring.db, &delete)));
                }
            })
            .await;
        let broken = report.broken.unwrap();
        assert!(broken.to_string().contains("missing"), "{broken}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_was_kept_is_compared_where_the_log_reaches_it_only_meanwhile() {
    let spring = Spring::of(2_300).await;
    let (runtime, mut pages) = (tokio::runtime::Handle::current(), 0);
    let forged = signer().sign(0, 6_901, [9; 32]);
    let report = spring
        .verified_while(vec![forged], |_| {
            pages += 1;
            if pages == 1 {
                tokio::task::block_in_place(|| drop(runtime.block_on(spring.clear())));
            }
        })
        .await;
    let broken = report.broken.unwrap();
    assert!(broken.to_string().contains("not those that were signed"), "{broken}");
}

#[tokio::test]
async fn old_months_go_into_bundles_and_the_log_stays_sound_without_them() {
    let spring = Spring::come().await;
    assert!(spring.verified().await.is_sound());
    let names: Vec<_> = spring.due().await.iter().map(|due| due.part.name.clone()).collect();
    assert_eq!(names, ["entry_2026_01", "entry_2026_02"], "March is over for ten days only");
    let files = spring.clear().await;
    assert_eq!(files, ["entry_2026_01_0-299.jsonl", "entry_2026_02_300-599.jsonl"]);
    assert!(spring.due().await.is_empty());
    spring.signed(902).await;

    let report = spring.verified().await;
    assert!(report.is_sound(), "{:?}", report.broken);
    assert_eq!((report.size, report.archived, report.entries, report.signed), (902, 600, 302, 902));
    let rows: Vec<(String, bool)> =
        archived(&spring.db.pool).await.unwrap().into_iter().map(|row| (row.file, row.is_dropped)).collect();
    assert_eq!(rows, files.iter().map(|file| (file.clone(), true)).collect::<Vec<_>>());

    // The log goes on, and so does retention.
    spring.clock.advance(31 * DAY);
    drop(spring.log.append(decision(9_000, Verdict::Deny)).await.unwrap());
    spring.signed(903).await;
    assert_eq!(spring.clear().await, ["entry_2026_03_600-899.jsonl"]);
    spring.signed(904).await;
    let report = spring.verified().await;
    assert!(report.is_sound(), "{:?}", report.broken);
    assert_eq!((report.archived, report.entries), (900, 4));
}

#[tokio::test]
async fn entries_that_are_gone_without_a_word_of_the_log_are_missing() {
    let spring = Spring::come().await;
    // As an owner would who wants January forgotten, and says that it was archived.
    let gone = "alter table entry detach partition entry_2026_01; drop table entry_2026_01;
                insert into archive values ('entry_2026_01', 0, 300, 'x', sha256('x'), now(), now())";
    sqlx::raw_sql(gone).execute(&spring.db.owner).await.unwrap();
    let broken = spring.verified().await.broken.expect("nothing in the log says so").to_string();
    assert_eq!(broken, "one of the entries 0 to 299: missing, and no entry says that it was archived");
}

#[tokio::test]
async fn more_than_was_archived_may_not_be_gone() {
    let spring = Spring::come().await;
    spring.clear().await;
    spring.signed(902).await;
    sqlx::raw_sql("delete from entry where leaf_index < 610").execute(&spring.db.owner).await.unwrap();
    let broken = spring.verified().await.broken.expect("ten are missing").to_string();
    assert_eq!(broken, "one of the entries 600 to 609: missing, and no entry says that it was archived");
}

#[tokio::test]
async fn hashes_of_what_was_archived_cannot_be_changed_either() {
    let spring = Spring::come().await;
    spring.clear().await;
    spring.signed(902).await;
    let change = "update head set hashes = overlay(hashes placing sha256('x') from 1 for 32) where parent_size = 0";
    assert_eq!(sqlx::raw_sql(change).execute(&spring.db.owner).await.unwrap().rows_affected(), 1);
    assert!(!spring.verified().await.is_sound());
}

#[tokio::test]
async fn nothing_is_dropped_that_its_archive_does_not_hold() {
    let spring = Spring::come().await;
    let (first, now) = (spring.due().await.remove(0), spring.clock.now());
    let mut db = spring.owner.acquire().await.unwrap();
    for sql in ["select drop_archived('entry_2026_01', now())", "drop table entry_2026_01"] {
        assert!(sqlx::raw_sql(sql).execute(&spring.db.pool).await.is_err(), "the broker's own role: {sql}");
    }
    let unknown = sqlx::raw_sql("select drop_archived('entry_2026_01', now())").execute(&mut *db).await.unwrap_err();
    assert!(unknown.to_string().contains("was not archived"), "{unknown}");

    let (kept, _) = archive(&spring.owner, &spring.job, &first, spring.folder.path(), now).await.unwrap();
    let path = spring.at(&kept.file);
    let whole = fs::read(&path).unwrap();
    let flipped = String::from_utf8(whole.clone()).unwrap().replacen("/page-7\\\"", "/page-8\\\"", 1);
    assert_ne!(flipped.as_bytes(), whole);
    for (what, bytes) in [("a page", flipped.into_bytes()), ("half", whole[..whole.len() / 2].to_vec())] {
        fs::write(&path, bytes).unwrap();
        let refused = drop_month(&mut db, &kept, spring.folder.path(), now).await;
        assert!(matches!(refused, Err(ArchiveFault::Unsound { .. })), "{what}: {refused:?}");
    }
    fs::remove_file(&path).unwrap();
    let refused = drop_month(&mut db, &kept, spring.folder.path(), now).await;
    assert!(matches!(refused, Err(ArchiveFault::File { .. })), "{refused:?}");
    assert_eq!(count(&spring.db.owner).await, 901, "all of it is still there");

    // The archive is back, and a second run goes on where the first one stopped.
    fs::write(&path, &whole).unwrap();
    let again = spring.due().await.remove(0);
    assert_eq!(again.archived.as_ref(), Some(&kept));
    let strayed = "insert into entry_2026_01 select leaf_index + 5000, recorded_at, leaf, happened_at, kind, broker
                   from entry_2026_01 where leaf_index = 7";
    sqlx::raw_sql(strayed).execute(&spring.db.owner).await.unwrap();
    assert!(drop_month(&mut db, &kept, spring.folder.path(), now).await.is_err(), "it holds more than its archive");
    sqlx::raw_sql("delete from entry_2026_01 where leaf_index > 5000").execute(&spring.db.owner).await.unwrap();
    drop_month(&mut db, &kept, spring.folder.path(), now).await.unwrap();
    assert_eq!(count(&spring.db.owner).await, 601);
}

#[tokio::test]
async fn an_auditor_checks_an_archive_against_the_log_that_it_left() {
    let spring = Spring::come().await;
    let files = spring.clear().await;
    spring.signed(902).await;
    let january = spring.at(&files[0]);
    let (code, said) = verify_cli(&spring, &january);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("902 entries"), "{said}");
    assert!(said.contains("600 of them by their hashes alone; 300 bodies in archives given"), "{said}");
    let whole = fs::read_to_string(&january).unwrap();
    let tampered = spring.at("tampered.jsonl");
    for (from, to) in [("/page-7\\\"", "/page-8\\\""), ("\"index\":7,", "\"index\":8,")] {
        let changed = whole.replacen(from, to, 1);
        assert_ne!(changed, whole);
        fs::write(&tampered, changed).unwrap();
        let (code, said) = verify_cli(&spring, &tampered);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("broken:"), "{said}");
    }
    // Other white space proves the same, and yet it is not the file that was recorded.
    fs::write(&tampered, whole.replacen("{\"entry\":{", "{\"entry\": {", 1)).unwrap();
    let (code, said) = verify_cli(&spring, &tampered);
    assert!(code == Some(1) && said.contains("SHA-256"), "{said}");
}

#[tokio::test]
async fn there_is_room_for_this_month_and_the_next_and_it_is_seen() {
    let db = database().await;
    let clock = Arc::new(FrozenClock::at(START));
    let (storage, watching) = Storage::open(db.pool.clone(), clock.clone()).await.unwrap();
    watching.abort();
    let seen = storage.seen();
    assert_eq!((seen.ahead, seen.months), (2, 2));
    assert!(seen.database > seen.entries && seen.entries > 0);
    clock.advance(25 * DAY);
    storage.look(&db.pool, clock.now()).await.unwrap();
    assert_eq!((storage.seen().ahead, storage.seen().months), (2, 3), "March was made in February");
    // Somebody takes the right away, and the months run out.
    sqlx::raw_sql("revoke execute on function ensure_partitions from bailiwick_broker")
        .execute(&db.owner)
        .await
        .unwrap();
    clock.advance(30 * DAY);
    assert!(storage.look(&db.pool, clock.now()).await.is_err());
    assert_eq!(storage.seen().ahead, 1, "not ready");
}

#[tokio::test]
async fn a_search_says_that_it_did_not_look_into_archives() {
    let spring = Spring::come().await;
    let search = || {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_bailiwick"))
            .args(["audit", "search", "--database", &spring.db.auditor_url, "--until", "2026-02-01"])
            .output()
            .unwrap();
        crate::support::kubernetes::printed(&output)
    };
    let said = search();
    assert!(!said.contains("archives"), "{said}");
    spring.clear().await;
    let said = search();
    assert!(said.contains("What the first 600 entries say is in their archives"), "{said}");
}

fn verify_cli(spring: &Spring, archive: &Path) -> (Option<i32>, String) {
    let key = signer().verifier().to_string();
    assert!(key.starts_with(ORIGIN));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_bailiwick"))
        .args(["audit", "verify", "--database", &spring.db.auditor_url, "--key", &key, "--archive"])
        .arg(archive)
        .output()
        .unwrap();
    (output.status.code(), crate::support::kubernetes::printed(&output))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_collector_is_owed_is_kept_and_a_dry_run_says_what_is_due() {
    let spring = Spring::come().await;
    let before = count(&spring.owner).await;
    let (code, said) = dry_run(&spring, "");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("would archive and drop entry_2026_01: entries 0 to 299"), "{said}");
    let collector = "[[collector]]\nname = \"siem\"\nto = \"file:events.jsonl\"\n";
    let (code, said) = dry_run(&spring, collector);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("kept, because a collector has not taken all of it") && !said.contains("would"), "{said}");
    let cursor = "insert into collector_cursor (name, epoch, next_leaf, created_at) values ('siem', 0, 300, now())";
    sqlx::raw_sql(cursor).execute(&spring.db.owner).await.unwrap();
    let (code, said) = dry_run(&spring, collector);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("would archive and drop entry_2026_01:") && said.contains("kept, because"), "{said}");
    assert_eq!(count(&spring.owner).await, before);
}

/// `audit archive --dry-run`, with `more` in the configuration.
fn dry_run(spring: &Spring, more: &str) -> (Option<i32>, String) {
    let audit = format!("[audit]\norigin = \"{ORIGIN}\"\nretention = \"31d\"\narchive_folder = \"archive\"\n{more}");
    let config = write_configuration(spring.folder.path(), &spring.db, "", &audit);
    fs::write(spring.at("wrapping.key"), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n").unwrap();
    fs::set_permissions(spring.at("wrapping.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_bailiwick"))
        .args(["audit", "archive", "--dry-run", "--url", &spring.db.auditor_url, "--config"])
        .arg(config)
        .output()
        .unwrap();
    (output.status.code(), crate::support::kubernetes::printed(&output))
}

async fn count(owner: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from entry").fetch_one(owner).await.unwrap()
}

#[tokio::test]
async fn that_it_was_archived_is_in_the_log_with_the_files_hash() {
    let spring = Spring::come().await;
    let files = spring.clear().await;
    let leaves: Vec<Vec<u8>> = sqlx::query_scalar("select leaf from entry where kind = 'archived' order by leaf_index")
        .fetch_all(&spring.db.pool)
        .await
        .unwrap();
    let told = leaves.iter().map(|leaf| match bailiwick::audit::Entry::from_leaf(leaf).unwrap().event {
        Event::Archived { from, until, file, sha256 } => (from, until, file, sha256),
        other => panic!("{other:?}"),
    });
    let hash = |file: &str| hex::encode(bailiwick::audit::archive::sha256_of(&spring.at(file)).unwrap());
    let expected = [(0, 300), (300, 600)]
        .into_iter()
        .zip(&files)
        .map(|((from, until), file)| (from, until, file.clone(), hash(file)));
    assert_eq!(told.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}
