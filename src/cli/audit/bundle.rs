//! `bailiwick audit bundle`: entries, their proof, the checkpoint and the rules in force, in one file (`docs/EVIDENCE.md`).
//! INVARIANT: a file has its name only once all of it is written and leads to the root that was signed.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::Args;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    super::{
        CliFault, Ending,
        output::{entries, remark},
    },
    LogDatabase, kept_note, log_keys, newest_head,
    out::Out,
    recorded::{Recorded, record},
};
use crate::{
    audit::{
        bundle::{BundleFault, Continued, Selection, Texts, Written, write},
        checkpoint::Checkpoint,
    },
    model::RequestId,
    store::{checkpoint, entry, head::Head},
};

/// `bailiwick audit bundle`
#[derive(Debug, Args)]
pub(in crate::cli) struct Bundle {
    /// Entries by index: one, or the first and the last (4711 or 4711-4799)
    #[arg(long = "leaf", value_name = "INDEX[-INDEX]")]
    leaves: Vec<Leaves>,
    /// All entries of a request
    #[arg(long = "request", value_name = "ID")]
    requests: Vec<Uuid>,
    /// The whole log
    #[arg(long, conflicts_with_all = ["leaves", "requests"])]
    all: bool,
    /// Prove it against the checkpoint of exactly so many entries; by default the newest
    #[arg(long, value_name = "ENTRIES")]
    size: Option<u64>,
    /// Prove as well that the log continues this checkpoint, which was kept elsewhere
    #[arg(long = "checkpoint", value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
    /// Where to write it; standard output if it is left out, or -
    #[arg(short, long)]
    file: Option<PathBuf>,
    #[command(flatten)]
    database: LogDatabase,
}

/// Entries by index.
#[derive(Clone, Debug)]
struct Leaves(Range<u64>);

impl FromStr for Leaves {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if first <= last && last < i64::MAX as u64 => Ok(Self(first..last + 1)),
            _ => Err("this is neither an index nor two with a `-` between, the smaller first".to_owned()),
        }
    }
}

impl Bundle {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        let mut db = self.database.connect().await?;
        let head = newest_head(&mut db).await?;
        if let Some(beyond) = self.leaves.iter().map(|leaves| leaves.0.end - 1).find(|last| *last >= head.size) {
            let message = format!("the log has no entry {beyond}: it has {} entries", head.size);
            return Err(CliFault::could_not_look(message));
        }
        let older = self.checkpoints.iter().map(|file| older(file, &head.origin));
        let older: Vec<Continued> = older.collect::<Result<_, _>>()?;
        let signed = match self.size {
            None => checkpoint::newest(&mut db).await,
            Some(size) => checkpoint::at(&mut db, size).await,
        };
        let Some(signed) = signed.map_err(CliFault::could_not_look)? else {
            return Err(CliFault::could_not_look("there is no such checkpoint"));
        };
        let selection = self.selection(&mut db, signed.size).await?;
        let mut out = Out::begin(self.file.as_deref())?;
        let recorded = record(&mut db, "bundle", self.asked(), Some(selection.count())).await?;
        let written = put(&recorded, &mut db, &selection, &signed, &head, &older, &mut out).await?;
        out.finish()?;
        remark(format_args!(
            "{} and {} texts, proven by the checkpoint at {}; {} bytes, SHA-256 {}",
            entries(written.entries),
            written.texts,
            entries(signed.size),
            written.bytes,
            hex::encode(written.sha256)
        ));
        for changed in &written.changed {
            remark(format_args!(
                "the stored text of the {changed} is not the one that was in force, and was left out: run bailiwick audit verify"
            ));
        }
        Ok(if written.changed.is_empty() { Ending::Yes } else { Ending::No })
    }

    /// Which entries, in the words of the command.
    fn asked(&self) -> String {
        if self.all {
            return "all".to_owned();
        }
        let leaves = self.leaves.iter().map(|Leaves(range)| match range.end - range.start {
            1 => format!("leaf={}", range.start),
            _ => format!("leaf={}-{}", range.start, range.end - 1),
        });
        let requests = self.requests.iter().map(|request| format!("request={request}"));
        leaves.chain(requests).collect::<Vec<_>>().join("&")
    }

    async fn selection(&self, db: &mut PgConnection, size: u64) -> Result<Selection, CliFault> {
        if self.all {
            return Ok(Selection::of(std::iter::once(0..size)));
        }
        let mut ranges: Vec<Range<u64>> = self.leaves.iter().map(|leaves| leaves.0.clone()).collect();
        for request in &self.requests {
            let found = entry::of_request(&mut *db, RequestId::from_uuid(*request)).await;
            let found = found.map_err(CliFault::could_not_look)?;
            if found.is_empty() {
                return Err(CliFault::could_not_look(format!("there is no entry of the request {request}")));
            }
            ranges.extend(found.into_iter().map(|index| index..index + 1));
        }
        match Selection::of(ranges) {
            empty if empty.count() == 0 => {
                Err(CliFault::could_not_look("say which entries: --leaf, --request or --all"))
            }
            selection => Ok(selection),
        }
    }
}

async fn put(
    _: &Recorded,
    db: &mut PgConnection,
    selection: &Selection,
    signed: &checkpoint::Checkpoint,
    head: &Head,
    older: &[Continued],
    out: &mut Out,
) -> Result<Written, CliFault> {
    let keys = log_keys(db, &head.origin).await?;
    let written = write(db, selection, signed, (&head.origin, &keys), older, Texts::Included, out).await;
    written.map_err(|fault| match fault {
        BundleFault::Unsound(_) | BundleFault::Missing(_) => CliFault::failed(fault),
        BundleFault::Write(fault) => out.fault(&fault),
        _ => CliFault::could_not_look(fault),
    })
}

/// What a note states that was kept in a file. Who signed it is asked when the bundle is verified.
fn older(file: &Path, origin: &str) -> Result<Continued, CliFault> {
    let note = kept_note(file)?;
    let text = note.split_once("\n\n").map_or("", |(text, _)| text);
    let stated: Checkpoint = format!("{text}\n").parse().map_err(|fault| at(file, &fault))?;
    let epoch = stated.epoch(origin).ok_or_else(|| at(file, &"it is a checkpoint of another log"))?;
    Ok(Continued { epoch, size: stated.size, root: stated.root })
}

fn at(file: &Path, fault: &dyn std::fmt::Display) -> CliFault {
    CliFault::could_not_look(format!("{}: {fault}", file.display()))
}
