//! `bailiwick audit verify --bundle`: what a file proves, with nothing but the file and a key. Says plainly whose key it
//! was, because a key out of the file itself proves nothing against whoever wrote the file.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    ops::Range,
    path::Path,
};

use serde_json::json;
use sqlx::PgConnection;

use super::{
    super::{
        CliFault, Ending,
        output::{Format, Paint, entries, remark, say, say_json},
    },
    cut_line, inert, shown,
};
use crate::{
    audit::{
        archive::sha256_of,
        bundle::{Kept, Line, Proven, Signed, check},
        checkpoint::Verifier,
        verify::ArchiveFile,
    },
    store::archive,
};

/// Checks the bundle in `path` and tells what it proves.
pub(super) fn verify_bundle(path: &Path, kept: &Kept, output: Format) -> Result<Ending, CliFault> {
    let at = |fault: &dyn std::fmt::Display| CliFault::could_not_look(format!("{}: {fault}", path.display()));
    let mut file: Box<dyn BufRead> = match path.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(BufReader::new(File::open(path).map_err(|fault| at(&fault))?)),
    };
    match check(&mut file, kept) {
        Ok(proven) => {
            match output {
                Format::Json => say_json(&json!({ "sound": true, "proven": proven }))?,
                Format::Table => tell(&proven),
            }
            Ok(Ending::Yes)
        }
        Err(broken) if broken.is_unseen() => Err(at(&inert(&broken.to_string()))),
        Err(broken) => {
            match output {
                Format::Json => say_json(&json!({ "sound": false, "broken": broken.to_string() }))?,
                Format::Table => say(format_args!("{} {}", shown(Paint::Red, "broken:"), inert(&broken.to_string()))),
            }
            Ok(Ending::No)
        }
    }
}

/// An archive that holds.
pub(super) struct SoundArchive {
    /// The checkpoint that proves them.
    pub(super) note: String,
    /// Which entries, and which file.
    pub(super) file: ArchiveFile,
    /// Those of them that say who signs, that the past was cut or what was archived.
    pub(super) succession: Vec<(u64, Vec<u8>)>,
}

/// Checks an archive: by itself, and by what the log in the database says of it. The inner error is what is wrong.
pub(super) async fn look_into(
    db: &mut PgConnection,
    path: &Path,
    keys: &[Verifier],
) -> Result<Result<SoundArchive, String>, CliFault> {
    let at = |fault: &dyn std::fmt::Display| CliFault::could_not_look(format!("{}: {fault}", path.display()));
    let open = || File::open(path).map(BufReader::new).map_err(|fault| at(&fault));
    let proven = match check(&mut open()?, &Kept { keys: keys.to_vec(), checkpoints: Vec::new() }) {
        Ok(proven) => proven,
        Err(broken) if broken.is_unseen() => return Err(at(&inert(&broken.to_string()))),
        Err(broken) => return Ok(Err(inert(&broken.to_string()))),
    };
    let mut first = String::new();
    open()?.read_line(&mut first).map_err(|fault| at(&fault))?;
    let Ok(Line::Bundle { checkpoint: note, .. }) = serde_json::from_str(&first) else {
        return Ok(Err("it does not begin as a bundle does".to_owned()));
    };
    let sha256 = sha256_of(path).map_err(|fault| at(&fault))?;
    let recorded = archive::archived(db).await.map_err(CliFault::could_not_look)?;
    let holds = |one: &&archive::Archived| proven.covers(&(one.from..one.until));
    let known = recorded.iter().find(holds);
    if known.is_some_and(|known| known.sha256 != sha256) {
        return Ok(Err("it is not the file that was recorded when these entries were archived (SHA-256)".to_owned()));
    }
    let Proven { ranges, succession, .. } = proven;
    Ok(Ok(SoundArchive { note, file: ArchiveFile { ranges, sha256 }, succession }))
}

fn tell(proven: &Proven) {
    let Proven { origin, size, root, entries: count, texts, texts_named, .. } = proven;
    say(format_args!("{} {} of {}", shown(Paint::Green, "sound:"), entries(*count), inert(origin)));
    say(format_args!("  entries      {}: unchanged, and at these places in the log", ranges(&proven.ranges)));
    say(format_args!("  log          {}, root {root}", entries(*size)));
    say(format_args!("  rules        {texts} of the {texts_named} texts that the entries name are here, unchanged"));
    for size in &proven.continues {
        say(format_args!("  continues    the log as it was at {size} entries"));
    }
    for cut in &proven.cuts {
        say(cut_line(cut));
    }
    match &proven.signed {
        Signed::Given(key) => say(format_args!("  signed by    {}, the key that was given", inert(key))),
        Signed::Vouched(key) => {
            say(format_args!("  signed by    {}, for which the key vouches that was given", inert(key)));
        }
        Signed::File(key) => {
            say(format_args!("  signed by    {}, a key out of the file itself", inert(key)));
            remark("The key came from the file itself, so whoever wrote the file may have made it. Give --key.");
        }
    }
}

fn ranges(ranges: &[Range<u64>]) -> String {
    let some: Vec<String> = ranges
        .iter()
        .take(MOST_RANGES)
        .map(|range| match range.end - range.start {
            1 => range.start.to_string(),
            _ => format!("{}-{}", range.start, range.end - 1),
        })
        .collect();
    let more = if ranges.len() > some.len() { ", ..." } else { "" };
    if some.is_empty() { "none".to_owned() } else { some.join(", ") + more }
}

/// How many ranges are printed.
const MOST_RANGES: usize = 12;
