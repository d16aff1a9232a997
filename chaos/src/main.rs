//! The command of the proof under faults.

use std::process::ExitCode;

use chaos::{fire, lives};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, Parser)]
struct Chaos {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lead orders through the shipping handlers on SQLite, in virtual time.
    Lives(lives::Options),
    /// Sell with real processes, in real time, while they are killed, frozen and cut off.
    Fire(fire::Options),
}

fn main() -> ExitCode {
    // Under this name it is what it strikes at, so that nobody has to build that beforehand.
    if std::env::args_os().next().is_some_and(|name| name == "everpaid") {
        return everpaid::main();
    }
    let Chaos { what } = Chaos::parse();
    match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(run(what)))
    {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True if nothing was wrong. What runs ends with whoever is told to stop.
async fn run(what: What) -> anyhow::Result<bool> {
    let work = async {
        match what {
            What::Lives(options) => lives::run(&options).await,
            What::Fire(options) => fire::run(&options).await,
        }
    };
    let mut told_to_stop = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = work => ended,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("told to stop"),
        _ = told_to_stop.recv() => anyhow::bail!("told to stop"),
    }
}
