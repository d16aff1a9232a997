//! One run of one job: claim, handler, and what becomes of the row when the handler fails.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use entity::{
    Timestamp,
    job::{Due, Lane},
};
use futures::future::BoxFuture;
use jobs::{Failure, Finished, Kind, RUN_LIMIT, Run, backoff, crash_point};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use crate::{Context, claims::Claims, registry};

/// Finds and runs the handler of a job.
pub(crate) type Dispatch = for<'a> fn(Kind, &'a Context, &'a Run) -> BoxFuture<'a, Result<Finished, Failure>>;

/// Runs the jobs of one lane.
pub(crate) struct Engine {
    context: Context,
    lane: Lane,
    claims: Claims,
    dispatch: Dispatch,
    run_limit: Duration,
    /// The process has no more time for what runs.
    cut: CancellationToken,
    /// What runs, whoever waits for it.
    runs: TaskTracker,
    /// Handed to a queue and not yet claimed here: the pump need not hand them out again.
    handed_out: Mutex<HashMap<i64, HandedOut>>,
}

/// What was handed out, and when. Another process may have taken it: that is not heard of here.
struct HandedOut {
    due_at: Timestamp,
    at: Instant,
    within: Duration,
}

impl HandedOut {
    fn is_expected(&self) -> bool {
        self.at.elapsed() < self.within
    }
}

/// Takes the job back even if the claim never comes back.
struct TakesBack<'a>(&'a Engine, i64);

impl Drop for TakesBack<'_> {
    fn drop(&mut self) {
        self.0.take_back(self.1);
    }
}

/// How a run ended, as the metric says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Finished,
    Retried,
    GaveUp,
    Fenced,
    Panicked,
    TimedOut,
    CutOff,
    PutOff,
}

impl Engine {
    pub fn new(context: Context, lane: Lane, dispatch: Dispatch) -> Self {
        let claims = Claims::start(context.db.clone());
        Self {
            context,
            lane,
            claims,
            dispatch,
            run_limit: RUN_LIMIT,
            cut: CancellationToken::new(),
            runs: TaskTracker::new(),
            handed_out: Mutex::default(),
        }
    }

    /// What still runs when `cut` is cancelled is cut off and given back; `runs` ends when nothing runs.
    pub fn until(self, cut: CancellationToken, runs: TaskTracker) -> Self {
        Self { cut, runs, ..self }
    }

    pub fn context(&self) -> &Context {
        &self.context
    }

    pub fn lane(&self) -> Lane {
        self.lane
    }

    pub fn concurrency(&self) -> usize {
        registry::concurrency(self.lane)
    }

    /// Remembers that the job is handed out; false if it is already.
    pub fn hand_out(&self, due: Due) -> bool {
        let mut handed_out = self.handed_out();
        if handed_out.get(&due.id).is_some_and(|one| one.due_at == due.due_at && one.is_expected()) {
            return false;
        }
        // What others took leaves when the map has grown, not one by one.
        if handed_out.len() >= 1024 && handed_out.len().is_power_of_two() {
            handed_out.retain(|_, one| one.is_expected());
        }
        handed_out
            .insert(due.id, HandedOut { due_at: due.due_at, at: Instant::now(), within: Duration::MAX });
        true
    }

    /// If it is not begun here within this time, it may be handed out again.
    pub fn expect_within(&self, job_id: i64, within: Duration) {
        if let Some(one) = self.handed_out().get_mut(&job_id) {
            one.within = within;
        }
    }

    /// Forgets that the job was handed out, so that the pump may do so again.
    pub fn take_back(&self, job_id: i64) {
        self.handed_out().remove(&job_id);
    }

    /// Forgets all of them: the apalis worker that had them is dead.
    pub fn take_all_back(&self) {
        self.handed_out().clear();
    }

    fn handed_out(&self) -> MutexGuard<'_, HashMap<i64, HandedOut>> {
        self.handed_out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the job in a task of its own: its panic is not the caller's, and it goes on if the caller is
    /// dropped.
    pub async fn execute_apart(self: Arc<Self>, job_id: i64) {
        let runs = self.runs.clone();
        drop(runs.spawn(async move { self.execute(job_id).await }).await);
    }

    /// Runs the job if it is due and free.
    async fn execute(&self, job_id: i64) {
        let handed_out = TakesBack(self, job_id);
        let claimed = self.claims.claim(job_id).await;
        // Only now: while the claim waits for the writer, the row is still due.
        drop(handed_out);
        match claimed {
            Ok(Some(run)) => {
                crash_point!("job.claimed");
                self.run(run).await;
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(job.id = job_id, error, "the job could not be claimed"),
        }
    }

    async fn run(&self, run: Run) {
        let started = Instant::now();
        let known = Kind::from_name(&run.kind);
        let name = known.map_or("unknown", Kind::name);
        let span =
            tracing::info_span!("job", job.kind = name, job.subject = run.subject, job.run = run.number);
        if run.is_suspect() {
            tracing::error!(
                job.kind = name,
                job.subject = run.subject,
                unreported = run.unreported,
                "the runs before this one began and never reported back; if it is the job that ends \
                 them, the next run is later and later"
            );
        }
        let outcome = match known {
            // A newer process asked for it, and a newer process will do it.
            None => self.retry(&run, "this process does not know this kind of job").await,
            Some(kind) => self.work(kind, run).instrument(span).await,
        };
        let outcome = match outcome {
            Outcome::Finished => "finished",
            Outcome::Retried => "retried",
            Outcome::GaveUp => "gave_up",
            Outcome::Fenced => "fenced",
            Outcome::Panicked => "panicked",
            Outcome::TimedOut => "timed_out",
            Outcome::CutOff => "cut_off",
            Outcome::PutOff => "put_off",
        };
        metrics::counter!("everpaid_job_runs_total", "kind" => name, "outcome" => outcome).increment(1);
        metrics::histogram!("everpaid_job_run_seconds", "kind" => name).record(started.elapsed());
    }

    async fn work(&self, kind: Kind, run: Run) -> Outcome {
        let run = Arc::new(run);
        let (context, inner, dispatch) = (self.context.clone(), run.clone(), self.dispatch);
        // A task of its own: a panic in it is an answer here, and it can be ended.
        let mut task = tokio::spawn(async move { dispatch(kind, &context, &inner).await }.in_current_span());
        let ended = tokio::select! {
            ended = &mut task => Ok(ended),
            () = tokio::time::sleep(self.run_limit) => Err(Outcome::TimedOut),
            () = self.cut.cancelled() => Err(Outcome::CutOff),
        };
        let ended = match ended {
            Ok(ended) => ended,
            Err(outcome) => {
                task.abort();
                // It may have finished while it was told to end.
                match task.await {
                    Ok(ended) => Ok(ended),
                    Err(_) if outcome == Outcome::CutOff => return self.give_back(&run).await,
                    Err(_) => {
                        tracing::error!(limit = ?self.run_limit, "the run took too long");
                        self.lose(&run, "ran past its limit").await;
                        return outcome;
                    }
                }
            }
        };
        match ended {
            Ok(Ok(_finished)) => {
                crash_point!("job.finished");
                Outcome::Finished
            }
            Ok(Err(Failure::Retry(why))) => {
                tracing::warn!(job.failures = run.failures + 1, why, "the job will be tried again");
                self.retry(&run, &why).await
            }
            Ok(Err(Failure::GiveUp(why))) => {
                tracing::error!(why, "the job gave up");
                self.end(self.context.db.write(async |txn| run.dead(txn, &why).await).await, Outcome::GaveUp)
            }
            Ok(Err(Failure::NotYet(wait))) => {
                let ended =
                    self.context.db.write(async |txn| run.put_off(txn, txn.now().await? + wait).await).await;
                self.end(ended, Outcome::PutOff)
            }
            Ok(Err(Failure::Fenced)) => {
                tracing::info!("another run holds this job by now; nothing was kept");
                Outcome::Fenced
            }
            Err(panic) => {
                tracing::error!(%panic, "the run panicked");
                self.lose(&run, "panicked").await;
                Outcome::Panicked
            }
        }
    }

    async fn retry(&self, run: &Run, why: &str) -> Outcome {
        let wait = backoff::jittered(backoff::wait(run.failures + 1), (self.context.chance)());
        let ended =
            self.context.db.write(async |txn| run.failed(txn, why, txn.now().await? + wait).await).await;
        self.end(ended, Outcome::Retried)
    }

    /// The process stops: whatever the run had begun is found out by the next one, as after a crash,
    /// only without the wait for the lease.
    async fn give_back(&self, run: &Run) -> Outcome {
        tracing::info!("the run was cut off because the process stops");
        self.end(self.context.db.write(async |txn| run.cut_off(txn).await).await, Outcome::CutOff)
    }

    /// It was the run and nothing else: the process lives.
    async fn lose(&self, run: &Run, why: &str) {
        let wait = backoff::jittered(backoff::wait(run.unreported + 1), (self.context.chance)());
        let is_enough = run.is_suspect();
        if is_enough {
            tracing::error!(unreported = run.unreported + 1, why, "the job is dead");
        }
        let ended = self.context.db.write(async |txn| match is_enough {
            true => run.dead(txn, why).await,
            false => run.lost(txn, why, txn.now().await? + wait).await,
        });
        let ended = ended.await;
        self.end(ended, Outcome::Retried);
    }

    /// If the row could not even be written, its lease runs out and it becomes due by itself.
    fn end(&self, ended: Result<Finished, Failure>, outcome: Outcome) -> Outcome {
        match ended {
            Ok(_finished) => outcome,
            Err(Failure::Fenced) => Outcome::Fenced,
            Err(error) => {
                tracing::warn!(%error, "the end of the run could not be written; its lease will run out");
                outcome
            }
        }
    }
}

#[cfg(test)]
mod tests;
