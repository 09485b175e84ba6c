//! The log's tree over HTTP: what anybody gets without signing in is hashes and a signed note, exactly as C2SP tlog-tiles
//! has them, and proofs can be made of nothing else.

use bailiwick::{
    audit::{
        Log,
        checkpoint::Verifier,
        tree::{hashes, includes, inclusion_proof, leaf_hash, range_root},
    },
    model::Verdict,
    store,
};
use http::StatusCode;

use crate::support::{
    SOON,
    audit::decision,
    database, eventually,
    portal::{Answer, TestPortal},
};

/// Appends until the log has `size` entries.
pub async fn fill(log: &Log, size: u64) {
    while log.health().size < size {
        let many = (size - log.health().size).min(512);
        let mut waiting = tokio::task::JoinSet::new();
        for n in 0..many {
            let log = log.clone();
            waiting.spawn(async move { log.append(decision(n, Verdict::Deny)).await.map(drop) });
        }
        assert!(waiting.join_all().await.iter().all(Result::is_ok));
    }
}

async fn get(portal: &TestPortal, path: &str) -> Answer {
    portal.send(http::Request::get(path), "").await
}

#[tokio::test]
async fn the_checkpoint_and_the_tiles_prove_an_entry_to_somebody_who_holds_only_the_key() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    assert_eq!(get(&portal, "/log/tile/0/000").await.status, StatusCode::NOT_FOUND, "there is no whole tile yet");
    fill(&portal.log, 700).await;
    eventually(async || (portal.log.health().signed >= 700).then_some(())).await;

    let answer = get(&portal, "/log/checkpoint").await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "text/plain; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), "public, max-age=2");
    let key = store::key::publics(&db.owner, store::key::KeyPurpose::Checkpoint).await.unwrap().remove(0);
    let verifier = Verifier::new(&portal.state.settings.audit.origin, key.try_into().unwrap()).unwrap();
    let stated = verifier.open(&answer.text).unwrap();
    assert!(stated.size >= 700);

    let mut leaves = Vec::new();
    for index in 0..stated.size.div_ceil(256) {
        let width = (stated.size - index * 256).min(256);
        let part = if width < 256 { format!(".p/{width}") } else { String::new() };
        let answer = get(&portal, &format!("/log/tile/0/{index:03}{part}")).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/octet-stream"));
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(answer.bytes.len() as u64, 32 * width);
        leaves.extend(hashes(&answer.bytes).unwrap());
    }
    assert_eq!(range_root(leaves.as_slice(), 0, stated.size), Some(stated.root));
    let (index, leaf) = store::entry::following(&db.owner, 300, 1).await.unwrap().remove(0);
    let proof = inclusion_proof(leaves.as_slice(), index, stated.size).unwrap();
    assert!(includes(&stated.root, stated.size, index, leaf_hash(&leaf), &proof));

    let upper = get(&portal, "/log/tile/1/000.p/2").await;
    assert_eq!(hashes(&upper.bytes).unwrap()[1], range_root(leaves.as_slice(), 256, 512).unwrap());
    let part = get(&portal, "/log/tile/0/000.p/7").await;
    assert_eq!(hashes(&part.bytes).unwrap(), leaves[..7], "a part of a tile that is complete by now");
}

#[tokio::test]
async fn nothing_else_of_the_log_is_served_to_anybody() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    fill(&portal.log, 300).await;
    eventually(async || (portal.log.health().signed >= 300).then_some(())).await;
    for path in [
        "tile/entries/000",
        "tile/0/000.p/256",
        "tile/0/001",
        "tile/0/001.p/255",
        "tile/1/000",
        "tile/2/000.p/1",
        "tile/7/000.p/1",
        "tile/63/000.p/1",
        "tile/0/x999/x999/x999/x999/x999/999",
        "epoch-1/checkpoint",
        "epoch-1/tile/0/000",
        "entries",
        "tile/0/..%2f000",
        "tile/0/%30%30%30",
        "",
        "checkpoint/",
        "checkpoint?",
        "checkpoint?x=1",
        "tile/0/000?x",
    ] {
        let answer = get(&portal, &format!("/log/{path}")).await;
        assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::NOT_FOUND, "no-store"), "{path}");
    }
    let posted = portal
        .send(http::Request::post("/log/checkpoint").header("origin", "http://auth.demo.localhost:8080"), "")
        .await;
    assert_eq!(posted.status, StatusCode::METHOD_NOT_ALLOWED);
    let from_elsewhere = http::Request::get("/log/tile/0/000").header("sec-fetch-site", "cross-site");
    assert_eq!(portal.send(from_elsewhere, "").await.status, StatusCode::OK, "there is nothing to protect");
}

#[tokio::test]
async fn tiles_that_cannot_be_read_are_refused_for_now_and_not_for_ever() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    fill(&portal.log, 10).await;
    eventually(async || (portal.log.health().signed >= 10).then_some(())).await;
    db.cut_off().await;
    let answer = tokio::time::timeout(SOON, get(&portal, "/log/tile/0/000.p/9")).await.unwrap();
    assert!(answer.status.is_server_error());
    assert_eq!(answer.header("cache-control"), "no-store");
    db.restore().await;
}

#[tokio::test]
async fn a_network_that_asks_too_often_is_told_when_to_come_back() {
    let db = database().await;
    let portal = TestPortal::open(&db).await;
    fill(&portal.log, 3).await;
    let first = eventually(async || {
        let answer = get(&portal, "/log/checkpoint").await;
        (answer.status == StatusCode::OK).then_some(answer)
    });
    first.await;
    // The clock stands still here, so nothing is given back meanwhile.
    let mut refused = None;
    for _ in 0..1_000 {
        let answer = get(&portal, "/log/checkpoint").await;
        if answer.status != StatusCode::OK {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("an allowance ends");
    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "1"));
    let (admin, _) = portal.signed_in("grace", &["admins"]).await;
    assert_eq!(portal.get("/audit", &admin).await.status, StatusCode::OK, "the portal itself is not held back");
}
