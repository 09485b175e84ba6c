//! `bailiwick logout`: ends the login on the server, and removes what is kept of it here.

use super::{
    api::Api,
    client::{ClientFault, Home, portal_address},
};

/// Options of `bailiwick logout`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  bailiwick logout")]
pub struct LogoutArguments {
    /// The portal; the one of the last login if it is left out
    #[arg(long, value_name = "URL")]
    pub portal: Option<String>,
}

/// Logs out. Certificates that were issued under the login end with it. What is kept here goes even if the portal
/// cannot be reached; then that is said, and is a failure.
pub async fn run(arguments: LogoutArguments) -> Result<(), ClientFault> {
    let given = arguments.portal.as_deref().map(portal_address).transpose()?;
    let home = Home::of_user()?;
    let login = home.login(given.as_ref())?;
    let told = Api::of(&login)?.sign_out().await;
    home.forget_login(&login.portal)?;
    match told {
        Ok(()) | Err(ClientFault::LoggedOut { .. }) => println!("Logged out at {}.", login.portal),
        Err(fault) => return Err(fault),
    }
    Ok(())
}
