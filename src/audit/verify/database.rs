//! Folds the log in a database, page by page, up to the head that it had when verification began.
//! Needs the auditor's role. A log that grows meanwhile is no finding.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Bodies, Broken, Place, Report, Stop, Trust, VerifyFault,
    ahead::Ahead,
    beside::{
        Of as _, expect_founding, expect_its_row, expect_no_empty_checkpoint, expect_no_more_tiles, expect_shape,
        expect_texts, newest, stored_keys,
    },
    beyond::look_beyond,
    chain::Chain,
    fold::{Fold, Source, stated_size},
    retention::expect_archived,
};
use crate::{
    audit::{
        Entry, Event,
        checkpoint::Verifier,
        tile::WIDTH,
        tree::{hashes, leaf_hash},
    },
    model::Timestamp,
    store::{
        StoreFault,
        archive::{self, Archived},
        checkpoint, entry, entry_page,
        head::{self, Head},
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

impl Anchors {
    fn trust(&self) -> Trust {
        if self.keys.is_empty() { Trust::Stored } else { Trust::Given }
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
    let origin = anchors.keys.first().map(Verifier::name);
    let mut found = match Found::now(&mut *db).await {
        Ok(found) => found,
        Err(Stop::Found(broken)) => return Ok(Report::of_no_head(origin.unwrap_or_default(), anchors.trust(), broken)),
        Err(Stop::Fault(fault)) => return Err(fault),
    };
    let name = found.head.origin.clone();
    let origin = origin.unwrap_or(&name);
    // A key that was given may have vouched for others since; until that is shown, those are strangers.
    let keys = stored_keys(db, origin).await?;
    let stored: Vec<Verifier> = keys.iter().map(|(_, key)| key.clone()).collect();
    let chain = match anchors.keys.as_slice() {
        [] => Chain::of(origin, &stored, &[]),
        given => Chain::of(origin, given, &stored),
    };
    let mut fold = Fold::of(origin, found.head.epoch, chain);
    let walked = walk(db, &mut fold, (&mut found, more), (anchors, &keys), &mut progress).await;
    let head = found.head.clone();
    let broken = match walked {
        Ok(()) => None,
        Err(Stop::Found(broken)) => Some(narrowed(db, broken, head.size).await?),
        Err(Stop::Fault(fault)) => return Err(fault),
    };
    let (checkpoints, signed, last) = fold.tally();
    let (archived, missing) = kept_and_missing(db, &head, broken.is_some()).await?;
    let first_bad = broken.as_ref().and_then(Broken::first_entry);
    let good = first_bad.unwrap_or(fold.size()).min(fold.size());
    let archived = archived.min(good);
    let (gaps, lost) = fold.heard().gaps();
    Ok(Report {
        epoch: head.epoch,
        size: head.size,
        root: hex::encode(head.root),
        entries: good - archived,
        archived,
        missing,
        gaps,
        lost,
        checkpoints,
        published: fold.published(),
        signed,
        unsigned: found.is_read.then(|| fold.size().saturating_sub(signed)),
        trust: anchors.trust(),
        recorded_at: if first_bad.is_some() { recorded_last(db, good).await? } else { last },
        cuts: fold.cuts().to_vec(),
        broken,
        origin: head.origin,
    })
}

/// What the walk is to come to.
struct Found {
    /// The newest head, in tables that are ours.
    head: Head,
    /// The archives that were listed before it: one that is recorded afterwards is told of past that head.
    listed: Vec<Archived>,
    /// Whether it has come to it.
    is_read: bool,
}

impl Found {
    async fn now(db: &mut PgConnection) -> Result<Self, Stop> {
        expect_shape(db).await?;
        let listed = archive::archived(&mut *db).await.of("archive")?;
        Ok(Self { listed, head: newest(db).await?, is_read: false })
    }

    /// The first entry that is in the database.
    async fn first_entry(&self, db: &mut PgConnection) -> Result<u64, Stop> {
        match archive::first_entry(db).await {
            Err(StoreFault::Malformed { .. }) => Err(Broken::leaf(0, "there is an entry with a negative index").into()),
            first => Ok(first?.unwrap_or(self.head.size).min(self.head.size)),
        }
    }

    /// The next entry is `broken`: it is not there. Is it because its month was archived and dropped meanwhile? Then the log
    /// goes on from the answer, and a later entry has to say so, as for any month that is gone.
    async fn dropped_since(&mut self, db: &mut PgConnection, fold: &Fold, broken: Broken) -> Result<u64, Stop> {
        let now = Self::now(db).await?;
        let first = now.first_entry(db).await?;
        let is_ahead = now.head.epoch == self.head.epoch && now.head.size >= self.head.size;
        if !fold.lacks_next(&broken) || first <= fold.size() || !is_ahead {
            return Err(broken.into());
        }
        *self = now;
        Ok(first)
    }
}

/// How many entries were archived, as the log itself says, and how many others are missing.
async fn kept_and_missing(db: &mut PgConnection, head: &Head, is_broken: bool) -> Result<(u64, u64), StoreFault> {
    let told = archive::newest_of_kind(&mut *db, "archived").await?;
    let archived = match told.and_then(|leaf| Entry::from_leaf(&leaf).ok()).map(|entry| entry.event) {
        Some(Event::Archived { until, .. }) => until.min(head.size),
        _ => 0,
    };
    if !is_broken {
        return Ok((archived, 0));
    }
    let there = entry::count_within(&mut *db, archived, head.size).await?;
    Ok((archived, head.size - archived - there))
}

/// When the last of the first `size` entries was recorded.
async fn recorded_last(db: &mut PgConnection, size: u64) -> Result<Option<Timestamp>, StoreFault> {
    let Some(last) = size.checked_sub(1) else { return Ok(None) };
    let step = head::steps_past(&mut *db, last, 1).await?.pop();
    Ok(step.map(|step| step.head.recorded_at))
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

async fn walk(
    db: &mut PgConnection,
    fold: &mut Fold,
    (found, more): (&mut Found, impl Future<Output = Vec<PgConnection>>),
    (anchors, keys): (&Anchors, &[(Uuid, Verifier)]),
    progress: &mut impl FnMut(u64, u64),
) -> Result<(), Stop> {
    let mut archived = found.first_entry(db).await?;
    let kept = anchors.checkpoints.iter().map(|note| (note, Source::Kept));
    let mut beyond = kept.chain(anchors.published.iter().map(|note| (note, Source::Published))).collect();
    remember(fold, &found.head, &mut beyond)?;
    let mut last_checkpoint = (0, Uuid::nil());
    last_checkpoint = pass(db, fold, (found, keys), (archived, anchors), last_checkpoint, progress).await?;
    let lanes = if archived < found.head.size { level_with(&found.head, more.await).await } else { Vec::new() };
    let mut ahead = Ahead::of(lanes, archived, found.head.size);
    while let Some((to, page)) = ahead.page(db).await.at(Place::Leaves { from: fold.size(), to: found.head.size })? {
        while fold.last_announced() < to {
            last_checkpoint = announce(db, fold, (&found.head, keys), last_checkpoint).await?;
        }
        let folded = page.iter().try_for_each(|derived| fold.entry(derived)).and_then(|()| fold.expect_reached(to));
        if let Err(broken) = folded {
            archived = found.dropped_since(db, fold, broken).await?;
            remember(fold, &found.head, &mut beyond)?;
            last_checkpoint = pass(db, fold, (found, keys), (archived, anchors), last_checkpoint, progress).await?;
            let lanes = level_with(&found.head, ahead.into_lanes().await).await;
            ahead = Ahead::of(lanes, archived, found.head.size);
        }
        compare_tiles(db, fold).await?;
        progress(fold.size(), found.head.size);
    }
    fold.finish()?;
    let Found { head, listed, is_read } = found;
    *is_read = true;
    let relisted = archive::archived(&mut *db).await.of("archive")?;
    expect_archived(archived, fold.heard().archives(), (listed, &relisted), &anchors.archived)?;
    let beyond = beyond.into_iter().map(|(note, _)| note.clone()).collect();
    look_beyond(db, fold, (head, keys), last_checkpoint, beyond).await?;
    expect_founding(db, &head.origin).await?;
    expect_no_more_tiles(db).await?;
    expect_no_empty_checkpoint(db).await?;
    expect_texts(db, fold.heard()).await?;
    fold.settle().map_err(|broken| match anchors.archived.unheard(archived) {
        None => Stop::Found(broken),
        Some(Range { start, end }) => {
            Stop::Fault(VerifyFault::Unheard { what: broken.to_string(), from: start, last: end - 1 })
        }
    })?;
    Ok(fold.expect_signed()?)
}

/// Takes those checkpoints out of `notes` that the log is long enough for, to be compared on the way.
fn remember(fold: &mut Fold, head: &Head, notes: &mut Vec<(&String, Source)>) -> Result<(), Broken> {
    let reached = notes.extract_if(.., |(note, _)| stated_size(note) <= head.size);
    reached.into_iter().try_for_each(|(note, from)| fold.remember(note, from))
}

/// Goes past the entries before `archived`, of which the hashes are there, and of a few the bodies.
async fn pass(
    db: &mut PgConnection,
    fold: &mut Fold,
    (found, keys): (&Found, &[(Uuid, Verifier)]),
    (archived, anchors): (u64, &Anchors),
    mut last_checkpoint: (u64, Uuid),
    progress: &mut impl FnMut(u64, u64),
) -> Result<(u64, Uuid), Stop> {
    let succession = archive::succession(&mut *db, archived).await.of("succession")?;
    let mut bodies: BTreeMap<u64, Vec<u8>> = succession.into_iter().collect();
    bodies.extend(anchors.archived.leaves.clone());
    while fold.size() < archived {
        if fold.last_announced() == fold.size() {
            last_checkpoint = announce(db, fold, (&found.head, keys), last_checkpoint).await?;
        }
        for _ in fold.size()..fold.last_announced().min(archived) {
            fold.archived(bodies.get(&fold.size()).map(Vec::as_slice))?;
        }
        compare_tiles(db, fold).await?;
        progress(fold.size(), found.head.size);
    }
    Ok(last_checkpoint)
}

/// Hands the next heads to the fold, and the stored checkpoints up to there.
async fn announce(
    db: &mut PgConnection,
    fold: &mut Fold,
    (head, keys): (&Head, &[(Uuid, Verifier)]),
    last_checkpoint: (u64, Uuid),
) -> Result<(u64, Uuid), Stop> {
    let before = fold.last_announced();
    let steps = head::steps_past(&mut *db, before, STEPS).await.of("head")?;
    for step in steps.into_iter().take_while(|step| step.head.size <= head.size) {
        fold.announce(step)?;
    }
    let target = fold.last_announced();
    if target == before {
        return Err(Broken::head(head.size, "the heads before it are missing").into());
    }
    expect_stored(db, fold, (target, keys), last_checkpoint).await
}

/// Hands the stored checkpoints up to `target` to the fold.
async fn expect_stored(
    db: &mut PgConnection,
    fold: &mut Fold,
    (target, keys): (u64, &[(Uuid, Verifier)]),
    mut last: (u64, Uuid),
) -> Result<(u64, Uuid), Stop> {
    loop {
        let stored = checkpoint::past(&mut *db, last, STEPS).await.of("checkpoint")?;
        for row in &stored {
            if row.size > target {
                return Ok(last);
            }
            let stated = fold.open(&row.note).map_err(|broken| Broken::checkpoint(row.size, broken.what))?;
            expect_its_row(row, &stated, keys)?;
            fold.remember(&row.note, Source::Stored)?;
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
            tile::tiles(&mut *db, level, first.index, last.index + 1).await.of("tile")?.into_iter().collect();
        for tile in mine {
            Fold::same_tile(tile, stored.get(&tile.index).map(Vec::as_slice))?;
        }
    }
    Ok(())
}

/// Names the entry in a range that disagrees with its tile, if a tile was left as it was.
async fn narrowed(db: &mut PgConnection, broken: Broken, size: u64) -> Result<Broken, StoreFault> {
    let Place::Leaves { from, to } = broken.place else { return Ok(broken) };
    let width = WIDTH as u64;
    // What is said to be signed may be far past all that there is.
    for index in from / width..to.min(size).div_ceil(width) {
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

/// How many batches or checkpoints are read at once.
pub(super) const STEPS: u32 = 64;
