//! `bailiwick status`: the login that the command line holds.

use clap::Args;
use serde_json::json;

use super::{
    CliFault, Ending,
    api::Api,
    client::{Home, portal_address},
    output::{Format, say, say_json},
};

/// Say who is logged in, until when, and for which clusters.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bailiwick status\n  bailiwick status -o json")]
pub(super) struct Status {
    /// The portal; the one of the last login if it is left out
    #[arg(long, value_name = "URL")]
    portal: Option<String>,
    /// How to write the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Status {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        let given = self.portal.as_deref().map(portal_address).transpose()?;
        let login = Home::of_user()?.login(given.as_ref())?;
        let api = Api::of(&login)?;
        let status = api.status().await?;
        let clusters = api.clusters().await?;
        if self.output == Format::Json {
            say_json(&json!({ "portal": login.portal, "login": status, "clusters": clusters }))?;
            return Ok(Ending::Yes);
        }
        say(format_args!("{} at {}, until {}", status.person, login.portal, status.expires_at));
        let listed = |things: Vec<&str>| if things.is_empty() { "none".to_owned() } else { things.join(", ") };
        say(format_args!("groups:   {}", listed(status.groups.iter().map(String::as_str).collect())));
        say(format_args!("clusters: {}", listed(clusters.iter().map(|it| it.name.as_str()).collect())));
        Ok(Ending::Yes)
    }
}
