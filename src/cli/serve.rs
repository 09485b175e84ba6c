//! `bailiwick serve`: runs the broker until it is told to stop.

use std::{
    io::{self, IsTerminal as _},
    sync::Arc,
};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use super::{CliFault, ConfigFile, Ending, output};
use crate::{
    access::AccessFault,
    app::{self, StartFault},
    model::{SystemClock, SystemEntropy},
};

/// Run the broker.
///
/// Stops in good order on SIGINT and SIGTERM: streams are closed, outcomes are recorded, then it exits with 0. It stops
/// likewise, but exits with 1, when something that it cannot do without has ended: let a supervisor start it again.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    config: ConfigFile,
    /// What to log, as tracing filters: `info`, `warn,bailiwick::identity=debug`
    #[arg(long, value_name = "FILTER", env = "BAILIWICK_LOG", default_value = "info")]
    log: String,
    /// How to log: text for a terminal, JSON otherwise, unless said
    #[arg(long, value_name = "FORM")]
    log_format: Option<LogFormat>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// For programs
    Json,
}

impl Serve {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        self.start_log()?;
        let settings = self.config.load()?;
        let mut running = app::start(settings, Arc::new(SystemClock), Arc::new(SystemEntropy))
            .await
            .map_err(|fault| explained(&fault))?;
        let addresses: Vec<String> = running.addresses.iter().map(ToString::to_string).collect();
        let status = running.status.map(|at| at.to_string());
        tracing::info!(broker = %running.broker, addresses = addresses.join(" "), status, "serving");
        let ended = tokio::select! {
            () = told_to_stop() => None,
            ended = running.ended() => Some(ended),
        };
        tracing::info!("stopping");
        running.stop().await;
        match ended {
            None => Ok(Ending::Yes),
            Some(Ok(())) => Err(CliFault::failed("a task that the broker cannot do without has ended")),
            Some(Err(fault)) => Err(CliFault::failed(format_args!("the broker cannot do without this: {fault}"))),
        }
    }

    fn start_log(&self) -> Result<(), CliFault> {
        let filter =
            EnvFilter::try_new(&self.log).map_err(|fault| CliFault::could_not_look(format!("--log: {fault}")))?;
        let is_person = io::stderr().is_terminal();
        let format = self.log_format.unwrap_or(if is_person { LogFormat::Text } else { LogFormat::Json });
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(is_person);
        match format {
            LogFormat::Text => log.init(),
            LogFormat::Json => log.json().flatten_event(true).init(),
        }
        Ok(())
    }
}

/// Rules that are wrong are shown as `bailiwick check` shows them.
fn explained(fault: &StartFault) -> CliFault {
    if let StartFault::Access(AccessFault::Rules(mistakes)) = fault {
        mistakes.iter().for_each(|mistake| output::complain_about(mistake));
    }
    CliFault::failed(fault)
}

/// Returns when the process is asked to stop.
pub(super) async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        },
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}
