//! The one way to the database.
//!
//! Reads go to a pool of readers, writes through [`Db::write`]: one closure, one transaction,
//! IMMEDIATE on SQLite, hints told and figures counted only after the commit.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    ExecResult, QueryResult, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, Value,
};
use sqlx::{
    Connection,
    sqlite::{SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::{Mutex, Semaphore};

use crate::{Bus, Clock, Hint, Timestamp};

/// How to open a database.
#[derive(Clone, Debug)]
pub struct DbOptions {
    /// `sqlite://path/to/file` or `postgres://…`.
    pub url: String,
    /// Connections of the writing pool on Postgres; SQLite always has one writer, a fair queue.
    pub writers: u32,
    /// Connections of the reading pool.
    pub readers: u32,
    /// On Postgres no statement may take longer. None for migrations, which may.
    pub statement_limit: Option<Duration>,
}

impl DbOptions {
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), writers: 16, readers: 4, statement_limit: Some(STATEMENT_LIMIT) }
    }
}

/// A database with its clock and its bus.
#[derive(Clone, Debug)]
pub struct Db {
    writer: DatabaseConnection,
    reader: DatabaseConnection,
    /// How many of the writing connections jobs may have at once.
    for_jobs: Arc<Semaphore>,
    /// What a writer passes before it waits for a connection.
    gate: Option<Arc<Semaphore>>,
    clock: Clock,
    bus: Bus,
}

impl Db {
    /// Opens both pools. Nothing is migrated and nothing is written.
    pub async fn open(options: &DbOptions, clock: Clock) -> Result<Self, DbErr> {
        let sqlite = options.url.starts_with("sqlite:");
        let writers = if sqlite { 1 } else { options.writers };
        Ok(Self {
            writer: Database::connect(connect_options(options, writers)).await?,
            reader: Database::connect(connect_options(options, options.readers)).await?,
            for_jobs: Arc::new(Semaphore::new((writers / 2).max(1) as usize)),
            gate: None,
            clock,
            bus: Bus::default(),
        })
    }

    pub fn backend(&self) -> DbBackend {
        self.writer.get_database_backend()
    }

    /// The same database for jobs, which take at most half of the writing connections.
    ///
    /// Connections are handed out in the order of asking. Without this, whoever waits for an answer
    /// would wait behind every job that runs.
    #[must_use]
    pub fn for_jobs(self) -> Self {
        Self { gate: Some(self.for_jobs.clone()), ..self }
    }

    /// For reads outside a transaction.
    pub fn reader(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// The connections that write, bare: for the migrator, which brings its own transactions, and for
    /// questions about the connection itself.
    pub fn migrator(&self) -> &DatabaseConnection {
        &self.writer
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Now, on the watch that decides what is due: on Postgres the database's.
    pub async fn now(&self) -> Result<Timestamp, DbErr> {
        now(&self.reader, &self.clock).await
    }

    /// Runs `work` in one write transaction.
    ///
    /// `Ok` commits, and then tells the hints and counts the figures that were collected; `Err` rolls back
    /// and tells nothing.
    /// If the connection is lost during the commit, the error says so and the outcome is not known:
    /// whoever asked asks again, and every insert here can be repeated.
    /// A deadlock or a serialisation failure of Postgres comes back as the error it is: the caller
    /// is a job that will run again, or a client that will.
    ///
    /// It may take ten seconds in all. That is less than a job's run limit, so that a database that
    /// hangs is a failure that is reported, and never kills a job.
    pub async fn write<T, E>(&self, work: impl AsyncFnOnce(&Txn) -> Result<T, E>) -> Result<T, E>
    where
        E: From<DbErr>,
    {
        match tokio::time::timeout(WRITE_LIMIT, self.write_without_limit(work)).await {
            Ok(written) => written,
            Err(_) => Err(DbErr::Custom(format!("a transaction took longer than {WRITE_LIMIT:?}")).into()),
        }
    }

    async fn write_without_limit<T, E>(&self, work: impl AsyncFnOnce(&Txn) -> Result<T, E>) -> Result<T, E>
    where
        E: From<DbErr>,
    {
        let options = TransactionOptions {
            isolation_level: None,
            // Postgres writes by default; saying so would be one more statement.
            access_mode: None,
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        };
        let _passed = match &self.gate {
            // It is never closed.
            Some(gate) => gate.acquire().await.ok(),
            None => None,
        };
        let inner = self.writer.begin_with_options(options).await?;
        let txn = Txn {
            inner,
            clock: self.clock.clone(),
            asked_at: OnceLock::new(),
            hints: Mutex::default(),
            figures: Mutex::default(),
        };
        match work(&txn).await {
            Ok(value) => {
                let Txn { inner, hints, figures, .. } = txn;
                inner.commit().await?;
                figures.into_inner().count();
                for hint in hints.into_inner() {
                    self.bus.tell(&hint);
                }
                Ok(value)
            }
            Err(error) => {
                // Dropping would roll back as well, but only when the connection is next used. If even
                // this fails the connection is gone, and its transaction with it.
                if let Err(rollback) = txn.inner.rollback().await {
                    tracing::warn!(error = %rollback, "a transaction could not be rolled back");
                }
                Err(error)
            }
        }
    }

    pub async fn close(self) -> Result<(), DbErr> {
        self.reader.close().await?;
        self.writer.close().await
    }
}

const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// Whoever waits for a row waits less than whoever waits for the statement.
const LOCK_LIMIT: Duration = Duration::from_secs(5);
const STATEMENT_LIMIT: Duration = Duration::from_secs(8);

/// A write transaction. A helper that takes one neither begins nor commits.
#[derive(Debug)]
pub struct Txn {
    inner: DatabaseTransaction,
    clock: Clock,
    /// What the database's clock said when it was first asked, and when that was.
    asked_at: OnceLock<(Timestamp, Instant)>,
    hints: Mutex<Vec<Hint>>,
    figures: Mutex<Figures>,
}

/// What is counted if the transaction commits.
#[derive(Default)]
struct Figures(Vec<Box<dyn FnOnce() + Send>>);

impl Figures {
    fn count(self) {
        for figure in self.0 {
            figure();
        }
    }
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Figures").field(&self.0.len()).finish()
    }
}

impl Txn {
    /// Told to the bus if and when this transaction commits.
    pub async fn after_commit(&self, hint: Hint) {
        self.hints.lock().await.push(hint);
    }

    /// Counts a figure if and when this transaction commits. For metrics only: whoever dies between
    /// the commit and the count has counted too little, and nobody ever counts too much.
    pub async fn count_after_commit(&self, figure: impl FnOnce() + Send + 'static) {
        self.figures.lock().await.0.push(Box::new(figure));
    }

    /// Now, on the watch that decides what is due: on Postgres the database's, asked once and then
    /// counted on from.
    pub async fn now(&self) -> Result<Timestamp, DbErr> {
        if !asks_the_database(self, &self.clock) {
            return Ok(self.clock.now());
        }
        if let Some((said, at)) = self.asked_at.get() {
            return Ok(*said + at.elapsed());
        }
        let said = now(self, &self.clock).await?;
        // Whoever was first has asked the same clock.
        self.asked_at.set((said, Instant::now())).ok();
        Ok(said)
    }

    /// An SQL expression for now, with the value that goes into its placeholder.
    ///
    /// On Postgres the placeholder is NULL and the database's clock answers.
    pub fn now_sql(&self, placeholder: &str) -> (String, Value) {
        match (self.get_database_backend(), &self.clock) {
            (DbBackend::Postgres, Clock::System) => {
                (format!("COALESCE(CAST({placeholder} AS bigint), {POSTGRES_NOW})"), Value::BigInt(None))
            }
            (_, clock) => (format!("CAST({placeholder} AS bigint)"), Value::BigInt(Some(clock.now().0))),
        }
    }
}

/// `now()` would be the start of the transaction, which may have waited for a lock since.
const POSTGRES_NOW: &str = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS bigint)";

fn asks_the_database(connection: &impl ConnectionTrait, clock: &Clock) -> bool {
    matches!((connection.get_database_backend(), clock), (DbBackend::Postgres, Clock::System))
}

async fn now(connection: &impl ConnectionTrait, clock: &Clock) -> Result<Timestamp, DbErr> {
    if !asks_the_database(connection, clock) {
        return Ok(clock.now());
    }
    let row = connection
        .query_one_raw(Statement::from_string(DbBackend::Postgres, format!("SELECT {POSTGRES_NOW} AS now")))
        .await?
        .ok_or_else(|| DbErr::RecordNotFound("the database has no clock".to_owned()))?;
    row.try_get("", "now").map(Timestamp)
}

fn connect_options(db: &DbOptions, connections: u32) -> ConnectOptions {
    let limit = db.statement_limit;
    let mut options = ConnectOptions::new(&db.url);
    options
        .map_sqlx_postgres_opts(move |postgres| match limit {
            None => postgres,
            Some(limit) => postgres.options([
                ("statement_timeout", limit.as_millis().to_string()),
                ("lock_timeout", LOCK_LIMIT.as_millis().to_string()),
                ("idle_in_transaction_session_timeout", "30000".to_owned()),
            ]),
        })
        .max_connections(connections)
        .min_connections(1)
        // Shorter than a job's run limit, so that a database that hangs is an orderly failure.
        .acquire_timeout(Duration::from_secs(5))
        .connect_timeout(Duration::from_secs(5))
        // A ping before every use would be one more round trip for each read and transaction.
        .test_before_acquire_if_idle_for(Duration::from_secs(1))
        .sqlx_logging(false)
        // A full disk makes SQLite roll back by itself. Then sqlx cannot, and goes on counting a transaction
        // that is not there: the next one would be a savepoint, and once that is rolled back too, all that
        // follow would be part of one that nobody ever commits.
        .map_sqlx_sqlite_pool_opts(|pool| {
            pool.after_release(|connection, _| {
                Box::pin(async move {
                    // The rollback of one that was dropped may be on its way; the answer comes behind it.
                    if connection.is_in_transaction() {
                        connection.ping().await?;
                    }
                    Ok(!connection.is_in_transaction())
                })
            })
        })
        .map_sqlx_sqlite_opts(|sqlite| {
            sqlite
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                // NORMAL may lose the last commits when the power fails: an acknowledged
                // notification would be gone.
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(Duration::from_secs(5))
                .foreign_keys(true)
                .pragma("temp_store", "memory")
                .pragma("cache_size", "-8192")
                .pragma("journal_size_limit", "67108864")
        });
    options
}

#[async_trait::async_trait]
impl ConnectionTrait for Txn {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.inner.execute_raw(statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.inner.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.inner.query_one_raw(statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.inner.query_all_raw(statement).await
    }
}
