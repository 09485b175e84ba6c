//! `bailiwick check`: reads the configuration and the rules as `serve` would, and says everything that is wrong.

use clap::Args;

use super::{CliFault, ConfigFile, Ending, output};
use crate::config::Settings;

/// Check the configuration and the rules together.
///
/// Says every mistake with file, line and column. Exit 0 if there is none, 1 if there are some.
#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigFile,
}

impl Check {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        let settings = match Settings::load(&self.config.path) {
            Ok(settings) => settings,
            Err(mistakes) => {
                output::complain(&CliFault::Configuration(mistakes));
                return Ok(Ending::No);
            }
        };
        let (apps, clusters) = (settings.app.len(), settings.cluster.len());
        output::say(format_args!("the configuration is right: {apps} apps, {clusters} clusters"));
        Ok(Ending::Yes)
    }
}
