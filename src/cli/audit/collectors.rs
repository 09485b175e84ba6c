//! `bailiwick audit collectors`: how far the entries have got, and what stands in the way.

use clap::Args;
use serde_json::json;

use super::{
    super::{
        CliFault, Ending,
        output::{Format, say_json, say_table},
    },
    LogDatabase, inert, newest_head,
};
use crate::store::collector;

/// `bailiwick audit collectors`
#[derive(Debug, Args)]
pub(in crate::cli) struct Collectors {
    #[command(flatten)]
    database: LogDatabase,
    /// How to write them
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Collectors {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        let mut db = self.database.connect().await?;
        let cursors = collector::list(&mut db).await.map_err(CliFault::could_not_look)?;
        let size = newest_head(&mut db).await?.size;
        let is_well = cursors.iter().all(|cursor| cursor.fault.is_none());
        match self.output {
            Format::Json => {
                let all: Vec<_> = cursors
                    .iter()
                    .map(|cursor| {
                        json!({
                            "name": cursor.name,
                            "epoch": cursor.epoch,
                            "next_leaf": cursor.next_leaf,
                            "lag": size.saturating_sub(cursor.next_leaf),
                            "broker": cursor.holder,
                            "shipped": cursor.shipped,
                            "skipped": cursor.skipped,
                            "advanced_at": cursor.advanced_at.map(|at| at.to_string()),
                            "failed_at": cursor.failed_at.map(|at| at.to_string()),
                            "fault": cursor.fault,
                        })
                    })
                    .collect();
                say_json(&all)?;
            }
            Format::Table => {
                let headers = ["collector", "position", "lag", "skipped", "advanced", "fault"];
                let rows = cursors.into_iter().map(|cursor| {
                    vec![
                        cursor.name,
                        format!("{}/{}", cursor.epoch, cursor.next_leaf),
                        size.saturating_sub(cursor.next_leaf).to_string(),
                        cursor.skipped.to_string(),
                        cursor.advanced_at.map_or_else(|| "never".to_owned(), |at| at.to_string()),
                        inert(&cursor.fault.unwrap_or_default()),
                    ]
                });
                say_table(&headers, rows);
            }
        }
        Ok(if is_well { Ending::Yes } else { Ending::No })
    }
}
