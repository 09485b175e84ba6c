//! Wraps the broker's private keys for the database: AES-256-GCM under a key that the database never sees.
//!
//! What is wrapped is bound to its purpose and row, so that a wrapped key moved to another row does not open.
//! The wrapping key is read from its file at each use. Knows nothing about what the keys sign.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretBox, SecretSlice};
use uuid::Uuid;

use crate::{
    config::{SecretFault, SecretFile},
    model::Entropy,
};

/// Opens and closes wrapped keys.
#[derive(Clone, Debug)]
pub struct Wrapping {
    key_file: SecretFile,
}

/// Why a key could not be wrapped or unwrapped.
#[derive(Debug, thiserror::Error)]
pub enum WrappingFault {
    /// The wrapping key's file.
    #[error(transparent)]
    Secret(#[from] SecretFault),
    /// It does not hold 32 bytes in base64.
    #[error("the file does not hold 32 bytes in base64")]
    NotAKey,
    /// Another wrapping key was used, or what was stored has been changed.
    #[error("it does not open what is stored; is it the one that the keys were made with?")]
    DoesNotOpen,
    /// The cipher refused.
    #[error("the cipher refused")]
    Cipher,
}

/// The form of what is stored: this byte, a nonce of 96 bits, ciphertext and tag.
const VERSION: u8 = 1;
const NONCE: usize = 12;

impl Wrapping {
    /// With the key in this file.
    pub const fn new(key_file: SecretFile) -> Self {
        Self { key_file }
    }

    /// Whether the key can be read.
    pub fn check(&self) -> Result<(), WrappingFault> {
        self.key().map(|_| ())
    }

    /// Wraps `plain` for the row `id` of this purpose. Nonces are random: some few keys are ever wrapped.
    pub fn wrap(&self, purpose: &str, id: Uuid, plain: &[u8], entropy: &dyn Entropy) -> Result<Vec<u8>, WrappingFault> {
        let nonce: [u8; NONCE] = entropy.bytes();
        let mut sealed = plain.to_vec();
        self.key()?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound_to(purpose, id), &mut sealed)
            .map_err(|_| WrappingFault::Cipher)?;
        Ok([&[VERSION], nonce.as_slice(), &sealed].concat())
    }

    /// Unwraps what was wrapped for this very row and purpose.
    pub fn unwrap(&self, purpose: &str, id: Uuid, wrapped: &[u8]) -> Result<SecretSlice<u8>, WrappingFault> {
        let body = wrapped.strip_prefix(&[VERSION]).ok_or(WrappingFault::DoesNotOpen)?;
        let (nonce, sealed) = body.split_first_chunk::<NONCE>().ok_or(WrappingFault::DoesNotOpen)?;
        let mut sealed = sealed.to_vec();
        let plain = self
            .key()?
            .open_in_place(Nonce::assume_unique_for_key(*nonce), bound_to(purpose, id), &mut sealed)
            .map_err(|_| WrappingFault::DoesNotOpen)?;
        let length = plain.len();
        sealed.truncate(length);
        Ok(SecretBox::from(sealed))
    }

    /// A secret for `purpose` that nobody has without the wrapping key (HKDF-SHA-256, RFC 5869). It stays the same for as long
    /// as that does.
    pub fn derive(&self, purpose: &str) -> Result<SecretBox<[u8; 32]>, WrappingFault> {
        let bytes = self.bytes()?;
        let info = [b"bailiwick secret\0", purpose.as_bytes()];
        let mut secret = SecretBox::new(Box::new([0; 32]));
        Salt::new(HKDF_SHA256, &[])
            .extract(bytes.expose_secret())
            .expand(&info, HKDF_SHA256)
            .and_then(|output| output.fill(secret.expose_secret_mut()))
            .map_err(|_| WrappingFault::Cipher)?;
        Ok(secret)
    }

    fn key(&self) -> Result<LessSafeKey, WrappingFault> {
        let key = UnboundKey::new(&AES_256_GCM, self.bytes()?.expose_secret()).map_err(|_| WrappingFault::NotAKey)?;
        Ok(LessSafeKey::new(key))
    }

    fn bytes(&self) -> Result<SecretSlice<u8>, WrappingFault> {
        let text = self.key_file.read()?;
        let bytes = STANDARD.decode(text.expose_secret().trim()).map_err(|_| WrappingFault::NotAKey)?;
        if bytes.len() != 32 {
            return Err(WrappingFault::NotAKey);
        }
        Ok(SecretSlice::from(bytes))
    }
}

fn bound_to(purpose: &str, id: Uuid) -> Aad<Vec<u8>> {
    Aad::from([b"bailiwick key\0", purpose.as_bytes(), b"\0", id.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;
    use crate::model::SeededEntropy;

    fn wrapping(key: &str) -> (tempfile::NamedTempFile, Wrapping) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), key).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600)).unwrap();
        let wrapping = Wrapping::new(SecretFile::private(file.path()));
        (file, wrapping)
    }

    #[test]
    fn a_wrapped_key_opens_only_in_its_own_row_unchanged_and_with_the_same_wrapping_key() {
        let (_file, wrapping) = wrapping(&STANDARD.encode([7; 32]));
        let id = Uuid::from_u128(1);
        let wrapped = wrapping.wrap("authority", id, b"secret", &SeededEntropy::new(1)).unwrap();
        assert_eq!(wrapping.unwrap("authority", id, &wrapped).unwrap().expose_secret(), b"secret");
        assert!(!wrapped.windows(6).any(|w| w == b"secret"));

        assert!(wrapping.unwrap("checkpoint", id, &wrapped).is_err());
        assert!(wrapping.unwrap("authority", Uuid::from_u128(2), &wrapped).is_err());
        for at in 0..wrapped.len() {
            let mut bent = wrapped.clone();
            bent[at] ^= 1;
            assert!(wrapping.unwrap("authority", id, &bent).is_err(), "byte {at}");
            assert!(wrapping.unwrap("authority", id, &wrapped[..at]).is_err(), "cut at {at}");
        }
        let (_other_file, other) = self::wrapping(&STANDARD.encode([8; 32]));
        assert!(matches!(other.unwrap("authority", id, &wrapped), Err(WrappingFault::DoesNotOpen)));
    }

    #[test]
    fn only_32_bytes_in_base64_are_a_wrapping_key() {
        for bad in [STANDARD.encode([7; 31]), STANDARD.encode([7; 33]), "not base64!".to_owned()] {
            assert!(matches!(wrapping(&bad).1.check(), Err(WrappingFault::NotAKey)), "{bad}");
        }
    }
}
