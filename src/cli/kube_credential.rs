//! `bailiwick kube credential`: what kubectl runs to get a certificate (client.authentication.k8s.io/v1).
//!
//! Runs before every single kubectl, so it answers from its cache without asking anybody, and renews behind a lock, so
//! that many kubectls at once ask once. The private key is made here and leaves this machine never. Opens no browser
//! and reads no input; when the login has ended it says what to type.

use std::{
    fs::{self, File},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    api::Certificate,
    client::{self, ClientFault, HeldLogin, Home, instant, name_for},
};
use crate::model::{Clock, Reach, Timestamp};

const API_VERSION: &str = "client.authentication.k8s.io/v1";
/// kubectl is told to come back this much earlier than the certificate ends, because it does not retry a refusal.
const MARGIN: Duration = Duration::from_secs(60);

/// What a credential is asked for: the narrower the better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) cluster: String,
    pub(super) namespaces: Vec<String>,
    pub(super) reach: Reach,
    pub(super) lifetime: Option<Duration>,
}

/// A certificate and its key, as they are cached.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Credential {
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) issued_at: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Wanted {
    /// What the portal is asked, with the request for a certificate (PKCS#10, PEM).
    pub(super) fn question(&self, request: &str) -> serde_json::Value {
        let mut question = json!({
            "csr": request,
            "namespaces": self.namespaces,
            "read_only": self.reach == Reach::ReadOnly,
        });
        if let (Some(lifetime), Some(fields)) = (self.lifetime, question.as_object_mut()) {
            fields.insert("lifetime".to_owned(), lifetime.as_secs().into());
        }
        question
    }

    fn file_name(&self, login: &HeldLogin) -> String {
        let mut namespaces = self.namespaces.clone();
        namespaces.sort();
        let reach = format!("{:?} {:?}", self.reach, self.lifetime);
        let scope = name_for(&[&self.cluster, &namespaces.join(" "), &reach]);
        format!("{}-{scope}", name_for(&[&login.portal]))
    }
}

impl Credential {
    /// Whether it still has a quarter of its life, and at least a minute.
    fn is_fresh(&self, now: Timestamp) -> bool {
        let quarter = self.not_after.since(self.issued_at) / 4;
        self.not_after.since(now) > quarter.max(MARGIN)
    }

    /// The answer that kubectl reads.
    fn answer(&self) -> String {
        let expires = self.not_after.minus(MARGIN);
        let answer = json!({
            "apiVersion": API_VERSION,
            "kind": "ExecCredential",
            "status": {
                "expirationTimestamp": Timestamp::from_micros(expires.seconds() * 1_000_000).to_string(),
                "clientCertificateData": self.certificate,
                "clientKeyData": self.key,
            },
        });
        answer.to_string()
    }
}

/// The answer to kubectl: cached, or out of `issue`, which asks the portal.
pub(super) async fn answer(
    home: &Home,
    login: &HeldLogin,
    wanted: &Wanted,
    clock: &dyn Clock,
    issue: impl AsyncFnOnce(serde_json::Value) -> Result<Certificate, ClientFault>,
) -> Result<String, ClientFault> {
    let file = home.folder("credentials")?.join(wanted.file_name(login)).with_extension("json");
    if let Some(credential) = cached(&file, login, clock) {
        return Ok(credential.answer());
    }
    let _lock = lock(file.with_extension("lock"))?;
    if let Some(credential) = cached(&file, login, clock) {
        return Ok(credential.answer());
    }
    let (key, request) = new_key()?;
    let certificate = issue(wanted.question(&request)).await?;
    let not_after = instant(&certificate.not_after).ok_or_else(|| ClientFault::Strange {
        portal: login.portal.clone(),
        why: "the end of the certificate is no instant".to_owned(),
    })?;
    let credential = Credential { certificate: certificate.certificate, key, issued_at: clock.now(), not_after };
    let kept = Kept { token: name_for(&[&login.token]), credential };
    let text = serde_json::to_string(&kept).map_err(|fault| ClientFault::Other(fault.to_string()))?;
    client::write(&file, text.as_bytes())?;
    Ok(kept.credential.answer())
}

/// kubectl names the version that it speaks; another would only puzzle it.
pub(super) fn check_asked_version(exec_info: Option<&str>) -> Result<(), ClientFault> {
    #[derive(Deserialize)]
    struct Asked {
        #[serde(rename = "apiVersion")]
        api_version: String,
    }
    let Some(text) = exec_info else { return Ok(()) };
    match serde_json::from_str::<Asked>(text) {
        Ok(asked) if asked.api_version == API_VERSION => Ok(()),
        Ok(asked) => Err(ClientFault::Other(format!(
            "kubectl asks for {}, and this program speaks {API_VERSION}. Type: bailiwick kube login CLUSTER",
            asked.api_version
        ))),
        Err(_) => Err(ClientFault::Other("KUBERNETES_EXEC_INFO is not what kubectl writes".to_owned())),
    }
}

/// A cached credential, with a fingerprint of the login that it hangs on: it ends with that login.
#[derive(Serialize, Deserialize)]
struct Kept {
    token: String,
    credential: Credential,
}

fn cached(file: &Path, login: &HeldLogin, clock: &dyn Clock) -> Option<Credential> {
    let kept: Kept = serde_json::from_str(&client::read(file).ok()??).ok()?;
    (kept.token == name_for(&[&login.token]) && kept.credential.is_fresh(clock.now())).then_some(kept.credential)
}

fn lock(path: PathBuf) -> Result<File, ClientFault> {
    let mut open = fs::OpenOptions::new();
    let file = open.create(true).truncate(false).write(true).mode(0o600).open(&path);
    file.and_then(|file| file.lock().map(|()| file)).map_err(|source| ClientFault::file("lock", &path, source))
}

/// A new P-256 key and a request for a certificate. Its subject is empty: the portal knows who asks.
fn new_key() -> Result<(String, String), ClientFault> {
    let fault = |fault: rcgen::Error| ClientFault::Other(format!("a key could not be made: {fault}"));
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(fault)?;
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    let request = parameters.serialize_request(&key).and_then(|request| request.pem()).map_err(fault)?;
    Ok((key.serialize_pem(), request))
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, os::unix::fs::PermissionsExt as _};

    use super::*;
    use crate::model::FrozenClock;

    const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    fn login() -> HeldLogin {
        let text = |text: &str| text.to_owned();
        HeldLogin {
            portal: text("https://p.example"),
            token: text("t"),
            person: text("demo/alice"),
            expires_at: text(""),
            ca_file: None,
        }
    }

    fn wanted() -> Wanted {
        Wanted { cluster: "demo".into(), namespaces: vec![], reach: Reach::Full, lifetime: None }
    }

    async fn ask(home: &Home, clock: &FrozenClock, asked: &Cell<u32>) -> serde_json::Value {
        let issue = async |question: serde_json::Value| {
            assert!(question["csr"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE REQUEST"));
            asked.set(asked.get() + 1);
            let not_after = clock.now().plus(Duration::from_secs(3600)).to_string();
            Ok(Certificate { certificate: format!("certificate {}", asked.get()), not_after })
        };
        serde_json::from_str(&answer(home, &login(), &wanted(), clock, issue).await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_credential_is_asked_for_once_and_renewed_in_its_last_quarter() {
        let folder = tempfile::tempdir().unwrap();
        let (home, clock, asked) = (Home::at(folder.path()), FrozenClock::at(START), Cell::new(0));
        let first = ask(&home, &clock, &asked).await;
        assert_eq!(first["apiVersion"], API_VERSION);
        assert_eq!(first["kind"], "ExecCredential");
        assert_eq!(first["status"]["clientCertificateData"], "certificate 1");
        assert!(first["status"]["clientKeyData"].as_str().unwrap().contains("PRIVATE KEY"));
        let expires = START.plus(Duration::from_secs(3540)).to_string();
        assert_eq!(first["status"]["expirationTimestamp"], expires);
        assert_eq!(ask(&home, &clock, &asked).await, first);
        clock.advance(Duration::from_secs(2699));
        assert_eq!(ask(&home, &clock, &asked).await, first);
        clock.advance(Duration::from_secs(1));
        assert_eq!(ask(&home, &clock, &asked).await["status"]["clientCertificateData"], "certificate 2");
        for entry in fs::read_dir(folder.path().join("credentials")).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[tokio::test]
    async fn a_credential_of_another_login_or_scope_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let (home, clock, asked) = (Home::at(folder.path()), FrozenClock::at(START), Cell::new(0));
        ask(&home, &clock, &asked).await;
        let again = HeldLogin { token: "u".into(), ..login() };
        let narrow = Wanted { reach: Reach::ReadOnly, ..wanted() };
        for (login, wanted) in [(&again, &wanted()), (&login(), &narrow)] {
            let refuse = async |_| Err(ClientFault::NoPortal);
            assert!(answer(&home, login, wanted, &clock, refuse).await.is_err());
        }
        home.forget_login("https://p.example").unwrap();
        ask(&home, &clock, &asked).await;
        assert_eq!(asked.get(), 2, "forgetting the login forgets its credentials");
    }

    #[test]
    fn the_lock_is_one_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = lock(path.clone()).unwrap();
        let other = fs::OpenOptions::new().write(true).open(&path).unwrap();
        assert!(other.try_lock().is_err());
        drop(held);
        assert!(other.try_lock().is_ok());
    }

    #[test]
    fn only_the_version_that_kubectl_asks_for_is_answered() {
        assert!(check_asked_version(None).is_ok());
        assert!(check_asked_version(Some(r#"{"apiVersion":"client.authentication.k8s.io/v1","spec":{}}"#)).is_ok());
        assert!(check_asked_version(Some(r#"{"apiVersion":"client.authentication.k8s.io/v1beta1"}"#)).is_err());
        assert!(check_asked_version(Some("x")).is_err());
    }
}
