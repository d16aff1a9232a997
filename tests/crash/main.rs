//! The crash test of the whole system.
//!
//! The real executable is killed with SIGKILL at every named step, and at random moments, while a
//! shop places orders and payers pay at a simulator that is a process of its own. It is started
//! again, everything is brought to its end, and the simulator's ledger is compared with the books:
//! nothing lost, doubled or wrong.
//!
//! `EVERPAID_CRASH_SEED` repeats the random moments of a run; `EVERPAID_CRASH_STEP` runs the steps
//! that begin so.

use std::{sync::Arc, time::Instant};

use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    processes::{SimulatorKeys, World},
    scenario::Report,
    steps::STEPS,
};

mod steps;
mod scenario;
mod oracle;
mod shop;
mod listener;
mod processes;

/// How many scenarios run at once. Those on Postgres spend their time waiting for a lease of 30 s.
const AT_ONCE_ON_SQLITE: usize = 3;
const AT_ONCE_ON_POSTGRES: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_at_any_step_costs_nothing() {
    let wanted = std::env::var("EVERPAID_CRASH_STEP").unwrap_or_default();
    let keys = Arc::new(SimulatorKeys::generate().await.unwrap());
    let on_sqlite = Arc::new(Semaphore::new(AT_ONCE_ON_SQLITE));
    let on_postgres = Arc::new(Semaphore::new(AT_ONCE_ON_POSTGRES));
    let mut scenarios = JoinSet::new();
    for step in STEPS.iter().filter(|step| step.name.starts_with(&wanted)) {
        for database in testkit::databases().await {
            let room = if database.name == "sqlite" { &on_sqlite } else { &on_postgres };
            let (keys, room) = (Arc::clone(&keys), Arc::clone(room));
            scenarios.spawn(async move {
                let _room = room.acquire_owned().await.unwrap();
                let name = format!("{} {}", database.name, step.name);
                let world = Arc::new(World::build(database, &keys).await.unwrap());
                run(&name, &world, scenario::at_step(&world, step)).await
            });
        }
    }
    sum_up("steps", scenarios.join_all().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_at_any_moment_costs_nothing() {
    let seed = match std::env::var("EVERPAID_CRASH_SEED") {
        Ok(seed) => seed.parse().expect("EVERPAID_CRASH_SEED is a number"),
        Err(_) => rand::random(),
    };
    println!("crash random: EVERPAID_CRASH_SEED={seed}");
    let keys = Arc::new(SimulatorKeys::generate().await.unwrap());
    let mut scenarios = JoinSet::new();
    for database in testkit::databases().await {
        let keys = Arc::clone(&keys);
        scenarios.spawn(async move {
            let name = format!("{} random {seed}", database.name);
            let world = Arc::new(World::build(database, &keys).await.unwrap());
            run(&name, &world, scenario::at_random_moments(&world, seed)).await
        });
    }
    sum_up("random", scenarios.join_all().await);
}

/// Runs a scenario and says how it ended; what the processes wrote, if it ended badly.
async fn run(
    name: &str,
    world: &World,
    scenario: impl Future<Output = anyhow::Result<Report>>,
) -> Option<Report> {
    let started = Instant::now();
    match scenario.await {
        Ok(report) => {
            println!("crash {name}: {report} ({:.1} s)", started.elapsed().as_secs_f64());
            Some(report)
        }
        Err(error) => {
            let jobs = oracle::jobs_left(&world.database.url).await;
            let jobs = jobs.unwrap_or_else(|error| format!("{error:#}"));
            println!("crash {name}: FAILED: {error:#}\n{}=== the jobs\n{jobs}", world.tail_of_logs());
            None
        }
    }
}

fn sum_up(what: &str, ended: Vec<Option<Report>>) {
    let failed = ended.iter().filter(|report| report.is_none()).count();
    let good: Vec<_> = ended.into_iter().flatten().collect();
    let sum = |count: fn(&Report) -> usize| good.iter().map(count).sum::<usize>();
    println!(
        "crash total of {what}: scenarios {}, orders {}, paid {}, refunds {}, kills {}, failed {failed}",
        good.len() + failed,
        sum(|report| report.orders),
        sum(|report| report.paid),
        sum(|report| report.refunds),
        sum(|report| report.kills),
    );
    assert_eq!(failed, 0, "scenarios failed");
}
