//! Asking for work, in the transaction of the fact that causes it.
//!
//! Asking for a job that exists makes it due earlier. While it runs, the wish is kept in
//! `wanted_at`, which the claim cleared and the finish honours: the run may have loaded its facts
//! before this transaction, so it cannot count as the answer.
//! Asking for a job that is dead revives it for one more run.

use entity::{
    Hint, Timestamp, Txn,
    job::{Due, Lane},
};
use sea_orm::{ActiveEnum, ConnectionTrait, DbBackend, DbErr, Statement, Value};

use crate::{Job, UNFINISHED_MAX};

/// Asks for the job at once, in its own lane.
pub async fn enqueue<J: Job>(txn: &Txn, job: &J) -> Result<(), DbErr> {
    ask(txn, std::slice::from_ref(job), None, J::KIND.lane()).await
}

/// Asks for many jobs of one kind at once, in one statement.
pub async fn enqueue_all<J: Job>(txn: &Txn, jobs: &[J]) -> Result<(), DbErr> {
    if jobs.is_empty() { Ok(()) } else { ask(txn, jobs, None, J::KIND.lane()).await }
}

/// Asks for the job at that time, in its own lane.
pub async fn enqueue_at<J: Job>(txn: &Txn, job: &J, due_at: Timestamp) -> Result<(), DbErr> {
    ask(txn, std::slice::from_ref(job), Some(due_at), J::KIND.lane()).await
}

/// Asks for the job at that time, because a person is waiting for it.
pub async fn enqueue_urgently<J: Job>(txn: &Txn, job: &J, due_at: Timestamp) -> Result<(), DbErr> {
    ask(txn, std::slice::from_ref(job), Some(due_at), Lane::Interactive).await
}

/// Gives every job that was given up before then one more run, and says how many there were.
pub async fn revive_dead(txn: &Txn, before: Timestamp) -> Result<u64, DbErr> {
    let (now, now_value) = txn.now_sql("$1");
    let sql = format!(
        "UPDATE job SET dead_at = NULL, due_at = {now}, unfinished = {last_run} WHERE dead_at <= $2",
        last_run = UNFINISHED_MAX - 1
    );
    let values: [Value; 2] = [now_value, before.0.into()];
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    Ok(txn.execute_raw(statement).await?.rows_affected())
}

/// Gives a job that was given up one more run, or all of them, and says how many there were.
pub async fn revive(txn: &Txn, job_id: Option<i64>) -> Result<u64, DbErr> {
    let (now, now_value) = txn.now_sql("$1");
    let sql = format!(
        "UPDATE job SET dead_at = NULL, due_at = {now}, unfinished = {last_run}
         WHERE dead_at IS NOT NULL AND id = COALESCE(CAST($2 AS bigint), id)",
        last_run = UNFINISHED_MAX - 1
    );
    let values: [Value; 2] = [now_value, job_id.into()];
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    Ok(txn.execute_raw(statement).await?.rows_affected())
}

/// Takes back what was asked for and has become needless. A run that has begun finds out by itself.
pub async fn withdraw<J: Job>(txn: &Txn, job: &J) -> Result<(), DbErr> {
    let sql = "DELETE FROM job WHERE kind = $1 AND subject = $2 AND lease IS NULL AND dead_at IS NULL";
    let values: [Value; 2] = [J::KIND.name().into(), job.subject().into()];
    txn.execute_raw(Statement::from_sql_and_values(txn.get_database_backend(), sql, values)).await?;
    Ok(())
}

async fn ask<J: Job>(txn: &Txn, jobs: &[J], due_at: Option<Timestamp>, lane: Lane) -> Result<(), DbErr> {
    let (now, now_value) = txn.now_sql("$1");
    let least = least(txn.get_database_backend());
    let mut values: Vec<Value> =
        vec![now_value, due_at.map(|at| at.0).into(), J::KIND.name().into(), lane.into_value().into()];
    let mut rows = Vec::with_capacity(jobs.len());
    for job in jobs {
        values.push(job.subject().into());
        rows.push(format!("($3, ${}, $4, COALESCE(CAST($2 AS bigint), {now}), {now})", values.len()));
    }
    let sql = format!(
        "INSERT INTO job (kind, subject, lane, due_at, created_at) VALUES {rows}
         ON CONFLICT (kind, subject) DO UPDATE SET
           unfinished = CASE WHEN job.dead_at IS NULL THEN job.unfinished ELSE {last_run} END, dead_at = NULL,
           lane = {least}(job.lane, excluded.lane),
           due_at = CASE WHEN job.lease IS NULL THEN {least}(job.due_at, excluded.due_at) ELSE job.due_at END,
           wanted_at = CASE WHEN job.lease IS NULL THEN NULL
             ELSE {least}(COALESCE(job.wanted_at, excluded.due_at), excluded.due_at) END
         RETURNING id, lane, due_at, CASE WHEN due_at <= {now} THEN 1 ELSE 0 END AS is_due",
        rows = rows.join(", "),
        last_run = UNFINISHED_MAX - 1,
    );
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    for row in txn.query_all_raw(statement).await? {
        if row.try_get::<i32>("", "is_due")? == 1 {
            let lane = Lane::try_from_value(&row.try_get("", "lane")?)?;
            let due_at = Timestamp(row.try_get("", "due_at")?);
            txn.after_commit(Hint::Job(Due { id: row.try_get("", "id")?, lane, due_at })).await;
        }
    }
    Ok(())
}

/// The smaller of two values is `MIN` on SQLite and `LEAST` on Postgres.
pub(crate) fn least(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Sqlite => "MIN",
        _ => "LEAST",
    }
}

/// The larger of two values is `MAX` on SQLite and `GREATEST` on Postgres.
pub(crate) fn greatest(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Sqlite => "MAX",
        _ => "GREATEST",
    }
}
