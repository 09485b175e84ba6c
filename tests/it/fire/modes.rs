//! What else breaks a database: a disk that is full, an fsync that fails, statements that take too long, connections that
//! others have taken, a primary that dies for good. Each time: closed while it lasts, which the app's own record shows;
//! open streams ended; and all brokers serve again afterwards, the same processes, without a hand.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};
use tokio::net::{UnixListener, UnixStream};

use super::{
    load::{Load, closed, get, open_stream},
    site::{Site, judge_heads},
};
use crate::support::{eventually, server::Server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgres_is_away_every_door_is_closed_and_every_stream_ends() {
    let mut server = Server::start(place(), SETTINGS).await;
    let (mut site, pool) = site(&server).await;
    let load = Load::start(4, &site.addresses());
    site.upstream.reached_by(20).await;
    let stream = open_stream(site.brokers[1].address, "/events/1").await;
    server.kill();
    is_closed(&site, stream).await;
    server.resume().await;
    is_open_again(&mut site, &pool, load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_statements_time_out_every_door_is_closed() {
    let server = Server::start(place(), SETTINGS).await;
    let (mut site, pool) = site(&server).await;
    let load = Load::start(4, &site.addresses());
    site.upstream.reached_by(20).await;
    let stream = open_stream(site.brokers[0].address, "/events/1").await;
    let mut held = pool.begin().await.unwrap();
    held.execute("lock table head in access exclusive mode").await.unwrap();
    is_closed(&site, stream).await;
    eventually(async || server.has_said("timeout").then_some(())).await;
    held.rollback().await.unwrap();
    is_open_again(&mut site, &pool, load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_others_have_taken_every_connection_every_door_is_closed() {
    let server = Server::start(place(), &["max_connections=60", "shared_buffers=32MB"]).await;
    let (mut site, pool) = site(&server).await;
    let load = Load::start(4, &site.addresses());
    site.upstream.reached_by(20).await;
    let stream = open_stream(site.brokers[0].address, "/events/1").await;
    let (mut storm, url) = (Vec::new(), server.url("bailiwick_auditor", "bailiwick"));
    let mut owner = pool.acquire().await.unwrap();
    // Whatever the brokers held is taken from them, and they find no other.
    while get(site.brokers[0].address, "/taken").await != Some(503)
        || get(site.brokers[1].address, "/taken").await != Some(503)
    {
        while let Ok(connection) = PgConnection::connect(&url).await {
            storm.push(connection);
        }
        let end = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'bailiwick_broker'";
        owner.execute(end).await.unwrap();
    }
    while let Ok(connection) = PgConnection::connect(&url).await {
        storm.push(connection);
    }
    is_closed(&site, stream).await;
    drop(storm);
    is_open_again(&mut site, &pool, load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_fsync_fails_every_door_is_closed() {
    let folder = tempfile::Builder::new().prefix("bailiwick-shim.").tempdir_in(place()).unwrap();
    let (library, fails) = (failing_fsync(folder.path()), folder.path().join("fails"));
    let mut server = Server::prepared(place(), SETTINGS);
    server.set("LD_PRELOAD", library.to_str().unwrap());
    server.set("BAILIWICK_TEST_FSYNC_FAILS", fails.to_str().unwrap());
    server.resume().await;
    let (mut site, pool) = site(&server).await;
    let load = Load::start(4, &site.addresses());
    site.upstream.reached_by(20).await;
    let stream = open_stream(site.brokers[0].address, "/events/1").await;
    std::fs::write(&fails, "").unwrap();
    is_closed(&site, stream).await;
    assert!(server.has_said("could not fsync") || server.has_said("could not fdatasync"), "{}", server.said());
    std::fs::remove_file(&fails).unwrap();
    // Postgres gives up for good when its recovery meets the same; whoever runs it starts it again.
    server.stays().await;
    is_open_again(&mut site, &pool, load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "mounts a small tmpfs, which needs root: run by `make fire`"]
async fn while_the_disk_is_full_every_door_is_closed() {
    let disk = Disk::mount("160m");
    let settings = ["min_wal_size=32MB", "max_wal_size=48MB", "shared_buffers=16MB", "max_connections=60"];
    let mut server = Server::start(&disk.folder, &settings).await;
    let (mut site, pool) = site(&server).await;
    let load = Load::start(4, &site.addresses());
    site.upstream.reached_by(20).await;
    let stream = open_stream(site.brokers[0].address, "/events/1").await;
    disk.fill();
    is_closed(&site, stream).await;
    assert!(server.has_said("No space left on device"), "{}", server.said());
    disk.clear();
    server.stays().await;
    is_open_again(&mut site, &pool, load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_synchronous_standby_takes_over_and_nothing_is_lost() {
    let mut primary = Server::start(place(), &["max_connections=60", "shared_buffers=32MB", "wal_level=replica"]).await;
    primary.migrate().await;
    let standby = Server::standby(place(), &primary, &["max_connections=60", "shared_buffers=32MB"]).await;
    primary.execute("postgres", "alter system set synchronous_standby_names = '*'").await;
    primary.execute("postgres", "select pg_reload_conf()").await;
    eventually(async || {
        let mut db = PgConnection::connect(&primary.url("postgres", "postgres")).await.unwrap();
        let states: Vec<String> =
            sqlx::query_scalar("select sync_state from pg_stat_replication").fetch_all(&mut db).await.unwrap();
        (states == ["sync"]).then_some(())
    })
    .await;

    let way = Way::to(&primary);
    let mut site = Site::prepare(&primary, &way.url("bailiwick_broker")).await;
    site.all_serve().await;
    let load = Load::start(4, &site.addresses());
    site.upstream.reached_by(50).await;
    let stream = open_stream(site.brokers[0].address, "/events/1").await;
    primary.kill();
    // Too early: the standby can be read, and not written.
    way.turn_to(&standby);
    is_closed(&site, stream).await;
    standby.promote().await;
    let pool = standby.pool("postgres", 2);
    is_open_again(&mut site, &pool, load).await;
}

/// The brokers on `server`, serving.
async fn site(server: &Server) -> (Site, PgPool) {
    server.migrate().await;
    let mut site = Site::prepare(server, &server.url("bailiwick_broker", "bailiwick")).await;
    site.all_serve().await;
    (site, server.pool("postgres", 2))
}

/// The stream ends, every broker refuses, and from then on nothing reaches the app.
async fn is_closed(site: &Site, stream: tokio::net::TcpStream) {
    closed(stream).await;
    for broker in &site.brokers {
        eventually(async || (get(broker.address, "/closed").await == Some(503)).then_some(())).await;
    }
    let reached = site.upstream.reached();
    for nth in 0..10 {
        for broker in &site.brokers {
            assert_eq!(get(broker.address, &format!("/closed/{nth}")).await, Some(503));
        }
    }
    assert_eq!(site.upstream.reached(), reached, "something was forwarded");
}

/// The same processes serve again; the log is sound, and has all that the app saw.
async fn is_open_again(site: &mut Site, pool: &PgPool, load: Load) {
    for nth in 0..site.brokers.len() {
        let address = site.brokers[nth].address;
        eventually(async || (get(address, "/open").await == Some(200)).then_some(())).await;
        assert!(site.brokers[nth].is_running(), "a broker had to be started again: {}", site.said());
    }
    site.upstream.reached_by(20).await;
    let counts = load.stop().await;
    let (forwarded, size) = site.judge(pool).await.unwrap();
    judge_heads(pool).await.unwrap();
    site.verify();
    eprintln!("{forwarded} requests forwarded, lost 0; {counts}; {size} entries, sound");
}

/// Compiles what makes fsync fail as long as a file is there, as a broken disk would.
fn failing_fsync(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("shim.c"), folder.join("shim.so"));
    std::fs::write(&source, SHIM).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source);
    assert!(cc.status().expect("there is a C compiler, `cc`").success());
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    library
}

const SHIM: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
static int fails(void) {
    const char *file = getenv("BAILIWICK_TEST_FSYNC_FAILS");
    return file && access(file, F_OK) == 0;
}
int fsync(int fd) { if (fails()) { errno = EIO; return -1; } return syscall(SYS_fsync, fd); }
int fdatasync(int fd) { if (fails()) { errno = EIO; return -1; } return syscall(SYS_fdatasync, fd); }
"#;

/// A small disk of its own, in memory.
struct Disk {
    folder: PathBuf,
}

impl Disk {
    fn mount(size: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("bailiwick-disk.").tempdir_in(place()).unwrap().keep();
        let options = format!("size={size},mode=0755");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "bailiwick-fire"]).arg(&folder);
        assert!(mount.status().unwrap().success(), "a tmpfs can be mounted, which takes root");
        Self { folder }
    }

    fn fill(&self) {
        let mut ballast = std::fs::File::create(self.folder.join("ballast")).unwrap();
        while std::io::Write::write(&mut ballast, &[0; 4096]).is_ok_and(|written| written > 0) {}
    }

    fn clear(&self) {
        std::fs::remove_file(self.folder.join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
        let _ = std::fs::remove_dir(&self.folder);
    }
}

/// A socket that leads to whichever server is the primary, as a virtual address would.
struct Way {
    folder: tempfile::TempDir,
    to: Arc<Mutex<PathBuf>>,
}

impl Way {
    fn to(server: &Server) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        let to = Arc::new(Mutex::new(server.home().join(SOCKET)));
        let target = Arc::clone(&to);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let target = target.lock().unwrap().clone();
                tokio::spawn(async move {
                    let mut server = UnixStream::connect(target).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        Self { folder, to }
    }

    fn turn_to(&self, server: &Server) {
        *self.to.lock().unwrap() = server.home().join(SOCKET);
    }

    fn url(&self, role: &str) -> String {
        format!("postgres://{role}@localhost/bailiwick?host={}&sslmode=disable", self.folder.path().display())
    }
}

fn place() -> &'static Path {
    Path::new("/var/tmp")
}

const SOCKET: &str = ".s.PGSQL.5432";

const SETTINGS: &[&str] = &["max_connections=60", "shared_buffers=32MB"];
