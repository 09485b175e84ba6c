//! Opaque secrets: 256 random bits for whoever holds them, a SHA-256 for our tables. A copy of a table opens nothing.
//! Nothing is encoded in a secret, so that there is nothing to forge, and what is cut or lengthened is simply unknown.

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::model::Entropy;

/// 256 random bits, as 43 characters of base64url.
pub(super) fn fresh(entropy: &dyn Entropy) -> String {
    URL_SAFE_NO_PAD.encode(entropy.bytes::<32>())
}

/// SHA-256.
pub(super) fn hash(secret: impl AsRef<[u8]>) -> Vec<u8> {
    digest::digest(&digest::SHA256, secret.as_ref()).as_ref().to_vec()
}

/// Compares without telling by time where they differ.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    verify_slices_are_equal(one, other).is_ok()
}

/// The S256 challenge of a verifier (RFC 7636, section 4.2).
pub(super) fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(hash(verifier))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_rfc_7636_appendix_b() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
