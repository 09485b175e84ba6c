//! What a configuration is told when it is wrong, and that the sample is right.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use super::*;
use crate::config::ProxyProtocol;

const SAMPLE: &str = include_str!("../../../docs/bailiwick.sample.toml");

/// A small configuration that is right as long as no file is looked at.
const SMALL: &str = r#"
[portal]
url = "http://auth.demo.localhost:8000"
[listener]
http = "127.0.0.1:8000"
[database]
url = "postgres://bailiwick@localhost/bailiwick"
[keys]
wrapping_key_file = "wrapping.key"
[[provider]]
name = "demo"
issuer = "http://localhost:8001"
client_id = "bailiwick"
[policy]
folder = "policies"
entities = "entities.json"
[[app]]
name = "wiki"
host = "wiki.demo.localhost:8000"
upstream = "http://127.0.0.1:8002"
"#;

fn read_with(text: &str, environment: &[(&str, &str)]) -> Result<Settings, Vec<Mistake>> {
    let environment: Vec<_> = environment.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
    let source = Source::new("b.toml".to_owned(), text.to_owned());
    parse(source, &environment, Files::new(PathBuf::new(), FileCheck::None)).map(|(settings, _)| settings)
}

/// Every mistake as `place message`.
fn mistakes(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    match read_with(text, environment) {
        Ok(_) => Vec::new(),
        Err(all) => all.iter().map(|mistake| format!("{} {}", mistake.place(), mistake.message())).collect(),
    }
}

/// `SMALL` with a part replaced.
fn small_with(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from}");
    SMALL.replacen(from, to, 1)
}

fn assert_one(text: &str, expected: &str) {
    let found = mistakes(text, &[]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains(expected), "{found:#?} lacks {expected:?}");
}

#[test]
fn the_sample_is_right() {
    let settings = read_with(SAMPLE, &[]).map_err(|all| format!("{all:#?}")).unwrap();
    assert_eq!(settings.audit.origin, "access.example.com/audit");
    assert_eq!(settings.provider[0].kubernetes_prefix, "company:");
    assert_eq!(settings.login.idle, Duration::from_secs(900));
}

#[test]
fn the_sample_names_every_setting_with_its_default() {
    let source = Source::new("sample".to_owned(), SAMPLE.to_owned());
    let (_, reading) = parse(source, &[], Files::new(PathBuf::new(), FileCheck::None)).unwrap();
    for asked in &reading.asked {
        let heading = [format!("[{}]", asked.section), format!("[[{}]]", asked.section)];
        let lines: Vec<&str> = SAMPLE
            .lines()
            .skip_while(|line| !heading.contains(&(*line).to_owned()))
            .skip(1)
            .take_while(|line| !line.starts_with('['))
            .collect();
        let given = format!("{} = ", asked.key);
        let values: Vec<&str> =
            lines.iter().filter_map(|line| line.trim_start_matches("# ").strip_prefix(&given)).collect();
        assert_eq!(values.len(), 1, "{}.{} should stand in the sample once", asked.section, asked.key);
        if let Some(default) = asked.default {
            assert_eq!(values[0], default, "the default of {}.{}", asked.section, asked.key);
        }
    }
}

#[test]
fn what_the_sample_comments_out_is_known_too() {
    let is_setting = |line: &str| {
        let key = line.split(" = ").next().unwrap_or_default();
        line.contains(" = ") && !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    let all: Vec<&str> =
        SAMPLE.lines().map(|line| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line)).collect();
    let found = mistakes(&all.join("\n"), &[]);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found.iter().all(|mistake| mistake.contains("exclude each other")), "{found:#?}");
}

#[test]
fn a_key_of_a_witness_is_read_whole() {
    let witness = |key: &str| format!("{SMALL}[[witness]]\nurl = \"https://w.example\"\nkey = \"{key}\"\n");
    let key = "witness.example.org/w1+e8f62932+BPtVjTlQTbvZwTtf7tBVGwH+U5VwOF2LZ9qsm7oXqdZ4";
    assert_eq!(mistakes(&witness(key), &[]), [""; 0]);
    for wrong in [key.replace("e8f6", "cc09"), key.replace("/w1", "/w2"), key.replace("qdZ4", "qdZ"), "w+1".to_owned()]
    {
        assert_one(&witness(&wrong), "b.toml:23:7 `witness[0].key`: not a witness's verifier key");
    }
    let log = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    assert_one(&witness(log), "this is the key of a log, not of a witness");
}

#[test]
fn a_small_configuration_is_enough() {
    let settings = read_with(SMALL, &[]).map_err(|all| format!("{all:#?}")).unwrap();
    assert_eq!(settings.portal.origin(), "http://auth.demo.localhost:8000");
    assert_eq!(settings.app[0].origin(&settings.portal), "http://wiki.demo.localhost:8000");
    assert_eq!(settings.provider[0].issuer.as_str(), "http://localhost:8001");
    assert_eq!(settings.listener.proxy_protocol, ProxyProtocol::Off);
    assert_eq!(settings.digest.len(), 64);
}

#[test]
fn every_mistake_is_told_at_once_where_it_stands() {
    let text = r#"
[portal]
url = "http://access.example.com"
[listener]
http = "0.0.0.0:80"
[database]
url = "postgres://me:hunter2@db/x"
conections = 3
[keys]
[[provider]]
name = "Company"
issuer = 7
[login]
idle = "soon"
[polcy]
"#;
    assert_eq!(
        mistakes(text, &[]),
        [
            "b.toml:3:7 `portal.url`: must be https, unless its host is localhost or below it",
            "b.toml:5:8 `listener.http`: plain HTTP is for loopback addresses only",
            "b.toml:7:7 `database.url`: has a password; put the whole URL into a file and name it in `url_file`",
            "b.toml:8:1 `database.conections` is not a setting",
            "b.toml:9:2 `keys.wrapping_key_file` is missing",
            "b.toml:10:1 `provider[0].client_id` is missing",
            "b.toml:11:8 `provider[0].name`: `Company` is not a name: 1 to 63 lower-case letters, digits and inner dashes",
            "b.toml:12:10 `provider[0].issuer`: expected text, found an integer",
            "b.toml:14:8 `login.idle`: `soon` is not a duration; write `500ms`, `90s`, `15m` or `12h`",
            "b.toml:15:2 there is no section `polcy`",
            "b.toml `policy.folder` is missing",
            "b.toml `policy.entities` is missing",
        ]
    );
}

#[test]
fn a_name_that_is_taken_is_told_though_the_rest_of_its_section_is_wrong() {
    let text = SMALL.to_owned() + "\n[[app]]\nname = \"wiki\"\nupstream = 7\n";
    let all = mistakes(&text, &[]);
    assert!(all.iter().any(|mistake| mistake.ends_with("app `wiki` is taken by `app[0].name` already")), "{all:#?}");
    assert_eq!(all.len(), 3, "{all:#?}");
}

#[test]
fn a_password_is_never_repeated() {
    let text = small_with("bailiwick@localhost", "bailiwick:hunter2@localhost");
    let all = read_with(&text, &[]).unwrap_err();
    assert!(all.iter().all(|mistake| !mistake.message().contains("hunter2")));
}

#[test]
fn the_nearest_key_is_suggested() {
    let all = read_with(&small_with("client_id", "client_idd"), &[]).unwrap_err();
    assert!(all.iter().any(|mistake| mistake.advice() == Some("did you mean `client_id`?")), "{all:#?}");
}

#[test]
fn syntax_errors_point_at_the_line() {
    let found = mistakes("[portal]\nurl = \n", &[]);
    assert!(found[0].starts_with("b.toml:2:"), "{found:?}");
    let found = mistakes("[portal]\nurl = \"https://a\"\nurl = \"https://b\"\n", &[]);
    assert!(found[0].starts_with("b.toml:3:"), "{found:?}");
}

#[test]
fn hosts_names_and_ports_are_taken_once() {
    let app = |name: &str, host: &str| {
        format!("{SMALL}[[app]]\nname = \"{name}\"\nhost = \"{host}\"\nupstream = \"http://127.0.0.1:1\"\n")
    };
    assert_one(&app("b", "auth.demo.localhost:8000"), "host `auth.demo.localhost` is taken by `portal.url` already");
    assert_one(&app("b", "wiki.demo.localhost:9000"), "host `wiki.demo.localhost` is taken by `app[0].host` already");
    assert_one(&app("wiki", "b.demo.localhost"), "app `wiki` is taken by `app[0].name` already");
    assert_one(&app("b", "b.example.com"), "apps must be on localhost too");
    assert_one(&app("b", "b.auth.demo.localhost"), "could ask for its passkeys");
    assert_one(
        &small_with("[database]", "status = \"127.0.0.1:8000\"\n[database]"),
        "address `127.0.0.1:8000` is taken",
    );
}

#[test]
fn doors_need_what_they_are_made_of() {
    assert_one(&small_with("http = \"127.0.0.1:8000\"\n", ""), "needs `http` or `https`");
    let tls = mistakes(&small_with("[database]", "https = \"[::]:443\"\n[database]"), &[]);
    assert_eq!(tls.len(), 2, "{tls:#?}");
    assert_one(&small_with("[database]", "proxy_protocol = \"v2\"\n[database]"), "needs `trusted_proxies`");
    assert_one(&small_with("[database]", "trusted_proxies = [\"::/0\"]\n[database]"), "would trust everybody");
}

#[test]
fn a_cluster_is_reached_in_one_way() {
    let tls = "certificate_file = \"a\"\nkey_file = \"b\"\n[database]";
    let cluster = |rest: &str| {
        let head = "[[cluster]]\nname = \"c\"\nhost = \"c.demo.localhost\"\nlisten = \"127.0.0.1:6443\"\n";
        format!("{}{head}{rest}\n", small_with("[database]", tls))
    };
    assert!(mistakes(&cluster("in_cluster = true"), &[]).is_empty());
    assert_one(&cluster(""), "needs `kubeconfig` or `in_cluster = true`");
    assert_one(&cluster("in_cluster = true\nkubeconfig = \"k\""), "exclude each other");
    assert_one(&cluster("in_cluster = true\ncontext = \"k\""), "which is missing");
    assert_one(&cluster("in_cluster = true\nserver_url = \"http://x.example\""), "must be https");
}

#[test]
fn providers_cannot_name_each_others_users() {
    let provider = |rest: &str| {
        format!("{SMALL}[[provider]]\nname = \"b\"\nissuer = \"https://b.example\"\nclient_id = \"x\"\n{rest}\n")
    };
    assert!(mistakes(&provider(""), &[]).is_empty());
    assert_one(&provider("kubernetes_prefix = \"demo:x:\""), "could name the same user");
    assert_one(&provider("kubernetes_prefix = \"system:b:\""), "belongs to Kubernetes");
    assert_one(&provider("kubernetes_prefix = \"\""), "must not be empty");
    assert_one(&provider("algorithms = [\"HS256\"]"), "`HS256` is not an algorithm that we take");
    assert_one(&provider("scopes = [\"profile\"]"), "must contain `openid`");
}

#[test]
fn variables_override_single_sections_and_are_named_when_wrong() {
    let environment = [
        ("BAILIWICK_LOGIN__IDLE", "5m"),
        ("BAILIWICK_DATABASE__CONNECTIONS", "7"),
        ("BAILIWICK_LISTENER__TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
        ("BAILIWICK_CONFIG", "not a setting"),
        ("PATH", "/bin"),
    ];
    let settings = read_with(SMALL, &environment).map_err(|all| format!("{all:#?}")).unwrap();
    assert_eq!(settings.login.idle, Duration::from_secs(300));
    assert_eq!(settings.database.connections, 7);
    assert_eq!(settings.listener.trusted_proxies.len(), 2);

    for (variable, text, expected) in [
        ("BAILIWICK_LOGIN__IDLE", "soon", "BAILIWICK_LOGIN__IDLE: `login.idle`: `soon` is not a duration"),
        ("BAILIWICK_LOGIN__IDEL", "5m", "BAILIWICK_LOGIN__IDEL: `login.idel` is not a setting"),
        ("BAILIWICK_LOGIM__IDLE", "5m", "BAILIWICK_LOGIM__IDLE: there is no section `logim`"),
        ("BAILIWICK_APP__HOST", "x", "BAILIWICK_APP__HOST: `[[app]]` is a list of sections"),
    ] {
        let found = mistakes(SMALL, &[(variable, text)]);
        assert!(found.iter().any(|mistake| mistake.contains(expected)), "{found:#?} lacks {expected:?}");
    }
}

#[test]
fn files_are_looked_at_before_they_are_needed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bailiwick.toml");
    fs::write(&path, SMALL).unwrap();
    let found = Settings::load(&path).unwrap_err();
    assert_eq!(found.len(), 3, "{found:#?}");

    fs::create_dir(folder.path().join("policies")).unwrap();
    fs::write(folder.path().join("entities.json"), "[]").unwrap();
    Settings::load_before_keys(&path).unwrap();

    let key = folder.path().join("wrapping.key");
    fs::write(&key, "x").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let found = Settings::load(&path).unwrap_err();
    assert!(found[0].message().contains("0640 lets others in"), "{found:#?}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    Settings::load(&path).unwrap();
}

#[test]
fn a_file_that_is_not_there_is_one_mistake() {
    let found = Settings::load(Path::new("/nonexistent/b.toml")).unwrap_err();
    assert_eq!(found.len(), 1);
}

#[test]
fn a_mistake_prints_with_the_line_underlined() {
    let all = read_with(&small_with("url = \"http://auth", "url = \"htp://auth"), &[]).unwrap_err();
    let mut page = String::new();
    let printer = miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor());
    printer.render_report(&mut page, &all[0]).unwrap();
    assert!(
        page.contains("[b.toml:3:7]") && page.contains("htp://auth.demo.localhost") && page.contains("──"),
        "{page}"
    );
}
