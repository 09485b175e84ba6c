//! `bailiwick credential`: the certificates and tokens that one may see, and revoking one of them.

use clap::Subcommand;
use serde_json::json;

use super::{
    CliFault, Ending,
    api::Api,
    client::{ClientFault, HeldLogin, Home, portal_address},
    output::{Format, changed, say, say_json, say_table},
};
use crate::{audit::printable, model::CredentialId};

/// `bailiwick credential …`
#[derive(Debug, Subcommand)]
pub(super) enum Credential {
    /// List the certificates and tokens that count and that you may see
    #[command(after_help = "Examples:\n  bailiwick credential list\n  bailiwick credential list -o json")]
    List {
        /// The portal; the one of the last login if it is left out
        #[arg(long, value_name = "URL")]
        portal: Option<String>,
        /// How to write the answer
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Revoke one: it counts no more, and its open streams close; the session that it hangs on goes on
    #[command(after_help = "Example:\n  bailiwick credential revoke 0b9f6c1e-3c1f-4a3e-9a55-7a8b62a3c5d1")]
    Revoke {
        /// Its id, from `bailiwick credential list`
        id: String,
        /// The portal; the one of the last login if it is left out
        #[arg(long, value_name = "URL")]
        portal: Option<String>,
    },
}

impl Credential {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        match self {
            Self::List { portal, output } => list(&Api::of(&held(portal.as_deref())?.1)?, output).await?,
            Self::Revoke { id, portal } => {
                let Ok(id) = id.parse::<CredentialId>() else {
                    return Err(CliFault::could_not_look(format!(
                        "`{}` is not the id of a credential; `bailiwick credential list` shows them",
                        printable(&id)
                    )));
                };
                let (home, login) = held(portal.as_deref())?;
                Api::of(&login)?.revoke_credential(id).await?;
                changed(format_args!("the credential {id} is revoked"));
                // It may be one that is kept for kubectl here, which then asks for another.
                home.forget_credentials(&login.portal)?;
                say(format_args!("Revoked {id}."));
            }
        }
        Ok(Ending::Yes)
    }
}

fn held(portal: Option<&str>) -> Result<(Home, HeldLogin), ClientFault> {
    let home = Home::of_user()?;
    let login = home.login(portal.map(portal_address).transpose()?.as_ref())?;
    Ok((home, login))
}

async fn list(api: &Api, output: Format) -> Result<(), CliFault> {
    let credentials = api.credentials().await?;
    if output == Format::Json {
        return say_json(&json!({ "credentials": credentials }));
    }
    let rows = credentials.into_iter().map(|it| vec![it.id, it.person, it.what, it.issued_at, it.not_after]);
    say_table(&["id", "person", "what", "issued", "ends"], rows);
    Ok(())
}
