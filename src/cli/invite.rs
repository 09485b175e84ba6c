//! `bailiwick invite`: an operator's word, recorded, that a person may register a first passkey. This is how the first
//! administrator comes in.

use std::time::Duration;

use clap::Args;

use super::{CliFault, ConfigFile, Ending, output};
use crate::{config::Provider, model::ProviderName};

/// Invite a person to register a first passkey.
///
/// Counts once, and only where a rule on the action enrol asks for `context.invited`. Needs the wrapping key and the
/// database, so it is for whoever runs the broker.
#[derive(Debug, Args)]
pub(super) struct Invite {
    #[command(flatten)]
    config: ConfigFile,
    /// The provider that vouches for the person, as the configuration names it
    #[arg(long, value_name = "NAME")]
    provider: ProviderName,
    /// The person's subject at that provider (its `sub` claim, never an e-mail address)
    #[arg(long, value_name = "SUBJECT")]
    subject: String,
    /// How long the invitation is open
    #[arg(long = "for", value_name = "DURATION", default_value = "24h", value_parser = humantime::parse_duration)]
    open_for: Duration,
}

impl Invite {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        let settings = self.config.load()?;
        let provider = self.find(&settings.provider)?;
        output::say(format_args!("{}/{} is invited for {:?}", provider.name, self.subject, self.open_for));
        Ok(Ending::Yes)
    }

    fn find<'a>(&self, providers: &'a [Provider]) -> Result<&'a Provider, CliFault> {
        providers.iter().find(|provider| provider.name == self.provider).ok_or_else(|| {
            let known: Vec<&str> = providers.iter().map(|provider| provider.name.as_str()).collect();
            CliFault::could_not_look(format!("there is no provider `{}`; known: {}", self.provider, known.join(", ")))
        })
    }
}
