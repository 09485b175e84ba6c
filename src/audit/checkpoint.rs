//! A signed head of the log: a C2SP tlog-checkpoint in a C2SP signed-note, Ed25519. What an auditor keeps, to see later
//! that the log still continues it. Says nothing about how a key is kept, or whether a head was ever committed.
//!
//! An attacker controls every byte of a note that is read: nothing in it counts before a signature by a known key holds.

use std::{fmt, str::FromStr};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use uuid::Uuid;

use super::tree::Hash;
use crate::model::verifier_key::{self, LOG};

/// What a checkpoint states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log.
    pub origin: String,
    /// How many leaves it has.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

/// Why a checkpoint or a key was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointFault {
    /// Not a signed note.
    #[error("this is not a signed note: {0}")]
    Note(&'static str),
    /// The text of the note is not a checkpoint.
    #[error("the note's text is not a checkpoint")]
    Text,
    /// None of the signatures is by the key.
    #[error("it is not signed by {0}")]
    NotSigned(String),
    /// A signature claims to be by the key and is not.
    #[error("the signature by {0} does not hold")]
    BadSignature(String),
    /// Not a verifier key.
    #[error("`{0}` is not a verifier key (name+hash+key)")]
    Key(String),
    /// A name that no key may have.
    #[error("`{0}` cannot be the name of a log: it must not be empty or have a space or `+`")]
    Name(String),
}

/// Signs checkpoints of one log with one key.
pub struct CheckpointSigner {
    key: Uuid,
    pair: Ed25519KeyPair,
    verifier: Verifier,
}

/// A public key with the name of its log: what an auditor is given once, apart from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    public: [u8; 32],
}

impl CheckpointSigner {
    /// The signer of the log `origin`, from an Ed25519 seed; `key` is the row that keeps it.
    pub fn from_seed(origin: &str, key: Uuid, seed: &[u8; 32]) -> Result<Self, CheckpointFault> {
        let refused = || CheckpointFault::Key("an Ed25519 seed".to_owned());
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| refused())?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| refused())?;
        Ok(Self { key, pair, verifier: Verifier::new(origin, public)? })
    }

    /// The name of the log.
    pub fn origin(&self) -> &str {
        &self.verifier.name
    }

    /// The row of the key.
    pub const fn key(&self) -> Uuid {
        self.key
    }

    /// What to check its signatures with.
    pub const fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The signed note that states this head of an epoch.
    pub fn sign(&self, epoch: u64, size: u64, root: Hash) -> String {
        let verifier = self.verifier.of_epoch(epoch);
        let text = Checkpoint { origin: verifier.name.clone(), size, root }.to_string();
        format!("{text}\n{}", signature_line(&verifier.name, verifier.id(), &self.sign_text(&text)))
    }

    /// Its signature over `text`, which is a checkpoint's or can be none.
    pub(super) fn sign_text(&self, text: &str) -> Vec<u8> {
        self.pair.sign(text.as_bytes()).as_ref().to_vec()
    }
}

impl Verifier {
    /// The key `public` of the log `name`.
    pub fn new(name: &str, public: [u8; 32]) -> Result<Self, CheckpointFault> {
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+') {
            return Err(CheckpointFault::Name(name.to_owned()));
        }
        Ok(Self { name: name.to_owned(), public })
    }

    /// The name of the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same key under the name that the log has in an epoch: its own in the first, and `name/epoch-n` after it, so
    /// that whoever remembers checkpoints by their origin (C2SP tlog-witness) sees another log, and no equivocation.
    #[must_use]
    pub fn of_epoch(&self, epoch: u64) -> Self {
        Self { name: name_in_epoch(&self.name, epoch), public: self.public }
    }

    /// What `note` states, if this key signed it, in whichever epoch (C2SP signed-note, "Verifying").
    pub fn open(&self, note: &str) -> Result<Checkpoint, CheckpointFault> {
        let (text, signatures) = split(note)?;
        let epoch = text.lines().next().and_then(|origin| epoch_in_name(origin, &self.name)).unwrap_or(0);
        let verifier = self.of_epoch(epoch);
        let mut is_signed = false;
        for line in signatures.lines() {
            let (name, signed) = signature(line)?;
            let Some((id, signature)) = signed.split_first_chunk() else { return Err(MALFORMED) };
            if name != verifier.name || *id != verifier.id() {
                continue;
            }
            if !self.has_signed(text, signature) {
                return Err(CheckpointFault::BadSignature(self.to_string()));
            }
            is_signed = true;
        }
        if is_signed { text.parse() } else { Err(CheckpointFault::NotSigned(self.to_string())) }
    }

    /// Whether `signature` is this key's over `text`.
    pub(super) fn has_signed(&self, text: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(text.as_bytes(), signature).is_ok()
    }

    fn id(&self) -> [u8; 4] {
        verifier_key::id(&self.name, LOG, &self.public)
    }
}

impl Checkpoint {
    /// Which epoch of the log `name` it is from; none when it is another log's.
    pub fn epoch(&self, name: &str) -> Option<u64> {
        epoch_in_name(&self.origin, name)
    }
}

/// The origin of the log `name` in an epoch.
pub fn name_in_epoch(name: &str, epoch: u64) -> String {
    if epoch == 0 { name.to_owned() } else { format!("{name}{EPOCH}{epoch}") }
}

/// The epoch of the log `name` that `origin` names, in its one spelling.
fn epoch_in_name(origin: &str, name: &str) -> Option<u64> {
    let rest = origin.strip_prefix(name)?;
    if rest.is_empty() {
        return Some(0);
    }
    let number = rest.strip_prefix(EPOCH)?;
    number.parse().ok().filter(|epoch: &u64| *epoch > 0 && epoch.to_string() == number)
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&verifier_key::write(&self.name, LOG, &self.public))
    }
}

impl FromStr for Verifier {
    type Err = CheckpointFault;

    fn from_str(text: &str) -> Result<Self, CheckpointFault> {
        let (name, public) = verifier_key::read(text, LOG).ok_or_else(|| CheckpointFault::Key(text.to_owned()))?;
        Self::new(name, public)
    }
}

/// A line of signature, with its newline.
pub(super) fn signature_line(name: &str, id: [u8; 4], signature: &[u8]) -> String {
    format!("{MARK}{name} {}\n", BASE64.encode([id.as_slice(), signature].concat()))
}

impl fmt::Display for Checkpoint {
    /// The text that is signed, with its last newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, BASE64.encode(self.root))
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointFault;

    /// Lines after the third are extensions, which are allowed and not read.
    fn from_str(text: &str) -> Result<Self, CheckpointFault> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointFault::Text)?.split('\n');
        let mut line = || lines.next().filter(|line| !line.is_empty()).ok_or(CheckpointFault::Text);
        let (origin, size, root) = (line()?.to_owned(), line()?, line()?);
        let number: u64 = size.parse().map_err(|_| CheckpointFault::Text)?;
        let root = BASE64.decode(root).ok().and_then(|root| root.try_into().ok()).ok_or(CheckpointFault::Text)?;
        if number.to_string() != size || lines.any(str::is_empty) {
            return Err(CheckpointFault::Text);
        }
        Ok(Self { origin, size: number, root })
    }
}

/// A note as a file holds it: tools that wrote it may have left more newlines at its end. Refuses what is no signed note,
/// whoever signed it.
pub fn note_of_file(text: &str) -> Result<String, CheckpointFault> {
    let note = format!("{}\n", text.trim_end_matches('\n'));
    let (text, signatures) = split(&note)?;
    text.parse::<Checkpoint>()?;
    signatures.lines().try_for_each(|line| signature(line).map(drop))?;
    Ok(note)
}

/// `note` with the signature lines in `more`, which may be a note as well, that it does not have yet.
pub fn with_signatures(note: &str, more: &str) -> Result<String, CheckpointFault> {
    let (_, signatures) = split(note)?;
    let more = more.lines().filter(|line| line.starts_with(MARK));
    let new = more.filter(|line| !signatures.lines().any(|known| known == *line));
    Ok(new.fold(note.to_owned(), |note, line| note + line + "\n"))
}

/// The text of a note, with its last newline, and its signature lines.
pub(super) fn split(note: &str) -> Result<(&str, &str), CheckpointFault> {
    if note.len() > LONGEST_NOTE {
        return Err(CheckpointFault::Note("it is too long"));
    }
    if note.contains(|c: char| c < ' ' && c != '\n') {
        return Err(CheckpointFault::Note("it has a control character"));
    }
    let at = note.rfind("\n\n").ok_or(CheckpointFault::Note("no blank line before signatures"))?;
    match (note.get(..=at), note.get(at + 2..)) {
        (Some(text), Some(signatures)) if signatures.ends_with('\n') => Ok((text, signatures)),
        _ => Err(MALFORMED),
    }
}

/// The name and the bytes of a signature line.
pub(super) fn signature(line: &str) -> Result<(&str, Vec<u8>), CheckpointFault> {
    let (name, bytes) = line.strip_prefix(MARK).and_then(|line| line.split_once(' ')).ok_or(MALFORMED)?;
    Ok((name, BASE64.decode(bytes).map_err(|_| MALFORMED)?))
}

/// What stands between the log's name and the number of an epoch after the first.
const EPOCH: &str = "/epoch-";

/// What a signature line begins with: an em dash (U+2014) and a space.
const MARK: &str = "\u{2014} ";

const LONGEST_NOTE: usize = 64 * 1024;

const MALFORMED: CheckpointFault = CheckpointFault::Note("a signature line is malformed");

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(seed: u8) -> CheckpointSigner {
        CheckpointSigner::from_seed("auth.example/audit", Uuid::nil(), &[seed; 32]).unwrap()
    }

    #[test]
    fn a_file_may_end_in_more_newlines_and_must_be_a_note() {
        let note = signer(1).sign(0, 3, [7; 32]);
        for file in [note.clone(), format!("{note}\n"), note.trim_end().to_owned()] {
            assert_eq!(note_of_file(&file).unwrap(), note);
        }
        for junk in ["", "\n", "junk", "a\n1\n\n\u{2014} a b\n", &note.replace('3', "x")] {
            assert!(note_of_file(junk).is_err(), "{junk:?}");
        }
    }

    /// The example of Go's `golang.org/x/mod/sumdb/note`.
    #[test]
    fn the_key_and_the_note_of_the_reference_implementation_hold() {
        let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let note = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
                    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let verifier: Verifier = key.parse().unwrap();
        assert_eq!(verifier.to_string(), key);
        assert_eq!(verifier.open(note), Err(CheckpointFault::Text), "the signature holds, but it is no checkpoint");
        let forged = note.replace("your problem is", "your answer is");
        assert_eq!(verifier.open(&forged), Err(CheckpointFault::BadSignature(key.to_owned())));

        let seed = BASE64.decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz").unwrap();
        let signer = CheckpointSigner::from_seed("PeterNeumann", Uuid::nil(), seed[1..].try_into().unwrap()).unwrap();
        assert_eq!(*signer.verifier(), verifier);
    }

    #[test]
    fn what_was_signed_is_read_back_and_nothing_else() {
        let note = signer(1).sign(0, 7, [9; 32]);
        let stated = Checkpoint { origin: "auth.example/audit".into(), size: 7, root: [9; 32] };
        assert_eq!(signer(1).verifier().open(&note), Ok(stated.clone()));
        assert!(matches!(signer(2).verifier().open(&note), Err(CheckpointFault::NotSigned(_))));
        assert!(signer(1).verifier().open(&note.replace("\n7\n", "\n8\n")).is_err());

        let cosigned = format!("{note}\u{2014} witness.example AAAAAAAAAAA=\n");
        assert_eq!(signer(1).verifier().open(&cosigned), Ok(stated), "other signatures do not matter");
        for broken in
            ["", "\n\n", "a\n\n\n", note.trim_end(), &note.replace('\u{2014}', "-"), &note.replace('\n', "\r\n")]
        {
            assert!(signer(1).verifier().open(broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn one_key_opens_every_epoch_of_its_log_and_of_no_other() {
        let (first, second) = (signer(1).sign(0, 7, [9; 32]), signer(1).sign(2, 7, [8; 32]));
        assert!(second.starts_with("auth.example/audit/epoch-2\n7\n"));
        let opened = signer(1).verifier().open(&second).unwrap();
        assert_eq!((opened.root, opened.epoch("auth.example/audit")), ([8; 32], Some(2)));
        assert_eq!(signer(1).verifier().open(&first).unwrap().epoch("auth.example/audit"), Some(0));
        assert_eq!(opened.epoch("auth.example/aud"), None);

        // Whoever knows the log by its first name alone takes the second epoch for another log.
        let narrow: Verifier = signer(1).verifier().of_epoch(2).to_string().parse().unwrap();
        assert!(narrow.open(&second).is_ok() && narrow.open(&first).is_err());
        for other in ["/epoch-0", "/epoch-02", "/epoch-", "/epoch--2", "/epoch-2/epoch-2"] {
            assert_eq!(epoch_in_name(&format!("log{other}"), "log"), None, "{other}");
        }
        assert!(signer(1).verifier().open(&second.replace("epoch-2", "epoch-3")).is_err());
    }

    #[test]
    fn signatures_are_added_once() {
        let note = signer(1).sign(0, 7, [9; 32]);
        let more = "\u{2014} witness.example AAAAAAAAAAA=\n";
        let both = with_signatures(&note, more).unwrap();
        assert_eq!(both, format!("{note}{more}"));
        assert_eq!(with_signatures(&both, more).unwrap(), both);
        assert!(signer(1).verifier().open(&both).is_ok());
    }

    #[test]
    fn a_checkpoint_has_one_form() {
        let good = format!("log\n7\n{}\n", BASE64.encode([0; 32]));
        assert_eq!(good.parse::<Checkpoint>().unwrap().to_string(), good);
        for bad in [
            good.replace("\n7\n", "\n07\n"),
            good.replace("\n7\n", "\n-7\n"),
            good.replacen("log", "", 1),
            good.replace("A=", "="),
        ] {
            assert!(bad.parse::<Checkpoint>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn keys_that_cannot_be_are_refused() {
        let good = signer(1).verifier().to_string();
        assert_eq!(good.parse::<Verifier>().unwrap(), *signer(1).verifier());
        for bad in [good.replace("auth", "outh"), good.replace("+A", "+B"), "a+b".into(), String::new()] {
            assert!(bad.parse::<Verifier>().is_err(), "{bad:?}");
        }
        assert!(CheckpointSigner::from_seed("a log", Uuid::nil(), &[0; 32]).is_err());
    }
}
