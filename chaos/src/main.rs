//! The proof under faults.
//!
//! `lives` leads many orders through everything that can happen to them, in virtual time; in the
//! end WeChat Pay's ledger, our books and what the shop was told must say the same.

mod figures;
mod life;
mod lives;
mod oracle;
mod sink;
mod weather;
mod world;

use std::process::ExitCode;

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
