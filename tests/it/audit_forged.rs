//! Bundles that nobody but the owner of a key, or of the log's database, can make: signatures, notes, entries and
//! successions that are almost right. The binary and the independent verifier refuse each, and take the sound ones.

use bailiwick::{
    audit::{
        Entry, Event,
        bundle::{Kept, check},
        checkpoint::CheckpointSigner,
        entry::Salt,
        tree::{Edge, leaf_hash},
    },
    model::{BrokerId, SystemEntropy, Timestamp},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    audit_bundle::{python, verdicts_of_python},
    support::{audit::ORIGIN, ledger::cli},
};

#[test]
fn a_signature_and_a_note_have_one_form() {
    let sound = Story::default().entries(3);
    let note = sound.note(1, 0);
    let signature = |change: &dyn Fn(&mut Vec<u8>)| sound.bundle(&with_signature(&note, change));
    let stated = |text: String| sound.bundle(&signed(1, ORIGIN, &text));
    let root = BASE64.encode(sound.edge.root());
    let text = format!("{ORIGIN}\n3\n{root}\n");
    let named = |name: &str| sound.bundle(&signed(1, name, &format!("{name}\n3\n{root}\n")));
    let order: [u8; 32] = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap()[..]
        .try_into()
        .unwrap();
    let padded = note.rfind("=\n").unwrap();
    let (kept, last) = (&note[..padded - 1], note.as_bytes()[padded - 1]);
    agree(&[
        ("as it was", sound.bundle(&note), vec![], 0),
        ("in an epoch that no entry began", sound.bundle(&sound.note(1, 12)), vec![], 1),
        ("with an extension", stated(format!("{ORIGIN}\n3\n{root}\nmore\n")), vec![], 0),
        (
            "with another's signature",
            sound.bundle(&format!("{note}\u{2014} witness.example AAAAAAAAAAA=\n")),
            vec![],
            0,
        ),
        ("another spelling of base64", sound.bundle(&format!("{kept}{}=\n", char::from(last + 1))), vec![], 1),
        ("a key hash that is another's", signature(&|raw| raw[0] ^= 1), vec![], 1),
        ("a name that is another's", sound.bundle(&note.replace("\u{2014} auth", "\u{2014} auht")), vec![], 1),
        ("in another's name", sound.bundle(&signed(1, "witness.example", &text)), vec![], 1),
        ("a byte more", signature(&|raw| raw.push(0)), vec![], 1),
        ("a byte less", signature(&|raw| raw.truncate(67)), vec![], 1),
        ("S not below the order of the group", signature(&|raw| add(&mut raw[36..], &order)), vec![], 1),
        ("the sign of R", signature(&|raw| raw[35] ^= 0x80), vec![], 1),
        ("a size in another spelling", stated(format!("{ORIGIN}\n03\n{root}\n")), vec![], 1),
        ("an empty line", stated(format!("{ORIGIN}\n3\n{root}\n\nmore\n")), vec![], 1),
        ("an epoch in another spelling", named(&format!("{ORIGIN}/epoch-02")), vec![], 1),
        ("epoch zero", named(&format!("{ORIGIN}/epoch-0")), vec![], 1),
        ("another log", named("other.example/audit"), vec![], 1),
    ]);
}

#[tokio::test]
async fn a_verifier_key_has_one_form() {
    let sound = Story::default().entries(1);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, sound.bundle(&sound.note(1, 0))).unwrap();
    let key = key(1).verifier().to_string();
    let public = BASE64.decode(key.rsplit('+').next().unwrap()).unwrap();
    let short = verifier(ORIGIN, &public[..32]);
    let other = verifier(ORIGIN, &[&[2], &public[1..]].concat());
    let stranger = verifier("other.example/audit", &public);
    for (key, code) in [
        (key.as_str(), 0),
        (&key.replacen('+', "+0", 1), 2),
        (&key.replace("auth", "auht"), 2),
        (&short, 2),
        (&other, 2),
        (&stranger, 1),
    ] {
        let arguments = [file.path().to_str().unwrap(), "--key", key];
        let said = cli(&[&["audit", "verify", "--bundle"], &arguments[..]].concat()).await;
        assert_eq!((said.code, python(&arguments).0), (code, code), "{key}: {said:?}");
    }
}

#[test]
fn a_line_and_an_entry_have_one_reading() {
    let sound = Story::default().entries(3);
    let lines = sound.bundle(&sound.note(1, 0));
    let leaf = |leaf: &str| {
        let story = sound.clone().leaf(leaf);
        story.bundle(&story.note(1, 0))
    };
    let with = |line: Value| {
        let story = sound.clone().line(&line.to_string());
        story.bundle(&story.note(1, 0))
    };
    let nothing = json!({"skipped": {"from": 3, "until": 3, "hashes": []}});
    let back = json!({"skipped": {"from": 3, "until": 2, "hashes": []}});
    agree(&[
        ("as it was", lines.clone(), vec![], 0),
        ("an unknown kind of entry", leaf("\u{1}{\"event\":{\"kind\":\"new\"}}"), vec![], 0),
        ("another version", leaf("\u{2}{\"event\":{\"kind\":\"new\"}}"), vec![], 1),
        ("a space", leaf("\u{1}{\"event\": {\"kind\":\"new\"}}"), vec![], 1),
        ("members out of order", leaf("\u{1}{\"event\":{\"kind\":\"new\",\"a\":1}}"), vec![], 1),
        ("two events", leaf("\u{1}{\"event\":{\"kind\":\"old\"},\"event\":{\"kind\":\"new\"}}"), vec![], 1),
        ("an index twice", lines.replacen("\"index\":1,", "\"index\":1,\"index\":1,", 1), vec![], 2),
        ("nothing skipped", with(nothing), vec![], 1),
        ("less than nothing skipped", with(back), vec![], 1),
    ]);
}

#[test]
fn a_key_counts_only_if_one_that_counts_has_signed_the_entry_that_names_it() {
    let sound = Story::default().entries(2).rotated(1, 2).noted(1, 0).entries(1);
    let early = Story::default().entries(2).noted(1, 0).rotated(1, 2).entries(1);
    let strangers = Story::default().entries(2).rotated(3, 2).noted(3, 0).entries(1);
    let own = Story::default().entries(2).rotated(1, 2).noted(2, 0).entries(1);
    let line = Story::default().rotated(1, 2).rotated(2, 3).noted(1, 0).noted(2, 0).entries(1);
    let junk = Story::default().renamed("junk", "more of it", None).entries(1);
    let ends = |story: &Story, seed| story.bundle(&story.note(seed, 0));
    agree(&[
        ("vouched for", ends(&sound, 2), vec![], 0),
        ("by itself", ends(&own, 2), vec![], 1),
        ("before it is named", ends(&early, 2), vec![], 1),
        ("by a stranger", ends(&strangers, 2), vec![], 1),
        ("one after the other", ends(&line, 3), vec![], 0),
        ("keys that are none", ends(&junk, 1), vec![], 1),
    ]);
}

/// The broker's key, 1, has signed over whatever its database's owner wrote into it; 9 is the owner's.
#[test]
fn no_entry_replaces_a_key_without_the_word_of_that_key_for_this_log_this_pair_and_this_epoch() {
    let word = |from: u8, to: u8, epoch| key(from).vouch_for(key(to).verifier(), epoch);
    let end = |story: Story, seed, epoch| {
        let story = story.noted(1, epoch).entries(1);
        story.bundle(&story.note(seed, epoch))
    };
    let start = || Story::default().entries(2);
    let moved = || start().rotated(1, 2).noted(1, 0);
    let cut = || start().began(1, 2, 9);
    let elsewhere = {
        let key = |seed| CheckpointSigner::from_seed("elsewhere", Uuid::nil(), &[seed; 32]).unwrap();
        key(1).vouch_for(key(9).verifier(), 0)
    };
    let signature = |note: &str| {
        let raw = BASE64.decode(note.trim_end().rsplit(' ').next().unwrap()).unwrap();
        BASE64.encode(&raw[4..])
    };
    agree(&[
        ("its own word", end(start().rotated(1, 9), 9, 0), vec![], 0),
        ("none", end(start().unvouched(1, 9), 9, 0), vec![], 1),
        ("none, and nobody has signed with it yet", end(start().unvouched(1, 9), 1, 0), vec![], 1),
        ("the other's word", end(start().vouched(1, 9, &word(9, 9, 0)), 1, 0), vec![], 1),
        ("its word for another", end(start().vouched(1, 9, &word(1, 2, 0)), 1, 0), vec![], 1),
        ("its word in another log", end(start().vouched(1, 9, &elsewhere), 1, 0), vec![], 1),
        ("its word in another epoch", end(start().vouched(1, 9, &word(1, 9, 1)), 1, 0), vec![], 1),
        ("its word, in the epoch after", end(cut().vouched(1, 9, &word(1, 9, 1)), 9, 1), vec![], 0),
        ("its word of the epoch before", end(cut().vouched(1, 9, &word(1, 9, 0)), 1, 1), vec![], 1),
        ("a checkpoint that it signed", end(start().vouched(1, 9, &signature(&start().note(1, 0))), 1, 0), vec![], 1),
        ("no base64", end(start().vouched(1, 9, "="), 1, 0), vec![], 1),
        ("not even text", end(start().vouched(1, 9, ""), 1, 0), vec![], 1),
        ("its word, once more", end(moved().rotated(1, 2), 2, 0), vec![], 1),
        ("its word, after it was replaced", end(moved().rotated(1, 9), 9, 0), vec![], 1),
        ("none, after one that had it", end(moved().unvouched(2, 1), 2, 0), vec![], 1),
        ("a line of its own", end(start().rotated(9, 8), 1, 0), vec![], 1),
        ("a key that it says came before", end(start().rotated(9, 1), 1, 0), vec![], 0),
        ("a line after keys were lost", end(start().lost(1, 9).vouched(9, 8, &word(9, 8, 1)), 1, 1), vec![], 1),
    ]);
}

#[test]
fn a_cut_forgives_what_it_covers_and_only_in_an_epoch_that_a_key_signed() {
    let cut = |at: u64, epoch: u64| Story::default().entries(4).began(epoch, at, 9).entries(1);
    let end = |story: &Story, epoch| story.bundle(&story.note(1, epoch));
    let (sound, elsewhere, third) = (cut(4, 1), cut(3, 1), cut(4, 3));
    let lost = |epoch, size, root| vec![key(1).sign(epoch, size, [root; 32])];
    agree(&[
        ("lost", end(&sound, 1), lost(0, 8, 1), 0),
        ("the last that was lost", end(&sound, 1), lost(0, 9, LOST), 0),
        ("another of the size of the last", end(&sound, 1), lost(0, 9, 1), 2),
        ("more than was lost", end(&sound, 1), lost(0, 10, LOST), 2),
        ("another where the walk has been", end(&sound, 1), lost(0, 4, 1), 0),
        ("of the epoch itself", end(&sound, 1), lost(1, 4, 1), 1),
        ("of the epoch before", end(&third, 3), lost(2, 4, 1), 0),
        ("the epoch was not signed", end(&sound, 0), lost(0, 4, 1), 1),
        ("a cut at another place", end(&elsewhere, 1), lost(0, 4, 1), 1),
        ("no cut", end(&Story::default().entries(5), 1), lost(0, 4, 1), 1),
        ("a fork beside silence", end(&Story::default().entries(5), 1), [lost(0, 9, 1), lost(0, 4, 1)].concat(), 1),
    ]);
}

/// Both verifiers, with the first key and the kept notes, say of each file what is expected of it.
fn agree(table: &[(&str, String, Vec<String>, i32)]) {
    let (folder, known) = (tempfile::tempdir().unwrap(), key(1).verifier().clone());
    let write = |name: String, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mut calls = Vec::new();
    for (nth, (_, file, kept, _)) in table.iter().enumerate() {
        let mut call = vec![write(nth.to_string(), file), "--key".to_owned(), known.to_string()];
        for (at, note) in kept.iter().enumerate() {
            call.extend(["--checkpoint".to_owned(), write(format!("{nth}-{at}"), note)]);
        }
        calls.push(call);
    }
    for ((what, file, kept, expected), theirs) in table.iter().zip(verdicts_of_python(&calls)) {
        let said = check(&mut file.as_bytes(), &Kept { keys: vec![known.clone()], checkpoints: kept.clone() });
        let ours = said.as_ref().map_or_else(|broken| if broken.is_unseen() { 2 } else { 1 }, |_| 0);
        assert_eq!((ours, theirs), (*expected, *expected), "{what}: {said:?}");
    }
}

/// A log as its owner might have written it.
#[derive(Clone, Default)]
struct Story {
    lines: String,
    edge: Edge,
}

impl Story {
    fn entries(self, count: u64) -> Self {
        (0..count).fold(self, |story, _| story.event(Event::BrokerStopped {}))
    }

    /// One key replaces another, with its word for it, in the first epoch.
    fn rotated(self, from: u8, to: u8) -> Self {
        self.vouched(from, to, &key(from).vouch_for(key(to).verifier(), 0))
    }

    fn vouched(self, from: u8, to: u8, voucher: &str) -> Self {
        self.renamed(&key(from).verifier().to_string(), &key(to).verifier().to_string(), Some(voucher))
    }

    /// As it was before there were vouchers.
    fn unvouched(self, from: u8, to: u8) -> Self {
        self.renamed(&key(from).verifier().to_string(), &key(to).verifier().to_string(), None)
    }

    fn renamed(self, retired: &str, active: &str, voucher: Option<&str>) -> Self {
        let (retired, active, voucher) = (retired.to_owned(), active.to_owned(), voucher.map(str::to_owned));
        self.event(Event::KeyRotated { retired, active, voucher, by: None })
    }

    /// Says that an epoch began at a place, and that so many entries had been published, to a root of [`LOST`].
    fn began(self, epoch: u64, size: u64, published_size: u64) -> Self {
        let (root, published_root) = (hex::encode(self.edge.root()), hex::encode([LOST; 32]));
        let (by, why) = ("Ada".to_owned(), "lost".to_owned());
        self.event(Event::EpochBegan {
            epoch,
            size,
            root,
            published_size,
            published_root,
            by,
            why,
            key: None,
            lost: None,
        })
    }

    /// An epoch begins here with a key that nobody vouches for.
    fn lost(self, epoch: u64, seed: u8) -> Self {
        let (root, size) = (hex::encode(self.edge.root()), self.edge.size());
        let (by, why, key) = ("Ada".to_owned(), "lost".to_owned(), Some(key(seed).verifier().to_string()));
        let published_root = root.clone();
        self.event(Event::EpochBegan { epoch, size, root, published_size: 0, published_root, by, why, key, lost: None })
    }

    fn event(self, event: Event) -> Self {
        let (at, broker) = (Timestamp::from_micros(1), BrokerId::random(&SystemEntropy));
        let entry =
            Entry { broker, caller: None, event, happened_at: at, recorded_at: at, request: None, salt: Salt([1; 16]) };
        self.leaf(&String::from_utf8(entry.leaf().unwrap()).unwrap())
    }

    fn leaf(mut self, leaf: &str) -> Self {
        let line = json!({"entry": {"index": self.edge.size(), "leaf": leaf}});
        self.edge.append(leaf_hash(leaf.as_bytes()));
        self.line(&line.to_string())
    }

    /// A checkpoint of what came so far.
    fn noted(self, seed: u8, epoch: u64) -> Self {
        let line = json!({"checkpoint": {"note": self.note(seed, epoch)}});
        self.line(&line.to_string())
    }

    fn line(mut self, line: &str) -> Self {
        self.lines += line;
        self.lines += "\n";
        self
    }

    fn note(&self, seed: u8, epoch: u64) -> String {
        key(seed).sign(epoch, self.edge.size(), self.edge.root())
    }

    fn bundle(&self, note: &str) -> String {
        let header = json!({"bundle": {"version": 1, "origin": ORIGIN, "keys": [], "checkpoint": note}});
        format!("{header}\n{}", self.lines)
    }
}

/// The root of what was lost, in every byte.
const LOST: u8 = 9;

fn key(seed: u8) -> CheckpointSigner {
    CheckpointSigner::from_seed(ORIGIN, Uuid::nil(), &[seed; 32]).unwrap()
}

/// A verifier key with a hash that fits it, whatever it is.
fn verifier(name: &str, key: &[u8]) -> String {
    format!("{name}+{}+{}", hex::encode(&key_hash(name, key)[..4]), BASE64.encode(key))
}

fn key_hash(name: &str, key: &[u8]) -> Vec<u8> {
    let text = [name.as_bytes(), b"\n", key].concat();
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &text).as_ref().to_vec()
}

/// A note with any text at all, signed in any name.
fn signed(seed: u8, name: &str, text: &str) -> String {
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let id = key(seed).verifier().to_string();
    let public = BASE64.decode(id.rsplit('+').next().unwrap()).unwrap();
    let raw = [&key_hash(name, &public)[..4], pair.sign(text.as_bytes()).as_ref()].concat();
    format!("{text}\n\u{2014} {name} {}\n", BASE64.encode(raw))
}

/// The note with its signature, key hash before it, changed.
fn with_signature(note: &str, change: &dyn Fn(&mut Vec<u8>)) -> String {
    let (head, signature) = note.trim_end().rsplit_once(' ').unwrap();
    let mut raw = BASE64.decode(signature).unwrap();
    change(&mut raw);
    format!("{head} {}\n", BASE64.encode(raw))
}

/// Adds numbers, least byte first.
fn add(to: &mut [u8], what: &[u8]) {
    let mut carry = 0;
    for (to, what) in to.iter_mut().zip(what) {
        let sum = u16::from(*to) + u16::from(*what) + carry;
        *to = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
}
