//! What the commands of the log write, and what becomes of it: an answer that did not arrive is no answer, a reader that
//! has gone ends a command, and a file is whole or not there.

#![allow(unused_must_use, reason = "these tests append for the sake of the entry, and no receipt permits anything")]

use std::{
    ffi::OsString,
    fs::{self, File},
    io::pipe,
    os::{
        fd::OwnedFd,
        unix::fs::{PermissionsExt as _, symlink},
    },
    path::Path,
    process::{Output, Stdio},
};

use sqlx::{Executor as _, Postgres, Transaction};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::unix,
    process::{Child, Command},
};

use crate::support::{
    SOON, Site, TestDb,
    audit::signer,
    database, eventually,
    ledger::{filled, keep_key, tamper},
    plain::write_configuration,
};

/// Commands that answer on standard output.
const ANSWERS: [&str; 10] = [
    "verify",
    "verify -o json",
    "checkpoint",
    "proof inclusion 3",
    "proof consistency 3 -o json",
    "tail",
    "search -o json",
    "export",
    "bundle --leaf 3",
    "collectors -o json",
];

#[tokio::test]
async fn an_answer_that_could_not_be_written_is_none() {
    let db = signed().await;
    for line in ANSWERS {
        let lost = into(full(), typed(line, &db)).await;
        assert_eq!(lost.status.code(), Some(2), "{line}: {lost:?}");
        assert!(err(&lost).contains("error: could not write: No space left"), "{line}: {lost:?}");
    }
    tamper(&db, "update entry set leaf = set_byte(leaf, 50, get_byte(leaf, 50) # 1) where leaf_index = 4").await;
    let broken = into(full(), typed("verify", &db)).await;
    assert_eq!(broken.status.code(), Some(1), "a no is one, whether it arrives or not: {broken:?}");
    assert!(err(&broken).contains("could not write"), "{broken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_said_to_be_done_where_its_answer_could_not_be_written() {
    let site = Site::prepare(database().await, "@id(\"all\") permit(principal, action, resource);").await;
    let config = site.configure_with("");
    let typed = |line: &str| {
        let mut command = bailiwick();
        command.args(line.split(' ')).arg("--config").arg(&config);
        command
    };
    let change = |line: &str, told: &str| (line.to_owned(), told.to_owned());
    let out = site.folder.path().join("entries");
    for (line, told) in [
        change("invite --provider corp --subject ada", "done: corp/ada may register a first passkey until "),
        change("key rotate checkpoint", "done: the key that signs checkpoints is replaced by "),
        change(&format!("audit export --out {}", out.display()), &format!("done: {} is written", out.display())),
    ] {
        let lost = into(full(), typed(&line)).await;
        assert_eq!(lost.status.code(), Some(2), "{line}: {lost:?}");
        assert!(err(&lost).contains(&told) && err(&lost).contains("error: could not write: No space left"), "{lost:?}");
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let gone = into(writer, typed(&line)).await;
        assert!(gone.status.code() == Some(141) && err(&gone).contains(&told), "{line}: {gone:?}");
        let told = typed(&line).output().await.unwrap();
        assert!(told.status.success() && !err(&told).contains("done: "), "{line}: {told:?}");
    }
    let lost = into(full(), typed("key show")).await;
    assert!(lost.status.code() == Some(2) && !err(&lost).contains("done: "), "nothing was changed: {lost:?}");
}

#[tokio::test]
async fn whoever_interrupts_a_command_finds_no_half_of_a_file() {
    let (db, folder) = (signed().await, tempfile::tempdir().unwrap());
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        fs::write(folder.path().join("evidence"), "earlier").unwrap();
        let held = held(&db).await;
        let writing = begun(HEARS_ALL, Stdio::piped(), &db, folder.path()).await;
        send(signal, &writing);
        let ended = tokio::time::timeout(SOON, writing.wait_with_output()).await.expect("it ends").unwrap();
        assert_eq!(ended.status.code(), Some(code), "{ended:?}");
        held.rollback().await.unwrap();
        assert_eq!(names(folder.path()), ["evidence"], "{signal}");
        assert_eq!(fs::read_to_string(folder.path().join("evidence")).unwrap(), "earlier");
    }
}

#[tokio::test]
async fn a_second_signal_ends_a_command_that_cannot_clear_up() {
    let (db, folder) = (signed().await, tempfile::tempdir().unwrap());
    for (second, code) in [("INT", 130), ("TERM", 143)] {
        let held = held(&db).await;
        let (_unread, stderr) = stuffed().await;
        let mut writing = begun(HEARS_ALL, stderr, &db, folder.path()).await;
        send("INT", &writing);
        eventually(async || names(folder.path()).is_empty().then_some(())).await;
        assert_eq!(writing.try_wait().unwrap(), None, "nobody reads what it says");
        send(second, &writing);
        let ended = tokio::time::timeout(SOON, writing.wait()).await.expect("it ends").unwrap();
        assert_eq!(ended.code(), Some(code));
        held.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn a_signal_that_was_ignored_from_the_start_goes_on_being_ignored() {
    let (db, folder) = (signed().await, tempfile::tempdir().unwrap());
    let held = held(&db).await;
    let deaf = ["sh", "-c", "trap '' HUP; exec \"$0\" \"$@\""];
    let writing = begun(&deaf, Stdio::piped(), &db, folder.path()).await;
    send("HUP", &writing);
    held.rollback().await.unwrap();
    let ended = tokio::time::timeout(SOON, writing.wait_with_output()).await.expect("it ends").unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(fs::read_to_string(folder.path().join("evidence")).unwrap().starts_with("{\"bundle\""));
}

#[tokio::test]
async fn a_reader_that_has_gone_ends_a_command_without_a_word() {
    let db = signed().await;
    for line in ANSWERS {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let gone = into(writer, typed(line, &db)).await;
        assert_eq!(gone.status.code(), Some(141), "{line}: {gone:?}");
        assert!(!err(&gone).contains("error"), "{line}: {gone:?}");
    }
}

#[tokio::test]
async fn tail_ends_with_its_reader_though_nothing_more_is_recorded() {
    let db = filled(3).await;
    let mut tail = typed("tail -f", &db).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        lines.next_line().await.unwrap().unwrap();
    }
    drop(lines);
    let ended = tokio::time::timeout(SOON, tail.wait()).await.expect("it ends").unwrap();
    assert_eq!(ended.code(), Some(141));
}

#[tokio::test]
async fn files_are_their_owners_and_whole_or_as_they_were() {
    let (db, folder) = (filled(9).await, tempfile::tempdir().unwrap());
    let at = |name: &str| folder.path().join(name);
    for line in ["bundle --leaf 3 --file evidence", "export --out entries"] {
        let written = typed(line, &db).current_dir(&folder).output().await.unwrap();
        assert_eq!(written.status.code(), Some(0), "{written:?}");
    }
    for name in ["evidence", "entries", "entries.manifest.json"] {
        assert_eq!(fs::metadata(at(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }

    // What fails at its end leaves what was there.
    fs::write(at("evidence"), "earlier").unwrap();
    fs::write(at("forked"), signer().sign(0, 5, [9; 32])).unwrap();
    fs::write(at("kept"), "earlier").unwrap();
    fs::create_dir(at("kept.manifest.json")).unwrap();
    for (line, code) in [("bundle --leaf 3 --checkpoint forked -f evidence", 1), ("export --out kept", 2)] {
        let failed = typed(line, &db).current_dir(&folder).output().await.unwrap();
        assert_eq!(failed.status.code(), Some(code), "{failed:?}");
    }
    assert_eq!([fs::read_to_string(at("evidence")).unwrap(), fs::read_to_string(at("kept")).unwrap()], ["earlier"; 2]);

    // What is no regular file stays what it is.
    symlink("evidence", at("link")).unwrap();
    let linked = typed("bundle --leaf 3 --file link", &db).current_dir(&folder).output().await.unwrap();
    assert!(linked.status.success() && fs::symlink_metadata(at("link")).unwrap().is_symlink(), "{linked:?}");
    assert!(fs::read_to_string(at("evidence")).unwrap().starts_with("{\"bundle\""));
    for line in ["bundle --leaf 3 --file -", "export --out -"] {
        let printed = typed(line, &db).current_dir(&folder).output().await.unwrap();
        assert!(printed.status.success() && printed.stdout.starts_with(b"{\""), "{printed:?}");
    }
    let parts = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let strange: Vec<String> = parts.filter(|name| name.contains(".part") || name.starts_with('-')).collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[tokio::test]
async fn what_is_typed_wins_over_the_environment() {
    let (db, folder) = (signed().await, tempfile::tempdir().unwrap());
    let bundle = folder.path().join("evidence");
    fs::write(&bundle, typed("bundle --leaf 3", &db).output().await.unwrap().stdout).unwrap();
    let elsewhere = |command: &mut Command| {
        command.env("BAILIWICK_CONFIG", "/nonexistent");
    };
    for line in ["verify", "search", "checkpoint"] {
        let mut command = typed(line, &db);
        elsewhere(&mut command);
        let looked = command.output().await.unwrap();
        assert_eq!(looked.status.code(), Some(0), "{line}: {looked:?}");
    }
    let mut command = audit("verify --bundle");
    elsewhere(command.arg(&bundle).args(["--key", &signer().verifier().to_string()]));
    let looked = command.output().await.unwrap();
    assert_eq!(looked.status.code(), Some(0), "{looked:?}");
}

#[tokio::test]
async fn reading_takes_no_wrapping_key_and_migrating_no_configuration() {
    let (db, folder) = (signed().await, tempfile::tempdir().unwrap());
    let config = write_configuration(folder.path(), &db, "", "");
    assert!(!folder.path().join("wrapping.key").exists());
    let looked = audit("verify --config").arg(&config).output().await.unwrap();
    assert_eq!(looked.status.code(), Some(0), "{looked:?}");

    let url = folder.path().join("url");
    fs::write(&url, &db.auditor_url).unwrap();
    fs::set_permissions(&url, fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = bailiwick();
    let checked = command.args(["migrate", "--check", "--url-file"]).arg(&url).output().await.unwrap();
    assert!(!Path::new("/etc/bailiwick/bailiwick.toml").exists());
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
}

#[tokio::test]
async fn a_log_that_no_broker_has_begun_is_said_to_be_none() {
    let db = database().await;
    for line in ["proof inclusion 0", "proof consistency 0 1 -o json", "bundle --all", "collectors"] {
        let looked = typed(line, &db).output().await.unwrap();
        assert_eq!(looked.status.code(), Some(2), "{line}: {looked:?}");
        let said = err(&looked);
        assert!(said.contains("this database ") && !said.contains("malformed"), "{line}: {said}");
    }
    // Or all of it was removed, which nothing but a copy from elsewhere could tell apart.
    let verified = typed("verify", &db).output().await.unwrap();
    assert_eq!(verified.status.code(), Some(1), "{verified:?}");
    let said = String::from_utf8(verified.stdout).unwrap();
    assert!(said.starts_with("broken: the table `head`: it is empty: no log was begun here"), "{said}");
    assert!(!said.contains("  log "), "nothing is said of what is not there: {said}");
}

/// Nine entries, and the key that signed them.
async fn signed() -> TestDb {
    let db = filled(9).await;
    keep_key(&db, &signer(), "active").await;
    db
}

/// However these tests were begun.
const HEARS_ALL: &[&str] = &["env", "--default-signal=INT,TERM,HUP"];

/// Nobody reads an entry until this is dropped.
async fn held(db: &TestDb) -> Transaction<'static, Postgres> {
    let mut held = db.owner.begin().await.unwrap();
    held.execute("lock table entry in access exclusive mode").await.unwrap();
    held
}

/// A command that has begun to write a file in `folder`, as `launcher` begins it.
async fn begun(launcher: &[&str], stderr: impl Into<Stdio>, db: &TestDb, folder: &Path) -> Child {
    let bundle = typed("bundle --leaf 3 --file evidence", db);
    let mut command = Command::new(launcher[0]);
    command.args(&launcher[1..]).arg(bundle.as_std().get_program()).args(bundle.as_std().get_args());
    command.env_remove("BAILIWICK_CONFIG").current_dir(folder).stderr(stderr).kill_on_drop(true);
    let writing = command.spawn().unwrap();
    eventually(async || folder.join("evidence.part").exists().then_some(())).await;
    writing
}

fn send(signal: &str, process: &Child) {
    let pid = process.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
}

/// A pipe that takes no more, until somebody reads it.
async fn stuffed() -> (unix::pipe::Receiver, OwnedFd) {
    let (writer, reader) = unix::pipe::pipe().unwrap();
    writer.writable().await.unwrap();
    while writer.try_write(&[b'.'; 1 << 16]).is_ok() {}
    (reader, writer.into_blocking_fd().unwrap())
}

fn names(folder: &Path) -> Vec<OsString> {
    fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name()).collect()
}

/// A disk that is full.
fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// Runs it with its standard output there.
async fn into(stdout: impl Into<Stdio>, mut command: Command) -> Output {
    let process = command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
    // The other end of a pipe must be nobody's.
    drop(command);
    process.wait_with_output().await.unwrap()
}

fn bailiwick() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
    command.env_remove("BAILIWICK_CONFIG");
    command
}

fn audit(line: &str) -> Command {
    let mut command = bailiwick();
    command.arg("audit").args(line.split(' '));
    command
}

fn typed(line: &str, db: &TestDb) -> Command {
    let mut command = audit(line);
    command.args(["--database", &db.auditor_url]);
    command
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
