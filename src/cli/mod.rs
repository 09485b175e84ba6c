//! The command line: one file per command, and [`Command`] is the table of contents.
//!
//! Exit codes: 0 done, or yes; 1 failed, or no; 2 misused, or could not look, or the answer could not be written; 141
//! whoever read the answer went before all of it was written (`| head`); 128 and the signal's number, interrupted while it
//! wrote a file. Answers go to standard output, everything else to
//! standard error; colour only to a terminal.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::config::{Mistake, Settings};

mod api;
mod audit;
mod check;
mod client;
mod completions;
mod credential;
mod demo;
mod invite;
mod key;
mod kube;
mod kube_credential;
mod kubeconfig;
mod login;
mod logout;
mod migrate;
mod operator;
pub mod output;
mod serve;
mod session;
mod status;

/// An access broker: one door in front of admin web apps and Kubernetes clusters.
///
/// Every request is judged by rules, recorded in a provable log, and only then let through.
#[derive(Debug, Parser)]
#[command(name = "bailiwick", version, propagate_version = true, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the broker
    Serve(serve::Serve),
    /// Bring the database up to date, or say whether it is
    Migrate(migrate::Migrate),
    /// Check the configuration and the rules together
    Check(check::Check),
    /// The broker's own keys
    #[command(subcommand)]
    Key(key::Key),
    /// Invite a person to register a first passkey
    Invite(invite::Invite),
    /// Log in from this computer, confirmed in the browser
    Login(login::Login),
    /// Say who is logged in, until when, and for which clusters
    Status(status::Status),
    /// Log out, and end everything that was issued under the login
    Logout(logout::Logout),
    /// Contexts and credentials for kubectl
    #[command(subcommand)]
    Kube(kube::Kube),
    /// Sessions that are open, and ending them
    #[command(subcommand)]
    Session(session::Session),
    /// Certificates and tokens that count, and revoking them
    #[command(subcommand)]
    Credential(credential::Credential),
    /// The audit log: check it, read it
    #[command(subcommand)]
    Audit(Box<audit::Audit>),
    /// Try everything on this machine: a database, a provider, an app, rules to edit, and a tour
    Demo(demo::Demo),
    /// Completions for a shell
    Completions(completions::Completions),
}

impl Cli {
    /// Runs the command.
    pub async fn run(self) -> Result<Ending, CliFault> {
        match self.command {
            Command::Serve(command) => command.run().await,
            Command::Migrate(command) => command.run().await,
            Command::Check(command) => command.run().await,
            Command::Key(command) => command.run().await,
            Command::Invite(command) => command.run().await,
            Command::Login(command) => command.run().await,
            Command::Status(command) => command.run().await,
            Command::Logout(command) => command.run().await,
            Command::Kube(command) => command.run().await,
            Command::Session(command) => command.run().await,
            Command::Credential(command) => command.run().await,
            Command::Audit(command) => command.run().await,
            Command::Demo(command) => command.run().await,
            Command::Completions(command) => command.run(),
        }
    }
}

/// How a command ended when nothing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Done, or the answer is yes: 0.
    Yes,
    /// The answer is no: 1.
    No,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Yes => Self::SUCCESS,
            Ending::No => Self::FAILURE,
        }
    }
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum CliFault {
    /// It was tried and failed: 1.
    #[error("{0}")]
    Failed(String),
    /// The question could not be looked into: 2.
    #[error("{0}")]
    CouldNotLook(String),
    /// Whoever read standard output has gone: 141, which is what a shell makes of a death by SIGPIPE, and not a word.
    #[error("nobody reads standard output any more")]
    ReaderGone,
    /// The configuration has mistakes: 2.
    #[error("{}", count(.0.len()))]
    Configuration(Vec<Mistake>),
}

impl CliFault {
    /// It was tried and failed.
    pub fn failed(why: impl ToString) -> Self {
        Self::Failed(why.to_string())
    }

    /// The question could not be looked into.
    pub fn could_not_look(why: impl ToString) -> Self {
        Self::CouldNotLook(why.to_string())
    }

    /// The code that says so.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) => ExitCode::FAILURE,
            Self::CouldNotLook(_) | Self::Configuration(_) => ExitCode::from(2),
            Self::ReaderGone => ExitCode::from(128 + SIGPIPE),
        }
    }
}

/// Its number on every system that this runs on.
const SIGPIPE: u8 = 13;

/// Where the configuration is: part of every command that an operator runs.
#[derive(Clone, Debug, Args)]
pub struct ConfigFile {
    /// The configuration file
    #[arg(
        long = "config",
        value_name = "FILE",
        env = "BAILIWICK_CONFIG",
        default_value = "/etc/bailiwick/bailiwick.toml"
    )]
    pub path: PathBuf,
}

impl ConfigFile {
    /// The settings, or all that is wrong with them.
    pub fn load(&self) -> Result<Settings, CliFault> {
        Settings::load(&self.path).map_err(CliFault::Configuration)
    }

    /// The same for what needs no wrapping key: there may be none yet, or it is not for whoever asks.
    pub fn load_without_keys(&self) -> Result<Settings, CliFault> {
        Settings::load_before_keys(&self.path).map_err(CliFault::Configuration)
    }
}

fn count(mistakes: usize) -> String {
    if mistakes == 1 {
        "1 mistake in the configuration".to_owned()
    } else {
        format!("{mistakes} mistakes in the configuration")
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_option_says_what_it_is_for() {
        let mut open = vec![Cli::command()];
        while let Some(command) = open.pop() {
            assert!(command.get_about().is_some(), "`{}` says nothing", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {argument} says nothing", command.get_name());
            }
            open.extend(command.get_subcommands().cloned());
        }
    }
}
