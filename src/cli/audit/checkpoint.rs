//! `bailiwick audit checkpoint`: the newest signed head, for keeping where the database's owner has no say.

use clap::Args;

use super::{
    super::{CliFault, Ending, output::say},
    LogDatabase,
};
use crate::store::checkpoint;

/// `bailiwick audit checkpoint`
#[derive(Debug, Args)]
pub(in crate::cli) struct Checkpoint {
    #[command(flatten)]
    database: LogDatabase,
    /// The one that covers exactly so many entries
    #[arg(long, value_name = "ENTRIES")]
    size: Option<u64>,
}

impl Checkpoint {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        let mut db = self.database.connect().await?;
        let found = match self.size {
            None => checkpoint::newest(&mut db).await,
            Some(size) => checkpoint::at(&mut db, size).await,
        };
        let Some(found) = found.map_err(CliFault::could_not_look)? else {
            return Err(CliFault::could_not_look("there is no such checkpoint"));
        };
        say(found.note.trim_end_matches('\n'));
        Ok(Ending::Yes)
    }
}
