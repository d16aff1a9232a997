//! The rows of the engine, on every database of this run: what is asked for is never lost, and
//! what a run that lost its lease writes is never kept.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use entity::{
    Clock, Db, ManualClock, PaymentId, Timestamp, Txn, job,
    job::{Due, Lane},
};
use jobs::{ClockWatch, ConfirmPayment, Failure, LEASE, Run, UNFINISHED_MAX};
use sea_orm::EntityTrait;

struct Rows {
    db: Db,
    clock: ManualClock,
    job: ConfirmPayment,
    _database: testkit::TestDatabase,
}

impl Rows {
    async fn each() -> Vec<Self> {
        let mut all = Vec::new();
        for database in testkit::databases().await {
            let clock = ManualClock::at(Timestamp(1_000_000));
            let db = database.open(Clock::Manual(clock.clone())).await;
            all.push(Self {
                db,
                clock,
                job: ConfirmPayment { payment: PaymentId::generate() },
                _database: database,
            });
        }
        all
    }

    async fn ask(&self, in_seconds: u64) {
        let at = self.clock.now() + Duration::from_secs(in_seconds);
        self.db.write(async |txn| jobs::enqueue_at(txn, &self.job, at).await).await.unwrap();
    }

    async fn claim(&self) -> Option<Run> {
        let id = self.row().await?.id;
        self.db.write(async |txn| jobs::claim(txn, id).await).await.unwrap()
    }

    async fn done(&self, run: &Run) -> Result<(), Failure> {
        self.db.write(async |txn| run.done(txn).await).await.map(drop)
    }

    async fn row(&self) -> Option<job::Model> {
        job::Entity::find().one(self.db.reader()).await.unwrap()
    }
}

#[tokio::test]
async fn asking_again_makes_it_due_earlier_and_never_later() {
    for rows in Rows::each().await {
        for (seconds, due) in [(60, 60), (10, 10), (30, 10)] {
            rows.ask(seconds).await;
            assert_eq!(rows.row().await.unwrap().due_at, rows.clock.now() + Duration::from_secs(due));
        }
        assert!(rows.claim().await.is_none(), "it is not due");
        rows.clock.advance(Duration::from_secs(10));
        assert_eq!(jobs::due(&rows.db, Lane::Background, 10).await.unwrap().len(), 1);
        assert_eq!(rows.claim().await.unwrap().number, 1);
    }
}

#[tokio::test]
async fn what_is_asked_while_it_runs_is_done_after_the_run() {
    for rows in Rows::each().await {
        rows.ask(0).await;
        let run = rows.claim().await.unwrap();
        rows.ask(0).await;
        assert!(rows.claim().await.is_none(), "the asking does not steal the lease");
        rows.done(&run).await.unwrap();
        let again = rows.claim().await.expect("the wish was kept");
        rows.done(&again).await.unwrap();
        assert_eq!(rows.row().await, None);
    }
}

#[tokio::test]
async fn a_run_that_looks_again_later_comes_earlier_if_it_was_asked_for_meanwhile() {
    for rows in Rows::each().await {
        rows.ask(0).await;
        let run = rows.claim().await.unwrap();
        rows.ask(5).await;
        let later = rows.clock.now() + Duration::from_secs(300);
        rows.db.write(async |txn| run.again_at(txn, later).await).await.map(drop).unwrap();
        assert_eq!(rows.row().await.unwrap().due_at, rows.clock.now() + Duration::from_secs(5));
    }
}

#[tokio::test]
async fn a_run_whose_lease_ran_out_is_fenced_off_and_its_effect_rolled_back() {
    for rows in Rows::each().await {
        rows.ask(0).await;
        let frozen = rows.claim().await.unwrap();
        rows.clock.advance(LEASE);
        let other = rows.claim().await.expect("the lease ran out");
        assert_eq!((other.number, other.unreported), (2, 1));

        let elsewhere = ConfirmPayment { payment: PaymentId::generate() };
        let fenced = rows.db.write(async |txn| {
            jobs::enqueue(txn, &elsewhere).await?;
            frozen.done(txn).await
        });
        assert!(matches!(fenced.await, Err(Failure::Fenced)));
        assert_eq!(job::Entity::find().all(rows.db.reader()).await.unwrap().len(), 1, "its effect is gone");
        rows.done(&other).await.unwrap();
    }
}

#[tokio::test]
async fn when_the_clock_is_set_back_jobs_wait_as_long_as_they_were_told_to() {
    let seconds = Duration::from_secs;
    for rows in Rows::each().await {
        let mut watch = ClockWatch::default();
        assert_eq!(watch.look(&rows.db).await.unwrap(), None);
        rows.clock.advance(seconds(600));
        assert_eq!(watch.look(&rows.db).await.unwrap(), None);
        rows.ask(5).await;
        rows.clock.set_back(seconds(600));
        assert_eq!(watch.look(&rows.db).await.unwrap(), Some((seconds(600), 1)));
        assert_eq!(rows.row().await.unwrap().due_at, rows.clock.now() + seconds(5));
        assert_eq!(watch.look(&rows.db).await.unwrap(), None, "it is right now");

        // A run that is alive keeps its lease for as long as before, also if two processes see it.
        rows.clock.advance(seconds(600));
        let mut other = ClockWatch::default();
        for watch in [&mut watch, &mut other] {
            watch.look(&rows.db).await.unwrap();
        }
        let run = rows.claim().await.unwrap();
        rows.clock.set_back(seconds(600));
        for (watch, moved) in [(&mut watch, 1), (&mut other, 0)] {
            assert_eq!(watch.look(&rows.db).await.unwrap(), Some((seconds(600), moved)));
        }
        assert_eq!(rows.row().await.unwrap().due_at, rows.clock.now() + LEASE);
        rows.done(&run).await.unwrap();
        rows.clock.advance(seconds(1));
        rows.ask(0).await;
        rows.clock.set_back(Duration::from_millis(900));
        assert_eq!(watch.look(&rows.db).await.unwrap(), None, "a little is nothing");
    }
}

#[tokio::test]
async fn what_is_put_off_is_as_if_it_had_not_been_claimed_only_later() {
    for rows in Rows::each().await {
        rows.ask(0).await;
        let run = rows.claim().await.unwrap();
        rows.db
            .write(async |txn| run.failed(txn, "no answer", rows.clock.now()).await)
            .await
            .map(drop)
            .unwrap();
        rows.claim().await.unwrap();
        rows.clock.advance(LEASE);
        let run = rows.claim().await.unwrap();
        let before = rows.row().await.unwrap();
        assert_eq!((run.failures, run.unreported), (1, 1));
        let later = rows.clock.now() + Duration::from_secs(60);
        rows.db.write(async |txn| run.put_off(txn, later).await).await.map(drop).unwrap();
        let row = rows.row().await.unwrap();
        assert_eq!((row.lease, row.due_at), (None, later));
        assert_eq!((row.failures, row.unfinished), (1, 1));
        assert_eq!((row.lane, row.last_error), (before.lane, before.last_error));
        let late = rows.db.write(async |txn| run.put_off(txn, later).await).await;
        assert!(matches!(late, Err(Failure::Fenced)));
    }
}

#[tokio::test]
async fn failures_are_counted_apart_from_runs_that_never_reported_back() {
    for rows in Rows::each().await {
        rows.ask(0).await;
        for failures in 0..12 {
            let run = rows.claim().await.unwrap();
            assert_eq!((run.failures, run.unreported, run.is_suspect()), (failures, 0, false));
            let now = rows.clock.now();
            rows.db.write(async |txn| run.failed(txn, "no answer", now).await).await.map(drop).unwrap();
        }
        for unreported in 0..UNFINISHED_MAX - 1 {
            let run = rows.claim().await.unwrap();
            assert_eq!((run.unreported, run.is_suspect()), (unreported, false));
            rows.clock.advance(LEASE);
        }
        let run = rows.claim().await.unwrap();
        assert!(run.is_suspect());
        rows.db.write(async |txn| run.dead(txn, "poison").await).await.map(drop).unwrap();
        assert!(rows.claim().await.is_none());
        assert_eq!(jobs::due(&rows.db, Lane::Background, 10).await.unwrap(), Vec::new());
        let overview = jobs::overview(&rows.db).await.unwrap();
        assert_eq!((overview[0].live, overview[0].dead), (0, 1));
    }
}

/// Five processes in a row may die of something else, each with every job it was running.
#[tokio::test]
async fn a_job_whose_process_dies_again_and_again_runs_later_and_later_and_for_ever() {
    for rows in Rows::each().await {
        rows.ask(0).await;
        for minutes in [0.5, 0.5, 0.5, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 64.0, 64.0] {
            rows.claim().await.expect("it is due");
            let lease = rows.row().await.unwrap().due_at.since(rows.clock.now());
            assert_eq!(lease, Duration::from_secs(60).mul_f64(minutes));
            rows.clock.advance(lease - Duration::from_millis(1));
            assert!(rows.claim().await.is_none());
            rows.clock.advance(Duration::from_millis(1));
        }
        let run = rows.claim().await.unwrap();
        rows.done(&run).await.unwrap();
        assert_eq!(rows.row().await, None);
    }
}

#[tokio::test]
async fn a_suspect_does_not_run_at_every_start() {
    for rows in Rows::each().await {
        rows.ask(0).await;
        let start = async || rows.db.write(async |txn| jobs::release_leases(txn).await).await.unwrap();
        for _ in 1..UNFINISHED_MAX {
            rows.claim().await.unwrap();
            assert_eq!(start().await, 1);
        }
        rows.claim().await.unwrap();
        assert_eq!(start().await, 0);
        assert!(rows.claim().await.is_none());
        rows.clock.advance(2 * LEASE);
        assert!(rows.claim().await.unwrap().is_suspect());
    }
}

#[tokio::test]
async fn whoever_waits_puts_the_job_into_the_quick_queue_until_it_has_run() {
    for rows in Rows::each().await {
        rows.ask(60).await;
        let mut hints = rows.db.bus().jobs();
        let now = rows.clock.now();
        rows.db.write(async |txn| jobs::enqueue_urgently(txn, &rows.job, now).await).await.unwrap();
        let row = rows.row().await.unwrap();
        assert_eq!(row.lane, Lane::Interactive);
        assert_eq!(hints.try_recv().unwrap(), Due { id: row.id, lane: Lane::Interactive, due_at: now });
        let run = rows.claim().await.unwrap();
        rows.db.write(async |txn| run.again_at(txn, now + LEASE).await).await.map(drop).unwrap();
        assert_eq!(rows.row().await.unwrap().lane, Lane::Background);
    }
}

#[tokio::test]
async fn a_transaction_that_fails_leaves_neither_job_nor_hint_nor_figure() {
    for rows in Rows::each().await {
        let mut hints = rows.db.bus().jobs();
        let counted = Arc::new(AtomicU64::new(0));
        let count = async |txn: &Txn| {
            let counted = counted.clone();
            let count = move || {
                counted.fetch_add(1, Relaxed);
            };
            txn.count_after_commit(count).await;
        };
        let failed: Result<(), Failure> = rows
            .db
            .write(async |txn| {
                count(txn).await;
                jobs::enqueue(txn, &rows.job).await?;
                Err(Failure::GiveUp("changed my mind".to_owned()))
            })
            .await;
        assert!(failed.is_err());
        assert_eq!(rows.row().await, None);
        assert!(hints.try_recv().is_err());
        assert_eq!(counted.load(Relaxed), 0);
        let committed: Result<(), Failure> = rows
            .db
            .write(async |txn| {
                count(txn).await;
                assert_eq!(counted.load(Relaxed), 0, "not before the commit");
                Ok(())
            })
            .await;
        committed.unwrap();
        assert_eq!(counted.load(Relaxed), 1);
    }
}

#[tokio::test]
async fn leases_of_a_process_that_is_gone_are_released_at_start() {
    for rows in Rows::each().await {
        rows.ask(0).await;
        let dead = rows.claim().await.unwrap();
        assert_eq!(rows.db.write(async |txn| jobs::release_leases(txn).await).await.unwrap(), 1);
        assert_eq!(rows.claim().await.unwrap().unreported, 1);
        assert!(matches!(rows.done(&dead).await, Err(Failure::Fenced)));
    }
}

#[tokio::test]
async fn many_writers_at_once_lose_nothing() {
    for rows in Rows::each().await {
        let asking = (0..200).map(|_| {
            let (db, job) = (rows.db.clone(), rows.job.clone());
            tokio::spawn(async move { db.write(async |txn| jobs::enqueue(txn, &job).await).await })
        });
        for task in asking.collect::<Vec<_>>() {
            task.await.unwrap().unwrap();
        }
        assert_eq!(job::Entity::find().all(rows.db.reader()).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn asking_for_a_dead_job_gives_it_one_more_run() {
    for rows in Rows::each().await {
        rows.ask(0).await;
        let run = rows.claim().await.unwrap();
        rows.db.write(async |txn| run.dead(txn, "poison").await).await.map(drop).unwrap();
        assert!(rows.claim().await.is_none());
        rows.ask(0).await;
        let run = rows.claim().await.expect("it was revived");
        assert!(run.is_suspect(), "one more, and not five");
    }
}

#[tokio::test]
async fn what_failed_waits_in_the_slow_queue_unless_somebody_asks() {
    for rows in Rows::each().await {
        let now = rows.clock.now();
        let urgently =
            async || rows.db.write(async |txn| jobs::enqueue_urgently(txn, &rows.job, now).await).await;
        urgently().await.unwrap();
        let run = rows.claim().await.unwrap();
        rows.db.write(async |txn| run.failed(txn, "no answer", now).await).await.map(drop).unwrap();
        assert_eq!(rows.row().await.unwrap().lane, Lane::Background);
        let run = rows.claim().await.unwrap();
        urgently().await.unwrap();
        rows.db.write(async |txn| run.failed(txn, "no answer", now).await).await.map(drop).unwrap();
        assert_eq!(rows.row().await.unwrap().lane, Lane::Interactive);
    }
}

#[tokio::test]
async fn jobs_that_are_claimed_together_are_claimed_as_each_alone() {
    for rows in Rows::each().await {
        let mut ids = Vec::new();
        for seconds in [0, 0, 0, 60] {
            let (job, at) = (
                ConfirmPayment { payment: PaymentId::generate() },
                rows.clock.now() + Duration::from_secs(seconds),
            );
            rows.db.write(async |txn| jobs::enqueue_at(txn, &job, at).await).await.unwrap();
            let all = job::Entity::find().all(rows.db.reader()).await.unwrap();
            ids.push(all.iter().map(|row| row.id).max().unwrap());
        }
        let held = rows.db.write(async |txn| jobs::claim(txn, ids[1]).await).await.unwrap().unwrap();
        // One held, one not due, one asked for twice, one that is gone.
        let wanted = [ids[0], ids[1], ids[2], ids[3], ids[2], 1_000_000];
        let runs = rows.db.write(async |txn| jobs::claim_all(txn, &wanted).await).await.unwrap();
        let mut claimed: Vec<_> = runs.iter().map(|run| (run.job_id, run.number)).collect();
        claimed.sort_unstable();
        assert_eq!(claimed, [(ids[0], 1), (ids[2], 1)]);
        // Each ends by itself, and nobody ends another's.
        for run in runs.iter().chain([&held]) {
            rows.done(run).await.unwrap();
        }
        let left = job::Entity::find().all(rows.db.reader()).await.unwrap();
        assert_eq!(left.iter().map(|row| row.id).collect::<Vec<_>>(), [ids[3]]);
        assert!(rows.db.write(async |txn| jobs::claim_all(txn, &[]).await).await.unwrap().is_empty());
    }
}
