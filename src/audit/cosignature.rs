//! A witness's word on a checkpoint: C2SP tlog-cosignature, Ed25519 with the time inside the signed message. It says that
//! the witness has seen no other history of the log under this origin, up to that size.
//!
//! A witness controls every byte of its answer: nothing in it counts but a signature by its own key over our own note.

use std::{fmt, str::FromStr};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

use super::checkpoint::{CheckpointFault, signature, split};
use crate::model::verifier_key::{self, WITNESS};

/// The public key of a witness, with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    name: String,
    public: [u8; 32],
}

/// A cosignature that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// The signature line, with its newline.
    pub line: String,
    /// When it was made, in seconds since 1970, by the witness's clock.
    pub at: u64,
}

impl Witness {
    /// What the witness calls itself.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first of `lines` that is this witness's cosignature of `note`. Lines by other keys are passed over; one that
    /// claims to be this witness's and does not hold is a fault.
    pub fn cosignature(&self, note: &str, lines: &str) -> Result<Option<Cosignature>, CheckpointFault> {
        let (text, _) = split(note)?;
        for line in lines.lines() {
            let (name, signed) = signature(line)?;
            let Some((id, stamped)) = signed.split_first_chunk() else { continue };
            if name != self.name || *id != self.id() {
                continue;
            }
            let bad = || CheckpointFault::BadSignature(self.to_string());
            let (at, signature) = stamped.split_first_chunk().ok_or_else(bad)?;
            let at = u64::from_be_bytes(*at);
            UnparsedPublicKey::new(&ED25519, &self.public)
                .verify(message(at, text).as_bytes(), signature)
                .map_err(|_| bad())?;
            return Ok(Some(Cosignature { line: format!("{line}\n"), at }));
        }
        Ok(None)
    }

    fn id(&self) -> [u8; 4] {
        verifier_key::id(&self.name, WITNESS, &self.public)
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&verifier_key::write(&self.name, WITNESS, &self.public))
    }
}

impl FromStr for Witness {
    type Err = CheckpointFault;

    fn from_str(text: &str) -> Result<Self, CheckpointFault> {
        let (name, public) = verifier_key::read(text, WITNESS).ok_or_else(|| CheckpointFault::Key(text.to_owned()))?;
        Ok(Self { name: name.to_owned(), public })
    }
}

/// What a witness signs: domain, time, and the whole text of the note.
fn message(at: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {at}\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::checkpoint::signature_line;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

    const NOTE: &str =
        "log.example\n2\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\u{2014} log.example AAAAAAAA\n";

    fn witness(seed: u8) -> (Ed25519KeyPair, Witness) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        (pair, Witness { name: "witness.example/w1".into(), public })
    }

    fn cosign(seed: u8, at: u64, stated: u64, note: &str) -> String {
        let (pair, witness) = witness(seed);
        let signature = pair.sign(message(at, split(note).unwrap().0).as_bytes());
        let stamped = [stated.to_be_bytes().as_slice(), signature.as_ref()].concat();
        signature_line(&witness.name, witness.id(), &stamped)
    }

    #[test]
    fn a_cosignature_counts_for_one_note_one_time_and_one_witness() {
        let (_, witness) = witness(1);
        let line = cosign(1, 1_700_000_000, 1_700_000_000, NOTE);
        let found = witness.cosignature(NOTE, &line).unwrap().unwrap();
        assert_eq!((found.at, &found.line), (1_700_000_000, &line));
        assert!(witness.cosignature(&NOTE.replace("\n2\n", "\n3\n"), &line).is_err(), "another note");
        assert!(witness.cosignature(NOTE, &cosign(1, 1, 2, NOTE)).is_err(), "another time");
        assert_eq!(witness.cosignature(NOTE, &cosign(2, 1, 1, NOTE)), Ok(None), "another witness");
        let among = format!("{}{line}", cosign(2, 1, 1, NOTE));
        assert!(witness.cosignature(NOTE, &among).unwrap().is_some());
        for junk in ["junk", "\u{2014} a", "\u{2014} a !"] {
            assert!(witness.cosignature(NOTE, junk).is_err(), "{junk}");
        }
        assert_eq!(witness.cosignature(NOTE, ""), Ok(None));
    }

    #[test]
    fn a_witness_key_is_no_log_key() {
        let (_, witness) = witness(1);
        let text = witness.to_string();
        assert_eq!(text.parse::<Witness>().unwrap(), witness);
        assert!(text.parse::<super::super::checkpoint::Verifier>().is_err());
        assert!("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse::<Witness>().is_err());
    }
}
