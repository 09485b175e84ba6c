//! The real program, killed at the worst moment: after the collector took a batch, and before the cursor moved.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use axum::http::StatusCode;
use bailiwick::config::BatchFormat;
use tokio::process::{Child, Command};

use super::{Endpoint, cursor};
use crate::support::{TestDb, audit::ORIGIN, database, eventually, plain::write_configuration};

#[tokio::test]
async fn kill_9_between_the_collector_and_the_cursor_leaves_duplicates_and_no_gap() {
    let db = database().await;
    let broker: Arc<Mutex<Option<Child>>> = Arc::default();
    let (target, batches) = (Arc::clone(&broker), Arc::new(AtomicUsize::new(0)));
    let endpoint = Endpoint::start(BatchFormat::Ndjson, move |_| {
        let is_second = batches.fetch_add(1, SeqCst) == 1;
        if is_second && let Some(mut child) = target.lock().unwrap().take() {
            child.start_kill().unwrap();
        }
        Box::pin(async { StatusCode::OK })
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let config = configure(folder.path(), &db, &endpoint.url);
    assert!(run(&config, &["key", "init"]).wait().await.unwrap().success());
    // Its first entries go out alone, and the batch of the next broker's start is killed.
    *broker.lock().unwrap() = Some(run(&config, &["serve"]));
    eventually(async || broker.lock().unwrap().is_none().then_some(())).await;
    let taken = endpoint.taken();
    let behind = cursor(&db.pool).await.unwrap().next_leaf;
    assert!(taken.last().unwrap() + 1 > behind, "it was killed too late: {taken:?}, {behind}");

    let mut second = run(&config, &["serve"]);
    // Its start is an entry more; the dead broker's hold has to run out before it ships.
    let all = eventually(async || {
        let size = bailiwick::store::head::newest(&db.pool).await.unwrap().size;
        (size > behind + 1 && endpoint.taken().contains(&(size - 1))).then_some(size)
    })
    .await;
    endpoint.assert_complete(all);
    assert!(endpoint.taken().len() as u64 > all, "what was on its way came again: {:?}", endpoint.taken());
    second.kill().await.unwrap();
}

/// A configuration with one collector, that ships to `to` one entry at a time.
pub fn configure(folder: &Path, db: &TestDb, to: &str) -> PathBuf {
    let headers = if to.starts_with("http") { "headers = [\"X-Test: yes\"]" } else { "" };
    let rules = "@id(\"home\") permit (principal, action == Action::\"home\", resource);";
    let more = format!(
        "[audit]\norigin = \"{ORIGIN}\"\n[[collector]]\nname = \"siem\"\nto = \"{to}\"\n{headers}\nbatch = 1\n"
    );
    write_configuration(folder, db, rules, &more)
}

fn run(config: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
    command.args(arguments).arg("--config").arg(config).stdout(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}
