//! Retention: months of the log that are old enough are written as bundles, and only then dropped.
//!
//! INVARIANT: nothing is dropped before its archive is on disk, was read back and checked as a stranger would check it,
//! and is told of in the log itself. What was archived is always the beginning of the log, without a hole, so that the
//! newest such entry vouches for all that is gone; hashes, heads, tiles and checkpoints stay.

use std::{
    fs::File,
    io::{self, BufReader, Read as _},
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use aws_lc_rs::digest::{Context, SHA256};
use sqlx::{PgConnection, PgPool};

use super::{
    ChangeFault, Draft, Event, Log,
    bundle::{Broken, BundleFault, Kept, Selection, Texts, check, write},
    checkpoint::Verifier,
    whole_file::{Name, WholeFile},
};
use crate::{
    model::Timestamp,
    store::{
        StoreFault,
        archive::{self, Archived, Part},
        checkpoint, head,
        key::{self, KeyPurpose},
    },
};

/// A month that is old enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The month.
    pub part: Part,
    /// Its entries.
    pub entries: Range<u64>,
    /// Its archive, if it has one already: then it only remains to be dropped.
    pub archived: Option<Archived>,
}

/// Why a month was not archived, or not dropped.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveFault {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The bundle could not be written.
    #[error(transparent)]
    Bundle(#[from] BundleFault),
    /// It could not be recorded, so nothing is dropped.
    #[error("that it was archived could not be recorded: {0}")]
    Unrecorded(#[from] ChangeFault),
    /// The archive cannot be written or read.
    #[error("{}: {source}", path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The archive does not hold, or is not the one that was recorded.
    #[error("{}: {why}", path.display())]
    Unsound {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The log is not what it must be before any of it may go.
    #[error("{0}; run `bailiwick audit verify`")]
    Log(String),
}

/// The months of which all entries were recorded longer than `retention` ago, oldest first. Months without entries are
/// left as they are.
pub async fn due(db: &mut PgConnection, retention: Duration, now: Timestamp) -> Result<Vec<Due>, ArchiveFault> {
    let archived = archive::archived(&mut *db).await?;
    let mut end = archived.iter().filter(|one| one.is_dropped).map(|one| one.until).max().unwrap_or(0);
    let mut due = Vec::new();
    for part in archive::parts(&mut *db).await? {
        if part.ends_at.plus(retention) > now {
            break;
        }
        let Some((first, last, count)) = archive::extent(&mut *db, part.begins_at, part.ends_at).await? else {
            continue;
        };
        if first != end || count != last - first + 1 {
            let what = format!("the entries of {} do not follow entry {end} without a hole", part.name);
            return Err(ArchiveFault::Log(what));
        }
        end = last + 1;
        let archived = archived.iter().find(|one| one.part == part.name).cloned();
        due.push(Due { entries: first..end, archived, part });
    }
    Ok(due)
}

/// Writes a month into `folder`, checks what was written, and records it. The answer is what was recorded, and what is known of
/// the file's name.
pub async fn archive(
    pool: &PgPool,
    log: &Log,
    due: &Due,
    folder: &Path,
    now: Timestamp,
) -> Result<(Archived, Name), ArchiveFault> {
    let Range { start, end } = due.entries.clone();
    let file = format!("{}_{start}-{}.jsonl", due.part.name, end - 1);
    let path = folder.join(&file);
    let mut db = pool.acquire().await.map_err(StoreFault::from)?;
    let (keys, name) = put(&mut db, due, &path).await?;
    drop(db);
    let sha256 = look(&path, &keys, &due.entries)?;
    let new = Archived { part: due.part.name.clone(), from: start, until: end, file, sha256, is_dropped: false };
    let event = Event::Archived { from: start, until: end, file: new.file.clone(), sha256: hex::encode(sha256) };
    let draft = Draft { caller: None, event, happened_at: now, request: None };
    let recorded = log.append_within({
        let new = new.clone();
        move |db| {
            let (new, draft) = (new.clone(), draft.clone());
            Box::pin(async move {
                archive::insert(db, &new, now).await?;
                Ok(((), vec![draft]))
            })
        }
    });
    let ((), _receipt) = recorded.await?;
    Ok((new, name))
}

/// Drops a month, after a last look at its archive.
pub async fn drop_month(
    db: &mut PgConnection,
    archived: &Archived,
    folder: &Path,
    now: Timestamp,
) -> Result<(), ArchiveFault> {
    let path = folder.join(&archived.file);
    let found = look(&path, &[], &(archived.from..archived.until))?;
    if found != archived.sha256 {
        let why = "it is not the file that was recorded (SHA-256)".to_owned();
        return Err(ArchiveFault::Unsound { path, why });
    }
    Ok(archive::drop_part(db, &archived.part, now).await?)
}

/// Writes the bundle. It has its name only once all of it is on disk. The answer is the keys that its proof counts on.
async fn put(db: &mut PgConnection, due: &Due, path: &Path) -> Result<(Vec<Verifier>, Name), ArchiveFault> {
    let at = |source| ArchiveFault::File { path: path.to_owned(), source };
    let head = head::newest(&mut *db).await?;
    let publics = key::publics(&mut *db, KeyPurpose::Checkpoint).await?;
    let keys: Vec<Verifier> =
        publics.into_iter().filter_map(|public| Verifier::new(&head.origin, public.try_into().ok()?).ok()).collect();
    let signed = checkpoint::newest(&mut *db).await?;
    let signed = signed.ok_or_else(|| ArchiveFault::Log("there is no checkpoint yet".to_owned()))?;
    let selection = Selection::of([due.entries.clone()]);
    let texts: Vec<String> = keys.iter().map(ToString::to_string).collect();
    let mut out = WholeFile::begin(path).map_err(at)?;
    let written = write(db, &selection, &signed, (&head.origin, &texts), &[], Texts::Included, &mut out).await?;
    if let Some(changed) = written.changed.first() {
        let what = format!("the stored text of the {changed} is not the one that was in force");
        return Err(ArchiveFault::Log(what));
    }
    Ok((keys, out.finish().map_err(at)?))
}

/// Reads an archive back: the proof holds, it has these entries, and this is its SHA-256.
fn look(path: &Path, keys: &[Verifier], entries: &Range<u64>) -> Result<[u8; 32], ArchiveFault> {
    let unsound = |why: String| ArchiveFault::Unsound { path: path.to_owned(), why };
    let at = |source| ArchiveFault::File { path: path.to_owned(), source };
    let kept = Kept { keys: keys.to_vec(), checkpoints: Vec::new() };
    let proven = check(&mut BufReader::new(File::open(path).map_err(at)?), &kept);
    let proven = proven.map_err(|fault: Broken| unsound(fault.to_string()))?;
    if !proven.covers(entries) {
        return Err(unsound(format!("it does not hold all of the entries {} to {}", entries.start, entries.end - 1)));
    }
    sha256_of(path).map_err(at)
}

/// SHA-256 of a file.
pub fn sha256_of(path: &Path) -> io::Result<[u8; 32]> {
    let (mut file, mut digest, mut buffer) = (File::open(path)?, Context::new(&SHA256), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => digest.update(buffer.get(..read).unwrap_or_default()),
        }
    }
    digest.finish().as_ref().try_into().map_err(io::Error::other)
}
