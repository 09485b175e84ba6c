//! Verifier keys of C2SP signed-note: `name+hash+key`, where the hash of name and key keeps a slip of the pen from naming
//! another key. Pure form: what a key has signed is another room's affair.

use aws_lc_rs::digest::{Context, SHA256};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

/// The algorithm of whoever signs checkpoints: Ed25519.
pub const LOG: u8 = 1;

/// The algorithm of a witness: Ed25519 with a time (C2SP tlog-cosignature).
pub const WITNESS: u8 = 4;

/// The verifier key in text.
pub fn write(name: &str, algorithm: u8, public: &[u8; 32]) -> String {
    let key = BASE64.encode([&[algorithm], public.as_slice()].concat());
    format!("{name}+{}+{key}", hex::encode(id(name, algorithm, public)))
}

/// The name and the key in a verifier key of this algorithm; none when it is not one, or its hash is another key's.
pub fn read(text: &str, algorithm: u8) -> Option<(&str, [u8; 32])> {
    let mut parts = text.splitn(3, '+');
    let (name, hash, key) = (parts.next()?, parts.next()?, parts.next()?);
    let key = BASE64.decode(key).ok()?;
    let (&found, public) = key.split_first()?;
    let public: [u8; 32] = public.try_into().ok()?;
    (found == algorithm && hex::encode(id(name, algorithm, &public)) == hash).then_some((name, public))
}

/// SHA-256 of name, newline, algorithm and key: the first four bytes.
pub fn id(name: &str, algorithm: u8, public: &[u8; 32]) -> [u8; 4] {
    let mut context = Context::new(&SHA256);
    for part in [name.as_bytes(), b"\n", &[algorithm], public] {
        context.update(part);
    }
    context.finish().as_ref().first_chunk().copied().unwrap_or_default()
}
