//! Ended means ended, on every broker: a session ended at one closes what another holds open, and its next request is
//! refused. Two processes, one database, three kinds of stream.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::Stdio,
    time::Instant,
};

use crate::{
    support::{
        self, Site,
        broker::{Ports, Process},
        kubernetes::Kubernetes,
        person::{Person, started},
    },
    walk_kubectl::RULES,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ended_at_one_broker_closes_the_watch_exec_and_web_socket_that_another_holds() {
    let cluster = Kubernetes::running();
    let site = Site::prepare(support::database().await, RULES).await;
    let first = Process::serve(&site.configure(site.first_ports(), Some(cluster)));
    let ports = site.other_ports();
    let second = Process::serve(&site.configure(ports, Some(cluster)));

    let bob = Person::sign_in(&site, "bob").await;
    bob.log_in().await;
    bob.does(&["kube", "login", "demo"]);
    bob.browser.visit(site.wiki.as_str()).await;
    bob.browser.reads("It sees corp/bob").await;
    let cookie = bob.browser.cookie("__Host-bailiwick-app").await;

    let server = format!("--server=https://127.0.0.1:{}", ports.cluster);
    // The kubeconfig leads to the first broker; the server name stays the same.
    let there = [server.as_str(), "--tls-server-name=demo.k8s.test.localhost", "-n", "default"];
    let pods = [&there[..], &["get", "pods"]].concat();
    let watching = [&pods[..], &["-w"]].concat();
    let running = [&there[..], &["exec", "web-0", "--", "sh", "-c", "echo begun; exec sleep 3600"]].concat();
    let mut watch = started(bob.kubectl(&watching).stderr(Stdio::null()), "web-0");
    let mut exec = started(bob.kubectl(&running).stderr(Stdio::null()), "begun");
    let mut socket = web_socket(&site, ports, &cookie);

    let sessions = bob.does(&["session", "list", "-o", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&sessions).unwrap();
    let id = listed["sessions"][0]["id"].as_str().unwrap().to_owned();
    let ended = Instant::now();
    bob.does(&["session", "end", &id]);

    let mut left = Vec::new();
    let _ = socket.read_to_end(&mut left);
    let closed = ended.elapsed();
    assert!(!exec.wait().unwrap().success(), "a command was left running as if nothing had happened");
    watch.wait().unwrap();
    println!("the WebSocket closed {closed:?} after the end was asked for, all streams after {:?}", ended.elapsed());

    let (code, refused) = bob.kubectl_prints(&pods);
    assert!(code == Some(1) && refused.contains("bailiwick login"), "{refused}");
    let mut again = connect(&site, ports, &cookie, "");
    assert!(status_line(&mut again).contains(" 401 "), "an app session outlived its login");
    drop((first, second));
}

/// An open WebSocket through the broker at `ports`, which echoes.
fn web_socket(site: &Site, ports: Ports, cookie: &str) -> TcpStream {
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut stream = connect(site, ports, cookie, upgrade);
    assert!(status_line(&mut stream).contains(" 101 "));
    stream.write_all(b"still here").unwrap();
    let mut echo = [0; 10];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"still here");
    stream
}

fn connect(site: &Site, ports: Ports, cookie: &str, more: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", ports.http)).unwrap();
    let origin = site.wiki.origin().ascii_serialization();
    let host = origin.trim_start_matches("http://");
    let head = format!(
        "GET /ws HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\nsec-fetch-site: same-origin\r\nsec-fetch-mode: websocket\r\n\
         cookie: __Host-bailiwick-app={cookie}\r\n{more}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// Reads a response's head, byte by byte so that nothing of the stream is lost, and gives its first line.
fn status_line(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    BufReader::new(head.as_slice()).lines().next().unwrap().unwrap()
}
