//! `bailiwick completions SHELL`: prints what a shell needs to complete our commands.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, CliFault, Ending, output};

/// Completions for a shell.
///
/// For bash: bailiwick completions bash > /etc/bash_completion.d/bailiwick
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<Ending, CliFault> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "bailiwick", &mut script);
        output::say(String::from_utf8_lossy(&script).trim_end());
        Ok(Ending::Yes)
    }
}
