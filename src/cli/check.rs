//! `bailiwick check`: reads the configuration and the rules as `serve` would, and says everything that is wrong.

use clap::Args;
use miette::Diagnostic;

use super::{CliFault, ConfigFile, Ending, output};
use crate::{
    access::{AccessFault, Rules, Sources},
    app,
    config::{Audit, Policy, Settings},
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
        let faults = settings.as_ref().map_or_else(|_| Vec::new(), app::check);
        faults.iter().for_each(output::remark);
        let (Ok(settings), Some(Ok(rules)), true) = (settings, rules, faults.is_empty()) else { return Ok(Ending::No) };
        let doubts = doubts(&settings.audit);
        doubts.iter().for_each(output::remark);
        let verdict = if doubts.is_empty() { "all is right" } else { "nothing keeps a broker from starting" };
        let (apps, clusters) = (settings.app.len(), settings.cluster.len());
        output::say(format_args!("{verdict}: {apps} app(s), {clusters} cluster(s), {} rule(s)", rules.count()));
        Ok(Ending::Yes)
    }
}

/// What a broker starts with all the same, since it is for `bailiwick audit archive`, which may run on another machine.
fn doubts(audit: &Audit) -> Vec<String> {
    match (&audit.archive_folder, audit.retention) {
        (Some(folder), _) if !folder.is_dir() => {
            vec![format!(
                "`audit.archive_folder`: {} is not a folder here; `bailiwick audit archive` needs it where it runs",
                folder.display()
            )]
        }
        (None, Some(_)) => vec![
            "`audit.retention` without `audit.archive_folder`: nothing is archived or dropped unless `bailiwick audit \
             archive` is told a --folder"
                .to_owned(),
        ],
        _ => Vec::new(),
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
