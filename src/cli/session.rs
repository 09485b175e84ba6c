//! `bailiwick session`: the sessions that one may see, and ending one of them, wherever it is in use.

use clap::Subcommand;
use serde_json::json;

use super::{
    CliFault, Ending,
    api::Api,
    client::{ClientFault, Home, portal_address},
    output::{Format, changed, say, say_json, say_table},
};
use crate::{audit::printable, model::LoginId};

/// `bailiwick session …`
#[derive(Debug, Subcommand)]
pub(super) enum Session {
    /// List the sessions that you may see
    #[command(after_help = "Examples:\n  bailiwick session list\n  bailiwick session list -o json")]
    List {
        /// The portal; the one of the last login if it is left out
        #[arg(long, value_name = "URL")]
        portal: Option<String>,
        /// How to write the answer
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
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

impl Session {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        match self {
            Self::List { portal, output } => list(&api(portal.as_deref())?, output).await?,
            Self::End { id, portal } => {
                let Ok(id) = id.parse::<LoginId>() else {
                    return Err(CliFault::could_not_look(format!(
                        "`{}` is not the id of a session; `bailiwick session list` shows them",
                        printable(&id)
                    )));
                };
                api(portal.as_deref())?.end_session(id).await?;
                changed(format_args!("the session {id} is ended"));
                say(format_args!("Ended {id}."));
            }
        }
        Ok(Ending::Yes)
    }
}

fn api(portal: Option<&str>) -> Result<Api, ClientFault> {
    Api::of(&Home::of_user()?.login(portal.map(portal_address).transpose()?.as_ref())?)
}

async fn list(api: &Api, output: Format) -> Result<(), CliFault> {
    let sessions = api.sessions().await?;
    if output == Format::Json {
        return say_json(&json!({ "sessions": sessions }));
    }
    let rows = sessions.into_iter().map(|it| {
        let mark = if it.current { "this one" } else { "" };
        vec![it.id, it.person, it.address, it.started_at, it.active_at, mark.to_owned()]
    });
    say_table(&["id", "person", "from", "started", "last used", ""], rows);
    Ok(())
}
