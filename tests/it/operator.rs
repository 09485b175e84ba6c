//! An operator at a terminal: the commands that prepare a broker, as they are typed, with what they say and their codes.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output},
};

use bailiwick::audit::{Entry, Event};

use crate::support::{TestDb, audit::entries, database, plain::write_configuration};

/// A folder with a configuration for `db`, rules and groups.
fn prepared(db: &TestDb) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let rule = "@id(\"enrol\")\npermit (principal, action == Action::\"enrol\", resource) when { context.invited };\n";
    write_configuration(folder.path(), db, rule, "");
    folder
}

/// Types a command line; the answer is its code, what it answered, and what it said besides.
async fn types(folder: &tempfile::TempDir, line: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
    command
        .args(line.split(' '))
        .arg("--config")
        .arg(folder.path().join("bailiwick.toml"))
        .env_remove("BAILIWICK_CONFIG");
    let Output { status, stdout, stderr } =
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_once_and_the_first_administrator_is_invited_on_record() {
    let db = database().await;
    let folder = prepared(&db);

    let (code, _, complaint) = types(&folder, "check").await;
    assert_eq!(code, 1);
    assert!(complaint.contains("wrapping.key: No such file"), "{complaint}");

    let (code, made, remarks) = types(&folder, "key init").await;
    assert_eq!(code, 0, "{remarks}");
    assert!(made.starts_with("auth.example.localhost/audit+") && made.contains("BEGIN CERTIFICATE"), "{made}");
    let key = folder.path().join("wrapping.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let (code, again, remarks) = types(&folder, "key init").await;
    assert_eq!((code, &again), (0, &made), "{remarks}");
    assert_eq!(types(&folder, "key show").await.1, made);

    let (code, answer, _) = types(&folder, "check").await;
    assert_eq!((code, answer.as_str()), (0, "all is right: 0 app(s), 0 cluster(s), 1 rule(s)\n"));

    let (code, answer, complaint) = types(&folder, "invite --provider corp --subject alice").await;
    assert_eq!(code, 0, "{complaint}");
    assert!(answer.starts_with("corp/alice may register a first passkey until "), "{answer}");
    let (kinds,): (Vec<String>,) =
        sqlx::query_as("select array_agg(kind order by leaf_index) from entry").fetch_one(&db.owner).await.unwrap();
    assert_eq!(kinds, ["invited"]);
    let by = |entry: &Entry| match &entry.event {
        Event::Invited { by, .. } => by.clone(),
        _ => None,
    };
    let somebody = by(&entries(&db.pool).await[0]).unwrap();
    assert!(somebody.contains(" at "), "the account and the computer: {somebody}");
    let (code, _, complaint) = types(&folder, "invite --provider corp --subject bob --by Ada").await;
    assert_eq!(code, 0, "{complaint}");
    assert_eq!(by(&entries(&db.pool).await[1]).as_deref(), Some("Ada"));
    let (code, _, complaint) = types(&folder, "invite --provider corp --subject b\u{202e}ob").await;
    assert!(code == 2 && complaint.contains("one line of letters that can be seen"), "{complaint}");

    let (code, _, complaint) = types(&folder, "invite --provider corp2 --subject alice").await;
    assert_eq!(code, 2);
    assert!(complaint.contains("there is no provider `corp2`; known: corp"), "{complaint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_broker_would_not_start_with_is_told_by_check() {
    let db = database().await;
    let folder = prepared(&db);
    assert_eq!(types(&folder, "key init").await.0, 0);
    let path = folder.path().join("bailiwick.toml");
    let right = fs::read_to_string(&path).unwrap();
    fs::write(folder.path().join("ca.pem"), "no certificate\n").unwrap();
    let app = "[[app]]\nname = \"wiki\"\nhost = \"wiki.example.localhost\"\nupstream = \"https://wiki.internal\"\n";
    let witness = "[[witness]]\nurl = \"https://w.example\"\n\
                   key = \"witness.example.org/w1+e8f62932+BPtVjTlQTbvZwTtf7tBVGwH+U5VwOF2LZ9qsm7oXqdZ4\"\n";
    for (more, told) in [
        (format!("{app}ca_file = \"ca.pem\"\n"), "ca.pem"),
        (format!("{witness}ca_file = \"ca.pem\"\n"), "ca.pem"),
        ("[shipping]\ncheckpoint_url = \"https://n.example\"\nca_file = \"ca.pem\"\n".to_owned(), "ca.pem"),
        (witness.replace("e8f62932", "cc09a67f"), "not a witness's verifier key"),
    ] {
        fs::write(&path, format!("{right}\n{more}")).unwrap();
        let (code, answer, complaint) = types(&folder, "check").await;
        assert!(code == 1 && answer.is_empty() && complaint.contains(told), "{more}: {code} {answer} {complaint}");
    }
    for (more, told) in [
        ("[audit]\nretention = \"31d\"\n", "`audit.retention` without `audit.archive_folder`"),
        ("[audit]\nretention = \"31d\"\narchive_folder = \"nowhere\"\n", "nowhere is not a folder here"),
    ] {
        fs::write(&path, format!("{right}\n{more}")).unwrap();
        let (code, answer, complaint) = types(&folder, "check").await;
        assert!(code == 0 && complaint.contains(told), "{more}: {code} {complaint}");
        assert!(answer.starts_with("nothing keeps a broker from starting: "), "{answer}");
    }
    fs::set_permissions(folder.path().join("ca.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    let https = "[listener]\nhttps = \"127.0.0.1:0\"\ncertificate_file = \"ca.pem\"\nkey_file = \"ca.pem\"\n";
    let cluster = "[[cluster]]\nname = \"prod\"\nhost = \"prod.example.localhost\"\nkubeconfig = \"ca.pem\"\n";
    fs::write(&path, format!("{}\n{cluster}", right.replace("[listener]\n", https))).unwrap();
    let (code, _, complaint) = types(&folder, "check").await;
    let told: Vec<&str> = complaint.lines().filter(|line| line.contains("ca.pem")).collect();
    assert!(code == 1 && told.len() == 2, "the server's certificate and the kubeconfig: {code} {complaint}");
    fs::write(&path, &right).unwrap();
    fs::write(folder.path().join("wrapping.key"), "too short\n").unwrap();
    let (code, _, complaint) = types(&folder, "check").await;
    assert!(code == 1 && complaint.contains("does not hold 32 bytes"), "{code} {complaint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_the_configuration_and_in_the_rules_are_told_together() {
    let db = database().await;
    let folder = prepared(&db);
    let path = folder.path().join("bailiwick.toml");
    let text = fs::read_to_string(&path).unwrap().replace("client_id", "client");
    fs::write(&path, text).unwrap();
    fs::write(folder.path().join("policies/bad.cedar"), "permit (principal, action, nowhere);\n").unwrap();

    let (code, _, complaint) = types(&folder, "check").await;
    assert_eq!(code, 1);
    for expected in
        ["`provider[0].client` is not a setting", "did you mean `client_id`?", "bailiwick.toml:15:1", "bad.cedar:1:"]
    {
        assert!(complaint.contains(expected), "{complaint} lacks {expected:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_check_tells_pending_from_unknown_by_its_code() {
    let db = database().await;
    let folder = prepared(&db);
    assert_eq!(types(&folder, "migrate --check").await.0, 0);

    sqlx::query("delete from _sqlx_migrations where version >= 8").execute(&db.owner).await.unwrap();
    let (code, answer, _) = types(&folder, "migrate --check").await;
    assert_eq!(code, 1);
    assert!(answer.starts_with("pending: 0008_revocation, 0009_broker"), "{answer}");
    let (code, _, complaint) = types(&folder, "key init").await;
    assert_eq!(code, 2);
    assert!(complaint.contains("Type: bailiwick migrate"), "{complaint}");

    db.cut_off().await;
    assert_eq!(types(&folder, "migrate --check").await.0, 2);
    db.restore().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_command_line_is_misuse() {
    let db = database().await;
    let folder = prepared(&db);
    assert_eq!(types(&folder, "migrate --chekc").await.0, 2);
}
