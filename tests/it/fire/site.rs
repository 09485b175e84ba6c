//! Two real brokers, processes of their own, before one protected app that keeps its own record of what reached it, on
//! one Postgres that can be broken. Somebody is signed in; how, is arranged in rows.

use std::{
    collections::HashSet,
    io::Write as _,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
};

use bailiwick::{
    audit::{Entry, Event},
    model::{Action, AppSessionId, Clock as _, SystemClock, SystemEntropy, Verdict},
    store::{StoreFault, app_session, entry, login},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Frame, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use sqlx::PgPool;

use crate::support::{
    eventually, free_port,
    rows::half_login_at,
    server::{Server, signal},
};

/// The cookie of the one who is signed in.
pub const COOKIE: &str = "a-cookie-that-is-under-fire";

/// Everything but Postgres.
pub struct Site {
    pub brokers: Vec<Broker>,
    pub upstream: Upstream,
    folder: tempfile::TempDir,
    judged: Mutex<Judged>,
    _guardian: (Child, ChildStdin),
}

/// One broker: where it listens, and its process while there is one.
pub struct Broker {
    pub address: SocketAddr,
    config: PathBuf,
    process: Option<Child>,
}

/// An app that notes each request before it answers.
#[derive(Clone)]
pub struct Upstream {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

/// How far the log has been read, and what was permitted up to there.
#[derive(Default)]
struct Judged {
    next: u64,
    permitted: HashSet<String>,
}

impl Site {
    /// Brokers that reach their database at `url`, which `server` has behind it.
    pub async fn prepare(server: &Server, url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let upstream = Upstream::start().await;
        let ports = [free_port(), free_port()];
        let write = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            path
        };
        write("policies/rules.cedar", r#"@id("everybody-may") permit (principal, action, resource);"#);
        write("entities.json", "[]");
        write("client.secret", "a-secret-that-nobody-uses");
        let brokers = ports.map(|port| Broker {
            address: ([127, 0, 0, 1], port).into(),
            config: write(&format!("{port}.toml"), &settings(port, ports[0], url, upstream.address)),
            process: None,
        });
        let mut guardian = Command::new("sh")
            .args(["-c", GUARD, "guardian"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let pipe = guardian.stdin.take().unwrap();
        let guardian = (guardian, pipe);
        let site = Self { brokers: brokers.into(), upstream, folder, judged: Mutex::default(), _guardian: guardian };
        site.bailiwick(&["key", "init"]);
        sign_in(&server.pool("postgres", 1)).await;
        site
    }

    /// Starts those brokers that do not run.
    pub fn launch(&mut self) {
        for broker in &mut self.brokers {
            broker.launch(self.folder.path());
        }
    }

    /// Waits until every broker lets a request through to the app, starting again those that gave up before their
    /// database was there, as a service manager does.
    pub async fn all_serve(&mut self) {
        for nth in 0..self.brokers.len() {
            loop {
                self.launch();
                let address = self.brokers[nth].address;
                if super::load::get(address, "/ready").await == Some(200) {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }

    /// Every request that reached the app has its decision in the log, and the log has no gap. Returns how many there
    /// are of each.
    pub async fn judge(&self, pool: &PgPool) -> Result<(usize, u64), StoreFault> {
        // First what was seen, then the log: what is forwarded is in the log already.
        let seen = self.upstream.seen.lock().unwrap().clone();
        let mut next = self.judged.lock().unwrap().next;
        loop {
            let rows = entry::following(pool, next, 10_000).await?;
            if rows.is_empty() {
                break;
            }
            let mut judged = self.judged.lock().unwrap();
            for (index, leaf) in rows {
                assert_eq!(index, next, "the log has a gap");
                next += 1;
                let Event::Decision { action: Action::Web(web), decision, .. } = Entry::from_leaf(&leaf).unwrap().event
                else {
                    continue;
                };
                if decision.verdict == Verdict::Allow {
                    judged.permitted.insert(web.path.as_str().to_owned());
                }
            }
            judged.next = next;
        }
        let judged = self.judged.lock().unwrap();
        let lost: Vec<&String> = seen.iter().filter(|path| !judged.permitted.contains(*path)).collect();
        assert!(lost.is_empty(), "{} forwarded without an entry, the first is {:?}", lost.len(), lost[0]);
        Ok((seen.len(), next))
    }

    /// Where the brokers listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.brokers.iter().map(|broker| broker.address).collect()
    }

    /// `bailiwick audit verify`, which must find the log sound.
    pub fn verify(&self) -> String {
        self.bailiwick(&["audit", "verify"])
    }

    /// Whatever the brokers have said.
    pub fn said(&self) -> String {
        let read = |broker: &Broker| std::fs::read_to_string(broker.log(self.folder.path())).unwrap_or_default();
        self.brokers.iter().map(read).collect()
    }

    fn bailiwick(&self, arguments: &[&str]) -> String {
        let config = &self.brokers[0].config;
        let output = Command::new(env!("CARGO_BIN_EXE_bailiwick")).args(arguments).arg("--config").arg(config).output();
        let output = output.unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "bailiwick {arguments:?}: {said}");
        said
    }
}

impl Broker {
    fn launch(&mut self, folder: &Path) {
        if self.process.as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(None))) {
            return;
        }
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log(folder)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
        command.args(["serve", "--config"]).arg(&self.config);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut list = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("processes")).unwrap();
        writeln!(list, "{}", process.id()).unwrap();
        self.process = Some(process);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            signal("KILL", &[process.id()]);
            process.wait().unwrap();
        }
    }

    /// Whether the process that was started still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(None)))
    }

    fn log(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.log", self.address.port()))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Upstream {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let seen = Arc::clone(&upstream.seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                let service = service_fn(move |request: Request<Incoming>| {
                    seen.lock().unwrap().push(request.uri().path().to_owned());
                    async move { Ok::<_, std::convert::Infallible>(Response::new(body(request.uri().path()))) }
                });
                let serving =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(serving);
            }
        });
        upstream
    }

    /// How many requests have reached it.
    pub fn reached(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Waits until so many more have.
    pub async fn reached_by(&self, more: usize) {
        let from = self.reached();
        eventually(async || (self.reached() >= from + more).then_some(())).await;
    }
}

/// A word, or for `/events…` a first event and then nothing, without end.
fn body(path: &str) -> UnsyncBoxBody<Bytes, std::convert::Infallible> {
    struct Endless(Option<Bytes>);
    impl futures_core::Stream for Endless {
        type Item = Result<Frame<Bytes>, std::convert::Infallible>;

        fn poll_next(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Self::Item>> {
            match self.0.take() {
                Some(first) => std::task::Poll::Ready(Some(Ok(Frame::data(first)))),
                None => std::task::Poll::Pending,
            }
        }
    }
    if path.starts_with("/events") {
        return StreamBody::new(Endless(Some(Bytes::from_static(b"data: first\n\n")))).boxed_unsync();
    }
    Full::from("done").boxed_unsync()
}

/// Every head but the first has one parent, and no two have the same: no gap, no fork.
pub async fn judge_heads(pool: &PgPool) -> Result<(), StoreFault> {
    let (heads, orphans): (i64, i64) = sqlx::query_as(
        "select count(*), count(*) filter (where parent_size >= 0 and not exists
                    (select from head p where p.epoch = h.epoch and p.size = h.parent_size))
           from head h",
    )
    .fetch_one(pool)
    .await?;
    assert!(heads > 0 && orphans == 0, "{orphans} of {heads} heads have no parent");
    Ok(())
}

async fn sign_in(owner: &PgPool) {
    let now = SystemClock.now();
    let caller = half_login_at(owner, "ada", now).await;
    assert!(login::assure(owner, caller.login, now).await.unwrap());
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, COOKIE.as_bytes());
    let id = AppSessionId::random(&SystemEntropy);
    app_session::insert(owner, id, hash.as_ref(), caller.login, &"wiki".parse().unwrap(), now).await.unwrap();
}

fn settings(port: u16, first: u16, url: &str, upstream: SocketAddr) -> String {
    format!(
        r#"
[portal]
url = "http://auth.fire.localhost:{first}"

[listener]
http = "127.0.0.1:{port}"
status = "127.0.0.1:0"

[database]
url = "{url}"
acquire = "2s"

[keys]
wrapping_key_file = "wrapping.key"

[[provider]]
name = "corp"
issuer = "http://127.0.0.1:1"
client_id = "bailiwick"
client_secret_file = "client.secret"
algorithms = ["ES256"]

[policy]
folder = "policies"
entities = "entities.json"

[[app]]
name = "wiki"
host = "wiki.fire.localhost:{first}"
upstream = "http://{upstream}"
"#
    )
}

/// When this process ends, however it ends, no broker of ours stays: one is killed only if it serves this very folder.
const GUARD: &str = r#"
trap '' INT TERM HUP
exec 2> /dev/null
cat > /dev/null
while read -r pid; do
    if [ -e "/proc/$pid/cmdline" ] && tr '\0' '\n' < "/proc/$pid/cmdline" | grep -qF "$1/"; then kill -KILL "$pid"; fi
done < "$1/processes"
"#;
