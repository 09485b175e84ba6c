//! Folds the log in a database, page by page, up to the head that it had when verification began.
//! Needs the auditor's role. A log that grows meanwhile is no finding.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Broken, Place, Report, Trust, VerifyFault,
    ahead::Ahead,
    chain::Chain,
    fold::{Fold, Source, stated_size},
};
use crate::{
    audit::{
        Entry, Event,
        checkpoint::Verifier,
        tile::WIDTH,
        tree::{hashes, leaf_hash},
    },
    store::{
        StoreFault, archive, checkpoint, entry, entry_page,
        head::{self, Head},
        key::{self, KeyPurpose},
        tile,
    },
};

/// What an auditor has kept elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Anchors {
    /// Keys that may have signed checkpoints. Without one, those in the database are used.
    pub keys: Vec<Verifier>,
    /// Signed notes.
    pub checkpoints: Vec<String>,
    /// Signed notes from where checkpoints are published.
    pub published: Vec<String>,
    /// What archives hold of the entries that are no longer in the database.
    pub archived: Bodies,
}

/// Bodies of archived entries, as far as they matter here: those that say who signs, or that the past was cut.
#[derive(Clone, Debug, Default)]
pub struct Bodies {
    /// The entries that were looked through.
    pub ranges: Vec<Range<u64>>,
    /// Leaf bytes of those that matter, by index.
    pub leaves: BTreeMap<u64, Vec<u8>>,
}

impl Bodies {
    /// The first stretch below `size` that was not looked through.
    fn unheard(&self, size: u64) -> Option<Range<u64>> {
        let mut ranges = self.ranges.clone();
        ranges.sort_by_key(|range| range.start);
        let mut heard = 0;
        for range in ranges {
            if range.start > heard {
                return Some(heard..range.start.min(size)).filter(|gap| !gap.is_empty());
            }
            heard = heard.max(range.end);
        }
        (heard < size).then_some(heard..size)
    }
}

/// Verifies the log in a database. Where there are `more` connections to it, that many pages are read at once; they are
/// asked for when the first page is. `progress` hears how many entries of how many are done.
pub async fn database(
    db: &mut PgConnection,
    more: impl Future<Output = Vec<PgConnection>>,
    anchors: &Anchors,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report, VerifyFault> {
    let head = head::newest(&mut *db).await.map_err(|fault| match fault {
        StoreFault::Malformed { .. } => VerifyFault::NoLog,
        other => other.into(),
    })?;
    let origin = anchors.keys.first().map_or(head.origin.as_str(), Verifier::name);
    // A key that was given may have vouched for others since; until that is shown, those are strangers.
    let stored = stored_keys(db, origin).await?;
    let (trust, chain) = match anchors.keys.as_slice() {
        [] => (Trust::Stored, Chain::of(origin, &stored, &[])),
        given => (Trust::Given, Chain::of(origin, given, &stored)),
    };
    let archived = archive::first_entry(&mut *db).await?.unwrap_or(head.size).min(head.size);
    let more = async { level_with(&head, more.await).await };
    let mut fold = Fold::of(origin, head.epoch, chain);
    let walked = walk(db, &mut fold, (&head, archived, more), anchors, &mut progress).await;
    let broken = match walked {
        Ok(()) => None,
        Err(Stop::Found(broken)) => Some(narrowed(db, broken).await?),
        Err(Stop::Fault(fault)) => return Err(fault),
    };
    let (checkpoints, signed, recorded_at) = fold.tally();
    let gaps =
        if broken.is_some() { head.size.saturating_sub(entry::count_below(&mut *db, head.size).await?) } else { 0 };
    let archived = if broken.is_none() { archived } else { 0 };
    Ok(Report {
        origin: head.origin,
        epoch: head.epoch,
        size: head.size,
        root: hex::encode(head.root),
        entries: fold.size() - archived,
        archived,
        gaps,
        checkpoints,
        published: fold.published(),
        signed,
        trust,
        recorded_at,
        cuts: fold.cuts().to_vec(),
        broken,
    })
}

/// Those of `lanes` that have the log as far as `head`. Behind one address there may be several servers, and one that follows
/// another may not have all that the other has.
async fn level_with(head: &Head, lanes: Vec<PgConnection>) -> Vec<PgConnection> {
    let mut level = Vec::with_capacity(lanes.len());
    for mut lane in lanes {
        match head::newest(&mut lane).await {
            Ok(its) if (its.epoch, its.size) >= (head.epoch, head.size) => level.push(lane),
            Ok(_) | Err(_) => {}
        }
    }
    level
}

/// Why the walk ended early.
enum Stop {
    Found(Broken),
    Fault(VerifyFault),
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Self::Found(broken)
    }
}

impl From<StoreFault> for Stop {
    fn from(fault: StoreFault) -> Self {
        Self::Fault(fault.into())
    }
}

async fn walk(
    db: &mut PgConnection,
    fold: &mut Fold,
    (head, archived, more): (&Head, u64, impl Future<Output = Vec<PgConnection>>),
    anchors: &Anchors,
    progress: &mut impl FnMut(u64, u64),
) -> Result<(), Stop> {
    let mut beyond = Vec::new();
    let kept = anchors.checkpoints.iter().map(|note| (note, Source::Kept));
    for (note, from) in kept.chain(anchors.published.iter().map(|note| (note, Source::Published))) {
        match stated_size(note) {
            size if size <= head.size => fold.remember(note, from)?,
            _ => beyond.push(note.clone()),
        }
    }
    let mut bodies: BTreeMap<u64, Vec<u8>> = archive::succession(&mut *db, archived).await?.into_iter().collect();
    bodies.extend(anchors.archived.leaves.clone());
    let mut last_checkpoint = (0, Uuid::nil());
    while fold.size() < archived {
        if fold.last_announced() == fold.size() {
            last_checkpoint = announce(db, fold, head, last_checkpoint).await?;
        }
        for _ in fold.size()..fold.last_announced().min(archived) {
            fold.archived(bodies.get(&fold.size()).map(Vec::as_slice))?;
        }
        compare_tiles(db, fold).await?;
        progress(fold.size(), head.size);
    }
    let mut ahead = Ahead::of(if archived < head.size { more.await } else { Vec::new() }, archived, head.size);
    while let Some((to, page)) = ahead.page(db).await? {
        while fold.last_announced() < to {
            last_checkpoint = announce(db, fold, head, last_checkpoint).await?;
        }
        for derived in &page {
            fold.entry(derived)?;
        }
        fold.expect_reached(to)?;
        compare_tiles(db, fold).await?;
        progress(fold.size(), head.size);
    }
    fold.finish()?;
    expect_archived(db, archived).await?;
    look_beyond(db, fold, head, last_checkpoint, beyond).await?;
    fold.settle().map_err(|broken| match anchors.archived.unheard(archived) {
        None => Stop::Found(broken),
        Some(Range { start, end }) => {
            Stop::Fault(VerifyFault::Unheard { what: broken.to_string(), from: start, last: end - 1 })
        }
    })
}

/// Hands the next heads to the fold, and the stored checkpoints up to there.
async fn announce(
    db: &mut PgConnection,
    fold: &mut Fold,
    head: &Head,
    last_checkpoint: (u64, Uuid),
) -> Result<(u64, Uuid), Stop> {
    let before = fold.last_announced();
    let steps = head::steps_past(&mut *db, before, STEPS).await?;
    for step in steps.into_iter().take_while(|step| step.head.size <= head.size) {
        fold.announce(step)?;
    }
    let target = fold.last_announced();
    if target == before {
        return Err(Broken::head(head.size, "the heads before it are missing").into());
    }
    expect_stored(db, fold, last_checkpoint, target).await
}

/// The log must say itself that everything before `first` was archived. All of its entries and columns were found good
/// by now, and archives are made in order, so the newest word about them counts for all.
async fn expect_archived(db: &mut PgConnection, first: u64) -> Result<(), Stop> {
    if first == 0 {
        return Ok(());
    }
    let leaf = archive::newest_of_kind(&mut *db, "archived").await?;
    match leaf.and_then(|leaf| Entry::from_leaf(&leaf).ok()).map(|entry| entry.event) {
        Some(Event::Archived { until, .. }) if until >= first => Ok(()),
        Some(Event::Archived { until, .. }) => {
            Err(Broken::leaves(until, first, "missing, and no entry says that it was archived").into())
        }
        _ => Err(Broken::leaves(0, first, "missing, and no entry says that it was archived").into()),
    }
}

/// Hands the stored checkpoints up to `target` to the fold.
async fn expect_stored(
    db: &mut PgConnection,
    fold: &mut Fold,
    mut last: (u64, Uuid),
    target: u64,
) -> Result<(u64, Uuid), Stop> {
    loop {
        let stored = checkpoint::past(&mut *db, last, STEPS).await?;
        for row in &stored {
            if row.size > target {
                return Ok(last);
            }
            let stated = fold.open(&row.note).map_err(|broken| Broken::checkpoint(row.size, broken.what))?.checkpoint;
            if stated.size != row.size || stated.root.as_slice() != row.root {
                return Err(Broken::checkpoint(row.size, "its row and its note disagree").into());
            }
            fold.remember(&row.note, Source::Kept)?;
            last = (row.size, row.key);
        }
        if stored.len() < STEPS as usize {
            return Ok(last);
        }
    }
}

async fn compare_tiles(db: &mut PgConnection, fold: &mut Fold) -> Result<(), Stop> {
    let complete = fold.take_complete();
    for level in 0..=complete.iter().map(|tile| tile.level).max().unwrap_or(0) {
        let mine: Vec<_> = complete.iter().filter(|tile| tile.level == level).collect();
        let (Some(first), Some(last)) = (mine.first(), mine.last()) else { continue };
        let stored: HashMap<u64, Vec<u8>> =
            tile::tiles(&mut *db, level, first.index, last.index + 1).await?.into_iter().collect();
        for tile in mine {
            Fold::same_tile(tile, stored.get(&tile.index).map(Vec::as_slice))?;
        }
    }
    Ok(())
}

/// What lies past the head: entries without one, checkpoints of a tail that is gone.
async fn look_beyond(
    db: &mut PgConnection,
    fold: &mut Fold,
    head: &Head,
    last_checkpoint: (u64, Uuid),
    mut notes: Vec<String>,
) -> Result<(), Stop> {
    let stored = checkpoint::past(&mut *db, last_checkpoint, STEPS).await?;
    notes.extend(stored.into_iter().chain(checkpoint::newest(&mut *db).await?).map(|row| row.note));
    let (last_entry, size) = entry::extent(&mut *db).await?;
    // The log may have grown since; it is only wrong if it is shorter than what was signed.
    let size = size.unwrap_or(0).max(head.size);
    // What is named is all that is missing.
    notes.sort_by_key(|note| Reverse(stated_size(note)));
    for note in notes {
        let stated = fold.open(&note)?;
        if stated.checkpoint.size > size {
            fold.miss(stated, size)?;
        }
    }
    match last_entry {
        Some(last) if last >= size => Err(Broken::leaf(size, "there are entries beyond the head").into()),
        _ => Ok(()),
    }
}

/// Names the entry in a range that disagrees with its tile, if a tile was left as it was.
async fn narrowed(db: &mut PgConnection, broken: Broken) -> Result<Broken, StoreFault> {
    let Place::Leaves { from, to } = broken.place else { return Ok(broken) };
    let width = WIDTH as u64;
    for index in from / width..to.div_ceil(width) {
        let Some((_, stored)) = tile::tiles(&mut *db, 0, index, index + 1).await?.pop() else { continue };
        let stored = hashes(&stored).unwrap_or_default();
        let mut differs = None;
        entry_page::read(&mut *db, (index * width, (index + 1) * width), |rows| {
            for row in rows {
                let row = row?;
                let leaf_index = u64::try_from(row.leaf_index).unwrap_or(u64::MAX);
                let nth = usize::try_from(leaf_index % width).unwrap_or(usize::MAX);
                if (from..to).contains(&leaf_index) && stored.get(nth) != Some(&leaf_hash(row.leaf)) {
                    differs.get_or_insert(leaf_index);
                }
            }
            Ok(())
        })
        .await?;
        if let Some(leaf_index) = differs {
            return Ok(Broken::leaf(leaf_index, broken.what));
        }
    }
    Ok(broken)
}

async fn stored_keys(db: &mut PgConnection, origin: &str) -> Result<Vec<Verifier>, StoreFault> {
    let publics = key::publics(db, KeyPurpose::Checkpoint).await?;
    Ok(publics.into_iter().filter_map(|public| Verifier::new(origin, public.try_into().ok()?).ok()).collect())
}

/// How many batches or checkpoints are read at once.
const STEPS: u32 = 64;
