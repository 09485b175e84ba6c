//! The smallest configuration that a broker starts with: no upstream, and a provider that nobody asks.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::TestDb;

/// Writes it below `folder`, with the rules and with `more` sections, and says where it is.
pub fn write_configuration(folder: &Path, db: &TestDb, rules: &str, more: &str) -> PathBuf {
    let text = format!(
        r#"
[portal]
url = "http://auth.example.localhost:1"
[listener]
http = "127.0.0.1:0"
status = "127.0.0.1:0"
[database]
url = "{}"
acquire = "30s"
[keys]
wrapping_key_file = "wrapping.key"
[[provider]]
name = "corp"
issuer = "http://localhost:1"
client_id = "x"
[policy]
folder = "policies"
entities = "entities.json"
{more}"#,
        db.broker_url
    );
    fs::create_dir_all(folder.join("policies")).unwrap();
    let path = folder.join("bailiwick.toml");
    for (path, content) in
        [(&path, text.as_str()), (&folder.join("policies/rules.cedar"), rules), (&folder.join("entities.json"), "[]")]
    {
        fs::write(path, content).unwrap();
    }
    path
}
