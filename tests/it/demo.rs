//! `bailiwick demo`, as a newcomer runs it: a process of its own, in a folder of its own.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

fn demo(place: &Path, options: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_bailiwick"))
        .args(["demo", "--dir"])
        .arg(place.join("demo"))
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Two that start at the same moment would choose the same ports.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn postgres_is_running(place: &Path) -> bool {
    fs::read_to_string(place.join("demo/postgres/data/postmaster.pid")).is_ok()
}

#[test]
fn the_tour_is_green_at_the_first_start_and_at_the_second_and_nothing_is_left_running() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let place = tempfile::tempdir().unwrap();
    for start in ["first", "second"] {
        let output = demo(place.path(), &["--once"]).wait_with_output().unwrap();
        let said = said(&output);
        let log = fs::read_to_string(place.path().join("demo/broker.log")).unwrap_or_default();
        assert!(output.status.success(), "the {start} start:\n{said}\n{log}");
        assert!(said.contains("✓") && !said.contains("✗"), "{said}");
        assert!(said.contains("The admin pages are for the admins group."), "the rule's reason is shown:\n{said}");
        assert!(!postgres_is_running(place.path()), "Postgres still runs after the {start} start");
    }
}

#[test]
fn it_says_where_everything_is_and_ends_when_it_is_told() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let place = tempfile::tempdir().unwrap();
    let mut running = demo(place.path(), &["--no-tour"]);
    let summary = place.path().join("demo/demo.json");
    let patience = Instant::now() + crate::support::SOON;
    while !summary.exists() {
        assert!(Instant::now() < patience && running.try_wait().unwrap().is_none(), "it did not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    let summary: serde_json::Value = serde_json::from_str(&fs::read_to_string(summary).unwrap()).unwrap();
    assert!(summary["portal"].as_str().unwrap().starts_with("http://auth.demo.localhost:"));
    assert!(Path::new(summary["config_file"].as_str().unwrap()).exists());
    assert!(Path::new(summary["policy_folder"].as_str().unwrap()).join("20-wiki.cedar").exists());
    assert_eq!(summary["pid"], running.id());
    let second = demo(place.path(), &["--no-tour"]).wait_with_output().unwrap();
    assert!(said(&second).contains("already running"), "{}", said(&second));

    Command::new("kill").args(["-TERM", &running.id().to_string()]).status().unwrap();
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(!postgres_is_running(place.path()));
}
