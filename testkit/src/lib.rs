//! A fresh, migrated database for a test: a file of its own on SQLite, a database of its own on Postgres.
//! And the processes of those tests that need real ones, with a client that outlasts their deaths.
//!
//! `./test.sh` starts a private Postgres and names it in `EVERPAID_TEST_POSTGRES`; then every test
//! that asks for [`databases`] runs on both. Without it, tests run on SQLite alone.

pub mod process;
pub mod patient;
mod redis;

use std::sync::atomic::{AtomicU32, Ordering};

use entity::{Clock, Db, DbOptions};
use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, Database};
use tempfile::TempDir;

pub use redis::RedisServer;

/// A database that a test has for itself.
#[derive(Debug)]
pub struct TestDatabase {
    pub name: &'static str,
    pub url: String,
    /// The SQLite file goes when the test is over.
    _dir: Option<TempDir>,
}

/// One fresh database of every kind this run has.
pub async fn databases() -> Vec<TestDatabase> {
    let mut all = vec![sqlite().await];
    if let Ok(server) = std::env::var("EVERPAID_TEST_POSTGRES") {
        all.push(postgres(&server).await);
    }
    all
}

/// How many of something: few by default, all of them with `EVERPAID_SIZE=full`.
pub fn size(small: usize, full: usize) -> usize {
    match std::env::var("EVERPAID_SIZE").as_deref() {
        Ok("full") => full,
        _ => small,
    }
}

/// A fresh SQLite file.
pub async fn sqlite() -> TestDatabase {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let url = format!("sqlite://{}", dir.path().join("everpaid.sqlite").display());
    migrate(&url).await;
    TestDatabase { name: "sqlite", url, _dir: Some(dir) }
}

/// A fresh database on the server at that URL, which names no database.
async fn postgres(server: &str) -> TestDatabase {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("t{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let admin = Database::connect(format!("{server}/postgres")).await.expect("the test Postgres");
    admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.expect("a database");
    admin.close().await.expect("an orderly end");
    let url = format!("{server}/{name}");
    migrate(&url).await;
    TestDatabase { name: "postgres", url, _dir: None }
}

async fn migrate(url: &str) {
    let options = DbOptions { writers: 1, readers: 1, statement_limit: None, ..DbOptions::new(url) };
    let db = Db::open(&options, Clock::System).await.expect("a database");
    Migrator::up(db.migrator(), None).await.expect("migrations");
    db.close().await.expect("an orderly end");
}

impl TestDatabase {
    pub async fn open(&self, clock: Clock) -> Db {
        let options = DbOptions { writers: 8, ..DbOptions::new(&self.url) };
        Db::open(&options, clock).await.expect("a database")
    }
}
