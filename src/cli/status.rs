//! `bailiwick status`: the login that the command line holds.

use serde_json::json;

use super::{
    api::Api,
    client::{ClientFault, Home, portal_address},
};

/// Options of `bailiwick status`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  bailiwick status\n  bailiwick status -o json")]
pub struct StatusArguments {
    /// The portal; the one of the last login if it is left out
    #[arg(long, value_name = "URL")]
    pub portal: Option<String>,
    /// How to say it
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// How a command says what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Says who is logged in, until when, and for which clusters.
pub async fn run(arguments: StatusArguments) -> Result<(), ClientFault> {
    let given = arguments.portal.as_deref().map(portal_address).transpose()?;
    let login = Home::of_user()?.login(given.as_ref())?;
    let api = Api::of(&login)?;
    let status = api.status().await?;
    let clusters = api.clusters().await?;
    if arguments.output == Output::Json {
        println!("{}", json!({ "portal": login.portal, "login": status, "clusters": clusters }));
        return Ok(());
    }
    println!("{} at {}, until {}", status.person, login.portal, status.expires_at);
    if !status.groups.is_empty() {
        println!("groups: {}", status.groups.join(", "));
    }
    match clusters.as_slice() {
        [] => println!("clusters: none"),
        clusters => {
            println!("clusters: {}", clusters.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(", "));
        }
    }
    Ok(())
}
