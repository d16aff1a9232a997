//! Claims jobs, many in one commit.
//!
//! Whatever waits to be claimed is claimed together; without load nobody waits for company.

use entity::Db;
use jobs::Run;
use sea_orm::DbErr;
use tokio::sync::{mpsc, oneshot};

/// The most that share a commit; keeps a write transaction short.
const BATCH_MAX: usize = 64;

/// The way to a claim.
pub(crate) struct Claims {
    db: Db,
    together: mpsc::Sender<Waiting>,
}

struct Waiting {
    job_id: i64,
    answer: oneshot::Sender<Result<Option<Run>, String>>,
}

impl Claims {
    /// Starts what claims; it ends with the last `Claims`.
    pub fn start(db: Db) -> Self {
        let (together, receiver) = mpsc::channel(BATCH_MAX);
        tokio::spawn(claim_batches(db.clone(), receiver));
        Self { db, together }
    }

    /// The run, if the job is due and free.
    pub async fn claim(&self, job_id: i64) -> Result<Option<Run>, String> {
        let (answer, claimed) = oneshot::channel();
        if self.together.send(Waiting { job_id, answer }).await.is_ok()
            && let Ok(claimed) = claimed.await
        {
            return claimed;
        }
        // Whoever claims for all is dead: each can do it alone.
        self.db
            .write(async |txn| jobs::claim(txn, job_id).await)
            .await
            .map_err(|error: DbErr| error.to_string())
    }
}

async fn claim_batches(db: Db, mut receiver: mpsc::Receiver<Waiting>) {
    loop {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        if receiver.recv_many(&mut batch, BATCH_MAX).await == 0 {
            return;
        }
        let ids: Vec<_> = batch.iter().map(|waiting| waiting.job_id).collect();
        let mut claimed = db
            .write(async |txn| jobs::claim_all(txn, &ids).await)
            .await
            .map_err(|error: DbErr| error.to_string());
        for Waiting { job_id, answer } in batch {
            let own = claimed.as_mut().map_err(|error| error.clone()).map(|runs| {
                // Whoever asked for the same job twice gets it once.
                runs.iter().position(|run| run.job_id == job_id).map(|at| runs.swap_remove(at))
            });
            // Who hung up leaves the job to its lease.
            answer.send(own).ok();
        }
    }
}
