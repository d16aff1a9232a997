//! What strikes real processes, by its name: each test prints its figures for each database.
//!
//! Small by default; `EVERPAID_SIZE=full` makes them as large as they are meant to be.
//! `EVERPAID_SEED` repeats a plan. Like all tests these run on Postgres when `EVERPAID_TEST_POSTGRES` is set, here
//! on one of their own that they can crash.

use std::{path::Path, time::Duration};

use chaos::fire::{self, Database, Executables, Kind, Profile, Report};
use testkit::size;
use tokio::sync::{Mutex, MutexGuard};

/// Each of these keeps the machine busy: one at a time, or they measure each other.
async fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

fn count(small: usize, full: usize) -> u32 {
    u32::try_from(size(small, full)).unwrap()
}

fn seconds(small: usize, full: usize) -> Duration {
    Duration::from_secs(count(small, full).into())
}

fn databases() -> Vec<Database> {
    let has_postgres = std::env::var("EVERPAID_TEST_POSTGRES").is_ok();
    [Database::Sqlite].into_iter().chain(has_postgres.then_some(Database::Postgres)).collect()
}

fn postgres() -> Option<Database> {
    databases().into_iter().find(|database| *database == Database::Postgres)
}

async fn struck(id: &str, database: Database, profile: Profile) -> Report {
    let seed = std::env::var("EVERPAID_SEED").map_or(20_261_122, |seed| seed.parse().unwrap());
    let previous = std::env::var("EVERPAID_PREVIOUS").ok();
    let newest = Path::new(env!("CARGO_BIN_EXE_chaos"));
    let executables = Executables::new(newest, previous.as_deref().map(Path::new));
    let report = fire::burn(&profile, database, seed, &executables).await.unwrap();
    println!("{id} {database:?}, seed {seed}: {report}");
    assert!(report.is_good());
    report
}

/// X-KILL: processes are killed at named steps, and once more at any moment.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_under_load() {
    let _turn = alone().await;
    for database in databases() {
        let kills = count(8, 240);
        let profile = Profile::only(Kind::KillAtStep, kills, count(100, 12_000), seconds(12, 600));
        let report = struck("X-KILL", database, profile).await;
        assert!(report.died_at_step > 0, "nobody came to a step");
    }
}

/// W-OUT: WeChat Pay is away, or talks nonsense, in each of the ways that are known.
#[tokio::test(flavor = "multi_thread")]
async fn while_wechat_pay_is_away_nothing_is_guessed() {
    let _turn = alone().await;
    for database in databases() {
        let windows = count(13, 65);
        let profile = Profile::only(Kind::Outage, windows, count(100, 6_000), seconds(28, 900));
        let report = struck("W-OUT", database, profile).await;
        // What was not answered is not asked for the more. The calls of a hundred orders come in clusters,
        // those of thousands do not.
        let [away, otherwise] = report.calls;
        let at_most = otherwise * f64::from(count(200, 120)) / 100.;
        assert!(away <= at_most, "{away} calls a second, and {otherwise} otherwise");
    }
}

/// D-CRASH: Postgres ends without a word to its disk, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_a_crash_of_the_database() {
    let _turn = alone().await;
    if let Some(database) = postgres() {
        let profile = Profile::only(Kind::DatabaseCrash, count(3, 20), count(100, 6_000), seconds(12, 300));
        struck("D-CRASH", database, profile).await;
    }
}

/// D-FULL: the disk of the database's rows is full, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_leaves_nothing_half_done() {
    let _turn = alone().await;
    for database in databases() {
        let profile = Profile::only(Kind::DiskFull, count(2, 10), count(100, 6_000), seconds(14, 300));
        struck("D-FULL", database, profile).await;
    }
}

/// D-POOL: there is no connection to Postgres to be had, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn without_connections_nothing_is_acknowledged_and_nothing_lost() {
    let _turn = alone().await;
    if let Some(database) = postgres() {
        let profile = Profile::only(Kind::Starved, count(2, 20), count(100, 6_000), seconds(14, 300));
        struck("D-POOL", database, profile).await;
    }
}

/// R-FLUSH: Redis is emptied, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_redis_loses_nothing() {
    let _turn = alone().await;
    if let Some(database) = postgres() {
        let profile = Profile::only(Kind::RedisFlush, count(5, 20), count(100, 6_000), seconds(12, 300));
        struck("R-FLUSH", database, profile).await;
    }
}

/// R-PAUSE: Redis stands still for half a minute, is thawed, and is killed and comes back empty.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_stands_still_or_is_lost_holds_nobody_up() {
    let _turn = alone().await;
    if let Some(database) = postgres() {
        let profile = Profile::only(Kind::RedisPause, count(1, 5), count(100, 6_000), seconds(14, 300));
        let blows = [profile.blows.clone(), vec![(Kind::RedisLoss, count(1, 5))]].concat();
        struck("R-PAUSE", database, Profile { blows, away_max: seconds(4, 30), ..profile }).await;
    }
}

/// R-BACKLOG: very many jobs are due at once, and new orders do not wait for them.
#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_done_while_orders_come_in() {
    let _turn = alone().await;
    for database in databases() {
        let profile = Profile::only(Kind::Backlog, 1, count(60, 3_000), seconds(8, 120));
        let profile = Profile { backlog: count(2_000, 100_000), ..profile };
        let report = struck("R-BACKLOG", database, profile).await;
        assert!(report.backlog.is_some(), "there was no backlog");
    }
}

/// C-SKEW: a process' clock is ten minutes off for a while, ahead and behind. On SQLite in the small size
/// it is 20 seconds, because what was put off by a clock that was ahead waits as long when it is right.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_costs_nothing_once_it_is_right() {
    let _turn = alone().await;
    // The library that shifts a clock is installed wherever Postgres is.
    let databases = databases();
    for database in databases.iter().copied().filter(|_| databases.len() > 1) {
        let profile = Profile::only(Kind::Clock, count(2, 24), count(100, 6_000), seconds(18, 300));
        let step = if database == Database::Sqlite { i64::from(count(20, 600)) } else { 600 };
        let rest = Duration::from_secs(180 + step.unsigned_abs());
        let report = struck("C-SKEW", database, Profile { step, rest, ..profile }).await;
        // Beyond five minutes WeChat Pay's word is not believed, and comes again.
        assert_eq!(report.not_believed > 0, step > 300, "{} notifications", report.not_believed);
    }
}

/// U-ROLL: every process is told to stop and started again, one after the other, while orders come in. With
/// `EVERPAID_PREVIOUS`, an executable, from that release to this one and back.
#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_loses_nothing() {
    let _turn = alone().await;
    for database in databases() {
        let profile = Profile::only(Kind::Roll, count(2, 20), count(100, 6_000), seconds(12, 300));
        struck("U-ROLL", database, profile).await;
    }
}
