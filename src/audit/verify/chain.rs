//! Which checkpoints count, in a log that lived on: keys that a trusted key has vouched for, and checkpoints of an epoch
//! that an operator has given up. Pure; the fold hands in what it finds on its way.
//!
//! INVARIANT: nothing that the database's owner can write makes a key trusted or a conflict forgiven. A key is vouched for
//! by a trusted key's own signature over it, in an entry under a checkpoint of that key; the checkpoint alone says no more
//! than that the entry stood in the database. A cut is forgiven by an entry in an epoch that such a key signed.

use serde::Serialize;

use super::{
    line::{Line, Link},
    report::Broken,
};
use crate::audit::{
    Event,
    checkpoint::{Checkpoint, Verifier},
};

/// See the head of this file.
pub(in crate::audit) struct Chain {
    origin: String,
    trusted: Vec<Verifier>,
    /// Keys that may have signed, and that nobody has vouched for yet.
    strangers: Vec<Verifier>,
    line: Line,
    /// Keys that a trusted one has replaced: what they signed before is no surprise, and proves nothing by itself.
    retired: Vec<Verifier>,
    /// The first checkpoint by each key that was not trusted when it came.
    unvouched: Vec<(Verifier, u64)>,
    cuts: Vec<Cut>,
    /// The newest epoch in which a trusted key has signed what the entries give.
    signed_epoch: u64,
    /// Checkpoints that the entries contradict, and that a cut may explain.
    conflicts: Vec<(Stated, Broken)>,
}

/// A place where the log's past was cut, and somebody accepted it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// The epoch that began there.
    pub epoch: u64,
    /// How many entries it went on from.
    pub size: u64,
    /// How many had been published.
    pub published: u64,
    /// The root that had been published, in hex.
    pub root: String,
    /// Who accepted it.
    pub by: String,
    /// Why.
    pub why: String,
}

/// A checkpoint that some key signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::audit) struct Stated {
    /// What it states.
    pub(in crate::audit) checkpoint: Checkpoint,
    /// In which epoch.
    pub(in crate::audit) epoch: u64,
    /// The keys that signed it, of those that are known.
    pub(in crate::audit) by: Vec<Verifier>,
}

impl Chain {
    /// The log `origin`: `trusted` keys count at once, `strangers` only once one of them has vouched.
    pub(in crate::audit) fn of(origin: &str, trusted: &[Verifier], strangers: &[Verifier]) -> Self {
        let strangers = strangers.iter().filter(|key| !trusted.contains(key)).cloned().collect();
        Self {
            origin: origin.to_owned(),
            trusted: trusted.to_vec(),
            strangers,
            line: Line::default(),
            retired: Vec::new(),
            unvouched: Vec::new(),
            cuts: Vec::new(),
            signed_epoch: 0,
            conflicts: Vec::new(),
        }
    }

    /// What `note` states, if a known key signed it.
    pub(in crate::audit) fn open(&self, note: &str) -> Result<Stated, String> {
        let (mut by, mut stated) = (Vec::new(), None);
        let mut fault = "there is no key to check it with".to_owned();
        for key in self.trusted.iter().chain(&self.strangers) {
            match key.open(note) {
                Ok(checkpoint) => {
                    by.push(key.clone());
                    stated = Some(checkpoint);
                }
                Err(why) if stated.is_none() => fault = why.to_string(),
                Err(_) => {}
            }
        }
        let checkpoint = stated.ok_or(fault)?;
        let epoch = checkpoint.epoch(&self.origin).ok_or("it names another log")?;
        Ok(Stated { checkpoint, epoch, by })
    }

    /// An entry that may matter here: who signs from now on, or that the past was cut.
    pub(in crate::audit) fn hear(&mut self, index: u64, event: &Event) {
        match event {
            Event::KeyRotated { retired, active, voucher, .. } => {
                let place = (index, self.epoch(), self.origin.as_str());
                let named = self.line.hear(place, (retired, active), voucher.as_deref());
                named.into_iter().flatten().for_each(|key| self.know(key));
            }
            Event::EpochBegan { epoch, size, published_size, published_root, by, why, key, .. } if *size == index => {
                if let Some(key) = key {
                    self.line.begin(key);
                }
                self.cuts.push(Cut {
                    epoch: *epoch,
                    size: *size,
                    published: *published_size,
                    root: published_root.clone(),
                    by: by.clone(),
                    why: why.clone(),
                });
            }
            _ => {}
        }
    }

    /// The entries give what is stated. True: a trusted key says so.
    pub(in crate::audit) fn confirm(&mut self, stated: &Stated) -> bool {
        if !stated.by.iter().any(|key| self.trusted.contains(key)) {
            for key in &stated.by {
                if self.unvouched.iter().all(|(known, _)| known != key) {
                    self.unvouched.push((key.clone(), stated.checkpoint.size));
                }
            }
            return false;
        }
        self.signed_epoch = self.signed_epoch.max(stated.epoch);
        for Link { index, retired, active, is_vouched } in self.line.links() {
            let vouches = *is_vouched
                && *index < stated.checkpoint.size
                && stated.by.contains(retired)
                && self.trusted.contains(retired);
            if vouches && !self.trusted.contains(active) {
                self.trusted.push(active.clone());
            }
        }
        // From the last rotation to the first, so that a whole line of keys is known by its newest.
        for Link { index, retired, active, .. } in self.line.links().iter().rev() {
            let is_known = self.trusted.contains(active) || self.retired.contains(active);
            if *index < stated.checkpoint.size && is_known && !self.retired.contains(retired) {
                self.retired.push(retired.clone());
            }
        }
        true
    }

    /// The entries contradict what is stated, or do not reach so far. Kept until the end if a cut can explain it.
    pub(in crate::audit) fn contradict(
        &mut self,
        stated: Stated,
        broken: Broken,
        newest_epoch: u64,
    ) -> Result<(), Broken> {
        if stated.epoch >= newest_epoch {
            return Err(broken);
        }
        self.conflicts.push((stated, broken));
        Ok(())
    }

    /// Every key that an entry puts in the place of another must have that one's word, and lead to one that is trusted.
    pub(in crate::audit) fn judge(&self) -> Result<(), Broken> {
        self.line.judge(&self.trusted)
    }

    /// Nothing may be left unexplained.
    pub(in crate::audit) fn finish(&mut self) -> Result<(), Broken> {
        self.judge()?;
        for (stated, broken) in std::mem::take(&mut self.conflicts) {
            if !self.is_forgiven(&stated) {
                return Err(broken);
            }
        }
        let is_known = |key| self.trusted.contains(key) || self.retired.contains(key);
        let missing = self.unvouched.iter().find(|(key, _)| !is_known(key));
        match missing {
            None => Ok(()),
            Some((key, size)) => {
                Err(Broken::checkpoint(*size, format!("it is signed by {key}, which no trusted key has vouched for")))
            }
        }
    }

    /// Whether a key was trusted from the beginning, or is vouched for by now.
    pub(in crate::audit) fn counts(&self, key: &Verifier) -> bool {
        self.trusted.contains(key)
    }

    /// Where the log's past was cut.
    pub(in crate::audit) fn cuts(&self) -> &[Cut] {
        &self.cuts
    }

    /// The epoch that the entries say the log is in.
    pub(in crate::audit) fn epoch(&self) -> u64 {
        self.cuts.last().map_or(0, |cut| cut.epoch)
    }

    /// A key that an entry names may have signed; whether it counts is another question.
    fn know(&mut self, key: Verifier) {
        if !self.trusted.contains(&key) && !self.strangers.contains(&key) {
            self.strangers.push(key);
        }
    }

    /// Whether somebody has accepted that what is stated is lost.
    pub(in crate::audit) fn is_forgiven(&self, stated: &Stated) -> bool {
        let Some(cut) = self.cuts.iter().find(|cut| cut.epoch > stated.epoch) else { return false };
        let Checkpoint { size, root, .. } = &stated.checkpoint;
        let is_covered = *size < cut.published || *size == cut.published && hex::encode(root) == cut.root;
        is_covered && self.signed_epoch >= cut.epoch
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::audit::checkpoint::CheckpointSigner;

    fn key(seed: u8) -> CheckpointSigner {
        CheckpointSigner::from_seed("log", Uuid::nil(), &[seed; 32]).unwrap()
    }

    fn verifier(seed: u8) -> Verifier {
        key(seed).verifier().clone()
    }

    fn rotated(from: u8, to: u8) -> Event {
        let voucher = Some(key(from).vouch_for(&verifier(to), 0));
        Event::KeyRotated { retired: verifier(from).to_string(), active: verifier(to).to_string(), voucher, by: None }
    }

    fn cut(epoch: u64, size: u64, published: u64) -> Event {
        Event::EpochBegan {
            epoch,
            size,
            root: String::new(),
            published_size: published,
            published_root: hex::encode([9; 32]),
            by: "Ada".into(),
            why: "lost".into(),
            key: None,
            lost: None,
        }
    }

    fn confirm(chain: &mut Chain, seed: u8, epoch: u64, size: u64) -> bool {
        let stated = chain.open(&key(seed).sign(epoch, size, [size as u8; 32])).unwrap();
        chain.confirm(&stated)
    }

    #[test]
    fn a_key_counts_once_a_trusted_one_has_signed_the_entry_that_names_it() {
        let chain = || Chain::of("log", &[verifier(1)], &[verifier(2), verifier(3)]);
        let mut sound = chain();
        assert!(confirm(&mut sound, 1, 0, 5));
        sound.hear(7, &rotated(1, 2));
        assert!(!confirm(&mut sound, 2, 0, 8), "its own word is none");
        assert!(confirm(&mut sound, 1, 0, 8));
        sound.hear(9, &rotated(2, 3));
        assert!(confirm(&mut sound, 2, 0, 10) && confirm(&mut sound, 3, 0, 11));
        assert_eq!(sound.finish(), Ok(()));

        // Whoever was given the newest key alone is not surprised by what the keys before it signed.
        let mut late = Chain::of("log", &[verifier(3)], &[verifier(1), verifier(2), verifier(4)]);
        assert!(!confirm(&mut late, 1, 0, 5));
        late.hear(7, &rotated(1, 2));
        late.hear(9, &rotated(2, 3));
        confirm(&mut late, 2, 0, 10);
        assert!(confirm(&mut late, 3, 0, 11));
        assert_eq!(late.finish(), Ok(()));
        confirm(&mut late, 4, 0, 12);
        assert!(late.finish().is_err());

        let mut early = chain();
        early.hear(7, &rotated(1, 2));
        assert!(confirm(&mut early, 1, 0, 7), "this one does not cover the entry");
        confirm(&mut early, 2, 0, 9);
        assert!(early.finish().unwrap_err().what.contains("vouched"));

        let mut stolen = chain();
        stolen.hear(7, &rotated(3, 2));
        confirm(&mut stolen, 3, 0, 8);
        confirm(&mut stolen, 2, 0, 9);
        assert!(stolen.finish().is_err(), "a stranger vouches for nobody");
        assert!(chain().open(&key(4).sign(0, 1, [1; 32])).is_err());
    }

    #[test]
    fn a_cut_forgives_what_was_published_before_it_and_only_in_an_epoch_that_is_signed() {
        let conflict = |chain: &mut Chain, epoch: u64, size: u64, root: u8| {
            let stated = chain.open(&key(1).sign(epoch, size, [root; 32])).unwrap();
            chain.contradict(stated, Broken::checkpoint(size, "other"), 1)
        };
        let chain = || Chain::of("log", &[verifier(1)], &[]);
        let mut sound = chain();
        conflict(&mut sound, 0, 30, 9).unwrap();
        conflict(&mut sound, 0, 25, 4).unwrap();
        sound.hear(20, &cut(1, 20, 30));
        confirm(&mut sound, 1, 1, 21);
        assert_eq!(sound.finish(), Ok(()));
        assert_eq!(sound.cuts()[0].by, "Ada");

        let mut unsigned = chain();
        conflict(&mut unsigned, 0, 30, 9).unwrap();
        unsigned.hear(20, &cut(1, 20, 30));
        assert!(unsigned.finish().is_err());
        for (size, root) in [(31, 9), (30, 8)] {
            let mut uncovered = chain();
            conflict(&mut uncovered, 0, size, root).unwrap();
            uncovered.hear(20, &cut(1, 20, 30));
            confirm(&mut uncovered, 1, 1, 21);
            assert!(uncovered.finish().is_err(), "{size} {root}");
        }
        assert!(conflict(&mut chain(), 1, 30, 9).is_err(), "an epoch does not forgive its own");
    }
}
