//! How the id of a due job gets from the pump to apalis.
//!
//! [`Memory`] is a bounded channel of ours that feeds apalis' in-memory backend. Its own sink is
//! never used, because it panics when it is shared with another task. A transport for many
//! processes (apalis-redis) implements [`Transport`] with its own backend and the same
//! [`run_worker`]; nothing else changes.

use std::sync::{Arc, Mutex, PoisonError};

use apalis::layers::WorkerBuilderExt;
use apalis_core::{
    backend::{
        Backend, BackendConfig,
        finalize::FinalizeBackend,
        memory::{MemorySink, MemoryStorage, MemoryStorageError},
    },
    error::{BoxDynError, WorkerError},
    task::{
        Task,
        builder::TaskBuilder,
        data::{AddExtension, Data},
        task_fn::TaskFn,
    },
    worker::{builder::WorkerBuilder, context::WorkerContext, lifecycle::LifecycleService},
};
use futures::{FutureExt, Sink, SinkExt, StreamExt, future::BoxFuture, stream};
use tokio::sync::mpsc;
use tower::{Layer, Service, limit::ConcurrencyLimit};

use crate::execution::Engine;

/// A hint that a job is due. It carries no work, only the id of the row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nudge {
    pub job_id: i64,
}

/// One queue. It may lose, repeat or reorder what it was given; the rows stay.
pub(crate) trait Transport: Send + Sync + 'static {
    /// How many more it will take now, as the queue itself says.
    fn room(&self) -> BoxFuture<'_, usize>;

    /// Gives it a nudge; false if it is full or gone.
    fn offer(&self, nudge: Nudge) -> BoxFuture<'_, bool>;

    /// Runs one apalis worker on it until the worker is stopped or dies.
    fn work(&self, worker: WorkerContext, engine: Arc<Engine>)
    -> BoxFuture<'static, Result<(), WorkerError>>;
}

/// A channel inside this process. What waits in it survives the death of an apalis worker.
pub(crate) struct Memory {
    sender: mpsc::Sender<Nudge>,
    /// A tokio receiver remembers one waker, so one live worker at a time.
    receiver: Arc<Mutex<mpsc::Receiver<Nudge>>>,
}

impl Memory {
    pub fn new(window: usize) -> Self {
        let (sender, receiver) = mpsc::channel(window);
        Self { sender, receiver: Arc::new(Mutex::new(receiver)) }
    }

    fn storage(&self) -> MemoryStorage<Nudge> {
        let inert: Box<dyn Sink<Task<Nudge>, Error = MemoryStorageError> + Send + Sync + Unpin> =
            Box::new(futures::sink::drain().sink_map_err(|never| match never {}));
        let receiver = Arc::clone(&self.receiver);
        let nudges = stream::poll_fn(move |cx| {
            let mut receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
            receiver.poll_recv(cx).map(|nudge| nudge.map(|nudge| TaskBuilder::new(nudge).build()))
        });
        MemoryStorage::new_with(MemorySink::new(Arc::new(futures::lock::Mutex::new(inert))), nudges.boxed())
    }
}

impl Transport for Memory {
    fn room(&self) -> BoxFuture<'_, usize> {
        std::future::ready(self.sender.capacity()).boxed()
    }

    fn offer(&self, nudge: Nudge) -> BoxFuture<'_, bool> {
        std::future::ready(self.sender.try_send(nudge).is_ok()).boxed()
    }

    fn work(
        &self,
        worker: WorkerContext,
        engine: Arc<Engine>,
    ) -> BoxFuture<'static, Result<(), WorkerError>> {
        run_worker(worker, self.storage(), engine)
    }
}

type Handler = fn(Nudge, Data<Arc<Engine>>) -> BoxFuture<'static, Result<(), BoxDynError>>;

type Inner =
    ConcurrencyLimit<AddExtension<LifecycleService<TaskFn<Handler, Nudge, Data<Arc<Engine>>>>, Arc<Engine>>>;

/// Builds and runs an apalis worker over any backend.
///
/// The bounds can only be written with the handler as a pointer and the middleware spelt out.
pub(crate) fn run_worker<B, O>(
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

/// Spawns the run and waits for it. Whatever happens inside, apalis sees `Ok`: an `Err` would be
/// retried by rules that are not ours, and a panic would take the worker's other jobs with it.
fn handle(nudge: Nudge, engine: Data<Arc<Engine>>) -> BoxFuture<'static, Result<(), BoxDynError>> {
    async move {
        let engine = Arc::clone(&engine);
        drop(tokio::spawn(async move { engine.execute(nudge.job_id).await }).await);
        Ok(())
    }
    .boxed()
}
