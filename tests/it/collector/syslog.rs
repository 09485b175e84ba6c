//! Syslog over TLS: to a real rsyslog with each of its TLS drivers, to a real syslog-ng, and to receivers that break off.

use bailiwick::{
    config::{Collector, Destination, SyslogReceiver},
    model::Verdict,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{
    cursor, fill, pace,
    receiver::{Keys, Program, Receiver},
    ship, to, until_failing, until_shipped,
};
use crate::support::{audit, database, eventually};

#[tokio::test]
async fn rsyslog_gets_every_entry_as_a_message_of_rfc_5424() {
    takes_every_entry(Program::Rsyslog("gtls")).await;
    takes_every_entry(Program::Rsyslog("ossl")).await;
}

#[tokio::test]
async fn syslog_ng_gets_every_entry_as_a_message_of_rfc_5424() {
    takes_every_entry(Program::SyslogNg).await;
}

async fn takes_every_entry(program: Program) {
    let db = database().await;
    let receiver = Receiver::start(program).await;
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
    assert_eq!(lines.len(), 41, "{program:?}: {lines:#?}");
    for (nth, line) in lines.iter().enumerate() {
        let [at, host, app, broker, kind, priority, json] =
            line.splitn(7, '|').collect::<Vec<_>>().try_into().unwrap_or_else(|_| panic!("{line}"));
        let event: serde_json::Value = serde_json::from_str(json.trim()).unwrap_or_else(|it| panic!("{it}: {line}"));
        assert_eq!(event["unmapped"]["leaf_index"], nth);
        assert_eq!((host, app, kind, priority), ("auth.example.test", "bailiwick", "decision", "109"), "{line}");
        assert!(at.starts_with("1970-01-01T00:00:00.000006"), "{line}");
        assert_eq!(event["metadata"]["log_provider"], broker);
    }
}

#[tokio::test]
async fn a_receiver_that_cannot_prove_itself_gets_nothing_and_neither_does_one_that_wants_proof() {
    let db = database().await;
    fill(&db.pool, 3).await;
    let receiver = Receiver::start(Program::Rsyslog("gtls")).await;
    let (other, own) = (Keys::new(), receiver.receiver());
    let strangers = SyslogReceiver { ca_file: Some(other.at("ca.pem")), ..own.clone() };
    let nameless = SyslogReceiver { host: "127.0.0.1".into(), ..own.clone() };
    let anonymous = SyslogReceiver { certificate: None, ..own.clone() };
    for (wrong, expected) in [
        (strangers, "TLS: its certificate is not its own, or not signed by"),
        (nameless, "certificate"),
        (anonymous, ""),
    ] {
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
            if connection == 3 {
                // Has read it all, and ends with a record under keys that we do not have: a handshake that failed late.
                let record = [[23, 3, 3, 0, 32].as_slice(), [7; 32].as_slice()].concat();
                stream.get_mut().0.write_all(&record).await.unwrap();
                continue;
            }
            let _ = stream.shutdown().await;
            whole.extend(messages(&frames));
            if whole.iter().any(|message: &String| message.contains("\"leaf_index\":199,")) {
                return whole;
            }
        }
        whole
    });
    let receiver =
        SyslogReceiver { host: "localhost".into(), port, ca_file: Some(keys.at("ca.pem")), certificate: None };
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
