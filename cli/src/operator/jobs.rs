//! `everpaid jobs`: what was given up, and one more run for it.

use anyhow::ensure;
use clap::Subcommand;
use entity::job;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::Which;

#[derive(Debug, Subcommand)]
pub(crate) enum Jobs {
    /// List the jobs that were given up, or all of them.
    List {
        #[command(flatten)]
        which: Which,
        /// Those that wait or run, too.
        #[arg(long)]
        all: bool,
        /// No more than these, the longest due first.
        #[arg(long, default_value_t = 100)]
        limit: u64,
    },
    /// Give jobs that were given up one more run.
    Revive {
        #[command(flatten)]
        which: Which,
        /// The job's number; without one, every job that was given up.
        id: Option<i64>,
    },
}

pub(crate) async fn run(command: Jobs) -> anyhow::Result<()> {
    match command {
        Jobs::List { which, all, limit } => {
            let db = which.open().await?;
            let mut query = job::Entity::find().order_by_asc(job::Column::DueAt).limit(limit);
            if !all {
                query = query.filter(job::Column::DeadAt.is_not_null());
            }
            for job in query.all(db.reader()).await? {
                let state = match (job.dead_at, &job.lease) {
                    (Some(_), _) => "dead",
                    (None, Some(_)) => "running",
                    (None, None) => "waiting",
                };
                let why = job.last_error.unwrap_or_default();
                println!(
                    "{}  {state}  {}  {}  due {}  runs {}  {why}",
                    job.id, job.kind, job.subject, job.due_at, job.runs
                );
            }
        }
        Jobs::Revive { which, id } => {
            let db = which.open().await?;
            let revived = db.write(async |txn| ::jobs::revive(txn, id).await).await?;
            ensure!(id.is_none() || revived > 0, "no job of that number was given up");
            println!("{revived} jobs run again");
        }
    }
    Ok(())
}
