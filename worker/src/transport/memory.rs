//! A bounded channel of ours that feeds apalis' in-memory backend.
//!
//! The backend's own sink is never used, because it panics when it is shared with another task.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use apalis_core::{
    backend::memory::{MemorySink, MemoryStorage, MemoryStorageError},
    error::WorkerError,
    task::{Task, builder::TaskBuilder},
    worker::context::WorkerContext,
};
use entity::job::Due;
use futures::{FutureExt, Sink, SinkExt, StreamExt, future::BoxFuture, stream};
use tokio::sync::mpsc;

use super::{Nudge, Offered, Transport, run_worker};
use crate::execution::Engine;

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
    fn room(&self) -> usize {
        self.sender.capacity()
    }

    fn offer(&self, due: Due) -> BoxFuture<'_, Offered> {
        let offered = match self.sender.try_send(Nudge { job_id: due.id }) {
            // A channel loses nothing; only its worker does, and then all of it is forgotten.
            Ok(()) => Offered::Taken { offered_again_after: Duration::MAX },
            Err(_) => Offered::Refused,
        };
        std::future::ready(offered).boxed()
    }

    fn work(
        &self,
        worker: WorkerContext,
        engine: Arc<Engine>,
    ) -> BoxFuture<'static, Result<(), WorkerError>> {
        run_worker(worker, self.storage(), engine)
    }
}
