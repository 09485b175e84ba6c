//! `bailiwick audit export`: the entries of a search as CSV or NDJSON, with a manifest of hashes; and whether such files
//! are still what their manifest says. That it begins is in the log before the first entry is written, and what it came to
//! afterwards. Files have their names once both are whole.

use std::{
    ffi::OsString,
    fmt::Display,
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use sqlx::PgConnection;

use super::{
    super::{
        CliFault, Ending,
        output::{self, Paint, entries, remark, say, say_json},
    },
    LogDatabase,
    filters::Filters,
    inert,
    lines::lost,
    out::Out,
    progress::Progress,
    recorded::{Recorded, record},
    shown,
};
use crate::audit::{
    export::{self, Export, Manifest},
    search::Losses,
};

/// `bailiwick audit export`
#[derive(Debug, Args)]
pub(in crate::cli) struct ExportLog {
    #[command(flatten)]
    database: LogDatabase,
    /// How to write the entries
    #[arg(long, value_enum, default_value_t = Kind::Ndjson)]
    format: Kind,
    /// Where to; the manifest goes beside it, to FILE.manifest.json. Without it, or with -, entries go to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Export nothing: compare the files of this manifest with what it says of them
    #[arg(long, value_name = "MANIFEST", conflicts_with_all = ["out", "format", "query"])]
    check: Option<PathBuf>,
    /// How to write the answer, which is the manifest
    #[arg(short, long, value_enum, default_value_t)]
    output: output::Format,
    #[command(flatten)]
    filters: Filters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// One JSON object for each entry and line: all of it
    Ndjson,
    /// One row for each entry: for spreadsheets
    Csv,
}

impl ExportLog {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        if let Some(manifest) = &self.check {
            return self.compare(manifest);
        }
        let search = self.filters.search()?;
        let mut db = self.database.connect().await?;
        let format = match self.format {
            Kind::Ndjson => export::Format::Ndjson,
            Kind::Csv => export::Format::Csv,
        };
        let path = self.out.as_deref().filter(|path| *path != Path::new("-"));
        let name = path.map_or(Some("-"), |path| path.file_name()?.to_str());
        let name = name.ok_or_else(|| CliFault::could_not_look("--out is not the name of a file"))?;
        let mut out = Out::begin(path)?;
        let recorded = record(&mut db, "export", search.to_query(), None).await?;
        let export = Export::begin(&mut db, search, format).await.map_err(CliFault::could_not_look)?;
        let (manifest, losses) = write(&recorded, &mut db, export, &mut out, name).await?;
        let beside = path.map(manifest_beside);
        if let Some(beside) = &beside {
            let mut file = Out::begin(Some(beside))?;
            file.write_all(&manifest.to_bytes()).map_err(|fault| file.fault(&fault))?;
            out.finish()?;
            file.finish()?;
        } else {
            out.finish()?;
        }
        finish(recorded, &mut db, &manifest).await?;
        match beside {
            Some(beside) => self.tell(&manifest, &beside)?,
            None => remark(format_args!("{}, SHA-256 {}", entries(manifest.entries), sha256(&manifest))),
        }
        Ok(ending(&losses))
    }

    fn tell(&self, manifest: &Manifest, beside: &Path) -> Result<(), CliFault> {
        if self.output == output::Format::Json {
            return say_json(manifest);
        }
        say(format_args!("{} of a log of {}", entries(manifest.entries), manifest.log_size));
        say(format_args!("  SHA-256   {}", sha256(manifest)));
        say(format_args!("  manifest  {}", beside.display()));
        if let Some(archived) = manifest.archived.filter(|archived| *archived > 0) {
            remark(format_args!("{archived} more are archived: only their hashes are still here"));
        }
        Ok(())
    }

    fn compare(&self, path: &Path) -> Result<Ending, CliFault> {
        let bytes = std::fs::read(path).map_err(|fault| at(path, &fault))?;
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|fault| at(path, &format_args!("is no manifest: {fault}")))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let wrong = export::check(&manifest, folder).map_err(CliFault::could_not_look)?;
        let sha256 = manifest.sha256();
        if self.output == output::Format::Json {
            let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            say_json(&serde_json::json!({ "is_sound": wrong.is_empty(), "wrong": wrong, "manifest": sha256 }))?;
        } else {
            wrong
                .iter()
                .for_each(|wrong| say(format_args!("{} {}", shown(Paint::Red, "changed:"), inert(&wrong.to_string()))));
            if wrong.is_empty() {
                say(format_args!("{} {}", shown(Paint::Green, "unchanged:"), entries(manifest.entries)));
            }
            say(format_args!("  manifest  SHA-256 {sha256}"));
            remark(
                "The file was compared with the manifest. Whether that is the one of the export, the log knows by its SHA-256.",
            );
        }
        Ok(if wrong.is_empty() { Ending::Yes } else { Ending::No })
    }
}

/// The log is told what it came to.
async fn finish(recorded: Recorded, db: &mut PgConnection, manifest: &Manifest) -> Result<(), CliFault> {
    recorded.finish(db, manifest.entries, manifest.sha256()).await
}

async fn write(
    _: &Recorded,
    db: &mut PgConnection,
    mut export: Export,
    out: &mut Out,
    name: &str,
) -> Result<(Manifest, Losses), CliFault> {
    let mut progress = Progress::begin();
    while let Some(bytes) = export.next(&mut *db, |_| true).await.map_err(CliFault::could_not_look)? {
        out.write_all(&bytes).map_err(|fault| out.fault(&fault))?;
        let (done, of) = export.progress();
        progress.show(done, of);
    }
    progress.end();
    let losses = export.losses().clone();
    Ok((export.manifest(db, name).await.map_err(CliFault::could_not_look)?, losses))
}

/// Says what is missing or damaged, which is no whole export.
fn ending(losses: &Losses) -> Ending {
    lost(losses);
    if losses.is_empty() { Ending::Yes } else { Ending::No }
}

fn manifest_beside(out: &Path) -> PathBuf {
    let mut name = OsString::from(out);
    name.push(".manifest.json");
    PathBuf::from(name)
}

fn sha256(manifest: &Manifest) -> &str {
    manifest.files.first().map_or("", |file| &file.sha256)
}

fn at(path: &Path, fault: &dyn Display) -> CliFault {
    CliFault::could_not_look(format!("{}: {fault}", path.display()))
}
