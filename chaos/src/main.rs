//! The command of the proof under faults.

use std::process::ExitCode;

use chaos::lives;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
struct Chaos {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lead orders through the shipping handlers on SQLite, in virtual time.
    Lives(lives::Options),
}

fn main() -> ExitCode {
    let Chaos { what: What::Lives(options) } = Chaos::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(lives::run(&options)),
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}
