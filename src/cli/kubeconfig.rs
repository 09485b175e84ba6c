//! Merging one context into a kubeconfig. Pure text to text, but for the last function.
//!
//! Promises: nothing secret is written; everything that others put there stays; a context of the same name that leads
//! somewhere else is not taken over. Comments do not survive, as they do not with `kubectl config`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_yaml_ng::{Mapping, Value};

use super::client::{self, ClientFault};

/// What is merged: a cluster, a user that asks this program for credentials, and the context that joins them.
pub(super) struct Entry {
    /// The name of all three.
    pub(super) name: String,
    /// What kubectl dials.
    pub(super) server: String,
    /// The name that the certificate must have, where it is not the server's.
    pub(super) server_name: Option<String>,
    /// The authority to trust, PEM in base64; none: the system's.
    pub(super) authority: Option<String>,
    /// The namespace to begin in.
    pub(super) namespace: Option<String>,
    /// The program to ask for credentials, by its full path.
    pub(super) program: String,
    /// What to call it with.
    pub(super) arguments: Vec<String>,
    /// What to set in its environment.
    pub(super) environment: Vec<(String, String)>,
}

/// Whether the context becomes the current one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Current {
    /// It does.
    Set,
    /// The present one stays.
    Keep,
}

/// The kubeconfig `text` with the entry in it.
pub(super) fn merge(text: &str, entry: &Entry, current: Current) -> Result<String, ClientFault> {
    let odd = |why: &str| ClientFault::Other(format!("this kubeconfig is not one: {why}"));
    let mut root = match serde_yaml_ng::from_str(text).map_err(|fault| odd(&fault.to_string()))? {
        Value::Null => Mapping::new(),
        Value::Mapping(root) => root,
        _ => return Err(odd("it is not a mapping")),
    };
    for (key, value) in [("apiVersion", "v1"), ("kind", "Config")] {
        root.entry(key.into()).or_insert_with(|| value.into());
    }
    put(&mut root, "clusters", "cluster", &entry.name, cluster(entry)).map_err(odd)?;
    put(&mut root, "users", "user", &entry.name, user(entry)).map_err(odd)?;
    put(&mut root, "contexts", "context", &entry.name, context(entry)).map_err(odd)?;
    if current == Current::Set || !root.contains_key("current-context") {
        root.insert("current-context".into(), entry.name.as_str().into());
    }
    serde_yaml_ng::to_string(&root).map_err(|fault| odd(&fault.to_string()))
}

fn cluster(entry: &Entry) -> Mapping {
    let mut cluster = mapping([("server", Some(entry.server.as_str().into()))]);
    cluster.extend(mapping([
        ("tls-server-name", entry.server_name.as_deref().map(Value::from)),
        ("certificate-authority-data", entry.authority.as_deref().map(Value::from)),
    ]));
    cluster
}

fn user(entry: &Entry) -> Mapping {
    let variables = entry.environment.iter().map(|(name, value)| {
        Value::Mapping(mapping([("name", Some(name.as_str().into())), ("value", Some(value.as_str().into()))]))
    });
    let variables: Vec<Value> = variables.collect();
    let arguments: Vec<Value> = entry.arguments.iter().map(|argument| argument.as_str().into()).collect();
    let exec = mapping([
        ("apiVersion", Some("client.authentication.k8s.io/v1".into())),
        ("command", Some(entry.program.as_str().into())),
        ("args", Some(arguments.into())),
        ("env", (!variables.is_empty()).then(|| variables.into())),
        ("interactiveMode", Some("Never".into())),
        ("provideClusterInfo", Some(false.into())),
        ("installHint", Some("This context needs the program `bailiwick` at the path that it names.".into())),
    ]);
    mapping([("exec", Some(exec.into()))])
}

fn context(entry: &Entry) -> Mapping {
    mapping([
        ("cluster", Some(entry.name.as_str().into())),
        ("user", Some(entry.name.as_str().into())),
        ("namespace", entry.namespace.as_deref().map(Value::from)),
    ])
}

fn mapping<const N: usize>(fields: [(&str, Option<Value>); N]) -> Mapping {
    fields.into_iter().filter_map(|(key, value)| Some((key.into(), value?))).collect()
}

/// Puts a named thing into a list: over one of ours, never over somebody else's.
fn put(root: &mut Mapping, list: &str, what: &str, name: &str, value: Mapping) -> Result<(), &'static str> {
    let things = root.entry(list.into()).or_insert_with(|| Value::Sequence(Vec::new()));
    if things.is_null() {
        *things = Value::Sequence(Vec::new());
    }
    let things = things.as_sequence_mut().ok_or("one of its lists is not a list")?;
    let found = things.iter_mut().find(|thing| thing.get("name").and_then(Value::as_str) == Some(name));
    match found {
        Some(thing) => {
            let old = thing.get(what).cloned().unwrap_or_default();
            if !may_replace(what, &old, &value) {
                return Err("it has an entry of this name that leads elsewhere; choose another with --name");
            }
            let fields = thing.as_mapping_mut().ok_or("one of its entries is not a mapping")?;
            fields.insert(what.into(), value.into());
        }
        None => things.push(mapping([("name", Some(name.into())), (what, Some(value.into()))]).into()),
    }
    Ok(())
}

/// A user is ours if it calls for the same cluster of the same portal; the rest follows from it.
fn may_replace(what: &str, old: &Value, new: &Mapping) -> bool {
    if what != "user" {
        return true;
    }
    let arguments = |user: &Value| -> Vec<String> {
        let list = user.get("exec").and_then(|exec| exec.get("args")).and_then(Value::as_sequence);
        list.into_iter().flatten().take(5).filter_map(|it| it.as_str().map(str::to_owned)).collect()
    };
    arguments(old) == arguments(&Value::Mapping(new.clone()))
}

/// Merges the entry into the file at `path`, under the same lock that `kubectl config` takes.
pub(super) fn merge_into(path: &Path, entry: &Entry, current: Current) -> Result<(), ClientFault> {
    // A link stays a link: what it points to is changed.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if let Some(folder) = path.parent() {
        use std::os::unix::fs::DirBuilderExt as _;
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|source| ClientFault::file("make", folder, source))?;
    }
    let _lock = Lock::take(path)?;
    let text = client::read(path)?.unwrap_or_default();
    client::write(path, merge(&text, entry, current)?.as_bytes())
}

/// The file that client-go makes beside a kubeconfig while it changes it.
struct Lock(PathBuf);

impl Lock {
    fn take(path: &Path) -> Result<Self, ClientFault> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let lock = PathBuf::from(name);
        for _ in 0..40 {
            match fs::OpenOptions::new().create_new(true).write(true).open(&lock) {
                Ok(_) => return Ok(Self(lock)),
                Err(fault) if fault.kind() == std::io::ErrorKind::AlreadyExists => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(source) => return Err(ClientFault::file("lock", path, source)),
            }
        }
        Err(ClientFault::Other(format!("{} is locked; remove {} if nothing uses it", path.display(), lock.display())))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(portal: &str) -> Entry {
        Entry {
            name: "bailiwick-demo".into(),
            server: "https://127.0.0.1:8443".into(),
            server_name: Some("demo.cluster.localhost".into()),
            authority: Some("Q0E=".into()),
            namespace: None,
            program: "/usr/bin/bailiwick".into(),
            arguments: ["kube", "credential", "demo", "--portal", portal].map(str::to_owned).to_vec(),
            environment: vec![],
        }
    }

    const FRESH: &str = "\
apiVersion: v1
kind: Config
clusters:
- name: bailiwick-demo
  cluster:
    server: https://127.0.0.1:8443
    tls-server-name: demo.cluster.localhost
    certificate-authority-data: Q0E=
users:
- name: bailiwick-demo
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: /usr/bin/bailiwick
      args:
      - kube
      - credential
      - demo
      - --portal
      - https://p.example
      interactiveMode: Never
      provideClusterInfo: false
      installHint: This context needs the program `bailiwick` at the path that it names.
contexts:
- name: bailiwick-demo
  context:
    cluster: bailiwick-demo
    user: bailiwick-demo
current-context: bailiwick-demo
";

    #[test]
    fn an_empty_file_becomes_a_kubeconfig_without_secrets() {
        assert_eq!(merge("", &entry("https://p.example"), Current::Set).unwrap(), FRESH);
        assert_eq!(merge(FRESH, &entry("https://p.example"), Current::Set).unwrap(), FRESH, "a second time");
    }

    #[test]
    fn what_others_put_there_stays() {
        let other = "\
apiVersion: v1
kind: Config
preferences:
  colors: true
clusters:
- name: prod
  cluster:
    server: https://prod.example
    extensions:
    - name: mine
      extension: 1
users: null
contexts:
- name: prod
  context:
    cluster: prod
    user: me
current-context: prod
";
        let merged = merge(other, &entry("https://p.example"), Current::Keep).unwrap();
        let merged: Value = serde_yaml_ng::from_str(&merged).unwrap();
        let before: Value = serde_yaml_ng::from_str(other).unwrap();
        assert_eq!(merged["current-context"], "prod");
        assert_eq!(merged["preferences"], before["preferences"]);
        assert_eq!(merged["clusters"][0], before["clusters"][0]);
        assert_eq!(merged["clusters"][1]["name"], "bailiwick-demo");
        assert_eq!(merged["users"][0]["name"], "bailiwick-demo");
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_not_taken_over() {
        let fault = merge(FRESH, &entry("https://other.example"), Current::Set).unwrap_err();
        assert!(fault.to_string().contains("--name"), "{fault}");
        for bad in ["[]", "clusters: 1", "a: [", "users: [1]\nclusters: {}"] {
            assert!(merge(bad, &entry("https://p.example"), Current::Set).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_file_is_private_and_the_lock_is_gone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kube").join("config");
        merge_into(&path, &entry("https://p.example"), Current::Set).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), FRESH);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
