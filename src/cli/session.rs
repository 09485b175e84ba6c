//! `bailiwick session`: the sessions that one may see, and ending one of them, wherever it is in use.

use comfy_table::{Table, presets::NOTHING};
use serde_json::json;

use super::{
    api::Api,
    client::{ClientFault, Home, portal_address},
    status::Output,
};

/// `bailiwick session …`
#[derive(clap::Subcommand, Debug)]
pub enum SessionCommand {
    /// List the sessions that you may see
    #[command(after_help = "Examples:\n  bailiwick session list\n  bailiwick session list -o json")]
    List {
        /// The portal; the one of the last login if it is left out
        #[arg(long, value_name = "URL")]
        portal: Option<String>,
        /// How to say it
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// End a session: its open streams close, its credentials end
    #[command(after_help = "Example:\n  bailiwick session end 0b9f6c1e-3c1f-4a3e-9a55-7a8b62a3c5d1")]
    End {
        /// Its id, from `bailiwick session list`
        id: String,
        /// The portal; the one of the last login if it is left out
        #[arg(long, value_name = "URL")]
        portal: Option<String>,
    },
}

/// Does it.
pub async fn run(command: SessionCommand) -> Result<(), ClientFault> {
    match command {
        SessionCommand::List { portal, output } => list(&api(portal.as_deref())?, output).await,
        SessionCommand::End { id, portal } => {
            api(portal.as_deref())?.end_session(&id).await?;
            println!("Ended {id}.");
            Ok(())
        }
    }
}

fn api(portal: Option<&str>) -> Result<Api, ClientFault> {
    Api::of(&Home::of_user()?.login(portal.map(portal_address).transpose()?.as_ref())?)
}

async fn list(api: &Api, output: Output) -> Result<(), ClientFault> {
    let sessions = api.sessions().await?;
    if output == Output::Json {
        println!("{}", json!({ "sessions": sessions }));
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["ID", "PERSON", "FROM", "STARTED", "LAST USED", ""]);
    for it in sessions {
        let mark = if it.current { "this one" } else { "" };
        table.add_row([it.id, it.person, it.address, it.started_at, it.active_at, mark.to_owned()]);
    }
    println!("{table}");
    Ok(())
}
