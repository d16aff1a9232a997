//! Looking at the rows without moving them, and letting go of leases whose process is gone.

use std::time::Duration;

use entity::{
    Db, Timestamp, Txn, job,
    job::{Due, Lane},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
    Statement,
};

use crate::{Job, UNFINISHED_MAX};

/// The jobs of a lane that are due, the longest overdue first.
pub async fn due(db: &Db, lane: Lane, limit: u64) -> Result<Vec<Due>, DbErr> {
    let now = db.now().await?;
    let rows: Vec<(i64, Timestamp)> = job::Entity::find()
        .select_only()
        .columns([job::Column::Id, job::Column::DueAt])
        .filter(job::Column::Lane.eq(lane))
        .filter(job::Column::DeadAt.is_null())
        .filter(job::Column::DueAt.lte(now))
        .order_by_asc(job::Column::DueAt)
        .limit(limit)
        .into_tuple()
        .all(db.reader())
        .await?;
    Ok(rows.into_iter().map(|(id, due_at)| Due { id, lane, due_at }).collect())
}

/// Is there a live row for this job?
pub async fn is_asked_for<J: Job>(connection: &impl ConnectionTrait, job: &J) -> Result<bool, DbErr> {
    Ok(find(connection, job).await?.is_some_and(|row| row.dead_at.is_none()))
}

/// When this job was given up, if it was.
pub async fn died_at<J: Job>(connection: &impl ConnectionTrait, job: &J) -> Result<Option<Timestamp>, DbErr> {
    Ok(find(connection, job).await?.and_then(|row| row.dead_at))
}

async fn find<J: Job>(connection: &impl ConnectionTrait, job: &J) -> Result<Option<job::Model>, DbErr> {
    job::Entity::find()
        .filter(job::Column::Kind.eq(J::KIND.name()))
        .filter(job::Column::Subject.eq(job.subject()))
        .one(connection)
        .await
}

/// How one kind of job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    pub kind: String,
    /// Rows that wait or run.
    pub live: i64,
    pub dead: i64,
    /// How long the longest overdue has been due; zero if nothing is.
    pub overdue: Duration,
}

/// How every kind of job that has rows stands.
pub async fn overview(db: &Db) -> Result<Vec<Overview>, DbErr> {
    #[derive(FromQueryResult)]
    struct Row {
        kind: String,
        live: i64,
        dead: i64,
        oldest: Option<i64>,
    }
    let now = db.now().await?;
    let sql = "SELECT kind, COUNT(*) - COUNT(dead_at) AS live, COUNT(dead_at) AS dead,
               MIN(CASE WHEN dead_at IS NULL THEN due_at END) AS oldest
         FROM job GROUP BY kind ORDER BY kind";
    let rows = Row::find_by_statement(Statement::from_string(db.backend(), sql)).all(db.reader()).await?;
    let overview = rows.into_iter().map(|row| Overview {
        kind: row.kind,
        live: row.live,
        dead: row.dead,
        overdue: row.oldest.map_or(Duration::ZERO, |due| now.since(Timestamp(due))),
    });
    Ok(overview.collect())
}

/// Makes leased jobs due. Only for a process that knows it is alone: the runs that held the leases
/// died with the process before it.
///
/// A suspect keeps its lease: if it is what kills the process, the next start must not run it.
pub async fn release_leases(txn: &Txn) -> Result<u64, DbErr> {
    let (now, now_value) = txn.now_sql("$1");
    let sql = format!(
        "UPDATE job SET lease = NULL, wanted_at = NULL, due_at = {now}
         WHERE lease IS NOT NULL AND unfinished < {UNFINISHED_MAX}"
    );
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, [now_value]);
    Ok(txn.execute_raw(statement).await?.rows_affected())
}
