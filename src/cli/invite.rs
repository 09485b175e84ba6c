//! `bailiwick invite`: an operator's word, recorded, that a person may register a first passkey. This is how the first
//! administrator comes in.

use std::{sync::Arc, time::Duration};

use clap::Args;
use sqlx::PgPool;

use super::{
    CliFault, ConfigFile, Ending,
    migrate::connect_up_to_date,
    operator::{Operator, said},
    output,
};
use crate::{
    app::signing::signers,
    audit::{Limits, Log, Tasks},
    config::{Provider, Settings},
    credential::Wrapping,
    identity::Invitations,
    model::{BrokerId, Clock, Entropy, Identity, ProviderName, SystemClock, SystemEntropy},
    shipping,
    store::key::{self, KeyPurpose},
};

/// Invite a person to register a first passkey.
///
/// Counts once, for some days, and only where a rule on the action enrol asks for `context.invited`. Writes to the
/// database and the log, so it is for whoever runs the broker.
#[derive(Debug, Args)]
pub(super) struct Invite {
    #[command(flatten)]
    config: ConfigFile,
    /// The provider that vouches for the person, as the configuration names it
    #[arg(long, value_name = "NAME")]
    provider: ProviderName,
    /// The person's subject at that provider (its `sub` claim, never an e-mail address)
    #[arg(long, value_name = "SUBJECT", value_parser = said)]
    subject: String,
    #[command(flatten)]
    operator: Operator,
}

/// How long the log may take to record what is left and to stop.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

impl Invite {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        let settings = self.config.load()?;
        let person = self.person(&settings.provider)?;
        let pool = connect_up_to_date(&settings.database).await?;
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
        let (log, tasks) = open_log(&settings, pool, clock.clone(), entropy.clone()).await?;
        let invited = Invitations::new(log, clock, entropy).invite_as_operator(&person, &self.operator.name()).await;
        tasks.stop(PATIENCE).await;
        let until = invited.map_err(CliFault::failed)?;
        let told = format!("{}/{} may register a first passkey until {until}", person.provider, person.subject);
        output::changed(&told);
        output::say(told);
        Ok(Ending::Yes)
    }

    fn person(&self, providers: &[Provider]) -> Result<Identity, CliFault> {
        let Some(provider) = providers.iter().find(|provider| provider.name == self.provider) else {
            let known: Vec<&str> = providers.iter().map(|provider| provider.name.as_str()).collect();
            let message = format!("there is no provider `{}`; known: {}", self.provider, known.join(", "));
            return Err(CliFault::could_not_look(message));
        };
        Ok(Identity {
            provider: provider.name.clone(),
            issuer: provider.issuer.as_str().to_owned(),
            subject: self.subject.clone(),
            name: self.subject.clone(),
        })
    }
}

/// Opens the log as a broker of its own that lives for this one entry.
pub(super) async fn open_log(
    settings: &Settings,
    pool: PgPool,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<(Log, Tasks), CliFault> {
    let wrapping = Wrapping::new(settings.keys.wrapping_key_file.clone());
    let signers = signers(settings, &pool, &wrapping, clock.now()).await.map_err(CliFault::could_not_look)?;
    let publics = key::publics(&pool, KeyPurpose::Checkpoint).await.map_err(CliFault::could_not_look)?;
    let published = shipping::published(&settings.shipping, &settings.audit.origin, publics);
    let published = published.map_err(CliFault::could_not_look)?;
    let broker = BrokerId::random(entropy.as_ref());
    let limits = Limits { wait: settings.audit.wait, ..Limits::default() };
    let opened = Log::open_after(published.as_ref(), pool, signers, broker, clock, entropy, limits).await;
    opened.map_err(CliFault::could_not_look)
}
