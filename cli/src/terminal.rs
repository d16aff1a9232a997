//! What passes between a process and whoever started it: log lines and the word to stop.

use std::io::IsTerminal;

use anyhow::Context;
use clap::ValueEnum;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Log lines go to stderr; stdout is for what was asked for.
pub(crate) fn start_log(format: LogFormat) {
    let quiet = "info,sqlx=warn,sea_orm_migration=warn,apalis=warn,apalis_core=warn";
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(quiet));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

/// Ctrl-C and SIGTERM, from the moment on at which it is made.
#[derive(Debug)]
pub(crate) struct ToldToStop {
    interrupted: Signal,
    terminated: Signal,
}

impl ToldToStop {
    /// To be made before anything is started: until then either signal ends the process at once.
    pub fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            interrupted: signal(SignalKind::interrupt()).context("listening for Ctrl-C")?,
            terminated: signal(SignalKind::terminate()).context("listening for SIGTERM")?,
        })
    }

    /// Returns when one of them has come.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupted.recv() => {}
            _ = self.terminated.recv() => {}
        }
    }
}
