//! The front door: read the command line, start the runtime, run the command, exit with its code.

use std::process::ExitCode;

use bailiwick::cli::{Cli, CliFault, output};
use clap::Parser as _;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(fault) => {
            output::complain(&CliFault::failed(format!("the runtime did not start: {fault}")));
            return ExitCode::FAILURE;
        }
    };
    match output::delivered(runtime.block_on(cli.run())) {
        Ok(ending) => ending.into(),
        Err(fault) => {
            output::complain(&fault);
            fault.exit_code()
        }
    }
}
