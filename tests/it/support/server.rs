//! A Postgres of a test's own, which may be killed, starved of disk, deceived about fsync, and started again.
//! Its data lie in a folder of its own. A shell holds the other end of a pipe: when this process ends, however it ends,
//! the server is stopped and the folder removed.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use sqlx::{
    Connection as _, Executor as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::cluster::postgres_bin;

/// A server, running or not.
pub struct Server {
    home: PathBuf,
    settings: Vec<String>,
    environment: Vec<(String, String)>,
    postmaster: Option<Child>,
    _guardian: (Child, ChildStdin),
}

impl Server {
    /// Makes a cluster with `settings` such as `fsync=on`, in a new folder below `place`, and starts it.
    pub async fn start(place: &Path, settings: &[&str]) -> Self {
        let mut server = Self::prepared(place, settings);
        server.resume().await;
        server
    }

    /// The same, not started yet.
    pub fn prepared(place: &Path, settings: &[&str]) -> Self {
        let server = Self::prepare(place, settings);
        server.run(
            "initdb",
            &["--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "--pgdata"],
        );
        server
    }

    /// A copy of `primary` that follows it.
    pub async fn standby(place: &Path, primary: &Self, settings: &[&str]) -> Self {
        let mut server = Self::prepare(place, settings);
        let from = format!("--host={}", primary.home.display());
        let options = ["--username=postgres", "--write-recovery-conf", "--checkpoint=fast", "--pgdata"];
        server.run("pg_basebackup", &[&[from.as_str()], options.as_slice()].concat());
        server.resume().await;
        server
    }

    fn prepare(place: &Path, settings: &[&str]) -> Self {
        let home = tempfile::Builder::new().prefix("bailiwick-pg.").tempdir_in(place).unwrap().keep();
        if let Some((user, group)) = account() {
            std::os::unix::fs::chown(&home, Some(user), Some(group)).unwrap();
        }
        let mut guardian = Command::new("sh")
            .args(["-c", GUARD, "guardian"])
            .arg(&home)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let pipe = guardian.stdin.take().unwrap();
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        Self { home, settings, environment: Vec::new(), postmaster: None, _guardian: (guardian, pipe) }
    }

    fn run(&self, program: &str, options: &[&str]) {
        let output = self.command(program).args(options).arg(self.data()).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Sets a variable of the server's environment, from its next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Starts it and waits until it answers, however long its recovery takes.
    pub async fn resume(&mut self) {
        self.launch();
        self.answered().await;
    }

    /// Starts it, and does not wait.
    pub fn launch(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.home.join("log")).unwrap();
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(&self.home);
        command.args(["-c", "listen_addresses=", "-c", "timezone=UTC"]);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.postmaster =
            Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0).spawn().unwrap());
    }

    /// Waits until it answers.
    pub async fn answered(&mut self) {
        loop {
            if let Ok(connection) = PgConnection::connect(&self.url("postgres", "postgres")).await {
                return drop(connection.close().await);
            }
            assert!(self.is_running(), "Postgres ended: {}", self.said());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts it as often as it ends, until it answers and stays: what a service manager does.
    pub async fn stays(&mut self) {
        loop {
            if !self.is_running() {
                self.launch();
            }
            if let Ok(mut connection) = PgConnection::connect(&self.url("postgres", "postgres")).await {
                let written = connection.execute("create temporary table stays ()").await;
                if written.is_ok() && self.is_running() {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether the postmaster lives.
    pub fn is_running(&mut self) -> bool {
        self.postmaster.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// `kill -9`, the postmaster and all of its children, as a machine dies.
    pub fn kill(&mut self) {
        let Some(mut postmaster) = self.postmaster.take() else { return };
        // Stopped first, so that it does not start another child meanwhile.
        signal("STOP", &[postmaster.id()]);
        let children = children(postmaster.id());
        signal("KILL", &[&[postmaster.id()], children.as_slice()].concat());
        postmaster.wait().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while children.iter().any(|child| Path::new(&format!("/proc/{child}/fd/0")).exists()) {
            assert!(Instant::now() < deadline, "a killed backend still runs");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// `kill -9` of one backend, after which Postgres ends all the others and recovers.
    pub fn kill_backend(&self, nth: usize) {
        let Some(postmaster) = &self.postmaster else { return };
        let backends: Vec<u32> =
            children(postmaster.id()).into_iter().filter(|child| title(*child).contains("bailiwick")).collect();
        if let Some(backend) = backends.get(nth % backends.len().max(1)) {
            signal("KILL", &[*backend]);
        }
    }

    /// Makes a standby a primary.
    pub async fn promote(&self) {
        self.execute("postgres", "select pg_promote(true, 60)").await;
    }

    /// A connection URL for `role` and `database`.
    pub fn url(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@localhost/{database}?host={}&sslmode=disable", self.home.display())
    }

    /// The folder of its socket and its data.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// A pool for `role`.
    pub fn pool(&self, role: &str, connections: u32) -> PgPool {
        let options: PgConnectOptions = self.url(role, "bailiwick").parse().unwrap();
        PgPoolOptions::new().max_connections(connections).connect_lazy_with(options)
    }

    /// Dumps the database into nowhere, again and again, until it is killed.
    pub fn dump(&self) -> Child {
        let dump = format!("while :; do pg_dump --host={} --username=postgres bailiwick; done", self.home.display());
        let path = postgres_bin().unwrap().display().to_string();
        let mut command = Command::new("sh");
        command.args(["-c", &dump]).env("PATH", format!("{path}:/usr/bin:/bin")).process_group(0);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Runs statements as the superuser.
    pub async fn execute(&self, database: &str, statements: &str) {
        let mut connection = PgConnection::connect(&self.url("postgres", database)).await.unwrap();
        connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned()))).await.unwrap();
        connection.close().await.unwrap();
    }

    /// Makes the database `bailiwick`, with its tables, and roles that can log in.
    pub async fn migrate(&self) {
        self.execute("postgres", "create database bailiwick").await;
        let owner = self.pool("postgres", 2);
        bailiwick::store::migrate(&owner).await.unwrap();
        owner.close().await;
        for role in ["owner", "broker", "auditor", "maintenance"] {
            self.execute("postgres", &format!("alter role bailiwick_{role} login")).await;
        }
    }

    /// Whether it has ever said so.
    pub fn has_said(&self, words: &str) -> bool {
        fs::read_to_string(self.home.join("log")).unwrap_or_default().contains(words)
    }

    /// The end of its log.
    pub fn said(&self) -> String {
        let log = fs::read_to_string(self.home.join("log")).unwrap_or_default();
        log.lines().rev().take(15).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn command(&self, program: &str) -> Command {
        let bin = postgres_bin().expect("Postgres is installed (Debian: apt-get install postgresql)");
        let mut command = Command::new(bin.join(program));
        command.current_dir(&self.home);
        if let Some((user, group)) = account() {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to processes of our own.
pub fn signal(name: &str, processes: &[u32]) {
    let ids = processes.iter().map(u32::to_string);
    Command::new("kill").arg(format!("-{name}")).args(ids).stderr(Stdio::null()).status().unwrap();
}

/// Ends a process that leads a group of its own, and the whole group.
pub fn end_group(mut leader: Child) {
    let group = format!("-{}", leader.id());
    Command::new("kill").args(["-KILL", "--", &group]).status().unwrap();
    leader.wait().unwrap();
}

/// Every process whose parent is `parent`.
fn children(parent: u32) -> Vec<u32> {
    let listed = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

fn title(process: u32) -> String {
    fs::read(format!("/proc/{process}/cmdline")).map(|bytes| String::from_utf8_lossy(&bytes).into()).unwrap_or_default()
}

/// Whom to run as: ourselves, or `postgres` when that is root, because Postgres refuses to run as root.
pub fn account() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt as _;
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let line = accounts.lines().find(|line| line.starts_with("postgres:")).expect("there is an account `postgres`");
    let mut fields = line.split(':').skip(2).map(|field| field.parse().unwrap());
    Some((fields.next().unwrap(), fields.next().unwrap()))
}

/// Signals only a process whose command line names this very folder.
const GUARD: &str = r#"
trap '' INT TERM HUP
exec 2> /dev/null
cat > /dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2> /dev/null)
if [ -e "/proc/$pid/cmdline" ] && tr '\0' '\n' < "/proc/$pid/cmdline" | grep -qxF "$1/data"; then kill -QUIT "$pid"; fi
for wait in 1 2 3 4 5 6 7 8 9 10; do [ -e "/proc/$pid/fd/0" ] || break; sleep 0.2; done
rm -rf "$1"
"#;
