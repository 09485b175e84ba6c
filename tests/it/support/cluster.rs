//! One Postgres server per test process: its own data directory, a Unix socket and no TCP.
//! A shell holds the other end of a pipe and stops the server when this process ends, by a panic or a kill as well.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::OnceLock,
};

/// The server of this process.
pub struct Cluster {
    /// The directory of its socket.
    pub socket: PathBuf,
    _stop_when_closed: ChildStdin,
    _shell: Child,
}

impl Cluster {
    /// Starts the server at first use.
    pub fn running() -> &'static Self {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        CLUSTER.get_or_init(Self::start)
    }

    /// A connection URL for `role` and `database`.
    pub fn url(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@localhost/{database}?host={}&sslmode=disable", self.socket.display())
    }

    fn start() -> Self {
        let bin = postgres_bin().expect("Postgres is installed (Debian: apt-get install postgresql)");
        let mut command = as_unprivileged();
        let mut shell = command
            .args(["sh", "-c", SCRIPT, "bailiwick-test"])
            .arg(&bin)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell for Postgres starts");
        let mut said = Vec::new();
        let mut root = None;
        for line in BufReader::new(shell.stdout.take().expect("its stdout is a pipe")).lines().map_while(Result::ok) {
            if let Some(ready) = line.strip_prefix("ready ") {
                root = Some(PathBuf::from(ready));
                break;
            }
            said.push(line);
        }
        let root = root.unwrap_or_else(|| panic!("Postgres did not start:\n{}", said.join("\n")));
        let stop_when_closed = shell.stdin.take().expect("its stdin is a pipe");
        Self { socket: root, _stop_when_closed: stop_when_closed, _shell: shell }
    }
}

/// Says `ready DIRECTORY`, then waits for its input to close.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
bin=$1
root=$(mktemp -d /tmp/bailiwick-test.XXXXXX) || exit 1
chmod 700 "$root"
"$bin/initdb" -D "$root/data" -U postgres -A trust -E UTF8 --locale=C --no-sync > "$root/log" 2>&1 || { cat "$root/log"; rm -rf "$root"; exit 1; }
"$bin/postgres" -D "$root/data" -k "$root" -c listen_addresses= -c max_connections=400 -c shared_buffers=64MB \
    -c fsync=on -c synchronous_commit=on -c log_min_messages=warning -c timezone=UTC \
    < /dev/null >> "$root/log" 2>&1 &
server=$!
tries=0
until "$bin/pg_isready" -q -h "$root" -U postgres; do
    tries=$((tries + 1))
    if [ $tries -gt 600 ] || ! kill -0 $server 2> /dev/null; then cat "$root/log"; kill -QUIT $server; rm -rf "$root"; exit 1; fi
    sleep 0.05
done
echo "ready $root"
exec > /dev/null 2>&1
cat > /dev/null
kill -QUIT $server
wait $server
rm -rf "$root"
"#;

/// Postgres refuses to run as root, so root becomes `postgres` first.
fn as_unprivileged() -> Command {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout.starts_with(b"0\n"));
    if !is_root {
        return Command::new("env");
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]);
    command
}

/// The newest installed server, or the one on the PATH.
pub fn postgres_bin() -> Option<PathBuf> {
    let mut installed: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    installed.sort_by_key(|bin| version(bin));
    installed.pop().or_else(|| {
        let out = Command::new("sh").args(["-c", "command -v initdb"]).output().ok()?;
        Path::new(String::from_utf8(out.stdout).ok()?.trim()).parent().map(Path::to_path_buf)
    })
}

fn version(bin: &Path) -> u32 {
    bin.parent().and_then(Path::file_name).and_then(|name| name.to_str()?.parse().ok()).unwrap_or(0)
}
