//! One queue in Redis for the workers of all processes, by apalis-redis.
//!
//! Redis is a window on the rows: it may be emptied, paused or lost at any moment. The queue is kept
//! short, because apalis-redis hands all that is due to one Lua call, which fails for good above some
//! eight thousand; and what is done is swept away, because nothing else does.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use ::redis::{Client, RedisResult, aio::ConnectionManager, aio::ConnectionManagerConfig};
use apalis_core::{
    backend::ext::{
        BackendExt,
        poll_strategy::{PollSnapshot, PollStrategy},
    },
    error::WorkerError,
    task::{builder::TaskBuilder, task_id::TaskId},
    worker::context::WorkerContext,
};
use apalis_redis::{Config, Error, RedisStorage, queries::push_tasks};
use entity::{
    Clock,
    job::{Due, Lane},
};
use futures::{FutureExt, future::BoxFuture};
use tokio::{
    sync::{Notify, futures::OwnedNotified},
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::{Nudge, Offered, Transport, run_worker};
use crate::execution::Engine;

/// Where Redis is, and how our keys in it begin.
#[derive(Clone, Debug)]
pub struct RedisAt {
    pub client: Client,
    pub prefix: String,
}

impl RedisAt {
    /// A connection that is opened when it is first used and again after it broke, on which nothing
    /// takes longer than that.
    pub fn connection(&self, limit: Duration) -> RedisResult<ConnectionManager> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(limit))
            .set_response_timeout(Some(limit))
            .set_number_of_retries(1);
        ConnectionManager::new_lazy_with_config(self.client.clone(), config)
    }
}

/// A pump that waited longer would be slower than one without Redis.
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);

/// A worker dies of a time-out, so it is given more.
const ANSWERS_A_WORKER_WITHIN: Duration = Duration::from_secs(5);

/// How often the queue is asked how long it is.
const MEASURE_EVERY: Duration = Duration::from_millis(100);

/// A worker that nobody woke looks by itself.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Somebody else put this much in; from about eight thousand on the queue would stand still for good.
const TOO_MANY: usize = 4000;

/// A nudge that was not taken within this time may be lost.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// What Redis had already, from another process or from before, may be on its way out.
const KNOWN_FOR: Duration = Duration::from_millis(500);

/// The queue of one lane.
pub(crate) struct Redis {
    config: Config,
    clock: Clock,
    /// For what must be quick or not at all.
    quick: ConnectionManager,
    patient: ConnectionManager,
    window: usize,
    room: AtomicUsize,
    is_there: AtomicBool,
    /// Wakes the worker of this process.
    pushed: Arc<Notify>,
}

impl Redis {
    /// Opens no connection yet: until Redis has answered once, it is not there.
    pub fn new(at: &RedisAt, lane: Lane, window: usize, clock: Clock) -> RedisResult<Self> {
        Ok(Self {
            config: Config::default()
                .queue(format!("{}:{}", at.prefix, lane.name()))
                .batch_size(64)
                .heartbeat_interval(Duration::from_secs(5))
                .missed_heartbeats(3)
                .emit_events(false),
            clock,
            quick: at.connection(ANSWERS_WITHIN)?,
            patient: at.connection(ANSWERS_A_WORKER_WITHIN)?,
            window,
            room: AtomicUsize::new(0),
            is_there: AtomicBool::new(false),
            pushed: Arc::default(),
        })
    }

    /// Asks the queue how long it is, and keeps it short, until it is told to stop.
    pub async fn keep_measuring(self: Arc<Self>, stop: CancellationToken) {
        loop {
            match self.measure().await {
                Ok(()) if !self.is_there.swap(true, Ordering::Relaxed) => {
                    tracing::info!(queue = %self.config.queue, "Redis carries the jobs");
                }
                Ok(()) => {}
                Err(error) => self.goes_away(&error.into()),
            }
            tokio::select! {
                () = tokio::time::sleep(MEASURE_EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn goes_away(&self, error: &Error) {
        if self.is_there.swap(false, Ordering::Relaxed) {
            // The error may hold the address with its password; its kind does not.
            let kind = if let Error::Database(error) = error { Some(error.kind()) } else { None };
            tracing::warn!(queue = %self.config.queue, ?kind, "Redis does not carry the jobs; they go on without it");
        }
    }

    async fn measure(&self) -> RedisResult<()> {
        // Nobody reads what is written; a Redis that is full answers questions and takes no jobs.
        let takes_writes = format!("{}:takes-writes", self.config.queue);
        let (scheduled, active, done, dead): (usize, usize, usize, usize) = ::redis::pipe()
            .set(takes_writes, 1)
            .ignore()
            .zcard(self.config.scheduled_jobs_set())
            .llen(self.config.active_jobs_list())
            .scard(self.config.done_jobs_set())
            .scard(self.config.dead_jobs_set())
            .query_async(&mut self.quick.clone())
            .await?;
        if done + dead > 0 {
            self.sweep().await?;
        }
        let waiting = scheduled + active;
        if waiting > TOO_MANY {
            tracing::warn!(queue = %self.config.queue, waiting, "too much is in the queue for its worker; it is emptied");
            self.forget_all().await?;
        }
        self.room.store(self.window.saturating_sub(waiting), Ordering::Relaxed);
        Ok(())
    }

    async fn forget_all(&self) -> RedisResult<()> {
        let keys =
            [self.config.scheduled_jobs_set(), self.config.active_jobs_list(), self.config.job_data_hash()];
        ::redis::cmd("DEL").arg(&keys).exec_async(&mut self.quick.clone()).await
    }

    /// Deletes what apalis-redis keeps of nudges that were taken. It is soon, because until then the same
    /// nudge is refused, and a run that could not be claimed is to be offered again.
    async fn sweep(&self) -> RedisResult<()> {
        const AT_ONCE: usize = 500;
        for set in [self.config.done_jobs_set(), self.config.dead_jobs_set()] {
            loop {
                let done: Vec<String> =
                    ::redis::cmd("SPOP").arg(&set).arg(AT_ONCE).query_async(&mut self.quick.clone()).await?;
                if done.is_empty() {
                    break;
                }
                let metas: Vec<_> =
                    done.iter().map(|id| format!("{}:{id}", self.config.job_meta_hash())).collect();
                ::redis::pipe()
                    .hdel(self.config.job_data_hash(), &done)
                    .ignore()
                    .del(metas)
                    .ignore()
                    .exec_async(&mut self.quick.clone())
                    .await?;
            }
        }
        Ok(())
    }

    /// The same for every process that finds the job due, so that Redis keeps one of them; another
    /// one after a while, or a nudge that was lost would stand in the way of its own repetition.
    fn task_id(&self, due: Due) -> TaskId {
        let overdue = self.clock.now().since(due.due_at);
        let turn = u128::from(overdue.as_secs() / LOST_AFTER.as_secs()) & 0xffff;
        let since = u128::from(due.due_at.0.unsigned_abs()) & 0xffff_ffff_ffff;
        TaskId::from_ulid(Ulid(since << 80 | u128::from(due.id.unsigned_abs()) << 16 | turn))
    }
}

impl Transport for Redis {
    fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Relaxed)
    }

    fn room(&self) -> usize {
        self.room.load(Ordering::Relaxed)
    }

    fn offer(&self, due: Due) -> BoxFuture<'_, Offered> {
        async move {
            let took =
                self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(1));
            if took.is_err() {
                return Offered::Refused;
            }
            let nudge = serde_json::to_vec(&Nudge { job_id: due.id }).unwrap_or_default();
            let nudge = TaskBuilder::new(nudge).task_id(self.task_id(due)).build();
            match push_tasks(&mut self.quick.clone(), &self.config, &[nudge]).await {
                Ok(pushed) => {
                    self.pushed.notify_one();
                    let is_new = pushed != (0, 0);
                    Offered::Taken { offered_again_after: if is_new { LOST_AFTER } else { KNOWN_FOR } }
                }
                Err(error) => {
                    self.goes_away(&error);
                    Offered::Refused
                }
            }
        }
        .boxed()
    }

    fn work(
        &self,
        worker: WorkerContext,
        engine: Arc<Engine>,
    ) -> BoxFuture<'static, Result<(), WorkerError>> {
        let storage = RedisStorage::new(self.patient.clone()).with_config(self.config.clone());
        run_worker(worker, storage.poll_with_strategy(Wake::new(self.pushed.clone())), engine)
    }
}

/// Looks when something was pushed here, and every so often.
///
/// A timer or a signal that is ready is asked again after it was set anew, or nobody would be woken:
/// apalis' own strategy forgets that, and then sleeps until its next heartbeat.
struct Wake {
    timer: Pin<Box<Sleep>>,
    pushed: Arc<Notify>,
    signal: Pin<Box<OwnedNotified>>,
}

impl Wake {
    fn new(pushed: Arc<Notify>) -> Self {
        Self {
            timer: Box::pin(sleep_until(Instant::now() + LOOK_EVERY)),
            signal: Box::pin(pushed.clone().notified_owned()),
            pushed,
        }
    }
}

impl PollStrategy for Wake {
    fn poll_drive(&mut self, cx: &mut Context<'_>, _: &PollSnapshot) -> Poll<Option<()>> {
        let mut is_woken = false;
        while self.timer.as_mut().poll(cx).is_ready() {
            self.timer.as_mut().reset(Instant::now() + LOOK_EVERY);
            is_woken = true;
        }
        while self.signal.as_mut().poll(cx).is_ready() {
            self.signal = Box::pin(self.pushed.clone().notified_owned());
            is_woken = true;
        }
        if is_woken { Poll::Ready(Some(())) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests;
