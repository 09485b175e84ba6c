//! The word of a key for the one that replaces it: its Ed25519 signature over a text that can be no checkpoint. Checkpoints
//! cover whatever stood in the database when they were signed, so none of these vouches for anybody.
//!
//! An attacker controls every byte of the entry that holds a voucher, and sees all that were ever made. INVARIANT: one that
//! holds was made by whoever has the retired key, for this log, this pair of keys and this epoch, and is good for no other.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::checkpoint::{CheckpointSigner, Verifier};

impl CheckpointSigner {
    /// Vouches for `active`, which signs from now on, in this epoch.
    pub fn vouch_for(&self, active: &Verifier, epoch: u64) -> String {
        BASE64.encode(self.sign_text(&text(self.verifier(), active, epoch)))
    }
}

impl Verifier {
    /// Whether this key has vouched for `active` with `voucher`, in this epoch.
    pub(super) fn has_vouched_for(&self, active: &Self, epoch: u64, voucher: &str) -> bool {
        let signature = BASE64.decode(voucher).unwrap_or_default();
        self.name() == active.name() && self.has_signed(&text(self, active, epoch), &signature)
    }
}

/// A checkpoint has the number of entries in its second line, and no log is called this.
fn text(retired: &Verifier, active: &Verifier, epoch: u64) -> String {
    format!("{}/next-key\n{retired}\n{active}\n{epoch}\n", retired.name())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::audit::checkpoint::Checkpoint;

    fn key(origin: &str, seed: u8) -> CheckpointSigner {
        CheckpointSigner::from_seed(origin, Uuid::nil(), &[seed; 32]).unwrap()
    }

    #[test]
    fn a_voucher_is_good_for_one_log_one_pair_of_keys_and_one_epoch() {
        let (old, new, other) = (key("log", 1), key("log", 2), key("log", 3));
        let voucher = old.vouch_for(new.verifier(), 4);
        let holds = |of: &CheckpointSigner, by: &CheckpointSigner, epoch, voucher: &str| {
            of.verifier().has_vouched_for(by.verifier(), epoch, voucher)
        };
        assert!(holds(&old, &new, 4, &voucher));
        for (of, by, epoch) in [(&old, &new, 3), (&old, &other, 4), (&other, &new, 4), (&new, &old, 4)] {
            assert!(!holds(of, by, epoch, &voucher), "{epoch}");
        }
        assert!(!holds(&key("log/epoch-4", 1), &key("log/epoch-4", 2), 4, &voucher));
        assert!(!holds(&old, &key("another", 2), 4, &old.vouch_for(key("another", 2).verifier(), 4)));
        for junk in [String::new(), "junk".to_owned(), voucher.replace('=', ""), format!("{voucher}\n")] {
            assert!(!holds(&old, &new, 4, &junk), "{junk:?}");
        }
    }

    #[test]
    fn a_voucher_is_no_checkpoint_and_a_checkpoint_no_voucher() {
        let (old, new) = (key("log", 1), key("log", 2));
        assert!(text(old.verifier(), new.verifier(), 0).parse::<Checkpoint>().is_err());
        let note = old.sign(0, 7, [9; 32]);
        let signature = BASE64.decode(note.trim_end().rsplit(' ').next().unwrap()).unwrap();
        assert!(!old.verifier().has_vouched_for(new.verifier(), 0, &BASE64.encode(&signature[4..])));
    }
}
