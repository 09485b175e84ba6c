//! The fold itself: batches are announced, entries follow one by one, and after each the tree is compared with every
//! head, tile and checkpoint that speaks of that size. Pure, so that an exported file can be folded as well.
//!
//! INVARIANT: everything is computed from the leaf bytes; what is stored beside them is only ever compared.

use std::collections::VecDeque;

use super::{
    chain::{Chain, Cut, Stated},
    cover::Cover,
    derive::Derived,
    heard::Heard,
    report::{Broken, Place},
};
use crate::{
    audit::{
        Entry,
        tile::{Tile, Tree, WIDTH},
        tree::{Edge, Hash, empty_root, hashes, leaf_hash},
    },
    model::Timestamp,
    store::head::Step,
};

/// See the head of this file.
pub(super) struct Fold {
    origin: String,
    tree: Tree,
    recorded_at: Option<Timestamp>,
    announced: VecDeque<Batch>,
    last_announced: u64,
    checkpoints: VecDeque<(Stated, Source)>,
    chain: Chain,
    /// The newest epoch that a head claims.
    epoch: u64,
    heard: Heard,
    checked: u64,
    published: u64,
    /// What good checkpoints cover.
    signed: Cover,
    /// The same of those that the database has.
    stored: Cover,
    complete: Vec<Tile>,
    /// The first entry of this batch whose hash is not the one that its head lists.
    suspect: Option<(u64, String)>,
}

/// Where a checkpoint comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The database.
    Stored,
    /// What an auditor has kept.
    Kept,
    /// Where the broker published it.
    Published,
}

struct Batch {
    step: Step,
    hashes: Vec<Hash>,
}

impl Fold {
    /// Begins with the empty tree of the log `origin`, whose newest epoch is `epoch`.
    pub(super) fn of(origin: &str, epoch: u64, chain: Chain) -> Self {
        Self {
            origin: origin.to_owned(),
            tree: Tree::default(),
            recorded_at: None,
            announced: VecDeque::new(),
            last_announced: 0,
            checkpoints: VecDeque::new(),
            chain,
            epoch,
            heard: Heard::default(),
            checked: 0,
            published: 0,
            signed: Cover::default(),
            stored: Cover::default(),
            complete: Vec::new(),
            suspect: None,
        }
    }

    /// How many entries were folded.
    pub(super) const fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The root over them.
    pub(super) fn root(&self) -> Hash {
        self.tree.root()
    }

    /// The size that the last announced batch leads to.
    pub(super) const fn last_announced(&self) -> u64 {
        self.last_announced
    }

    /// How many checkpoints held, how many entries the newest covers, and when the last entry was recorded that was read.
    pub(super) const fn tally(&self) -> (u64, u64, Option<Timestamp>) {
        (self.checked, self.signed.size(), self.recorded_at)
    }

    /// How many of the checkpoints that held were published ones.
    pub(super) const fn published(&self) -> u64 {
        self.published
    }

    /// Where the log's past was cut.
    pub(super) fn cuts(&self) -> &[Cut] {
        self.chain.cuts()
    }

    /// What the entries said of the log itself.
    pub(super) const fn heard(&self) -> &Heard {
        &self.heard
    }

    /// The tiles that became complete since the last call. While an entry is suspect they wait: the end of its batch says
    /// what is wrong, and says it better.
    pub(super) fn take_complete(&mut self) -> Vec<Tile> {
        if self.suspect.is_some() { Vec::new() } else { std::mem::take(&mut self.complete) }
    }

    /// The next batch, as its head describes it.
    pub(super) fn announce(&mut self, step: Step) -> Result<(), Broken> {
        let size = step.head.size;
        let wrong = |what: &str| Err(Broken::head(size, what));
        if step.head.origin != self.origin {
            return wrong("it names another log");
        }
        if step.parent_size != Some(self.last_announced) {
            let end = self.last_announced;
            return Err(Broken::head(size, format!("it does not follow the head at {end} entries: one is missing")));
        }
        if !step.head.recorded_at.is_on_the_calendar() {
            return wrong("it was recorded at a moment that no calendar has");
        }
        if size <= self.last_announced {
            return wrong("it counts no more entries than the head before it");
        }
        let last = self.announced.back().map(|batch| batch.step.head.recorded_at).or(self.recorded_at);
        if last.is_some_and(|last| step.head.recorded_at < last) {
            return wrong("it was recorded before the head before it");
        }
        let Some(hashes) = hashes(&step.hashes) else { return wrong("its list of leaf hashes is malformed") };
        if hashes.len() as u64 != size - self.last_announced {
            return wrong("its list of leaf hashes has another length than its batch");
        }
        self.last_announced = size;
        self.announced.push_back(Batch { step, hashes });
        Ok(())
    }

    /// What `note` states, if a known key signed it.
    pub(super) fn open(&self, note: &str) -> Result<Stated, Broken> {
        self.chain.open(note).map_err(|what| Broken::checkpoint(stated_size(note), what))
    }

    /// A checkpoint to be compared once the tree is as large. They come in order of size.
    pub(super) fn remember(&mut self, note: &str, from: Source) -> Result<(), Broken> {
        let stated = self.open(note)?;
        let size = stated.checkpoint.size;
        if size < self.tree.size() && size != 0 {
            return Ok(()); // it was signed while the fold had passed already
        }
        let at = self.checkpoints.partition_point(|(other, _)| other.checkpoint.size <= size);
        self.checkpoints.insert(at, (stated, from));
        self.compare_checkpoints()
    }

    /// A checkpoint of more than was read, which does not fit with what is there from entry `from` on.
    pub(super) fn contradict(&mut self, stated: Stated, from: u64, what: String) -> Result<(), Broken> {
        let broken = Broken::leaves(from, stated.checkpoint.size, what);
        self.chain.contradict(stated, broken, self.epoch)
    }

    /// Nothing may be left that a cut, a vouched key or an epoch's first entry would have to explain.
    pub(super) fn settle(&mut self) -> Result<(), Broken> {
        self.chain.finish()?;
        self.heard.settle()
    }

    /// A broker signs within a second, so checkpoints must follow the entries: good ones, and those that the database has.
    pub(super) fn expect_signed(&self) -> Result<(), Broken> {
        let (size, last) = (self.tree.size(), self.recorded_at);
        self.signed.expect_any(size)?;
        self.signed.expect_close(size, last, "good")?;
        // One is handed out before it is stored, so the newest may be missing, and no more.
        self.stored.expect_close(size, last, "stored")
    }

    /// The next entry.
    pub(super) fn entry(&mut self, derived: &Derived) -> Result<(), Broken> {
        let index = self.tree.size();
        match u64::try_from(derived.index) {
            Ok(found) if found == index => {}
            Ok(found) if found < index => return Err(Broken::leaf(found, "it is there twice")),
            Ok(_) => return Err(missing(index)),
            Err(_) => return Err(Broken::leaf(index, "there is an entry with a negative index")),
        }
        let Some(batch) = self.announced.front() else {
            return Err(Broken::leaf(index, "it lies beyond the head"));
        };
        let start = batch.step.parent_size.unwrap_or(0);
        let listed = usize::try_from(index - start).ok().and_then(|nth| batch.hashes.get(nth));
        let (hash, recorded_at) = (derived.hash, batch.step.head.recorded_at);
        if listed != Some(&hash) {
            // Whether the entry or the list was changed is known at the end of the batch, when the root is compared.
            let other = batch.hashes.iter().position(|listed| *listed == hash).map(|nth| start + nth as u64);
            let what = match other {
                Some(other) => format!("it holds the bytes of entry {other}"),
                None => "its bytes were changed: they do not hash to what was recorded".to_owned(),
            };
            self.suspect.get_or_insert((index, what));
        } else if let Some(what) = &derived.fault {
            return Err(self.take_suspect().unwrap_or_else(|| Broken::leaf(index, what)));
        } else if derived.recorded_at != recorded_at {
            let what = "its bytes and its batch disagree about when it was recorded";
            return Err(self.take_suspect().unwrap_or_else(|| Broken::leaf(index, what)));
        }
        self.recorded_at = Some(recorded_at);
        if let Some(event) = &derived.news {
            self.heard.hear(index, event);
            self.chain.hear(index, event);
        }
        self.tree.append(hash, &mut self.complete);
        if self.tree.size() == batch.step.head.size {
            self.end_batch()?;
        }
        self.compare_checkpoints()
    }

    /// The next entry, whose body was archived: only the hash that its batch lists is there.
    /// `body` is what was kept of it elsewhere.
    pub(super) fn archived(&mut self, body: Option<&[u8]>) -> Result<(), Broken> {
        let index = self.tree.size();
        let Some(batch) = self.announced.front() else { return Err(missing(index)) };
        let nth = usize::try_from(index - batch.step.parent_size.unwrap_or(0)).unwrap_or(usize::MAX);
        let Some(hash) = batch.hashes.get(nth).copied() else { return Err(missing(index)) };
        self.recorded_at = Some(batch.step.head.recorded_at);
        match body {
            None => self.heard.miss(),
            Some(body) if leaf_hash(body) != hash => {
                return Err(Broken::leaf(index, "it was archived, and what was kept of it has other bytes"));
            }
            Some(body) => {
                if let Ok(entry) = Entry::from_leaf(body) {
                    self.heard.hear(index, &entry.event);
                    self.chain.hear(index, &entry.event);
                }
            }
        }
        self.tree.append(hash, &mut self.complete);
        if self.tree.size() == batch.step.head.size {
            self.end_batch()?;
        }
        self.compare_checkpoints()
    }

    /// Whether what is wrong is no more than that the next entry is not there.
    pub(super) fn lacks_next(&self, broken: &Broken) -> bool {
        *broken == missing(self.tree.size())
    }

    /// All entries up to `size` must have come by now.
    pub(super) fn expect_reached(&mut self, size: u64) -> Result<(), Broken> {
        let index = self.tree.size();
        if index < size { Err(self.take_suspect().unwrap_or_else(|| missing(index))) } else { Ok(()) }
    }

    /// Nothing may be left over at the end.
    pub(super) fn finish(&mut self) -> Result<(), Broken> {
        if let Some(broken) = self.take_suspect() {
            return Err(broken);
        }
        match self.announced.front() {
            None => Ok(()),
            Some(batch) => Err(Broken::head(batch.step.head.size, "its batch has no end")),
        }
    }

    /// Compares a stored tile with the one that the entries give.
    pub(super) fn same_tile(computed: &Tile, stored: Option<&[u8]>) -> Result<(), Broken> {
        let Tile { level, index, .. } = *computed;
        let wrong = |what: String| Err(Broken { place: Place::Tile { level, index }, what });
        let Some(stored) = stored else { return wrong("it is missing".to_owned()) };
        let Some(stored) = Tile::from_bytes(level, index, stored) else { return wrong("it is malformed".to_owned()) };
        match stored.hashes.iter().zip(&computed.hashes).position(|(stored, computed)| stored != computed) {
            None => Ok(()),
            Some(nth) if level == 0 => {
                wrong(format!("it disagrees with entry {}, and the heads agree", index * WIDTH as u64 + nth as u64))
            }
            Some(nth) => wrong(format!("its hash {nth} is not that of the tile below it")),
        }
    }

    /// Compares the tree with the head of the batch that has just ended.
    fn end_batch(&mut self) -> Result<(), Broken> {
        let Some(Batch { step, .. }) = self.announced.pop_front() else { return Ok(()) };
        let (size, head) = (step.head.size, step.head);
        let is_same = head.root == self.tree.root();
        if let Some((index, _)) = &self.suspect
            && is_same
        {
            let what = format!("its list of leaf hashes and its root disagree about entry {index}: one was changed");
            return Err(Broken::head(size, what));
        }
        if let Some(broken) = self.take_suspect() {
            return Err(broken);
        }
        let is_known = |edge: &Edge| is_same && edge == self.tree.edge();
        let edge = Edge::from_bytes(size, &head.edge).filter(|edge| is_known(edge) || edge.root() == head.root);
        match edge {
            None => Err(Broken::head(size, "its root is not that of its own edge: one of them was changed")),
            Some(_) if is_same => {
                self.signed.extend(head.recorded_at);
                self.stored.extend(head.recorded_at);
                self.heard.expect_epoch(size, head.epoch)
            }
            Some(edge) => {
                let (from, to) = differing(&edge, self.tree.edge()).unwrap_or((0, size));
                let from = from.max(self.signed.size());
                Err(Broken::leaves(from, to, "rewritten together with its hash: a later head remembers another one"))
            }
        }
    }

    fn compare_checkpoints(&mut self) -> Result<(), Broken> {
        while let Some((stated, _)) = self.checkpoints.front()
            && stated.checkpoint.size <= self.tree.size()
        {
            let Some((stated, from)) = self.checkpoints.pop_front() else { break };
            let size = stated.checkpoint.size;
            let root = if size == 0 { empty_root() } else { self.tree.root() };
            if stated.checkpoint.root != root {
                if let Some(broken) = self.take_suspect() {
                    return Err(broken);
                }
                let what = match from {
                    Source::Stored | Source::Kept => {
                        "the entries are not those that were signed, and the heads were rewritten with them"
                    }
                    Source::Published => {
                        "the entries are not those whose checkpoint was published, and the heads were rewritten with them"
                    }
                };
                self.chain.contradict(stated, Broken::leaves(self.signed.size(), size, what), self.epoch)?;
                continue;
            }
            if size > 0 && stated.epoch != self.heard.epoch() {
                let what = format!("it is of epoch {}, and the entries of epoch {}", stated.epoch, self.heard.epoch());
                return Err(Broken::checkpoint(size, what));
            }
            self.checked += 1;
            self.published += u64::from(from == Source::Published);
            if self.chain.confirm(&stated) && size == self.tree.size() {
                self.signed.reach(size);
                if from == Source::Stored {
                    self.stored.reach(size);
                }
            }
        }
        Ok(())
    }

    fn take_suspect(&mut self) -> Option<Broken> {
        self.suspect.take().map(|(index, what)| Broken::leaf(index, what))
    }
}

/// The size on the second line, for naming a checkpoint that is not believed otherwise.
pub(super) fn stated_size(note: &str) -> u64 {
    note.lines().nth(1).and_then(|line| line.parse().ok()).unwrap_or(0)
}

/// The leaves below the first node in which two edges of the same size differ.
fn differing(one: &Edge, other: &Edge) -> Option<(u64, u64)> {
    let mut start = 0;
    for (height, (one, other)) in one.subtrees().zip(other.subtrees()).map(|((h, a), (_, b))| (h, (a, b))) {
        let end = start + (1_u64 << height);
        if one != other {
            return Some((start, end));
        }
        start = end;
    }
    None
}

fn missing(index: u64) -> Broken {
    Broken::leaf(index, "it is missing")
}
