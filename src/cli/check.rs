//! `bailiwick check`: reads the configuration and the rules as `serve` would, and says everything that is wrong.

use clap::Args;
use miette::Diagnostic;

use super::{CliFault, ConfigFile, Ending, output};
use crate::{
    access::{AccessFault, Rules, Sources},
    config::{Policy, Settings},
    shipping::collector,
};

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
        let settings = Settings::load(&self.config.path);
        let policy = match &settings {
            Ok(settings) => Some(settings.policy.clone()),
            Err(_) => Policy::load_alone(&self.config.path),
        };
        let rules = policy.map(|policy| read_rules(&policy)).transpose()?;
        if let Err(mistakes) = &settings {
            mistakes.iter().for_each(|mistake| output::complain_about(mistake));
        }
        if let Some(Err(mistakes)) = &rules {
            mistakes.iter().for_each(|mistake| output::complain_about(mistake as &dyn Diagnostic));
        }
        let collectors = settings
            .as_ref()
            .map_or_else(|_| Vec::new(), |settings| collector::check(&settings.collector, &settings.audit.origin));
        collectors.iter().for_each(output::remark);
        let (Ok(settings), Some(Ok(rules))) = (settings, rules) else { return Ok(Ending::No) };
        if !collectors.is_empty() {
            return Ok(Ending::No);
        }
        let (apps, clusters) = (settings.app.len(), settings.cluster.len());
        output::say(format_args!("all is right: {apps} app(s), {clusters} cluster(s), {} rule(s)", rules.count()));
        Ok(Ending::Yes)
    }
}

type Checked = Result<Rules, Vec<crate::access::Mistake>>;

fn read_rules(policy: &Policy) -> Result<Checked, CliFault> {
    let sources = match Sources::load(&policy.folder, &policy.entities) {
        Ok(sources) => sources,
        Err(mistakes) => return Ok(Err(mistakes)),
    };
    match Rules::read(&sources) {
        Ok(rules) => Ok(Ok(rules)),
        Err(AccessFault::Rules(mistakes)) => Ok(Err(mistakes)),
        Err(fault) => Err(CliFault::could_not_look(fault)),
    }
}
