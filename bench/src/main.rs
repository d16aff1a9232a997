//! Load for everpaid: what it does a second, how long it makes people wait, what it costs.
//!
//! `bench/run` is the one command; `bench/README.md` says how the figures come about.

mod load;
mod notifications;
mod told;
mod clicks;
mod server;
mod book;
mod http;
mod disk;
mod machine;
mod report;
mod sandbox;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::{Parser, Subcommand};
use simulator::Simulator;
use testkit::RedisServer;

use crate::{
    book::{Book, Database},
    clicks::Stopwatch,
    load::Pace,
    machine::Watch,
    server::{Role, Server, Settings},
};

#[derive(Debug, Parser)]
struct Bench {
    #[command(subcommand)]
    what: Option<What>,
    /// A short run, to see that everything works; its figures mean little.
    #[arg(long)]
    quick: bool,
    /// Run on this database only.
    #[arg(long)]
    only: Option<String>,
    /// The server to put under load; by default the one built beside this program.
    #[arg(long)]
    everpaid: Option<PathBuf>,
    /// A Postgres server, without a database's name; without it only SQLite is measured.
    #[arg(long)]
    postgres: Option<String>,
    /// The directory that Postgres keeps its data in, for the cost of an fsync there.
    #[arg(long, requires = "postgres")]
    postgres_data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Measure from the payer's success until the shop is told, in one process and in many.
    Told,
    /// Measure the simulator alone; `bench/run-simulator` does it.
    Simulator {
        /// A short run, to see that everything works; its figures mean little.
        #[arg(long)]
        quick: bool,
        /// Measure memory alone, which a busy machine does not disturb.
        #[arg(long)]
        memory: bool,
    },
}

impl Bench {
    fn wants(&self, database: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only.eq_ignore_ascii_case(database))
    }
}

/// How often each load is run on a quiet machine; what is promised is judged by the median of those.
const ROUNDS: usize = 3;

/// A machine that is never quiet must not keep us for ever.
const TRIES_MAX: usize = 15;

/// Counts the runs of one load.
struct Rounds {
    wanted: usize,
    quiet: usize,
    tries: usize,
}

impl Rounds {
    fn new(wanted: usize) -> Self {
        Self { wanted, quiet: 0, tries: 0 }
    }

    fn need_more(&self) -> bool {
        self.quiet < self.wanted && (self.wanted > 1 || self.tries < 1) && self.tries < TRIES_MAX
    }

    fn add(&mut self, was_quiet: bool) {
        self.tries += 1;
        self.quiet += usize::from(was_quiet);
    }
}

/// What is promised; see design and README.
struct Floors {
    acknowledged_per_second: f64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Bench::parse();
    let everpaid = sandbox::executable(options.everpaid.as_ref())?;
    let directory = tempfile::tempdir().context("making a directory")?;
    println!("{}", report::machine());
    match options.what {
        Some(What::Simulator { quick, memory }) => return sandbox::measure(&everpaid, quick, memory).await,
        Some(What::Told) => return measure_told(&options, &everpaid, directory.path()).await,
        None => {}
    }

    if let Some(server) = options.postgres.as_deref().filter(|_| options.wants("postgres")) {
        let database = Database::postgres(server).await.context("making a database on Postgres")?;
        let data = options.postgres_data.clone().unwrap_or_else(|| directory.path().to_owned());
        measure(&options, &database, &everpaid, &data, &Floors { acknowledged_per_second: 2000.0 }).await?;
    }
    if options.wants("sqlite") {
        let data = directory.path().join("sqlite");
        std::fs::create_dir(&data)?;
        let database = Database::sqlite(&data);
        measure(&options, &database, &everpaid, &data, &Floors { acknowledged_per_second: 500.0 }).await?;
    }
    Ok(())
}

async fn measure_told(options: &Bench, everpaid: &Path, directory: &Path) -> anyhow::Result<()> {
    if options.wants("sqlite") {
        let data = directory.join("sqlite");
        std::fs::create_dir(&data)?;
        let database = Database::sqlite(&data);
        told::Place { everpaid, database: &database, redis: None, data: &data }
            .measure(options.quick)
            .await?;
    }
    if let (Some(server), true) = (&options.postgres, options.wants("postgres")) {
        let redis = RedisServer::start();
        let database = Database::postgres(server).await.context("making a database on Postgres")?;
        let data = options.postgres_data.as_deref().unwrap_or(directory);
        told::Place { everpaid, database: &database, redis: Some(&redis), data }
            .measure(options.quick)
            .await?;
    }
    Ok(())
}

async fn measure(
    options: &Bench,
    database: &Database,
    everpaid: &Path,
    data: &Path,
    floors: &Floors,
) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let wechat = Simulator::start(simulator::Options::default()).await.context("starting the simulator")?;
    let credentials = wechat.merchant();
    let stopwatch = Stopwatch::start(wechat.addr()).await?;
    let settings = Settings {
        everpaid,
        directory: directory.path(),
        database_url: &database.url,
        redis_url: None,
        wechat_url: &stopwatch.url(),
        credentials: &credentials,
        webhook_urls: &[],
    };
    let mut server = Server::start(&settings, Role::Serve).await?;
    let book = Book::open(database).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = server.usage()?;
    let mut watch = Watch::over(data);

    let (mut clicks, mut notifications) = (Vec::new(), Vec::new());
    let rounds = if options.quick { 1 } else { ROUNDS };
    for delay_ms in [0, 50] {
        let count = if options.quick { 100 } else { 150 };
        let plan = clicks::Plan { per_second: 50.0, count, delay_ms };
        let mut runs = Rounds::new(rounds);
        while runs.need_more() {
            eprintln!("{}: {plan:?}", database.name);
            let figure = clicks::run(plan, &mut server, &stopwatch, &credentials, &mut watch).await?;
            runs.add(figure.meanwhile.was_quiet());
            clicks.push(figure);
        }
    }
    for plan in plans(floors) {
        let mut runs = Rounds::new(rounds);
        while runs.need_more() {
            eprintln!("{}: {plan:?}", database.name);
            let figure = notifications::run(plan, &mut server, &book, &wechat, &mut watch).await?;
            runs.add(figure.meanwhile.was_quiet());
            notifications.push(figure);
        }
    }
    let loaded = server.usage()?;
    let version = book.version().await?;
    println!(
        "{}",
        report::Report {
            database: format!("{} {version}", database.name),
            notifications,
            clicks,
            idle,
            loaded,
            floor: floors.acknowledged_per_second,
        }
    );
    book.close().await?;
    server.stop().await?;
    wechat.stop().await;
    Ok(())
}

/// Half the floor and the floor at a fixed rate, then as fast as it goes.
fn plans(floors: &Floors) -> Vec<notifications::Plan> {
    let seconds = 2.0;
    let open = |per_second: f64| notifications::Plan {
        pace: Pace::Open { per_second },
        connections: 256,
        count: whole(per_second * seconds),
    };
    let closed = |connections| notifications::Plan {
        pace: Pace::Closed,
        connections,
        count: whole(floors.acknowledged_per_second * seconds),
    };
    let floor = floors.acknowledged_per_second;
    vec![open(floor / 2.0), open(floor), closed(64), closed(256)]
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand")]
fn whole(count: f64) -> usize {
    count as usize
}
