//! Claiming a job, and ending its run in the transaction of its effect.

use std::time::{Duration, Instant};

use entity::{
    Hint, Timestamp, Txn,
    job::{Due, Lane},
};
use sea_orm::{ActiveEnum, ConnectionTrait, DbBackend, DbErr, Statement, Value};
use ulid::Ulid;

use crate::{
    Kind,
    asking::{greatest, least},
};

/// How long a run may take. Every call it makes has a shorter time-out of its own.
pub const RUN_LIMIT: Duration = Duration::from_secs(20);

/// How long a claim of a job that is not suspect keeps others away. Not mutual exclusion: a frozen
/// process may still be working when it has run out. What it writes then is fenced off, what it
/// sends is idempotent.
pub const LEASE: Duration = Duration::from_secs(30);

/// After so many runs in a row that began and never reported back, the job is suspect. One whose
/// runs panicked or never ended is dead. One whose process died is not: it may have died of
/// something else, with every job it was running. It runs again, and each time that it takes its
/// process with it keeps it away for twice as long, from one minute to one hour.
///
/// Failures that are reported never kill a job.
pub const UNFINISHED_MAX: i64 = 5;

/// 30 s times two to this is an hour and four minutes.
const DOUBLINGS_MAX: i64 = 7;

/// Why a run ended without its effect.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It may go better later.
    #[error("{0}")]
    Retry(String),
    /// Trying again cannot help: a decision, always written out.
    #[error("gave up: {0}")]
    GiveUp(String),
    /// Nothing was begun, because there is no room for it for so long. Counts neither for nor against the job.
    #[error("put off for {0:?}")]
    NotYet(Duration),
    /// Somebody else holds the job by now; nothing of this run was kept.
    #[error("fenced: another run holds this job")]
    Fenced,
}

impl From<DbErr> for Failure {
    fn from(error: DbErr) -> Self {
        Self::Retry(format!("database: {error}"))
    }
}

/// The proof that a run was ended in a transaction. Only [`Run`] makes it.
#[derive(Debug)]
#[must_use]
pub struct Finished(());

/// One run of a job, from its claim to its end.
#[derive(Debug)]
pub struct Run {
    pub job_id: i64,
    /// The column as it is; a newer process may know words that this one does not.
    pub kind: String,
    pub subject: String,
    /// Whether somebody waits for it.
    pub lane: Lane,
    /// The number of this run, from 1.
    pub number: i64,
    /// Runs before this one, in a row, that began and never reported back.
    pub unreported: i64,
    /// Runs before this one, in a row, that failed.
    pub failures: i64,
    token: String,
    claimed: Instant,
}

/// Takes the job if it is due, counting the run before the work.
///
/// `None` if it is gone, dead, not due yet, or held by a run that is alive.
pub async fn claim(txn: &Txn, job_id: i64) -> Result<Option<Run>, DbErr> {
    Ok(claim_all(txn, &[job_id]).await?.pop())
}

/// Takes those of the jobs that are due, each as [`claim`] does, in one statement.
pub async fn claim_all(txn: &Txn, job_ids: &[i64]) -> Result<Vec<Run>, DbErr> {
    let Some(last) = job_ids.last() else { return Ok(Vec::new()) };
    // One token will do: the end of a run names its job too.
    let token = Ulid::generate().to_string();
    let (now, now_value) = txn.now_sql("$1");
    let backend = txn.get_database_backend();
    let (least, greatest) = (least(backend), greatest(backend));
    let doublings = format!(
        "CAST({least}({greatest}(unfinished - {UNFINISHED_MAX} + 2, 0), {DOUBLINGS_MAX}) AS integer)"
    );
    let span = format!("(CAST($3 AS bigint) << {doublings})");
    let lease = i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX);
    let mut values: Vec<Value> = vec![now_value, token.clone().into(), lease.into()];
    // A few lengths only, so that the statements stay prepared: the last id fills up.
    let filled = std::iter::repeat_n(last, job_ids.len().next_power_of_two() - job_ids.len());
    values.extend(job_ids.iter().chain(filled).map(|id| Value::from(*id)));
    let ids = (4..=values.len()).map(|at| format!("${at}")).collect::<Vec<_>>().join(", ");
    // A row that somebody is writing must not hold up the others; it is found again by the next scan.
    let skip = if backend == DbBackend::Postgres { "FOR UPDATE SKIP LOCKED" } else { "" };
    let sql = format!(
        "UPDATE job SET lease = $2, due_at = {now} + {span}, wanted_at = NULL, runs = runs + 1, unfinished = unfinished + 1
         WHERE id IN (SELECT id FROM job WHERE id IN ({ids}) AND dead_at IS NULL AND due_at <= {now} {skip})
         RETURNING id, kind, subject, lane, runs, unfinished, failures"
    );
    let statement = Statement::from_sql_and_values(backend, sql, values);
    let claimed = txn.query_all_raw(statement).await?.into_iter().map(|row| {
        Ok(Run {
            job_id: row.try_get("", "id")?,
            kind: row.try_get("", "kind")?,
            subject: row.try_get("", "subject")?,
            lane: Lane::try_from_value(&row.try_get("", "lane")?)?,
            number: row.try_get("", "runs")?,
            unreported: row.try_get::<i64>("", "unfinished")? - 1,
            failures: row.try_get("", "failures")?,
            token: token.clone(),
            claimed: Instant::now(),
        })
    });
    claimed.collect()
}

impl Run {
    /// Refuses to begin something that may outlast the run, as after a slow call or a process that
    /// was frozen.
    pub fn has_time_for(&self, span: Duration) -> Result<(), Failure> {
        if self.claimed.elapsed() + span < RUN_LIMIT {
            Ok(())
        } else {
            Err(Failure::Retry("too little of the run is left".to_owned()))
        }
    }

    /// If this run does not report back either, are there enough of them to suspect the job?
    pub fn is_suspect(&self) -> bool {
        self.unreported + 1 >= UNFINISHED_MAX
    }

    /// Refuses to write in the middle of a run that lost its lease. The end of a run needs no such
    /// question: it compares the lease itself.
    pub async fn holds(&self, txn: &Txn) -> Result<(), Failure> {
        let sql = "UPDATE job SET lease = lease WHERE id = $1 AND lease = $2";
        if self.execute(txn, sql, vec![]).await? == 1 { Ok(()) } else { Err(Failure::Fenced) }
    }

    /// The work is done. If it was asked for again meanwhile, the row stays for that.
    pub async fn done(&self, txn: &Txn) -> Result<Finished, Failure> {
        let delete = "DELETE FROM job WHERE id = $1 AND lease = $2 AND wanted_at IS NULL";
        if self.execute(txn, delete, vec![]).await? == 1 {
            return Ok(Finished(()));
        }
        let release =
            "UPDATE job SET lease = NULL, due_at = wanted_at, wanted_at = NULL, unfinished = 0, failures = 0
             WHERE id = $1 AND lease = $2";
        self.released(txn, release, vec![]).await
    }

    /// Look again at that time, or earlier if it was asked for meanwhile.
    pub async fn again_at(&self, txn: &Txn, at: Timestamp) -> Result<Finished, Failure> {
        let sql = self.next(txn, "unfinished = 0, failures = 0, last_error = NULL");
        self.released(txn, &sql, vec![at.0.into(), self.own_lane()]).await
    }

    /// The run failed and said so. It is tried again at that time.
    pub async fn failed(&self, txn: &Txn, why: &str, next: Timestamp) -> Result<Finished, Failure> {
        let sql = self.next(txn, "unfinished = 0, failures = failures + 1, last_error = $5");
        self.released(txn, &sql, vec![next.0.into(), background(), why.into()]).await
    }

    /// The run could not begin its work. As if it had not been claimed, only later.
    pub async fn put_off(&self, txn: &Txn, until: Timestamp) -> Result<Finished, Failure> {
        let sql = self.next(txn, "unfinished = unfinished - 1");
        self.released(txn, &sql, vec![until.0.into(), self.lane.into_value().into()]).await
    }

    /// The run ended without a word of its own: it panicked or ran past its limit. Counts as unreported.
    pub async fn lost(&self, txn: &Txn, why: &str, next: Timestamp) -> Result<Finished, Failure> {
        // The claim has counted it already.
        let sql = self.next(txn, "last_error = $5");
        self.released(txn, &sql, vec![next.0.into(), background(), why.into()]).await
    }

    /// The process that ran it stops. It is due at once, and nothing is counted against it.
    pub async fn cut_off(&self, txn: &Txn) -> Result<Finished, Failure> {
        let sql = self.next(txn, "unfinished = 0, last_error = 'its process was stopped'");
        let now = txn.now().await?;
        self.released(txn, &sql, vec![now.0.into(), self.own_lane()]).await
    }

    /// It stays as a row that a person or the sweeper revives.
    pub async fn dead(&self, txn: &Txn, why: &str) -> Result<Finished, Failure> {
        let (now, now_value) = txn.now_sql("$3");
        let sql = format!(
            "UPDATE job SET lease = NULL, wanted_at = NULL, dead_at = {now}, last_error = $4 WHERE id = $1 AND lease = $2"
        );
        if self.execute(txn, &sql, vec![now_value, why.into()]).await? == 1 {
            Ok(Finished(()))
        } else {
            Err(Failure::Fenced)
        }
    }

    fn next(&self, txn: &Txn, also: &str) -> String {
        let least = least(txn.get_database_backend());
        // Whoever asked while it ran is waiting still: then it keeps its place in the queue.
        format!(
            "UPDATE job SET lease = NULL, due_at = {least}(COALESCE(wanted_at, $3), $3),
               lane = CASE WHEN wanted_at IS NULL THEN $4 ELSE lane END, wanted_at = NULL, {also}
             WHERE id = $1 AND lease = $2"
        )
    }

    fn own_lane(&self) -> Value {
        Kind::from_name(&self.kind).map_or(Lane::Background, Kind::lane).into_value().into()
    }

    async fn released(&self, txn: &Txn, sql: &str, values: Vec<Value>) -> Result<Finished, Failure> {
        let all = [vec![self.job_id.into(), self.token.clone().into()], values].concat();
        let sql = format!("{sql} RETURNING lane, due_at");
        let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, all);
        let row = txn.query_one_raw(statement).await?.ok_or(Failure::Fenced)?;
        let due_at = Timestamp(row.try_get("", "due_at")?);
        if due_at <= txn.now().await? {
            let lane = Lane::try_from_value(&row.try_get("", "lane")?)?;
            txn.after_commit(Hint::Job(Due { id: self.job_id, lane, due_at })).await;
        }
        Ok(Finished(()))
    }

    async fn execute(&self, txn: &Txn, sql: &str, values: Vec<Value>) -> Result<u64, DbErr> {
        let all = [vec![self.job_id.into(), self.token.clone().into()], values].concat();
        let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, all);
        Ok(txn.execute_raw(statement).await?.rows_affected())
    }
}

/// What failed waits behind what did not: thousands of retries during an outage must not keep a
/// payer who taps now, or a notification, out of the quick queue.
fn background() -> Value {
    Lane::Background.into_value().into()
}
