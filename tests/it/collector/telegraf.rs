//! Arrays of JSON over HTTP, the shape that Logstash takes, to a collector that others run: Telegraf. What it took is in
//! the file that it writes.

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Command, Stdio},
};

use bailiwick::config::BatchFormat;
use serde_json::Value;

use super::{fill, http, pace, ship, to, until_shipped};
use crate::support::{database, eventually, free_port};

#[tokio::test]
async fn telegraf_takes_every_entry_in_arrays() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let (conf, out) = (folder.path().join("telegraf.conf"), folder.path().join("out"));
    std::fs::write(&conf, configuration(port, &out)).unwrap();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/telegraf/telegraf");
    assert!(program.exists(), "Telegraf is missing: run `make test`, which installs what the tests need");
    let mut command = tokio::process::Command::from(Command::new(program));
    command.arg("--config").arg(&conf).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let _process = command.spawn().unwrap();
    eventually(async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()).await;

    let db = database().await;
    fill(&db.pool, 70).await;
    let url = format!("http://127.0.0.1:{port}/push");
    let _collectors = ship(&db.pool, to(http(&url, BatchFormat::JsonArray)), pace()).await;
    until_shipped(&db.pool, 70).await;
    let taken = eventually(async || {
        let text = std::fs::read_to_string(&out).unwrap_or_default();
        let events = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>().ok()?;
        Some(events).filter(|events| events.len() >= 70)
    })
    .await;
    let sequence = |event: &Value| event["fields"]["metadata_sequence"].as_u64().unwrap();
    assert_eq!(taken.iter().map(sequence).collect::<BTreeSet<_>>(), (0..70).collect());
    for event in &taken {
        let uid = event["fields"]["metadata_uid"].as_str().unwrap();
        assert!(uid.ends_with(&format!("/{}", sequence(event))), "{uid}");
        assert_eq!(event["fields"]["action"], "Denied", "{event}");
    }
}

fn configuration(port: u16, out: &Path) -> String {
    format!(
        r#"
[agent]
flush_interval = "200ms"
[[inputs.http_listener_v2]]
service_address = "tcp://127.0.0.1:{port}"
paths = ["/push"]
data_format = "json_v2"
[[inputs.http_listener_v2.json_v2]]
measurement_name = "event"
[[inputs.http_listener_v2.json_v2.object]]
path = "@this"
[[outputs.file]]
files = ["{}"]
data_format = "json"
"#,
        out.display()
    )
}
