//! `bailiwick logout`: ends the login on the server, and removes what is kept of it here.

use clap::Args;

use super::{
    CliFault, Ending,
    api::Api,
    client::{ClientFault, Home, portal_address},
    output::{changed, say},
};

/// Log out, and end everything that was issued under the login.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bailiwick logout")]
pub(super) struct Logout {
    /// The portal; the one of the last login if it is left out
    #[arg(long, value_name = "URL")]
    portal: Option<String>,
}

impl Logout {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        let given = self.portal.as_deref().map(portal_address).transpose()?;
        let home = Home::of_user()?;
        let login = home.login(given.as_ref())?;
        // What is kept here goes even if the portal cannot be reached; then that is said, and is a failure.
        let told = Api::of(&login)?.sign_out().await;
        home.forget_login(&login.portal)?;
        changed(format_args!("the login at {} is forgotten here", login.portal));
        match told {
            Ok(()) => say(format_args!("Logged out at {}; the browser's login ended with it.", login.portal)),
            Err(ClientFault::LoggedOut { .. }) => say(format_args!("Logged out at {}.", login.portal)),
            Err(fault) => {
                let still = format!("forgotten here, but it stays open there until {} at the latest", login.expires_at);
                return Err(CliFault::failed(format!("{fault}. The login is {still}; end it in the portal")));
            }
        }
        Ok(Ending::Yes)
    }
}
