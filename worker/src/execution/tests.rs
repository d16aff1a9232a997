//! What becomes of the row when a handler does not do what it should.

use std::{collections::HashMap, time::Duration};

use entity::{Clock, ManualClock, PaymentId, Timestamp, job};
use futures::FutureExt;
use jobs::{ConfirmPayment, UNFINISHED_MAX};
use sea_orm::EntityTrait;
use testkit::TestDatabase;

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
            let context = Context { chance: || 1.0, ..Context::new(db, HashMap::new()) };
            let mut engine = Engine::new(context, Lane::Background, dispatch);
            engine.run_limit = Duration::from_millis(20);
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
        for bench in Bench::each(dispatch).await {
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
        for _ in 1..UNFINISHED_MAX {
            bench.run().await.unwrap();
        }
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
