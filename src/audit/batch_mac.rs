//! A batch's id is a MAC over what the batch makes of the log, under a key that the database never sees. So a broker knows
//! the batches of other brokers from those that the database's owner adds, and neither builds on such a one nor signs it.
//! Leaves where the key comes from to others: every broker of a log has it, and the commands that add entries.

use std::fmt;

use aws_lc_rs::hmac;
use uuid::Builder;

use super::tree::Hash;
use crate::model::{BatchId, Timestamp};

/// The key that all brokers of a log share.
#[derive(Clone)]
pub struct BatchMac(hmac::Key);

impl BatchMac {
    /// From a secret.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The id of the batch that brings the log `origin` to this head: HMAC-SHA-256 (RFC 2104), of which a UUID of version 8
    /// (RFC 9562, section 5.8) has room for 122 bits.
    pub(super) fn id(&self, origin: &str, (epoch, size, root): (u64, u64, Hash), recorded_at: Timestamp) -> BatchId {
        let mut mac = hmac::Context::with_key(&self.0);
        mac.update(PURPOSE);
        mac.update(&(origin.len() as u64).to_be_bytes());
        mac.update(origin.as_bytes());
        mac.update(&epoch.to_be_bytes());
        mac.update(&size.to_be_bytes());
        mac.update(&root);
        mac.update(&recorded_at.micros().to_be_bytes());
        let tag = mac.sign();
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(tag.as_ref()).for_each(|(byte, tag)| *byte = *tag);
        BatchId::from_uuid(Builder::from_custom_bytes(bytes).into_uuid())
    }
}

impl fmt::Debug for BatchMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BatchMac(..)")
    }
}

/// Nothing else is ever authenticated under the key.
const PURPOSE: &[u8] = b"bailiwick audit batch\0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_binds_key_log_epoch_size_root_and_time() {
        let id =
            |key: u8, origin: &str, head, at| BatchMac::new(&[key; 32]).id(origin, head, Timestamp::from_micros(at));
        let own = id(1, "log", (0, 3, [4; 32]), 5);
        assert_eq!(own, id(1, "log", (0, 3, [4; 32]), 5));
        for other in [
            id(2, "log", (0, 3, [4; 32]), 5),
            id(1, "loh", (0, 3, [4; 32]), 5),
            id(1, "log", (1, 3, [4; 32]), 5),
            id(1, "log", (0, 2, [4; 32]), 5),
            id(1, "log", (0, 3, [5; 32]), 5),
            id(1, "log", (0, 3, [4; 32]), 6),
        ] {
            assert_ne!(own, other);
        }
        assert_eq!(own.uuid().get_version_num(), 8);
    }
}
