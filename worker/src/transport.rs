//! How the id of a due job gets from the pump to apalis.
//!
//! [`Memory`] is a queue of this process alone. [`Redis`] is one for all of them, which splits the
//! work among the workers; while Redis is away, the pump uses the other one.

use std::{sync::Arc, time::Duration};

use apalis::layers::WorkerBuilderExt;
use apalis_core::{
    backend::{Backend, BackendConfig, finalize::FinalizeBackend},
    error::{BoxDynError, WorkerError},
    task::{
        Task,
        data::{AddExtension, Data},
        task_fn::TaskFn,
    },
    worker::{builder::WorkerBuilder, context::WorkerContext, lifecycle::LifecycleService},
};
use entity::job::Due;
use futures::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use tower::{Layer, Service, limit::ConcurrencyLimit};

use crate::execution::Engine;

mod memory;
mod redis;

pub(crate) use memory::Memory;
pub(crate) use redis::Redis;
pub use redis::RedisAt;

/// A hint that a job is due. It carries no work, only the id of the row.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Nudge {
    pub job_id: i64,
}

/// One queue. It may lose, repeat or reorder what it was given; the rows stay.
pub(crate) trait Transport: Send + Sync + 'static {
    /// Does it answer? One that does not is passed over.
    fn is_there(&self) -> bool {
        true
    }

    /// How many more it will take now, as the queue itself says.
    fn room(&self) -> usize;

    /// Hands a job on.
    fn offer(&self, due: Due) -> BoxFuture<'_, Offered>;

    /// Runs one apalis worker on it until the worker is stopped or dies.
    fn work(&self, worker: WorkerContext, engine: Arc<Engine>)
    -> BoxFuture<'static, Result<(), WorkerError>>;
}

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It waits there. If it is not begun in this process within this time, it may be offered again.
    Taken { offered_again_after: Duration },
    /// There is no room, or nobody there.
    Refused,
}

type Handler = fn(Nudge, Data<Arc<Engine>>) -> BoxFuture<'static, Result<(), BoxDynError>>;

type Inner =
    ConcurrencyLimit<AddExtension<LifecycleService<TaskFn<Handler, Nudge, Data<Arc<Engine>>>>, Arc<Engine>>>;

/// Builds and runs an apalis worker over any backend.
///
/// The bounds can only be written with the handler as a pointer and the middleware spelt out.
fn run_worker<B, O>(
    worker: WorkerContext,
    backend: B,
    engine: Arc<Engine>,
) -> BoxFuture<'static, Result<(), WorkerError>>
where
    B: Backend + BackendConfig<Args = Nudge> + Send + 'static,
    B::Kind: FinalizeBackend<B, Nudge, Backend = O>,
    O: Backend<Task = Task<Nudge>> + BackendConfig<Args = Nudge> + Send + Unpin + 'static,
    O::Error: Into<BoxDynError> + Send + 'static,
    O::Layer: Layer<Inner>,
    <O::Layer as Layer<Inner>>::Service: Service<
            Task<Nudge>,
            Error: Into<BoxDynError> + Send + Sync + 'static,
            Response: Send + Sync + 'static,
            Future: Send,
        > + Send
        + 'static,
{
    let concurrency = engine.concurrency();
    WorkerBuilder::new(worker)
        .backend(backend)
        .concurrency(concurrency)
        .data(engine)
        .build(handle as Handler)
        .run()
        .boxed()
}

/// Whatever happens inside, apalis sees `Ok`: an `Err` would be retried by rules that are not ours, and a
/// panic would take the worker's other jobs with it.
fn handle(nudge: Nudge, engine: Data<Arc<Engine>>) -> BoxFuture<'static, Result<(), BoxDynError>> {
    async move {
        Arc::clone(&engine).execute_apart(nudge.job_id).await;
        Ok(())
    }
    .boxed()
}
