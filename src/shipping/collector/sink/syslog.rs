//! Events as syslog messages (RFC 5424) over TLS with octet counting (RFC 5425).
//!
//! Syslog has no answers, so a connection carries one batch and ends with it: we say that nothing follows and wait until
//! the receiver, having read to that end, closes as well. Only then was the batch taken. A connection that breaks before
//! is a batch that comes again. The receiver's certificate must name its host, always.

use std::{fmt::Write as _, path::Path, sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ErrorKind},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{Shipped, SinkFault, SinkMistake};
use crate::{config::SyslogReceiver, outbound::why};

/// A syslog receiver.
pub struct SyslogSink {
    to: SyslogReceiver,
    host_name: String,
}

impl SyslogSink {
    pub(super) fn new(to: SyslogReceiver, origin: &str) -> Result<Self, SinkMistake> {
        configuration(&to).map_err(SinkMistake::Tls)?;
        server_name(&to).map_err(SinkMistake::Tls)?;
        let host_name = origin.split('/').next().map_or_else(String::new, |host| header_word(host, 255));
        Ok(Self { to, host_name })
    }

    pub(super) async fn send(&self, batch: &[Shipped]) -> Result<(), SinkFault> {
        let mut frames = String::new();
        for event in batch {
            let message = message(&self.host_name, event);
            let _ = write!(frames, "{} {message}", message.len());
        }
        let away = |why: String| SinkFault::away(format!("{}:{}: {why}", self.to.host, self.to.port));
        // A task of its own: what a receiver sends after our farewell must not end shipping. Rustls panics over such, if
        // it was compiled with its assertions.
        let mut delivery = JoinSet::new();
        delivery.spawn(deliver(self.to.clone(), frames));
        match timeout(PATIENCE, delivery.join_next()).await {
            Ok(Some(Ok(delivered))) => delivered.map_err(away),
            Ok(_) => Err(away(BROKE.to_owned())),
            Err(_) => Err(SinkFault::TooMuch(format!("{}:{} did not take it in time", self.to.host, self.to.port))),
        }
    }
}

/// Sends it all, and waits for the receiver's farewell.
async fn deliver(to: SyslogReceiver, frames: String) -> Result<(), String> {
    let connector = TlsConnector::from(Arc::new(configuration(&to)?));
    let name = server_name(&to)?;
    let stream = TcpStream::connect((to.host.as_str(), to.port)).await.map_err(|fault| fault.to_string())?;
    let mut stream = connector.connect(name, stream).await.map_err(|fault| format!("TLS: {}", why(&fault)))?;
    stream.write_all(frames.as_bytes()).await.map_err(|fault| fault.to_string())?;
    let mut ignored = [0; 1024];
    // A farewell that comes before ours cannot be an answer to all of this.
    if let Ok(Ok(0)) = timeout(Duration::ZERO, stream.read(&mut ignored)).await {
        return Err(BROKE.to_owned());
    }
    stream.shutdown().await.map_err(|fault| fault.to_string())?;
    loop {
        match stream.read(&mut ignored).await {
            Ok(0) => break,
            Ok(_) => {}
            // A receiver that ends TCP and forgets TLS's own farewell has read to the end as well.
            Err(fault) if fault.kind() == ErrorKind::UnexpectedEof => break,
            Err(fault) => return Err(format!("{BROKE}: {fault}")),
        }
    }
    // One that closed with something unread has its kernel reset the connection, whatever it said in TLS before.
    let (tcp, _) = stream.get_mut();
    loop {
        match tcp.read(&mut ignored).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(fault) => return Err(format!("{BROKE}: {fault}")),
        }
    }
    match tcp.take_error() {
        Ok(None) => Ok(()),
        Ok(Some(fault)) | Err(fault) => Err(format!("{BROKE}: {fault}")),
    }
}

const BROKE: &str = "the connection ended before the batch was taken";

/// A message without structured data: the event is JSON already, and printable ASCII, so it needs no byte order mark.
fn message(host_name: &str, event: &Shipped) -> String {
    let level = match event.severity {
        5.. => 2,
        4 => 3,
        3 => 4,
        2 => 5,
        _ => 6,
    };
    let (priority, at) = (LOG_AUDIT * 8 + level, event.at);
    let (broker, kind) = (header_word(&event.broker, 128), header_word(&event.kind, 32));
    format!("<{priority}>1 {at} {host_name} bailiwick {broker} {kind} - {}", event.line)
}

/// Printable ASCII without spaces, or `-` (RFC 5424, section 6).
fn header_word(text: &str, longest: usize) -> String {
    let word: String = text.chars().filter(char::is_ascii_graphic).take(longest).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

fn server_name(to: &SyslogReceiver) -> Result<ServerName<'static>, String> {
    ServerName::try_from(to.host.clone()).map_err(|_| format!("`{}` is no host name or address", to.host))
}

/// Read anew for each connection, so that renewed certificates are taken up.
fn configuration(to: &SyslogReceiver) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match &to.ca_file {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|fault| at(path, &fault))?;
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|fault| fault.to_string())?
        .with_root_certificates(roots);
    match &to.certificate {
        None => Ok(config.with_no_client_auth()),
        Some((chain, key)) => {
            let private = PrivateKeyDer::from_pem_file(key).map_err(|fault| at(key, &fault))?;
            config.with_client_auth_cert(certificates(chain)?, private).map_err(|fault| at(chain, &fault))
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_file_iter(path).map_err(|fault| at(path, &fault))?;
    let all: Vec<_> = all.collect::<Result<_, _>>().map_err(|fault| at(path, &fault))?;
    if all.is_empty() { Err(at(path, &"no certificate in it")) } else { Ok(all) }
}

fn at(path: &Path, fault: &dyn std::fmt::Display) -> String {
    format!("{}: {fault}", path.display())
}

/// Facility 13, "log audit" (RFC 5424, section 6.2.1).
const LOG_AUDIT: u32 = 13;
/// For connecting, sending and the receiver's farewell together.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    #[test]
    fn a_message_has_every_part_of_its_header() {
        let event = Shipped {
            index: 1,
            kind: "sign-in".into(),
            at: Timestamp::from_micros(1_767_268_800_000_001),
            broker: "a b\nc".into(),
            severity: 2,
            class: 3002,
            line: "{}".into(),
        };
        assert_eq!(
            message("auth.example", &event),
            "<109>1 2026-01-01T12:00:00.000001Z auth.example bailiwick abc sign-in - {}"
        );
        assert_eq!(header_word(" \u{1b}", 9), "\u{2d}");
    }
}
