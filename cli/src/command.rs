//! The command line.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use clap::{Parser, Subcommand};
use entity::{Clock, Db, DbOptions};
use migration::{Migrator, MigratorTrait};

use crate::{
    config::Config,
    dev::{self, DevOptions},
    lock::DataLock,
    operator,
    roles::{self, Roles},
    simulate,
    terminal::{LogFormat, ToldToStop},
};

/// A self-hosted WeChat Pay backend that never loses an order.
///
/// Without a command it runs `dev`: everything on this machine, with a simulated WeChat Pay.
#[derive(Debug, Parser)]
#[command(version, name = "everpaid")]
pub(crate) struct Everpaid {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    dev: DevOptions,

    /// How log lines look; RUST_LOG says which.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "EVERPAID_LOG_FORMAT")]
    pub log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything on this machine: simulator, api, worker, demo shop.
    Dev(DevOptions),
    /// Run api and worker in one process.
    Serve(WithConfig),
    /// Run the api alone (Postgres only).
    Api(WithConfig),
    /// Run the worker alone (Postgres only).
    Worker(WithConfig),
    /// Run a simulated WeChat Pay alone, for any client in any language.
    Simulator(simulate::Options),
    /// Bring the database's schema up to date, or say whether it is.
    Migrate {
        #[command(subcommand)]
        action: Migrate,
    },
    /// Say by the exit status whether an address answers: for containers, which have no curl.
    Healthcheck {
        /// Such as http://127.0.0.1:8700/readyz, or a worker's http://127.0.0.1:8702/metrics.
        url: reqwest::Url,
    },
    /// Say why an order is where it is, what is known of it, and what happens next.
    Explain(operator::explain::Explain),
    /// See what was given up, and have it run again.
    Jobs {
        #[command(subcommand)]
        command: operator::jobs::Jobs,
    },
    /// See what the shops were not told, and have it sent again.
    Webhooks {
        #[command(subcommand)]
        command: operator::webhooks::Webhooks,
    },
    /// See what a person should know about money, and decide about it.
    Cases {
        #[command(subcommand)]
        command: operator::cases::Cases,
    },
}

#[derive(Debug, Subcommand)]
enum Migrate {
    /// Run the migrations that are pending.
    Up(WithConfig),
    /// List the migrations; fails if any is pending.
    Status(WithConfig),
}

#[derive(Debug, clap::Args)]
struct WithConfig {
    /// The configuration file; see everpaid.example.toml.
    #[arg(long, default_value = "everpaid.toml", env = "EVERPAID_CONFIG")]
    config: PathBuf,
}

impl Everpaid {
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command.unwrap_or(Command::Dev(self.dev)) {
            Command::Dev(options) => dev::run(options).await,
            Command::Serve(WithConfig { config }) => serve(Roles::BOTH, &Config::read(&config)?).await,
            Command::Api(WithConfig { config }) => serve(Roles::API, &Config::read(&config)?).await,
            Command::Worker(WithConfig { config }) => serve(Roles::WORKER, &Config::read(&config)?).await,
            Command::Simulator(options) => simulate::run(options).await,
            Command::Migrate { action } => migrate(action).await,
            Command::Healthcheck { url } => healthcheck(url).await,
            Command::Explain(explain) => operator::explain::run(explain).await,
            Command::Jobs { command } => operator::jobs::run(command).await,
            Command::Webhooks { command } => operator::webhooks::run(command).await,
            Command::Cases { command } => operator::cases::run(command).await,
        }
    }
}

async fn serve(roles: Roles, config: &Config) -> anyhow::Result<()> {
    let mut told_to_stop = ToldToStop::listen()?;
    let mut running = roles::start(roles, config, Clock::System).await?;
    tracing::info!(api = ?running.api_addr, metrics = %running.metrics_addr, "everpaid is running");
    tokio::select! {
        () = told_to_stop.wait() => {}
        // Whoever keeps processes alive starts another one.
        failed = running.failed() => return Err(failed),
    }
    tokio::select! {
        stopped = running.stop() => stopped,
        () = told_to_stop.wait() => anyhow::bail!("told twice, stopped at once"),
    }
}

async fn healthcheck(url: reqwest::Url) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
    let status = client.get(url).send().await.context("asking")?.status();
    anyhow::ensure!(status.is_success(), "answered {status}");
    Ok(())
}

async fn migrate(action: Migrate) -> anyhow::Result<()> {
    let (Migrate::Up(WithConfig { config }) | Migrate::Status(WithConfig { config })) = &action;
    let config = Config::read(config)?;
    // A migration may take longer than a request.
    let options = DbOptions { statement_limit: None, ..config.database.options()? };
    let _lock =
        DataLock::directory_of(&options.url).map(|directory| DataLock::take(&directory)).transpose()?;
    let db = Db::open(&options, Clock::System).await.context("opening the database")?;
    let pending = async || migration::pending(db.reader()).await.context("reading the schema's version");
    // Not on the schema of a newer release, which lacks nothing.
    if matches!(action, Migrate::Up(_)) && !pending().await?.is_empty() {
        Migrator::up(db.migrator(), None).await.context("migrating")?;
    }
    let pending = pending().await?;
    for migration in Migrator::migrations() {
        let is_pending = pending.iter().any(|one| one == migration.name());
        println!("{}  {}", if is_pending { "pending" } else { "applied" }, migration.name());
    }
    anyhow::ensure!(
        pending.is_empty(),
        "{} migrations are pending; run `everpaid migrate up`",
        pending.len()
    );
    Ok(())
}
