//! Who may call which endpoint now. In memory, and for this process alone: a delivery that has to
//! wait is a row that is due later.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// How many deliveries go to one endpoint at once. One that hangs holds up no more than these.
const AT_ONCE: usize = 4;

/// How many go out at once in all: half of what the queue runs, so that the questions to WeChat Pay
/// in it go on however many endpoints hang.
const AT_ONCE_IN_ALL: usize = 32;

/// Those that wait come back this far apart at least, and at most this late. An endpoint that hangs
/// may have thousands waiting; each look at one costs two writes.
const APART_MIN: Duration = Duration::from_millis(5);
const LATE_MAX: Duration = Duration::from_secs(5 * 60);

/// The endpoints, by merchant and name.
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    endpoints: Mutex<HashMap<(String, String), Arc<Endpoint>>>,
}

struct Endpoint {
    free: Arc<Semaphore>,
    pace: Mutex<Pace>,
}

struct Pace {
    /// How long the last call took.
    took: Duration,
    /// When the calls that run were begun, the oldest first.
    running: VecDeque<Instant>,
    /// When the last of those that wait comes back.
    last: Instant,
}

/// The right to call an endpoint, until it is dropped.
pub(crate) struct Turn {
    endpoint: Arc<Endpoint>,
    began: Instant,
    _free: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

impl Default for Turns {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(AT_ONCE_IN_ALL)), endpoints: Mutex::default() }
    }
}

impl Turns {
    /// A turn, or how long to wait before asking again: as long as those before it will take at the
    /// endpoint's pace. `jitter` is from 0 to 1.
    pub fn take(&self, merchant: &str, name: &str, jitter: f64) -> Result<Turn, Duration> {
        let endpoint = self.endpoint(merchant, name);
        let now = Instant::now();
        let free = endpoint.free.clone().try_acquire_owned();
        match free.and_then(|free| Ok((free, self.all.clone().try_acquire_owned()?))) {
            Ok(free) => {
                endpoint.pace().running.push_back(now);
                Ok(Turn { endpoint, began: now, _free: free })
            }
            Err(_) => Err(endpoint.wait(now, jitter)),
        }
    }

    fn endpoint(&self, merchant: &str, name: &str) -> Arc<Endpoint> {
        let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        endpoints.entry((merchant.to_owned(), name.to_owned())).or_default().clone()
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        let pace = Pace { took: Duration::ZERO, running: VecDeque::new(), last: Instant::now() };
        Self { free: Arc::new(Semaphore::new(AT_ONCE)), pace: Mutex::new(pace) }
    }
}

impl Endpoint {
    fn wait(&self, now: Instant, jitter: f64) -> Duration {
        let mut pace = self.pace();
        // Who began to hang has not shown yet how long a call takes, only that it takes longer than so far.
        let so_far = pace.running.front().map_or(Duration::ZERO, |began| now - *began);
        let apart = (pace.took.max(so_far) / 4).max(APART_MIN);
        pace.last = (pace.last.max(now) + apart).min(now + LATE_MAX);
        jobs::backoff::jittered(pace.last - now, jitter)
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut pace = self.endpoint.pace();
        pace.took = self.began.elapsed();
        if let Some(at) = pace.running.iter().position(|began| *began == self.began) {
            pace.running.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_hangs_has_four_and_the_others_come_back_at_its_pace() {
        let turns = Turns::default();
        let take = |name| turns.take("teahouse", name, 1.0);
        let mut held: Vec<_> = (0..AT_ONCE).map(|_| take("hangs").ok().unwrap()).collect();
        assert_eq!(take("hangs").err(), Some(APART_MIN), "nothing is known of its pace yet");
        assert!(take("other").is_ok(), "others do not wait");

        // While the first calls run, it shows more and more.
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(take("hangs").err(), Some(Duration::from_millis(500)));
        tokio::time::advance(Duration::from_secs(14)).await;
        held.pop();
        held.push(take("hangs").ok().unwrap());
        // One of four calls of 16 s ends every four seconds.
        let waits: Vec<_> = (0..3).map(|_| take("hangs").err().unwrap().as_secs()).collect();
        assert_eq!(waits, [4, 8, 12]);
        let longest = (0..1000).map(|_| take("hangs").err().unwrap()).max().unwrap();
        assert_eq!(longest, LATE_MAX);
    }

    #[test]
    fn many_that_hang_leave_room_for_other_work() {
        let turns = Turns::default();
        let held: Vec<_> = (0..100)
            .flat_map(|name| (0..AT_ONCE).map(move |_| name))
            .filter_map(|name| turns.take("teahouse", &name.to_string(), 1.0).ok())
            .collect();
        assert_eq!(held.len(), AT_ONCE_IN_ALL);
        assert!(AT_ONCE_IN_ALL * 2 <= crate::registry::concurrency(entity::job::Lane::Background));
    }
}
