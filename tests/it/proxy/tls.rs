//! TLS at the front door: client certificates on cluster names only, never resumed, and the authority that of the
//! handshake.

use std::{net::SocketAddr, sync::Arc};

use arc_swap::ArcSwap;
use bailiwick::listener::{
    HostTable, Limits, Listener, Options, Peer, ServerKey, ServerNames, Service, Trust, Turning, full, server_config,
};
use http::{Request, Response};
use rustls::{ClientConfig, HandshakeKind};
use tokio::{
    io::AsyncWriteExt,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};
use tokio_util::sync::CancellationToken;

use super::{
    pki::{Authority, dial},
    wire::{SOON, read_until, status},
};

struct Front {
    address: SocketAddr,
    /// Of the server's certificate.
    public: Authority,
    /// Of client certificates.
    internal: Authority,
    /// What was turned away: check and target.
    turned: UnboundedReceiver<(&'static str, String)>,
}

async fn front() -> Front {
    let (public, internal) = (Authority::new("public"), Authority::new("internal"));
    let pair = public.server(&["portal.test", "cluster.test"]);
    let shown = ServerKey { chain: vec![pair.certificate], key: pair.key };
    let mut names = ServerNames::new(server_config(&shown, None).unwrap());
    names.insert("cluster.test", server_config(&shown, Some(&[internal.certificate()])).unwrap()).unwrap();
    let service = Service::from_fn(|peer: Peer, request: Request<_>| async move {
        let _: &bailiwick::listener::RequestBody = request.body();
        Response::new(full(format!("certificate={} secure={}.", peer.certificate.is_some(), peer.secure)))
    });
    let mut table = HostTable::default();
    table.insert("portal.test", service.clone()).unwrap();
    table.insert("cluster.test", service).unwrap();
    let options = Options {
        http: None,
        https: vec!["127.0.0.1:0".parse().unwrap()],
        limits: Limits::default(),
        trust: Trust::default(),
    };
    let names = Arc::new(ArcSwap::from_pointee(names));
    let (tell, turned) = unbounded_channel();
    let turning: Turning = Arc::new(move |away| drop(tell.send((away.check, away.target.to_owned()))));
    let listener = Listener::bind(&options, Some(names), table, turning).await.unwrap();
    let address = listener.addresses()[0];
    tokio::spawn(listener.serve(CancellationToken::new()));
    Front { address, public, internal, turned }
}

impl Front {
    fn client(&self, pair: Option<&super::pki::Pair>) -> Arc<ClientConfig> {
        Arc::new(self.public.client_config(pair))
    }

    /// The next thing that was turned away, which has happened already.
    async fn away(&mut self) -> (&'static str, String) {
        tokio::time::timeout(SOON, self.turned.recv()).await.expect("it is told of").expect("the listener lives")
    }

    async fn ask(&self, config: &Arc<ClientConfig>, name: &str, host: &str) -> std::io::Result<String> {
        let mut stream = dial(self.address, config, name).await?;
        stream.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await?;
        Ok(answer)
    }
}

#[tokio::test]
async fn client_certificates_are_asked_for_on_cluster_names_only() {
    let front = front().await;
    let pair = front.internal.client(&[1; 16]);
    let with = front.client(Some(&pair));
    let answer = front.ask(&with, "cluster.test", "cluster.test").await.unwrap();
    assert!(answer.contains("certificate=true secure=true."), "{answer}");
    let answer = front.ask(&with, "portal.test", "portal.test").await.unwrap();
    assert!(answer.contains("certificate=false secure=true."), "{answer}");
    let answer = front.ask(&front.client(None), "CLUSTER.test", "cluster.test").await.unwrap();
    assert!(answer.contains("certificate=false"), "the door answers whoever shows none: {answer}");
}

#[tokio::test]
async fn a_certificate_of_another_authority_ends_the_handshake_and_is_told_of() {
    let mut front = front().await;
    for other in [Authority::new("internal"), Authority::new("public")] {
        let pair = other.client(&[1; 16]);
        let answer = front.ask(&front.client(Some(&pair)), "cluster.test", "cluster.test").await;
        assert!(answer.is_err(), "{answer:?}");
        assert_eq!(front.away().await, ("certificate", "cluster.test".to_owned()));
    }
    let answer = front.ask(&front.client(None), "other.test", "other.test").await;
    assert!(answer.is_err(), "our own certificate is not that of a host that is not ours: {answer:?}");
    let not_for_clients = front.internal.server(&["cluster.test"]);
    let answer = front.ask(&front.client(Some(&not_for_clients)), "cluster.test", "cluster.test").await;
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test]
async fn the_authority_is_that_of_the_handshake() {
    let front = front().await;
    let config = front.client(None);
    for (name, host, expected) in [
        ("portal.test", "portal.test", 200),
        ("portal.test", "PORTAL.test:443", 200),
        ("portal.test", "cluster.test", 421),
        ("cluster.test", "portal.test", 421),
        ("portal.test", "other.test", 421),
        ("cluster.test", "127.0.0.1:6443", 200),
        ("portal.test", "127.0.0.1:6443", 421),
    ] {
        let answer = front.ask(&config, name, host).await.unwrap();
        assert_eq!(status(&answer), expected, "{name} {host}: {answer}");
    }
}

#[tokio::test]
async fn nothing_is_resumed_where_certificates_count() {
    let front = front().await;
    let pair = front.internal.client(&[1; 16]);
    let config = front.client(Some(&pair));
    for _ in 0..3 {
        let mut stream = dial(front.address, &config, "cluster.test").await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: cluster.test\r\n\r\n").await.unwrap();
        read_until(&mut stream, "secure=true.").await;
        let kind = stream.get_ref().1.handshake_kind();
        assert!(matches!(kind, Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest)), "{kind:?}");
    }
}
