//! everpaid's executable: commands, configuration and start-up. Below here there are only values.

use std::process::ExitCode;

use clap::Parser;

mod bridge;
mod command;
pub mod config;
mod dev;
mod simulate;
pub mod roles;
mod shop;
mod lock;
mod operator;
mod private;
mod terminal;

/// Reads the command line and runs what it says.
pub fn main() -> ExitCode {
    #[cfg(feature = "crash-points")]
    let _crash_points = fail::FailScenario::setup();

    let command = command::Everpaid::parse();
    terminal::start_log(command.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("everpaid: the runtime does not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(command.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("everpaid: {error:#}");
            ExitCode::FAILURE
        }
    }
}
