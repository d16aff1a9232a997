//! The worker role of a process: two lanes, each a pump and an apalis worker that is rebuilt when it dies.

use std::{sync::Arc, time::Duration};

use apalis_core::worker::context::WorkerContext;
use entity::{Db, job::Lane};
use jobs::{ClockWatch, SweepOverdue};
use redis::RedisError;
use sea_orm::DbErr;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use ulid::Ulid;

use crate::{
    Context,
    execution::Engine,
    pump, registry,
    transport::{Memory, Redis, RedisAt, Transport},
};

/// Runs jobs until it is stopped.
#[derive(Debug)]
pub struct Worker {
    stop: CancellationToken,
    cut: CancellationToken,
    /// The jobs that run, also those whose apalis worker has died.
    runs: TaskTracker,
    tasks: JoinSet<()>,
}

impl Worker {
    /// Starts both lanes: over a queue in Redis if there is one, and over one in memory, which is the
    /// only one without Redis and the other one while Redis is away.
    pub fn start(context: &Context, redis: Option<&RedisAt>) -> Result<Self, RedisError> {
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let (runs, mut tasks) = (TaskTracker::new(), JoinSet::new());
        for lane in Lane::ALL {
            let engine = Engine::new(context.clone(), lane, registry::dispatch);
            let engine = Arc::new(engine.until(cut.clone(), runs.clone()));
            let mut queues: Vec<Arc<dyn Transport>> = Vec::new();
            if let Some(at) = redis {
                let redis = Redis::new(at, lane, registry::WINDOW, context.db.clock().clone())?;
                let redis = Arc::new(redis);
                tasks.spawn(redis.clone().keep_measuring(stop.clone()));
                queues.push(redis);
            }
            queues.push(Arc::new(Memory::new(registry::WINDOW)));
            for queue in &queues {
                tasks.spawn(keep_working(engine.clone(), queue.clone(), stop.clone()));
            }
            tasks.spawn(pump::run(engine, queues.into(), stop.clone()));
        }
        tasks.spawn(keep_sweeping(context.db.clone(), stop.clone()));
        tasks.spawn(keep_watching_the_clock(context.db.clone(), stop.clone()));
        Ok(Self { stop, cut, runs, tasks })
    }

    /// Comes back only when a part of it has ended that never should. What is left may look alive and
    /// do nothing, so the process had better end.
    pub async fn failed(&mut self) {
        self.tasks.join_next().await;
    }

    /// Takes no new job, and waits so long for those that run. What runs still is cut off and given
    /// back: another process may take it at once.
    pub async fn stop(mut self, patience: Duration) {
        /// For the write that gives a job back.
        const GIVING_BACK: Duration = Duration::from_secs(3);

        self.stop.cancel();
        self.runs.close();
        let mut all_ended = async || {
            while self.tasks.join_next().await.is_some() {}
            self.runs.wait().await;
        };
        if timeout(patience, all_ended()).await.is_err() {
            self.cut.cancel();
            if timeout(GIVING_BACK, all_ended()).await.is_err() {
                tracing::warn!("some jobs could not be given back; their leases will run out");
            }
        }
    }
}

/// The sweeper asks for its own next run; this is for the first one, and for the day on which
/// somebody empties the table.
async fn keep_sweeping(db: Db, stop: CancellationToken) {
    const LOOK_EVERY: Duration = Duration::from_secs(60);
    loop {
        if let Err(error) = ask_for_a_sweep(&db).await {
            tracing::warn!(%error, "nobody could be asked to sweep");
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// A clock that was ahead leaves jobs that would wait until it is there again.
async fn keep_watching_the_clock(db: Db, stop: CancellationToken) {
    const LOOK_EVERY: Duration = Duration::from_secs(1);
    let mut watch = ClockWatch::default();
    loop {
        match watch.look(&db).await {
            Ok(None) => {}
            Ok(Some((back, moved))) => {
                tracing::error!(?back, moved, "the clock was set back, and so were the jobs");
            }
            Err(error) => tracing::warn!(%error, "the clock could not be watched"),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn ask_for_a_sweep(db: &Db) -> Result<(), DbErr> {
    if jobs::is_asked_for(db.reader(), &SweepOverdue).await? {
        return Ok(());
    }
    db.write(async |txn| jobs::enqueue(txn, &SweepOverdue).await).await
}

/// Runs an apalis worker, and a new one when it dies: after a pause that doubles from 20 ms to
/// 1.28 s and is short again once a worker has lived for 5 s.
pub(crate) async fn keep_working(engine: Arc<Engine>, queue: Arc<dyn Transport>, stop: CancellationToken) {
    const PAUSE_MIN: Duration = Duration::from_millis(20);
    const PAUSE_MAX: Duration = Duration::from_millis(1280);
    const HEALTHY_AFTER: Duration = Duration::from_secs(5);

    let mut pause = PAUSE_MIN;
    while !stop.is_cancelled() {
        // apalis refuses or strands a worker that comes back under the name of a dead one.
        let name = format!("{}-{}-{}", engine.lane().name(), std::process::id(), Ulid::generate());
        let worker = WorkerContext::new(&name);
        let born = Instant::now();
        let mut working = queue.work(worker.clone(), engine.clone());
        let ended = tokio::select! {
            ended = &mut working => ended,
            () = stop.cancelled() => {
                if let Err(error) = worker.stop() {
                    tracing::warn!(%error, "the apalis worker did not take the stop");
                }
                drop(working.await);
                return;
            }
        };
        // What it had been handed and not begun is gone with it; the rows are still due.
        engine.take_all_back();
        if born.elapsed() >= HEALTHY_AFTER {
            pause = PAUSE_MIN;
        }
        tracing::warn!(
            lane = engine.lane().name(),
            ?ended,
            ?pause,
            "an apalis worker ended; a new one follows"
        );
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests;
