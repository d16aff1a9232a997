//! Jobs go on when the apalis worker under them dies, a stop waits for them, and more waits in the rows than in
//! the queue.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU32, Ordering},
};

use apalis_core::error::WorkerError;
use entity::{
    Clock, PaymentId,
    job::{self, Due},
};
use futures::{FutureExt, future::BoxFuture};
use jobs::ConfirmPayment;
use sea_orm::{EntityTrait, PaginatorTrait};

use super::*;
use crate::{execution::Dispatch, transport::Offered, webhooks::Sender};

/// A queue whose first workers die: at once, and with work in hand.
struct Flaky {
    memory: Memory,
    deaths_left: AtomicU32,
}

impl Transport for Flaky {
    fn room(&self) -> usize {
        self.memory.room()
    }

    fn offer(&self, due: Due) -> BoxFuture<'_, Offered> {
        self.memory.offer(due)
    }

    fn work(
        &self,
        worker: WorkerContext,
        engine: Arc<Engine>,
    ) -> BoxFuture<'static, Result<(), WorkerError>> {
        let dies =
            self.deaths_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        let working = self.memory.work(worker, engine);
        if dies.is_err() {
            return working;
        }
        // As a lost connection would end it: dropped in the middle of what it does.
        async move {
            tokio::select! {
                ended = working => ended,
                () = tokio::time::sleep(Duration::from_millis(10)) => Err(WorkerError::BackendError("lost".into())),
            }
        }
        .boxed()
    }
}

const DONE: Dispatch =
    |_, context, run| async move { context.db.write(async |txn| run.done(txn).await).await }.boxed();

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_jobs_than_fit_are_all_done_although_workers_die() {
    for database in testkit::databases().await {
        let db = database.open(Clock::System).await;
        let jobs: Vec<_> = (0..300).map(|_| ConfirmPayment { payment: PaymentId::generate() }).collect();
        db.write(async |txn| jobs::enqueue_all(txn, &jobs).await).await.unwrap();

        let context = Context::new(db.clone(), HashMap::new(), Sender::new().unwrap());
        let engine = Arc::new(Engine::new(context, Lane::Background, DONE));
        let queue: Arc<dyn Transport> =
            Arc::new(Flaky { memory: Memory::new(7), deaths_left: AtomicU32::new(3) });
        let stop = CancellationToken::new();
        let pumping = tokio::spawn(pump::run(engine.clone(), [queue.clone()].into(), stop.clone()));
        let working = tokio::spawn(keep_working(engine, queue, stop.clone()));
        let all_done = async {
            while job::Entity::find().count(db.reader()).await.unwrap() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), all_done).await.expect("all jobs are done");
        stop.cancel();
        pumping.await.unwrap();
        working.await.unwrap();
    }
}

/// As when Redis goes away and the process is stopped before the runs that came from it have ended.
#[tokio::test]
async fn a_stop_waits_for_runs_whose_apalis_worker_has_died() {
    let endless: Dispatch = |_, _, _| std::future::pending().boxed();
    for database in testkit::databases().await {
        let db = database.open(Clock::System).await;
        let job = ConfirmPayment { payment: PaymentId::generate() };
        db.write(async |txn| jobs::enqueue(txn, &job).await).await.unwrap();
        let row = async || job::Entity::find().one(db.reader()).await.unwrap().expect("the job is not done");
        let due = row().await;

        let context = Context::new(db.clone(), HashMap::new(), Sender::new().unwrap());
        let (cut, runs) = (CancellationToken::new(), TaskTracker::new());
        let engine = Engine::new(context, Lane::Background, endless).until(cut.clone(), runs.clone());
        let queue = Memory::new(1);
        queue.offer(Due { id: due.id, lane: due.lane, due_at: due.due_at }).await;
        let is_running = async {
            while row().await.lease.is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            ended = queue.work(WorkerContext::new("dies"), Arc::new(engine)) => panic!("{ended:?}"),
            () = is_running => {}
        }
        let (stop, tasks) = (CancellationToken::new(), JoinSet::new());
        Worker { stop, cut, runs, tasks }.stop(Duration::ZERO).await;
        let left = row().await;
        assert_eq!((left.lease, left.unfinished), (None, 0), "it was not given back");
    }
}
