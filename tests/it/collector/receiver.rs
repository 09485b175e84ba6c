//! Real receivers of syslog over TLS, started by a test: Debian's rsyslog and syslog-ng. Both ask for a client certificate
//! and write a line for each message, with its parts between bars.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use bailiwick::config::{Collector, Destination, SyslogReceiver};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::net::TcpStream;

use super::to;
use crate::support::{eventually, free_port};

/// What receives.
#[derive(Clone, Copy, Debug)]
pub enum Program {
    /// With one of its TLS drivers.
    Rsyslog(&'static str),
    SyslogNg,
}

/// A receiver of this test's own.
pub struct Receiver {
    keys: Keys,
    port: u16,
    process: Child,
}

impl Receiver {
    pub async fn start(program: Program) -> Self {
        let (keys, port) = (Keys::new(), free_port());
        let conf = keys.at("conf");
        let (text, mut command) = match program {
            Program::Rsyslog(driver) => {
                let path =
                    ["/usr/sbin/rsyslogd", "/usr/bin/rsyslogd"].into_iter().find(|path| Path::new(path).exists());
                let mut command = Command::new(path.expect("rsyslog is installed: tests/install syslog"));
                command.arg("-n").arg("-f").arg(&conf).arg("-i").arg(keys.at("pid"));
                (rsyslog(&keys, driver, port), command)
            }
            Program::SyslogNg => {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/syslog-ng/syslog-ng");
                assert!(path.exists(), "syslog-ng is missing: tests/install syslog");
                let mut command = Command::new(path);
                command.arg("--foreground").arg("--no-caps").arg("-f").arg(&conf).arg("-p").arg(keys.at("pid"));
                command.arg("-R").arg(keys.at("persist")).arg("-c").arg(keys.at("control"));
                (syslog_ng(&keys, port), command)
            }
        };
        std::fs::write(&conf, text).unwrap();
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let receiver = Self { keys, port, process };
        eventually(async || TcpStream::connect(("127.0.0.1", port)).await.ok()).await;
        receiver
    }

    pub fn receiver(&self) -> SyslogReceiver {
        SyslogReceiver {
            host: "localhost".into(),
            port: self.port,
            ca_file: Some(self.keys.at("ca.pem")),
            certificate: Some((self.keys.at("client.pem"), self.keys.at("client.key"))),
        }
    }

    pub fn wanted(&self) -> Collector {
        to(Destination::Syslog(self.receiver()))
    }

    /// Each whole line once, in the order of their first coming.
    pub fn once(&self) -> Vec<String> {
        let mut seen = std::collections::HashSet::new();
        self.lines().into_iter().filter(|line| line.ends_with('}') && seen.insert(line.clone())).collect()
    }

    pub fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.keys.at("out")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An authority, a server certificate for `localhost` and a client's, as files.
pub struct Keys {
    folder: tempfile::TempDir,
}

impl Keys {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        for (name, host) in [("server", "localhost"), ("client", "broker.example.test")] {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new([host.to_owned()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, host);
            let certificate = params.signed_by(&key, &authority).unwrap();
            std::fs::write(folder.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
            std::fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        Self { folder }
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
        let chain = CertificateDer::pem_file_iter(self.at("server.pem")).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(self.at("server.key")).unwrap();
        let config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(chain, key)
                .unwrap();
        tokio_rustls::TlsAcceptor::from(Arc::new(config))
    }
}

/// Of rsyslog.
fn rsyslog(keys: &Keys, driver: &str, port: u16) -> String {
    let [ca, certificate, key, out, work] =
        ["ca.pem", "server.pem", "server.key", "out", ""].map(|name| keys.at(name).display().to_string());
    format!(
        r#"
global(
  workDirectory="{work}"
  maxMessageSize="64k"
  defaultNetstreamDriver="{driver}"
  defaultNetstreamDriverCAFile="{ca}"
  defaultNetstreamDriverCertFile="{certificate}"
  defaultNetstreamDriverKeyFile="{key}"
)
module(load="imtcp" streamDriver.name="{driver}" streamDriver.mode="1" streamDriver.authMode="x509/certvalid")
template(name="line" type="string"
  string="%timestamp:::date-rfc3339%|%hostname%|%app-name%|%procid%|%msgid%|%pri%|%msg%\n")
input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="all")
ruleset(name="all") {{ action(type="omfile" file="{out}" template="line" asyncWriting="off" flushOnTXEnd="on") }}
"#
    )
}

/// Of syslog-ng.
fn syslog_ng(keys: &Keys, port: u16) -> String {
    let [ca, certificate, key, out] =
        ["ca.pem", "server.pem", "server.key", "out"].map(|name| keys.at(name).display().to_string());
    format!(
        r#"@version: 3.38
options {{ log-msg-size(65536); keep-hostname(yes); time-zone("UTC"); stats-freq(0); }};
source all {{
  syslog(ip("127.0.0.1") port({port}) transport("tls")
    tls(ca-file("{ca}") cert-file("{certificate}") key-file("{key}") peer-verify(required-trusted)));
}};
destination lines {{
  file("{out}" template("$ISODATE|$HOST|$PROGRAM|$PID|$MSGID|$PRI|$MSG\n") frac-digits(6));
}};
log {{ source(all); destination(lines); }};
"#
    )
}
