//! `bailiwick audit verify`: is the log sound? Exit codes: 0 sound, 1 broken, 2 could not look.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    super::{
        CliFault, Ending,
        output::{Format, Paint, remark, say, say_json},
    },
    LogDatabase, cut_line,
    evidence::{look_into, verify_bundle},
    index::{self, Answer},
    kept_note,
    progress::Progress,
    shown,
};
use crate::audit::{
    bundle::Kept,
    checkpoint::Verifier,
    published::records,
    verify::{self, Anchors, Report, Trust},
};

/// `bailiwick audit verify`
#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    #[command(flatten)]
    database: LogDatabase,
    /// A key that may sign checkpoints (name+hash+key), from `bailiwick key show`; without one the keys in the database
    /// are used, which prove nothing against its owner
    #[arg(long = "key", value_name = "VERIFIER-KEY")]
    keys: Vec<Verifier>,
    /// A checkpoint that was kept elsewhere
    #[arg(long = "checkpoint", value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
    /// A bundle instead of a database: a file, or - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "database")]
    bundle: Option<PathBuf>,
    /// Where checkpoints were published: every one in it is compared
    #[arg(long, value_name = "FILE", conflicts_with = "bundle")]
    published: Vec<PathBuf>,
    /// An archive of older entries, to be checked with the database; the bodies that are not given are not checked
    #[arg(long = "archive", value_name = "FILE", conflicts_with = "bundle")]
    archives: Vec<PathBuf>,
    /// Compare the search index with the entries as well
    #[arg(long, conflicts_with = "bundle")]
    index: bool,
    /// How to write the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Verify {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        let checkpoints = self.checkpoints.iter().map(|file| kept_note(file)).collect::<Result<Vec<_>, _>>()?;
        if let Some(file) = self.bundle {
            return verify_bundle(&file, &Kept { keys: self.keys, checkpoints }, self.output);
        }
        let mut published = Vec::new();
        for file in &self.published {
            published.extend(published_notes(file)?);
        }
        let mut db = self.database.connect().await?;
        let mut anchors = Anchors { keys: self.keys, checkpoints, published, ..Anchors::default() };
        for file in &self.archives {
            match look_into(&mut db, file, &anchors.keys).await? {
                Ok(archive) => {
                    // The tree that proves the archive must be the tree of this database.
                    anchors.checkpoints.push(archive.note);
                    anchors.archived.files.push(archive.file);
                    anchors.archived.leaves.extend(archive.succession);
                }
                Err(why) => {
                    say(format_args!("{} {}: {why}", shown(Paint::Red, "broken:"), file.display()));
                    return Ok(Ending::No);
                }
            }
        }
        let mut progress = Progress::begin();
        let verified =
            verify::database(&mut db, self.database.more(), &anchors, |done, of| progress.show(done, of)).await;
        progress.end();
        let report = verified.map_err(CliFault::could_not_look)?;
        let index = if self.index && report.is_sound() { Some(index::check(&mut db).await?) } else { None };
        let answer = Answer { report: &report, index };
        match self.output {
            Format::Json => say_json(&answer)?,
            Format::Table => {
                tell(&report, &anchors);
                if self.index {
                    index::tell(answer.index.as_ref());
                }
            }
        }
        Ok(if answer.is_sound() { Ending::Yes } else { Ending::No })
    }
}

/// The notes in an append-only file of published checkpoints.
fn published_notes(file: &Path) -> Result<Vec<String>, CliFault> {
    let at = |fault: &dyn Display| CliFault::could_not_look(format!("{}: {fault}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|fault| at(&fault))?;
    let records = records(&text).map_err(|line| at(&format_args!("line {line} is no published checkpoint")))?;
    if records.is_empty() {
        return Err(at(&"no checkpoint is in it, so it says nothing"));
    }
    Ok(records.into_iter().map(|record| record.note).collect())
}

fn entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

fn tell(report: &Report, anchors: &Anchors) {
    match &report.broken {
        None => say(format_args!("{} {} entries", shown(Paint::Green, "sound:"), report.size)),
        Some(broken) => say(format_args!("{} {broken}", shown(Paint::Red, "broken:"))),
    }
    if report.archived > 0 {
        let (archived, checked) = (report.archived, anchors.archived.count(report.archived));
        say(format_args!(
            "  archived     {archived} of them by their hashes alone; {checked} bodies in archives given"
        ));
    }
    if !report.origin.is_empty() {
        say(format_args!("  log          {}", report.origin));
    }
    if let Some(at) = report.recorded_at {
        say(format_args!("  last good    {at}"));
    }
    if !report.root.is_empty() {
        say(format_args!("  root         {}", report.root));
    }
    if report.missing > 0 {
        say(format_args!("  missing      {}", entries(report.missing)));
    }
    if report.gaps > 0 {
        let gaps = if report.gaps == 1 { "1 gap".to_owned() } else { format!("{} gaps", report.gaps) };
        say(format_args!("  never there  {}, in {gaps} that the log itself tells of", entries(report.lost)));
    }
    let is_asked = !anchors.published.is_empty();
    let published = if is_asked { format!(" ({} published)", report.published) } else { String::new() };
    say(format_args!("  checkpoints  {}{published}, up to entry {}", report.checkpoints, report.signed));
    let unsigned = report.unsigned.unwrap_or(0);
    if unsigned > 0 {
        say(format_args!("  unsigned     {} after {} under no checkpoint", entries(unsigned), report.signed));
    }
    for cut in &report.cuts {
        say(cut_line(cut));
    }
    if report.archived > anchors.archived.count(report.archived) {
        remark(
            "What archived entries said is in their archives alone. Give --archive to see that these are there, and hold.",
        );
    }
    if report.is_sound() && unsigned > 0 {
        remark(
            "Nothing proves the newest entries yet: a broker signs within a second, so look again while one runs, and keep \
             where checkpoints are published (--published).",
        );
    }
    if report.trust == Trust::Stored {
        remark(
            "The signatures were checked with the keys in the database itself. Give --key to check them with yours.",
        );
    }
}
