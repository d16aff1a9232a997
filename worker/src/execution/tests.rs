//! What becomes of the row when a handler does not do what it should.

use std::{collections::HashMap, sync::Arc, time::Duration};

use apalis_core::worker::context::WorkerContext;
use entity::{
    CNY, Clock, Db, DeliveryId, Fen, ManualClock, OrderId, PaymentId, RefundId, Timestamp, job, order,
};
use futures::FutureExt;
use jobs::{CloseOrder, ConfirmPayment, ConfirmRefund, DeliverWebhook, RequestRefund, UNFINISHED_MAX};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder, Select};
use testkit::TestDatabase;
use tokio_util::sync::CancellationToken;

use crate::{
    pump,
    transport::{Memory, Transport},
    webhooks::Sender,
};

use super::*;

struct Bench {
    engine: Engine,
    clock: ManualClock,
    _database: TestDatabase,
}

impl Bench {
    /// An engine whose every handler is this one, and one job that is due.
    async fn each(dispatch: Dispatch) -> Vec<Self> {
        let mut all = Vec::new();
        for database in testkit::databases().await {
            let clock = ManualClock::at(Timestamp(1_000_000));
            let db = database.open(Clock::Manual(clock.clone())).await;
            let job = ConfirmPayment { payment: PaymentId::generate() };
            db.write(async |txn| jobs::enqueue(txn, &job).await).await.unwrap();
            let context =
                Context { chance: || 1.0, ..Context::new(db, HashMap::new(), Sender::new().unwrap()) };
            let engine = Engine::new(context, Lane::Background, dispatch);
            all.push(Self { engine, clock, _database: database });
        }
        all
    }

    async fn row(&self) -> Option<job::Model> {
        job::Entity::find().one(self.engine.context.db.reader()).await.unwrap()
    }

    /// Runs the job when it is due, and says what the row is then.
    async fn run(&self) -> Option<job::Model> {
        let row = self.row().await?;
        self.clock.advance(row.due_at.since(self.clock.now()));
        self.engine.execute(row.id).await;
        self.row().await
    }
}

#[tokio::test]
async fn what_runs_when_the_process_stops_is_given_back_at_once() {
    let endless: Dispatch = |_, _, _| std::future::pending().boxed();
    for mut bench in Bench::each(endless).await {
        let cut = CancellationToken::new();
        bench.engine = bench.engine.until(cut.clone(), TaskTracker::new());
        let id = bench.row().await.unwrap().id;
        let stops = async {
            while bench.row().await.unwrap().lease.is_none() {
                tokio::task::yield_now().await;
            }
            cut.cancel();
        };
        tokio::join!(bench.engine.execute(id), stops);
        let row = bench.row().await.unwrap();
        assert_eq!((row.lease, row.due_at, row.unfinished), (None, bench.clock.now(), 0));
        assert_eq!(row.failures, 0, "nothing is counted against it");
    }
}

/// For runs that never end.
const SHORTLY: Duration = Duration::from_millis(20);

#[tokio::test]
async fn what_is_done_is_gone() {
    let done: Dispatch =
        |_, context, run| async move { context.db.write(async |txn| run.done(txn).await).await }.boxed();
    for bench in Bench::each(done).await {
        assert_eq!(bench.run().await, None);
    }
}

#[tokio::test]
async fn a_failure_is_tried_again_later_and_later_and_for_ever() {
    let fails: Dispatch = |_, _, _| async { Err(Failure::Retry("no answer".to_owned())) }.boxed();
    for bench in Bench::each(fails).await {
        for (failures, wait) in (1..).zip([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]) {
            let row = bench.run().await.unwrap();
            assert_eq!((row.failures, row.unfinished, row.dead_at), (failures, 0, None));
            assert_eq!(row.due_at, bench.clock.now() + Duration::from_millis(wait));
            assert_eq!((row.lease, row.last_error.as_deref()), (None, Some("no answer")));
        }
    }
}

#[tokio::test]
async fn what_has_no_room_is_put_off_and_never_given_up() {
    let has_no_room: Dispatch = |_, _, _| async { Err(Failure::NotYet(Duration::from_secs(3))) }.boxed();
    for bench in Bench::each(has_no_room).await {
        for _ in 0..2 * UNFINISHED_MAX {
            let row = bench.run().await.unwrap();
            assert_eq!((row.unfinished, row.failures, row.dead_at), (0, 0, None));
            assert_eq!(row.due_at, bench.clock.now() + Duration::from_secs(3));
        }
    }
}

#[tokio::test]
async fn giving_up_is_a_row_that_stays() {
    let gives_up: Dispatch = |_, _, _| async { Err(Failure::GiveUp("no such thing".to_owned())) }.boxed();
    for bench in Bench::each(gives_up).await {
        let row = bench.run().await.unwrap();
        assert!(row.dead_at.is_some() && row.last_error.as_deref() == Some("no such thing"));
    }
}

/// J-POISON: after five runs that took themselves away, nobody touches it any more.
#[tokio::test]
async fn a_job_that_panics_or_never_ends_is_dead_after_five_runs() {
    let panics: Dispatch = |_, _, _| async { panic!("a poisonous job") }.boxed();
    let hangs: Dispatch = |_, _, _| std::future::pending().boxed();
    for dispatch in [panics, hangs] {
        for mut bench in Bench::each(dispatch).await {
            bench.engine.run_limit = SHORTLY;
            for unfinished in 1..UNFINISHED_MAX {
                let row = bench.run().await.unwrap();
                assert_eq!((row.unfinished, row.failures, row.dead_at), (unfinished, 0, None));
                assert!(row.due_at > bench.clock.now(), "not at once again");
            }
            let row = bench.run().await.unwrap();
            assert!(row.dead_at.is_some());
            assert_eq!(row.runs, UNFINISHED_MAX);
        }
    }
}

#[tokio::test]
async fn a_run_that_reports_back_clears_the_count_of_those_that_did_not() {
    let fails: Dispatch = |_, _, _| async { Err(Failure::Retry("no answer".to_owned())) }.boxed();
    for mut bench in Bench::each(|_, _, _| std::future::pending().boxed()).await {
        bench.engine.run_limit = SHORTLY;
        for _ in 1..UNFINISHED_MAX {
            bench.run().await.unwrap();
        }
        bench.engine.run_limit = RUN_LIMIT;
        bench.engine.dispatch = fails;
        assert_eq!(bench.run().await.unwrap().unfinished, 0);
    }
}

/// Rolling upgrade: a newer process asked for work that this one has no word for.
#[tokio::test]
async fn a_kind_that_is_not_known_is_left_for_a_process_that_knows_it() {
    let never: Dispatch = |_, _, _| panic!("nothing to dispatch");
    for bench in Bench::each(never).await {
        let db = &bench.engine.context.db;
        let rename = "UPDATE job SET kind = 'send_postcard'";
        db.write(async |txn| sea_orm::ConnectionTrait::execute_unprepared(txn, rename).await).await.unwrap();
        let row = bench.run().await.unwrap();
        assert_eq!((row.dead_at, row.failures), (None, 1));
    }
}

/// Jobs about refunds and deliveries are poison here; every other has the handler that it ships with.
fn poisoned<'a>(kind: Kind, context: &'a Context, run: &'a Run) -> BoxFuture<'a, Result<Finished, Failure>> {
    match kind {
        Kind::RequestRefund => async { panic!("a poisonous job") }.boxed(),
        Kind::ConfirmRefund => std::future::pending().boxed(),
        Kind::DeliverWebhook => async { Err(Failure::GiveUp("no such thing".to_owned())) }.boxed(),
        good => registry::dispatch(good, context, run),
    }
}

/// Orders that nobody paid, whose time is over, each with the job that closes it.
async fn expired_orders(db: &Db, count: usize) {
    let now = db.now().await.unwrap();
    let orders: Vec<_> = (0..count)
        .map(|_| order::Model {
            id: OrderId::generate(),
            merchant: "teahouse".to_owned(),
            merchant_order_no: OrderId::generate().to_string(),
            amount: Fen(100),
            currency: CNY.to_owned(),
            description: "茶".to_owned(),
            attach: None,
            return_url: None,
            metadata: None,
            status: order::Status::Pending,
            expires_in: 60,
            expires_at: now,
            created_at: now,
            close_asked_at: None,
            paid_at: None,
            closed_at: None,
            refunded: Fen(0),
            event_seq: 0,
            told_seq: 0,
        })
        .collect();
    for part in orders.chunks(500) {
        let jobs: Vec<_> = part.iter().map(|order| CloseOrder::of(&order.id)).collect();
        let rows: Vec<_> = part.iter().map(|order| order.clone().into_active_model()).collect();
        db.write(async |txn| {
            order::Entity::insert_many(rows).exec_without_returning(txn).await?;
            jobs::enqueue_all(txn, &jobs).await
        })
        .await
        .unwrap();
    }
}

/// J-POISON: jobs that panic, never end or give up, among good ones that close orders.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_among_good_jobs_is_put_away_and_holds_nobody_up() {
    const KINDS: usize = 3;
    let (good, of_each) = (testkit::size(100, 10_000), testkit::size(5, 20));
    for database in testkit::databases().await {
        let clock = ManualClock::at(Timestamp(1_000_000));
        let db = database.open(Clock::Manual(clock.clone())).await;
        let context = Context::new(db.clone(), HashMap::new(), Sender::new().unwrap());
        let mut engine = Engine::new(context, Lane::Background, poisoned);
        engine.run_limit = Duration::from_secs(1);
        let engine = Arc::new(engine);
        let queue: Arc<dyn Transport> = Arc::new(Memory::new(registry::WINDOW));
        let stop = CancellationToken::new();
        let pumping = tokio::spawn(pump::run(engine.clone(), [queue.clone()].into(), stop.clone()));
        let name = format!("poison-{}", database.name);
        let mut working = tokio::spawn(queue.work(WorkerContext::new(&name), engine));

        let poison = job::Entity::find().filter(job::Column::Kind.ne(Kind::PushStatus.name()));
        let unsettled = poison.clone().filter(job::Column::DeadAt.is_null());
        let mut hints = db.bus().jobs();
        let mut are_gone = async |rows: Select<job::Entity>| {
            let begun = Instant::now();
            while let Some(job) = rows.clone().one(db.reader()).await.unwrap() {
                assert!(begun.elapsed() < Duration::from_secs(300), "held up: {job:?}");
                // Back-off is virtual time.
                let waits = unsettled.clone().filter(job::Column::Lease.is_null());
                if let Some(next) = waits.order_by_asc(job::Column::DueAt).one(db.reader()).await.unwrap() {
                    clock.advance(next.due_at.since(clock.now()));
                }
                // Whoever ends an order asks for others; the end of a run is no hint, so look again soon.
                tokio::time::timeout(Duration::from_millis(10), hints.recv()).await.ok();
            }
        };
        // Good ones alone, and then among poison.
        let mut lasted = Vec::new();
        for has_poison in [false, true] {
            if has_poison {
                let ids: Vec<_> = (0..of_each).map(|_| RefundId::generate()).collect();
                let panics: Vec<_> = ids.iter().map(RequestRefund::of).collect();
                let hangs: Vec<_> = ids.iter().map(ConfirmRefund::of).collect();
                let gives_up: Vec<_> =
                    (0..of_each).map(|_| DeliverWebhook::of(&DeliveryId::generate())).collect();
                db.write(async |txn| {
                    jobs::enqueue_all(txn, &panics).await?;
                    jobs::enqueue_all(txn, &hangs).await?;
                    jobs::enqueue_all(txn, &gives_up).await
                })
                .await
                .unwrap();
            }
            let begun = Instant::now();
            expired_orders(&db, good).await;
            are_gone(unsettled.clone().filter(job::Column::Kind.eq(Kind::CloseOrder.name()))).await;
            lasted.push(begun.elapsed());
        }
        are_gone(unsettled.clone()).await;
        stop.cancel();
        pumping.await.unwrap();
        assert!((&mut working).now_or_never().is_none(), "the apalis worker lives");
        working.abort();

        let rows = poison.all(db.reader()).await.unwrap();
        let runs = |kind: Kind| -> Vec<i64> {
            rows.iter().filter(|row| row.kind == kind.name()).map(|row| row.runs).collect()
        };
        let closed = order::Entity::find().filter(order::Column::Status.eq(order::Status::Closed));
        let not_done = 2 * good as u64 - closed.count(db.reader()).await.unwrap();
        let per_second = |lasted: &Duration| good as f64 / lasted.as_secs_f64();
        println!(
            "J-POISON {}: good {good}, poison {of_each} of each of {KINDS} kinds, good not done {not_done}, \
             poison dead {}, most runs {}, {:.0}/s without poison and {:.0}/s with it",
            database.name,
            rows.len(),
            rows.iter().map(|row| row.runs).max().unwrap_or_default(),
            per_second(&lasted[0]),
            per_second(&lasted[1]),
        );
        assert_eq!((not_done, rows.len()), (0, KINDS * of_each));
        assert_eq!(runs(Kind::RequestRefund), vec![UNFINISHED_MAX; of_each]);
        assert_eq!(runs(Kind::ConfirmRefund), vec![UNFINISHED_MAX; of_each]);
        assert_eq!(runs(Kind::DeliverWebhook), vec![1; of_each]);
    }
}
