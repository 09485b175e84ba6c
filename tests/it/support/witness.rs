//! A witness for tests: a stand-in of our own that keeps to C2SP tlog-witness (add-checkpoint) to the letter, statuses
//! included. It shares the tree's arithmetic with the product, and nothing else.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use aws_lc_rs::{
    digest,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use bailiwick::audit::{
    checkpoint::{Checkpoint, Verifier},
    tree::{Hash, continues, empty_root},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// A witness that runs.
pub struct TestWitness {
    pub address: SocketAddr,
    pub key: String,
    state: Arc<Inner>,
}

struct Inner {
    name: &'static str,
    pair: Ed25519KeyPair,
    logs: Mutex<HashMap<String, Known>>,
    statuses: Mutex<Vec<u16>>,
}

/// A log that it knows.
pub struct Known {
    pub keys: Vec<Verifier>,
    pub size: u64,
    pub root: Hash,
}

type Answer = (StatusCode, [(&'static str, &'static str); 1], String);

impl TestWitness {
    /// Starts one that knows the log of each of `keys`.
    pub async fn start(name: &'static str, keys: &[Verifier]) -> Self {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(&digest::digest(&digest::SHA256, name.as_bytes()).as_ref()[..32]);
        let pair = pair.unwrap();
        let public = [&[4], pair.public_key().as_ref()].concat();
        let key = format!("{name}+{}+{}", hex::encode(id(name, &public)), STANDARD.encode(&public));
        let logs = Mutex::default();
        let state = Arc::new(Inner { name, pair, logs, statuses: Mutex::default() });
        let router = Router::new().route("/prefix/add-checkpoint", post(add)).with_state(Arc::clone(&state));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let witness = Self { address, key, state };
        keys.iter().for_each(|key| witness.learn(key.name(), std::slice::from_ref(key)));
        witness
    }

    /// Takes up a log, of which it has seen nothing yet.
    pub fn learn(&self, origin: &str, keys: &[Verifier]) {
        let known = Known { keys: keys.to_vec(), size: 0, root: empty_root() };
        self.state.logs.lock().unwrap().insert(origin.to_owned(), known);
    }

    /// What it has cosigned last of a log.
    pub fn seen(&self, origin: &str) -> (u64, Hash) {
        self.state.logs.lock().unwrap().get(origin).map(|known| (known.size, known.root)).unwrap()
    }

    /// Lets it have seen something else.
    pub fn pretend(&self, origin: &str, size: u64, root: Hash) {
        let mut logs = self.state.logs.lock().unwrap();
        let known = logs.get_mut(origin).unwrap();
        (known.size, known.root) = (size, root);
    }

    /// Every status that it gave.
    pub fn statuses(&self) -> Vec<u16> {
        self.state.statuses.lock().unwrap().clone()
    }

    /// Its submission prefix.
    pub fn url(&self) -> String {
        format!("http://{}/prefix/", self.address)
    }
}

async fn add(State(state): State<Arc<Inner>>, body: Bytes) -> Answer {
    let answer =
        judge(&state, &body).unwrap_or_else(|status| (status, [("content-type", "text/plain")], String::new()));
    state.statuses.lock().unwrap().push(answer.0.as_u16());
    answer
}

fn judge(state: &Inner, body: &[u8]) -> Result<Answer, StatusCode> {
    let bad = StatusCode::BAD_REQUEST;
    let body = std::str::from_utf8(body).map_err(|_| bad)?;
    let (head, note) = body.split_once("\n\n").ok_or(bad)?;
    let mut lines = head.split('\n');
    let old = lines.next().and_then(|line| line.strip_prefix("old ")).ok_or(bad)?;
    let size: u64 = old.parse().map_err(|_| bad)?;
    let hash = |line: &str| STANDARD.decode(line).ok().and_then(|hash| Hash::try_from(hash).ok()).ok_or(bad);
    let proof = lines.map(hash).collect::<Result<Vec<_>, _>>()?;
    if size.to_string() != old || proof.len() > 63 || size == 0 && !proof.is_empty() {
        return Err(bad);
    }
    let (text, _) = note.split_once("\n\n").ok_or(bad)?;
    let text = format!("{text}\n");
    let stated: Checkpoint = text.parse().map_err(|_| bad)?;

    let mut logs = state.logs.lock().unwrap();
    let known = logs.get_mut(&stated.origin).ok_or(StatusCode::NOT_FOUND)?;
    if !known.keys.iter().any(|key| key.open(note).is_ok()) {
        return Err(StatusCode::FORBIDDEN);
    }
    if size > stated.size {
        return Err(bad);
    }
    if size != known.size {
        return Ok((StatusCode::CONFLICT, [("content-type", "text/x.tlog.size")], format!("{}\n", known.size)));
    }
    if size == stated.size && known.root != stated.root {
        return Ok((StatusCode::CONFLICT, [("content-type", "text/x.tlog.size")], format!("{}\n", known.size)));
    }
    if size > 0 && !continues(&known.root, size, &stated.root, stated.size, &proof) {
        return Err(StatusCode::UNPROCESSABLE_ENTITY);
    }
    (known.size, known.root) = (stated.size, stated.root);
    Ok((StatusCode::OK, [("content-type", "text/plain")], state.cosign(&text)))
}

impl Inner {
    fn cosign(&self, text: &str) -> String {
        let at = 1_700_000_000_u64;
        let signature = self.pair.sign(format!("cosignature/v1\ntime {at}\n{text}").as_bytes());
        let public = [&[4], self.pair.public_key().as_ref()].concat();
        let signed = [&id(self.name, &public)[..], &at.to_be_bytes(), signature.as_ref()].concat();
        // Another key's line comes first, as the specification allows.
        let stranger = STANDARD.encode([7; 76]);
        format!("\u{2014} other.example {stranger}\n\u{2014} {} {}\n", self.name, STANDARD.encode(signed))
    }
}

fn id(name: &str, public: &[u8]) -> [u8; 4] {
    let hash = digest::digest(&digest::SHA256, &[name.as_bytes(), b"\n", public].concat());
    hash.as_ref()[..4].try_into().unwrap()
}
