//! A Postgres of the demonstration's own: one private cluster below its folder, on a Unix socket that only its owner can
//! open, started and stopped here, and never an existing one. A cluster that a killed run left behind is stopped first:
//! only if the process that its pid file names really serves this very folder.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use sqlx::{Connection, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::process::{Child, Command};

use super::{DemoFault, files};
use crate::{
    model::Entropy,
    store::{self, account},
};

/// The account that defines things; only the demonstration itself uses it.
const SUPERUSER: &str = "demo_owner";
/// The broker's account.
pub(super) const BROKER: &str = "demo_broker";
/// The auditor's account: it can read the log, and nothing else.
pub(super) const AUDITOR: &str = "demo_auditor";
const DATABASE: &str = "bailiwick";
const NEW_CLUSTER: &[&str] =
    &["--username", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--data-checksums"];

/// A running private Postgres.
pub(super) struct Postgres {
    server: Child,
    programs: PathBuf,
    home: PathBuf,
    account: Option<Account>,
}

/// Postgres refuses to run as root; then it runs as somebody who owns nothing else.
#[derive(Clone, Copy)]
struct Account {
    user: u32,
    group: u32,
}

impl Postgres {
    /// Starts the cluster below `dir`, making it the first time. Returns once it answers, with its tables up to date.
    pub(super) async fn start(dir: &Path, programs: Option<&Path>, entropy: &dyn Entropy) -> Result<Self, DemoFault> {
        let programs = find_programs(programs)?;
        let account = account(dir)?;
        let home = home(dir, account, entropy)?;
        let data = home.join("data");
        let log = home.join("log");
        if !data.join("PG_VERSION").exists() {
            make_cluster(&programs, &home, account).await?;
        }
        stop_orphan(&programs, &home, account).await?;

        let mut command = command(&programs.join("postgres"), &home, account);
        command.arg("-D").arg(&data).arg("-k").arg(&home);
        for setting in
            ["listen_addresses=", "unix_socket_permissions=0700", "max_connections=80", "shared_buffers=32MB"]
        {
            command.args(["-c", setting]);
        }
        // A process group of its own: Ctrl-C is for us, and we stop Postgres when the broker has written its last line.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(append_to(&log)?);
        let server = command.spawn().map_err(|source| DemoFault::file("start Postgres from", &programs, source))?;
        let mut postgres = Self { server, programs, home, account };
        if let Err(fault) = postgres.prepare().await {
            postgres.stop().await;
            return Err(fault);
        }
        Ok(postgres)
    }

    /// The address of the database for one of the two accounts, as `psql` and the configuration take it.
    pub(super) fn address(&self, account: &str) -> String {
        format!("postgres://{account}@localhost/{DATABASE}?host={}", self.home.display())
    }

    /// Returns when it has ended by itself, with its last words.
    pub(super) async fn ended(&mut self) -> DemoFault {
        let _ = self.server.wait().await;
        DemoFault::Postgres { doing: "go on", log: last_lines(&self.home.join("log")) }
    }

    /// Fast shutdown, by the pid of what was started here.
    pub(super) async fn stop(mut self) {
        if matches!(self.server.try_wait(), Ok(Some(_))) {
            return;
        }
        let _ = stop_by_pid_file(&self.programs, &self.home, self.account).await;
        if tokio::time::timeout(Duration::from_secs(20), self.server.wait()).await.is_err() {
            let _ = self.server.start_kill();
            let _ = self.server.wait().await;
        }
    }

    async fn prepare(&mut self) -> Result<(), DemoFault> {
        let mut connection = self.answered().await?;
        let failed = |fault: sqlx::Error| DemoFault::Database(fault.to_string());
        account::make_database(&mut connection).await.map_err(|fault| DemoFault::Database(fault.to_string()))?;
        connection.close().await.map_err(failed)?;

        let pool = PgPool::connect_with(self.options(DATABASE)).await.map_err(failed)?;
        store::migrate(&pool).await.map_err(|fault| DemoFault::Database(fault.to_string()))?;
        account::make_demo_logins(&pool).await.map_err(|fault| DemoFault::Database(fault.to_string()))?;
        pool.close().await;
        Ok(())
    }

    async fn answered(&mut self) -> Result<PgConnection, DemoFault> {
        for _ in 0..300 {
            if let Ok(connection) = PgConnection::connect_with(&self.options("postgres")).await {
                return Ok(connection);
            }
            if matches!(self.server.try_wait(), Ok(Some(_))) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(DemoFault::Postgres { doing: "start", log: last_lines(&self.home.join("log")) })
    }

    fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass().socket(&self.home).username(SUPERUSER).database(database)
    }
}

/// The folder that holds `postgres` and `initdb`.
fn find_programs(given: Option<&Path>) -> Result<PathBuf, DemoFault> {
    let complete = |folder: &Path| ["postgres", "initdb", "pg_ctl"].iter().all(|name| folder.join(name).is_file());
    if let Some(folder) = given {
        return if complete(folder) { Ok(folder.to_owned()) } else { Err(DemoFault::NoPostgres) };
    }
    let on_path = files::on_path("postgres").and_then(|program| fs::canonicalize(program).ok());
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = debian
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort();
    on_path
        .and_then(|program| program.parent().map(Path::to_owned))
        .into_iter()
        .chain(versions.into_iter().rev().map(|(_, folder)| folder))
        .find(|folder| complete(folder))
        .ok_or(DemoFault::NoPostgres)
}

/// Whom to run as: ourselves, or, when that is root, `postgres` or `nobody`.
fn account(dir: &Path) -> Result<Option<Account>, DemoFault> {
    let mine = fs::metadata("/proc/self").or_else(|_| fs::metadata(dir));
    if mine.map_err(|source| DemoFault::file("look at", dir, source))?.uid() != 0 {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd")
        .map_err(|source| DemoFault::file("read", Path::new("/etc/passwd"), source))?;
    let named = |name: &str| {
        let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some(Account { user: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
    };
    named("postgres").or_else(|| named("nobody")).map(Some).ok_or(DemoFault::NoAccount)
}

/// Where the cluster lives: `dir/postgres`; elsewhere behind a link of that name when the account could not get there
/// (root's home is closed to it), or when the socket's path would be longer than the 107 bytes that systems allow.
fn home(dir: &Path, account: Option<Account>, entropy: &dyn Entropy) -> Result<PathBuf, DemoFault> {
    let wanted = dir.join("postgres");
    if let Ok(there) = fs::canonicalize(&wanted) {
        return Ok(there);
    }
    if wanted.is_symlink() {
        let _ = fs::remove_file(&wanted);
    }
    let failed = |source| DemoFault::file("make", &wanted, source);
    let open = |folder: &Path| fs::metadata(folder).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0);
    let reachable = account.is_none() || dir.ancestors().skip(1).all(open);
    let place = if reachable && wanted.as_os_str().len() < 85 {
        wanted.clone()
    } else {
        let name = format!("bailiwick-demo-{}", hex::encode(entropy.bytes::<8>()));
        let place = Path::new("/var/tmp").join(name);
        symlink(&place, &wanted).map_err(failed)?;
        place
    };
    files::make_folder(&place)?;
    if let Some(Account { user, group }) = account {
        std::os::unix::fs::chown(&place, Some(user), Some(group)).map_err(failed)?;
        if place == wanted {
            // Others may pass through our folder, and see nothing in it that is not theirs.
            fs::set_permissions(dir, fs::Permissions::from_mode(0o711)).map_err(failed)?;
        }
    }
    Ok(place)
}

async fn make_cluster(programs: &Path, home: &Path, account: Option<Account>) -> Result<(), DemoFault> {
    // What a run that was killed in here left half made.
    let _ = fs::remove_dir_all(home.join("making"));
    let mut initdb = command(&programs.join("initdb"), home, account);
    initdb.arg("--pgdata").arg(home.join("making")).args(NEW_CLUSTER).stdin(Stdio::null());
    let output = initdb.output().await.map_err(|source| DemoFault::file("run initdb from", programs, source))?;
    if !output.status.success() {
        let log = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(DemoFault::Postgres { doing: "make its cluster", log });
    }
    fs::rename(home.join("making"), home.join("data")).map_err(|source| DemoFault::file("make", home, source))
}

/// Stops the server that an earlier run started here and could not stop. INVARIANT: a process is signalled only if its
/// command line names this very folder; a pid that has gone to somebody else is left alone.
async fn stop_orphan(programs: &Path, home: &Path, account: Option<Account>) -> Result<(), DemoFault> {
    let data = home.join("data");
    let Ok(pid_file) = fs::read_to_string(data.join("postmaster.pid")) else { return Ok(()) };
    let pid: u32 = pid_file.lines().next().and_then(|line| line.trim().parse().ok()).unwrap_or(0);
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mine = data.as_os_str().as_encoded_bytes();
    if !command_line.split(|byte| *byte == 0).any(|argument| argument == mine) {
        return Ok(());
    }
    stop_by_pid_file(programs, home, account).await
}

async fn stop_by_pid_file(programs: &Path, home: &Path, account: Option<Account>) -> Result<(), DemoFault> {
    let mut pg_ctl = command(&programs.join("pg_ctl"), home, account);
    pg_ctl.arg("-D").arg(home.join("data")).args(["-m", "fast", "-w", "-t", "20", "stop"]);
    // A process group of its own here too, so that a second Ctrl-C does not cut off the stopping.
    pg_ctl.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = pg_ctl.status().await.map_err(|source| DemoFault::file("run pg_ctl from", programs, source))?;
    if status.success() {
        return Ok(());
    }
    Err(DemoFault::Postgres { doing: "stop", log: last_lines(&home.join("log")) })
}

fn command(program: &Path, home: &Path, account: Option<Account>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(home).env("LC_ALL", "C");
    for inherited in ["PGDATA", "PGPORT", "PGHOST", "PGUSER", "PGDATABASE", "PGOPTIONS"] {
        command.env_remove(inherited);
    }
    if let Some(Account { user, group }) = account {
        command.uid(user).gid(group);
    }
    command
}

fn append_to(log: &Path) -> Result<Stdio, DemoFault> {
    let file = fs::OpenOptions::new().create(true).append(true).open(log);
    file.map(Stdio::from).map_err(|source| DemoFault::file("write", log, source))
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
