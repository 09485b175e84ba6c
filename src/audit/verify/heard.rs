//! What the fold hears from the entries about the log itself: which epoch began, what was archived or never recorded, which texts were
//! put in force. Kept to be compared with what stands beside the entries; as long as the list of months and of texts, however long the
//! log is.

use std::collections::BTreeSet;

use super::Broken;
use crate::audit::Event;

/// See the head of this file.
#[derive(Default)]
pub(super) struct Heard {
    /// The newest epoch that an entry began.
    epoch: u64,
    /// How many entries of this batch were archived, and nothing was kept of them.
    unheard: u64,
    /// An epoch that a head claims, and that only such an entry can have begun.
    doubt: Option<Broken>,
    archives: Vec<Told>,
    /// How many gaps entries tell of, and how many entries these lost.
    gaps: (u64, u64),
    texts: BTreeSet<(&'static str, String)>,
}

/// An entry that says what was archived.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// Its place.
    pub(super) index: u64,
    /// The first entry that was archived.
    pub(super) from: u64,
    /// The first one after these.
    pub(super) until: u64,
    /// The archive's file name.
    pub(super) file: String,
    /// SHA-256 of the archive, in hex.
    pub(super) sha256: String,
}

impl Heard {
    /// An entry that may say something.
    pub(super) fn hear(&mut self, index: u64, event: &Event) {
        match event {
            Event::EpochBegan { epoch, size, .. } if *size == index => self.epoch = *epoch,
            Event::Archived { from, until, file, sha256 } => {
                let (from, until, file, sha256) = (*from, *until, file.clone(), sha256.clone());
                self.archives.push(Told { index, from, until, file, sha256 });
            }
            Event::Gap { lost, .. } => self.gaps = (self.gaps.0 + 1, self.gaps.1.saturating_add(*lost)),
            Event::PolicyLoaded { policy, .. } => {
                for (kind, hash) in
                    [("entities", &policy.entities), ("policies", &policy.policies), ("schema", &policy.schema)]
                {
                    if hex::decode(hash).is_ok_and(|hash| hash.len() == 32) {
                        self.texts.insert((kind, hash.clone()));
                    }
                }
            }
            _ => {}
        }
    }

    /// An entry whose body is not there.
    pub(super) const fn miss(&mut self) {
        self.unheard += 1;
    }

    /// The newest epoch that began.
    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The head at `size`, whose batch has just ended, claims an epoch: it must be the one that the entries began.
    pub(super) fn expect_epoch(&mut self, size: u64, claimed: u64) -> Result<(), Broken> {
        let (begun, unheard) = (self.epoch, std::mem::take(&mut self.unheard));
        if claimed == begun {
            return Ok(());
        }
        let what = format!("it claims epoch {claimed}, and its entries say that it is epoch {begun}");
        let broken = Broken::head(size, what);
        if unheard == 0 || claimed < begun {
            return Err(broken);
        }
        self.doubt.get_or_insert(broken);
        self.epoch = claimed;
        Ok(())
    }

    /// Nothing may be left that only an entry can explain whose body is not there.
    pub(super) fn settle(&mut self) -> Result<(), Broken> {
        self.doubt.take().map_or(Ok(()), Err)
    }

    /// How many gaps entries tell of, and how many entries were never recorded for them.
    pub(super) const fn gaps(&self) -> (u64, u64) {
        self.gaps
    }

    /// What was archived, in the order of the entries that say so.
    pub(super) fn archives(&self) -> &[Told] {
        &self.archives
    }

    /// Kind and hash of every text that was put in force.
    pub(super) const fn texts(&self) -> &BTreeSet<(&'static str, String)> {
        &self.texts
    }
}
