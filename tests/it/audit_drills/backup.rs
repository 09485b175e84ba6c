//! An old backup is restored: with Postgres's own tools, and a real broker that is started on what came back.

use std::{path::Path, process::Command};

use bailiwick::{app::StartFault, audit::LogFault, store};

use crate::support::{Site, TestDb, cluster::postgres_bin, database, eventually, ledger::cli};

#[tokio::test(flavor = "multi_thread")]
async fn an_old_backup_is_refused_and_named_until_somebody_accepts_what_is_lost() {
    let site = Site::prepare(database().await, "@id(\"all\") permit(principal, action, resource);").await;
    let config = site.configure_with("[shipping]\ncheckpoint_file = \"checkpoints\"\n");
    let start = async || site.try_start(&config).await;
    let db = &site.database;
    let shown = site.bailiwick(&["key", "show"]);
    let key = shown.lines().find(|line| line.contains("/audit+")).unwrap();
    let published = site.folder.path().join("checkpoints");
    let verify = async || {
        let published = published.to_str().unwrap();
        cli(&["audit", "verify", "--database", &db.auditor_url, "--key", key, "--published", published]).await
    };

    start().await.unwrap().stop().await;
    let backup = site.folder.path().join("backup");
    dump(db, &backup);
    let old = store::head::newest(&db.owner).await.unwrap().size;
    start().await.unwrap().stop().await;
    let lost = store::head::newest(&db.owner).await.unwrap().size;
    assert!(lost > old);
    let sound = verify().await;
    assert_eq!(sound.code, 0, "{sound:?}");

    restore(db, &backup).await;
    assert_eq!(store::head::newest(&db.owner).await.unwrap().size, old);
    let said = verify().await;
    let last = lost - 1;
    let told =
        format!("broken: one of the entries {old} to {last}: the end of the log is missing: {lost} entries were");
    assert!(said.code == 1 && said.out.starts_with(&told), "{said:?}");
    let refused = start().await.err().unwrap();
    assert!(matches!(refused, StartFault::Log(LogFault::Forked(_))), "{refused}");
    assert_eq!(store::head::newest(&db.owner).await.unwrap().size, old, "nothing was added to it");

    let arguments = ["audit", "accept-fork", "--by", "Ada", "--why", "the disk is gone", "--yes"];
    let told = site.bailiwick(&arguments);
    assert!(told.contains(&format!("epoch 1 begins at entry {old}, accepted by Ada")), "{told}");
    start().await.unwrap().stop().await;
    let said = verify().await;
    assert!(said.code == 0 && said.out.contains("accepted by Ada: the disk is gone"), "{said:?}");
}

/// `pg_dump`, as the operator runs it.
fn dump(db: &TestDb, file: &Path) {
    tool("pg_dump", &["--format=custom", "--file", file.to_str().unwrap(), "--dbname", &db.owner_url]);
}

/// `pg_restore` into a new database of the same name.
async fn restore(db: &TestDb, file: &Path) {
    db.make_anew().await;
    tool("pg_restore", &["--exit-on-error", "--dbname", &db.owner_url, file.to_str().unwrap()]);
    eventually(async || sqlx::query("select 1").execute(&db.owner).await.ok()).await;
}

fn tool(name: &str, arguments: &[&str]) {
    let output = Command::new(postgres_bin().unwrap().join(name)).args(arguments).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
}
