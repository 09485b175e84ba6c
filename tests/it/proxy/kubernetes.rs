//! The door to a cluster: requests run there as the person who asks, or not at all.

use bailiwick::store::{feed::RevokedKind, revocation::revoke};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{
    doors::Cluster,
    pki::Authority,
    wire::{OK, Recorder, SOON, answering_at_once, read_until, reply, status},
};
use crate::support::eventually;

const RULES: &str = r#"
@id("read") permit (principal, action in k8s::Action::"readOnly", resource in k8s::Namespace::"demo/default");
@id("exec") permit (principal, action == k8s::Action::"exec", resource in k8s::Namespace::"demo/default");
@id("payments") @reason("Payments is closed.") forbid (principal, action, resource in k8s::Namespace::"demo/payments");"#;

async fn cluster() -> (Cluster, Recorder) {
    let api = Authority::new("api");
    let upstream = Recorder::serving(Some(api.acceptor(&["api.test"])), |arrived, mut wire| async move {
        if arrived.line().contains("/exec") {
            let to = arrived.values("upgrade")[0].to_owned();
            reply(
                &mut wire,
                &format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {to}\r\n\r\n"),
            )
            .await;
            let mut buffer = [0; 64];
            while let Ok(n @ 1..) = wire.read(&mut buffer).await {
                wire.write_all(&buffer[..n]).await.unwrap();
                wire.flush().await.unwrap();
            }
        } else if arrived.line().contains("watch=") {
            reply(&mut wire, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nADDED\r\n").await;
            let mut rest = Vec::new();
            let _ = wire.read_to_end(&mut rest).await;
        } else if arrived.line().contains("moved") {
            reply(&mut wire, "HTTP/1.1 302 Found\r\nLocation: https://evil.test/\r\nContent-Length: 0\r\n\r\n").await;
        } else {
            reply(&mut wire, OK).await;
        }
    })
    .await;
    (Cluster::at(upstream.address, &api, RULES).await, upstream)
}

const PODS: &str = "GET /api/v1/namespaces/default/pods";

#[tokio::test]
async fn a_request_runs_as_whoever_asks() {
    let (cluster, upstream) = cluster().await;
    let fields = "Authorization: Bearer mine\r\nCookie: a=b\r\nX-Remote-User: admin\r\nX-Remote-Group: system:masters\r\nConnection: Impersonate-User, impersonate-group, authorization\r\n";
    let answer = cluster.ask(&format!("{PODS}?limit=500"), fields, Some(&cluster.pair)).await;
    assert_eq!(status(&answer), 200, "{answer}");
    let seen = upstream.seen().pop().unwrap();
    assert_eq!(seen.line(), "GET /api/v1/namespaces/default/pods?limit=500 HTTP/1.1");
    assert_eq!(seen.values("impersonate-user"), ["corp:alice"]);
    assert_eq!(seen.values("impersonate-uid"), [cluster.caller.person.to_string()]);
    assert_eq!(seen.values("impersonate-extra-bailiwick.dev%2flogin"), [cluster.caller.login.to_string()]);
    assert_eq!(seen.values("authorization"), ["Bearer the-brokers-own"]);
    for theirs in ["mine", "a=b", "admin", "masters", "X-Forwarded"] {
        assert!(!seen.head.contains(theirs), "{}", seen.head);
    }
}

#[tokio::test]
async fn a_refusal_is_a_status_with_the_rules_own_reason() {
    let (cluster, upstream) = cluster().await;
    let pair = Some(&cluster.pair);
    for (line, fields, code, says) in [
        ("GET /api/v1/namespaces/payments/secrets", "", 403, "Payments is closed."),
        ("GET /api/v1/namespaces/kube-system/secrets", "", 403, "no rule allows this"),
        ("GET /api/v1/namespaces/team-a/pods/web/exec?command=id", "", 403, "\"reason\":\"Forbidden\""),
        (PODS, "Impersonate-User: admin\r\n", 400, "impersonation is not offered"),
        (PODS, "Impersonate_Group: system:masters\r\n", 400, "impersonation is not offered"),
        ("GET /api/v1/namespaces//pods", "", 400, "\"reason\":\"BadRequest\""),
        ("GET /api/v1/namespaces/default/pods%2fweb", "", 400, "BadRequest"),
        ("GET /api/v1/namespaces/default/pods/../../payments/secrets", "", 400, "BadRequest"),
    ] {
        let answer = cluster.ask(line, fields, pair).await;
        assert_eq!(status(&answer), code, "{line} {fields}: {answer}");
        assert!(answer.contains("\"kind\":\"Status\"") && answer.contains(says), "{line}: {answer}");
    }
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let mut stream = cluster.open(&format!("{PODS}?watch=1"), upgrade, pair).await;
    let answer = read_until(&mut stream, "\"code\":400").await;
    assert!(answer.contains("can become a stream"), "{answer}");
    assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
}

#[tokio::test]
async fn whoever_shows_no_certificate_of_ours_is_nobody() {
    let (cluster, upstream) = cluster().await;
    let answer = cluster.ask(PODS, "Authorization: Bearer x\r\n", None).await;
    assert_eq!(status(&answer), 401);
    assert!(answer.contains("bailiwick kube login demo") && answer.contains("\"reason\":\"Unauthorized\""), "{answer}");
    sqlx::query("update credential set revoked_at = now(), revoke_cause = 'test'")
        .execute(&cluster.court.db.owner)
        .await
        .unwrap();
    assert_eq!(status(&cluster.ask(PODS, "", Some(&cluster.pair)).await), 401);
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn an_api_servers_redirect_goes_no_further() {
    let (cluster, _) = cluster().await;
    let answer = cluster.ask("GET /api/v1/namespaces/default/pods/moved", "", Some(&cluster.pair)).await;
    assert_eq!(status(&answer), 502, "{answer}");
    assert!(!answer.contains("evil"), "{answer}");
}

#[tokio::test]
async fn exec_and_watch_are_carried_until_their_credential_is_revoked() {
    let (cluster, upstream) = cluster().await;
    let exec = "GET /api/v1/namespaces/default/pods/web/exec?command=sh&stdin=true";
    let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2VjcmV0\r\n";
    let mut socket = cluster.open(exec, fields, Some(&cluster.pair)).await;
    assert_eq!(status(&read_until(&mut socket, "\r\n\r\n").await), 101);
    socket.write_all(b"ls").await.unwrap();
    read_until(&mut socket, "ls").await;
    let seen = upstream.seen().pop().unwrap();
    assert_eq!(seen.values("sec-websocket-protocol"), ["v5.channel.k8s.io"]);
    assert!(seen.values("sec-websocket-extensions").is_empty());
    assert_eq!(seen.values("impersonate-user"), ["corp:alice"]);

    let spdy = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\nX-Stream-Protocol-Version: v3.channel.k8s.io\r\nContent-Length: 0\r\n";
    let mut old = cluster.open(&exec.replace("GET", "POST"), spdy, Some(&cluster.pair)).await;
    assert_eq!(status(&read_until(&mut old, "\r\n\r\n").await), 101);
    assert_eq!(upstream.seen().pop().unwrap().values("x-stream-protocol-version").len(), 2);

    let mut watch = cluster.open(&format!("{PODS}?watch=1"), "", Some(&cluster.pair)).await;
    read_until(&mut watch, "ADDED").await;
    crate::support::eventually(async || (cluster.court.streams.count() == 3).then_some(())).await;
    let mut db = cluster.court.db.pool.acquire().await.unwrap();
    let now = bailiwick::model::Clock::now(cluster.court.clock.as_ref());
    revoke(&mut db, RevokedKind::Credential, cluster.credential.uuid(), "test", now).await.unwrap();
    for stream in [&mut socket, &mut old, &mut watch] {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    }
    crate::support::eventually(async || (cluster.court.streams.count() == 0).then_some(())).await;
}

#[tokio::test]
async fn a_body_that_outlasts_its_answer_ends_with_its_login() {
    let api = Authority::new("api");
    let (address, told) = answering_at_once(Some(api.acceptor(&["api.test"]))).await;
    let create = r#"@id("create") permit (principal, action == k8s::Action::"create", resource);"#;
    let cluster = Cluster::at(address, &api, create).await;
    let mut stream =
        cluster.open("POST /api/v1/namespaces/default/pods", "Content-Length: 1000\r\n", Some(&cluster.pair)).await;
    read_until(&mut stream, "hello").await;
    stream.write_all(b"before").await.unwrap();
    eventually(async || (cluster.court.streams.count() == 1).then_some(())).await;
    let mut db = cluster.court.db.pool.acquire().await.unwrap();
    let now = bailiwick::model::Clock::now(cluster.court.clock.as_ref());
    revoke(&mut db, RevokedKind::Login, cluster.caller.login.uuid(), "test", now).await.unwrap();
    let arrived = timeout(SOON, told).await.expect("the upstream sees the end").unwrap();
    assert_eq!(arrived.body, b"before");
}
