//! Loki's push API and JSON lines, taken by a real server that others run: VictoriaLogs. What it stored is asked of it.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use bailiwick::{
    audit::Draft,
    config::BatchFormat,
    model::{Clock as _, SystemClock, Verdict},
};
use serde_json::Value;

use super::{http, pace, ship, to, until_shipped};
use crate::{
    proxy::wire::exchange,
    support::{audit, database, eventually, free_port},
};

#[tokio::test]
async fn victoria_logs_stores_every_entry_as_loki_would_get_it_and_as_lines() {
    let server = VictoriaLogs::start().await;
    for (format, path) in [
        (BatchFormat::Loki, "/insert/loki/api/v1/push?_msg_field=message"),
        (BatchFormat::Ndjson, "/insert/jsonline?_msg_field=message&_time_field=time"),
    ] {
        let db = database().await;
        let (log, tasks) = audit::log(&db.pool).await;
        for n in 0..70 {
            // Older than its retention, it would drop an entry with a 2xx.
            let draft = Draft { happened_at: SystemClock.now(), ..audit::decision(n, Verdict::Deny) };
            drop(log.append(draft).await.unwrap());
        }
        tasks.stop(super::SOON).await;
        let url = format!("http://127.0.0.1:{}{path}&extra_fields=via={format:?}", server.port);
        let collectors = ship(&db.pool, to(http(&url, format)), pace()).await;
        until_shipped(&db.pool, 70).await;
        let query = format!("via:={format:?}");
        let stored = eventually(async || Some(server.ask(&query).await).filter(|stored| stored.len() >= 70)).await;
        let mut leaves: Vec<u64> =
            stored.iter().map(|event| event["metadata.sequence"].as_str().unwrap().parse().unwrap()).collect();
        leaves.sort_unstable();
        leaves.dedup();
        assert_eq!(leaves, (0..70).collect::<Vec<_>>());
        assert!(
            stored.iter().all(|event| event["_msg"].as_str().unwrap().starts_with("deny corp/u-1: ")),
            "{stored:?}"
        );
        collectors.stop().await;
    }
}

/// A server of this test's own.
struct VictoriaLogs {
    port: u16,
    process: Child,
    _folder: tempfile::TempDir,
}

impl VictoriaLogs {
    async fn start() -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/victoria-logs/victoria-logs");
        assert!(program.exists(), "VictoriaLogs is missing: run `make test`, which installs what the tests need");
        let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
        let mut command = Command::new(program);
        command.arg(format!("-storageDataPath={}", folder.path().display()));
        command.arg(format!("-httpListenAddr=127.0.0.1:{port}"));
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { port, process, _folder: folder };
        eventually(async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()).await;
        server
    }

    /// What it finds.
    async fn ask(&self, query: &str) -> Vec<Value> {
        let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let request =
            format!("GET /select/logsql/query?query={query} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        let answer = exchange(([127, 0, 0, 1], self.port).into(), &request).await;
        answer.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect()
    }
}

impl Drop for VictoriaLogs {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
