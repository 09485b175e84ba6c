//! `[keys]`: what the broker's own keys are wrapped with.

use super::SecretFile;

/// Where the wrapping key is.
#[derive(Clone, Debug)]
pub struct Keys {
    /// 32 bytes in base64, mode 0600. Back it up with the database: neither is worth anything without the other.
    pub wrapping_key_file: SecretFile,
}
