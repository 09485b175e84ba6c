//! Syslog over TLS: to a real rsyslog with each of its TLS drivers, and to receivers that break off.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use bailiwick::{
    config::{Collector, Destination, SyslogReceiver},
    model::Verdict,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{cursor, fill, pace, ship, to, until_failing, until_shipped};
use crate::support::{audit, database, eventually, free_port};

#[tokio::test]
async fn rsyslog_gets_every_entry_as_a_message_of_rfc_5424() {
    for driver in ["gtls", "ossl"] {
        let db = database().await;
        let receiver = Rsyslog::start(driver).await;
        fill(&db.pool, 40).await;
        let (log, tasks) = audit::log(&db.pool).await;
        let mut long = audit::decision(40, Verdict::Deny);
        if let bailiwick::audit::Event::Decision { decision, .. } = &mut long.event {
            let reasons = vec!["\u{202e}é\r\n<13>1 - - - - - forged\u{1b}[2J ".repeat(200)];
            *decision = bailiwick::model::Decision { reasons, ..decision.to_value() }.into();
        }
        drop(log.append(long).await.unwrap());
        tasks.stop(std::time::Duration::from_secs(10)).await;
        let _collectors = ship(&db.pool, receiver.wanted(), pace()).await;
        until_shipped(&db.pool, 41).await;
        // At least once, in order.
        let lines = eventually(async || Some(receiver.once()).filter(|lines| lines.len() >= 41)).await;
        assert_eq!(lines.len(), 41, "{driver}: {lines:#?}");
        for (nth, line) in lines.iter().enumerate() {
            let [at, host, app, broker, kind, priority, json] =
                line.splitn(7, '|').collect::<Vec<_>>().try_into().unwrap_or_else(|_| panic!("{line}"));
            let event: serde_json::Value =
                serde_json::from_str(json.trim()).unwrap_or_else(|it| panic!("{it}: {line}"));
            assert_eq!(event["unmapped"]["leaf_index"], nth);
            assert_eq!((host, app, kind, priority), ("auth.example.test", "bailiwick", "decision", "109"), "{line}");
            assert!(at.starts_with("1970-01-01T00:00:00.000006"), "{line}");
            assert_eq!(event["metadata"]["log_provider"], broker);
        }
    }
}

#[tokio::test]
async fn a_receiver_that_cannot_prove_itself_gets_nothing_and_neither_does_one_that_wants_proof() {
    let db = database().await;
    fill(&db.pool, 3).await;
    let receiver = Rsyslog::start("gtls").await;
    let (other, own) = (Keys::new(), receiver.receiver());
    let strangers = SyslogReceiver { ca_file: Some(other.folder.path().join("ca.pem")), ..own.clone() };
    let nameless = SyslogReceiver { host: "127.0.0.1".into(), ..own.clone() };
    let anonymous = SyslogReceiver { certificate: None, ..own.clone() };
    for (wrong, expected) in [(strangers, "TLS: invalid peer certificate"), (nameless, "certificate"), (anonymous, "")]
    {
        let collectors = ship(&db.pool, to(Destination::Syslog(wrong)), pace()).await;
        let fault = until_failing(&db.pool).await.fault.unwrap();
        assert!(fault.contains(expected), "{fault}");
        assert_eq!(cursor(&db.pool).await.unwrap().next_leaf, 0, "{fault}");
        collectors.stop().await;
    }
    assert!(receiver.lines().is_empty());
    let _collectors = ship(&db.pool, receiver.wanted(), pace()).await;
    until_shipped(&db.pool, 3).await;
}

#[tokio::test]
async fn a_receiver_that_breaks_off_before_the_end_gets_it_all_again() {
    let db = database().await;
    fill(&db.pool, 200).await;
    let keys = Keys::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = keys.acceptor();
    let receiving = tokio::spawn(async move {
        let mut whole = Vec::new();
        for connection in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut frames = Vec::new();
            if connection < 3 {
                // Reads a little, and closes with the rest unread; once with TLS's farewell, as if that were all.
                let mut some = [0; 700];
                let _ = stream.read(&mut some).await;
                if connection == 1 {
                    stream.get_mut().1.send_close_notify();
                    let _ = stream.flush().await;
                }
                continue;
            }
            stream.read_to_end(&mut frames).await.unwrap();
            let _ = stream.shutdown().await;
            whole.extend(messages(&frames));
            if whole.iter().any(|message: &String| message.contains("\"leaf_index\":199,")) {
                return whole;
            }
        }
        whole
    });
    let receiver = SyslogReceiver {
        host: "localhost".into(),
        port,
        ca_file: Some(keys.folder.path().join("ca.pem")),
        certificate: None,
    };
    let wanted = Collector { batch: 200, ..to(Destination::Syslog(receiver)) };
    let _collectors = ship(&db.pool, wanted, pace()).await;
    until_shipped(&db.pool, 200).await;
    let whole = receiving.await.unwrap();
    let indexes: std::collections::BTreeSet<u64> = whole
        .iter()
        .map(|message| {
            let json = message.splitn(8, ' ').nth(7).unwrap();
            super::event(json)["unmapped"]["leaf_index"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(indexes.into_iter().collect::<Vec<_>>(), (0..200).collect::<Vec<_>>());
}

/// Takes octet counting literally (RFC 5425, section 4.3).
fn messages(mut frames: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    while !frames.is_empty() {
        let space = frames.iter().position(|b| *b == b' ').unwrap();
        let (length, rest) = (std::str::from_utf8(&frames[..space]).unwrap(), &frames[space + 1..]);
        assert!(!length.starts_with('0'));
        let length: usize = length.parse().unwrap();
        all.push(String::from_utf8(rest[..length].to_vec()).unwrap());
        frames = &rest[length..];
    }
    all
}

/// An authority, a server certificate for `localhost` and a client's, as files.
struct Keys {
    folder: tempfile::TempDir,
}

impl Keys {
    fn new() -> Self {
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

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
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

/// Debian's rsyslog, which takes TLS with client certificates and writes a line for each message.
struct Rsyslog {
    keys: Keys,
    port: u16,
    process: Child,
}

impl Rsyslog {
    async fn start(driver: &str) -> Self {
        let keys = Keys::new();
        let port = free_port();
        let conf = keys.at("rsyslog.conf");
        std::fs::write(&conf, configuration(&keys, driver, port)).unwrap();
        let path = ["/usr/sbin/rsyslogd", "/usr/bin/rsyslogd"].into_iter().find(|path| Path::new(path).exists());
        let mut command = Command::new(path.expect("rsyslog is installed: tests/install syslog"));
        command.arg("-n").arg("-f").arg(&conf).arg("-i").arg(keys.at("pid"));
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let rsyslog = Self { keys, port, process };
        eventually(async || TcpStream::connect(("127.0.0.1", port)).await.ok()).await;
        rsyslog
    }

    fn receiver(&self) -> SyslogReceiver {
        SyslogReceiver {
            host: "localhost".into(),
            port: self.port,
            ca_file: Some(self.keys.at("ca.pem")),
            certificate: Some((self.keys.at("client.pem"), self.keys.at("client.key"))),
        }
    }

    fn wanted(&self) -> Collector {
        to(Destination::Syslog(self.receiver()))
    }

    /// Each whole line once, in the order of their first coming.
    fn once(&self) -> Vec<String> {
        let mut seen = std::collections::HashSet::new();
        self.lines().into_iter().filter(|line| line.ends_with('}') && seen.insert(line.clone())).collect()
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.keys.at("out")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration(keys: &Keys, driver: &str, port: u16) -> String {
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
