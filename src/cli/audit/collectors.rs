//! `bailiwick audit collectors`: how far the entries have got, and what stands in the way. One that is owed entries while no
//! broker ships to it stands as still as one that fails, though nobody is there to write a fault down.

use clap::Args;
use serde_json::json;

use super::{
    super::{
        CliFault, Ending,
        output::{Format, remark, say_json, say_table},
    },
    LogDatabase, inert, newest_head,
};
use crate::{
    model::{Clock as _, SystemClock, Timestamp},
    store::collector::{self, CursorRow},
};

/// `bailiwick audit collectors`
#[derive(Debug, Args)]
pub(in crate::cli) struct Collectors {
    #[command(flatten)]
    database: LogDatabase,
    /// How to write them
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// A collector as it is told of.
struct Told {
    cursor: CursorRow,
    lag: u64,
    is_held: bool,
    /// Whether the configuration names it; none: there is no configuration to ask.
    is_configured: Option<bool>,
}

impl Collectors {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        let configured = self.database.collectors()?;
        let mut db = self.database.connect().await?;
        let cursors = collector::list(&mut db).await.map_err(CliFault::could_not_look)?;
        let (size, now) = (newest_head(&mut db).await?.size, SystemClock.now());
        let all: Vec<Told> =
            cursors.into_iter().map(|cursor| Told::of(cursor, size, now, configured.as_deref())).collect();
        match self.output {
            Format::Json => say_json(&all.iter().map(Told::json).collect::<Vec<_>>())?,
            Format::Table if all.is_empty() => remark("No collector has been shipped to yet."),
            Format::Table => {
                let headers = ["collector", "position", "lag", "skipped", "advanced", "fault"];
                say_table(&headers, all.iter().map(Told::row));
            }
        }
        Ok(if all.iter().all(|told| told.fault().is_none()) { Ending::Yes } else { Ending::No })
    }
}

impl Told {
    fn of(cursor: CursorRow, size: u64, now: Timestamp, configured: Option<&[String]>) -> Self {
        let is_configured = configured.map(|names| names.contains(&cursor.name));
        Self { lag: cursor.owed(size), is_held: cursor.is_held(now), is_configured, cursor }
    }

    /// Why it takes nothing. What the last broker wrote down is only the last that is known, once that broker is gone.
    fn fault(&self) -> Option<String> {
        let known = self.cursor.fault.as_deref();
        if self.is_held || self.lag == 0 {
            return known.map(inert);
        }
        let why = match self.is_configured {
            Some(false) => "no broker ships to it, and this configuration does not name it (see forget-collector)",
            _ => "no broker ships to it",
        };
        let last = known.map_or(String::new(), |known| format!("; the last fault was: {}", inert(known)));
        Some(format!("{why}{last}"))
    }

    fn json(&self) -> serde_json::Value {
        let cursor = &self.cursor;
        json!({
            "name": cursor.name,
            "epoch": cursor.epoch,
            "next_leaf": cursor.next_leaf,
            "lag": self.lag,
            "broker": cursor.holder.filter(|_| self.is_held),
            "configured": self.is_configured,
            "shipped": cursor.shipped,
            "skipped": cursor.skipped,
            "advanced_at": cursor.advanced_at.map(|at| at.to_string()),
            "failed_at": cursor.failed_at.map(|at| at.to_string()),
            "fault": self.fault(),
        })
    }

    fn row(&self) -> Vec<String> {
        let cursor = &self.cursor;
        vec![
            inert(&cursor.name),
            format!("{}/{}", cursor.epoch, cursor.next_leaf),
            self.lag.to_string(),
            cursor.skipped.to_string(),
            cursor.advanced_at.map_or_else(|| "never".to_owned(), |at| at.to_string()),
            self.fault().unwrap_or_default(),
        ]
    }
}
