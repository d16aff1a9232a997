//! How much of WeChat Pay's patience is spent on calls that nobody waits for.
//!
//! WeChat Pay publishes no limit for most calls; it answers 429 above it, and then payers
//! cannot be called up either. After an outage thousands of payments are due at once.

use std::{
    fmt,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use entity::job::Lane;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use jobs::Failure;
use tokio::{sync::Semaphore, time::Instant};

/// A run is limited in time, and its calls need most of it. Who would wait longer waits as a row.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Those that wait as rows come back at the latest after so long: each look at one costs two writes.
const LATE_MAX: Duration = Duration::from_secs(10 * 60);

/// Calls a second of one merchant in one process that nobody waits for. Clones share it.
#[derive(Clone)]
pub struct Budget(Arc<Line>);

struct Line {
    limiter: DefaultDirectRateLimiter,
    /// As many as have their turn within [`WAIT_MAX`].
    places: Semaphore,
    apart: Duration,
    /// When the last of those that were sent away comes back.
    last: Mutex<Instant>,
}

impl Budget {
    pub const DEFAULT: NonZeroU32 = NonZeroU32::new(50).expect("is not zero");

    pub fn per_second(calls: NonZeroU32) -> Self {
        // Evenly: a burst is what is to be avoided.
        let quota = Quota::per_second(calls).allow_burst(NonZeroU32::MIN);
        let apart = quota.replenish_interval();
        let places = WAIT_MAX.as_nanos() / apart.as_nanos().max(1);
        let places = usize::try_from(places)
            .map_or(Semaphore::MAX_PERMITS, |places| places.clamp(1, Semaphore::MAX_PERMITS));
        Self(Arc::new(Line {
            limiter: RateLimiter::direct(quota),
            places: Semaphore::new(places),
            apart,
            last: Mutex::new(Instant::now()),
        }))
    }

    /// Waits until a run of that lane may call WeChat Pay; at once if somebody waits for it. If too many wait
    /// already, it is put off, each a turn later than the one before.
    pub(crate) async fn turn(&self, lane: Lane) -> Result<(), Failure> {
        if lane == Lane::Background {
            let _place = self.0.places.try_acquire().map_err(|_| Failure::NotYet(self.0.later()))?;
            self.0.limiter.until_ready().await;
        }
        Ok(())
    }

    /// The same for a further call of a run that has had its turn: it is not sent away, or what it has learnt
    /// would be lost.
    pub(crate) async fn another(&self, lane: Lane) {
        if lane == Lane::Background {
            self.0.limiter.until_ready().await;
        }
    }
}

impl Line {
    fn later(&self) -> Duration {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = ((*last).max(now + WAIT_MAX) + self.apart).min(now + LATE_MAX);
        *last - now
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Budget")
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn of(calls: u32) -> Budget {
        Budget::per_second(calls.try_into().unwrap())
    }

    #[test]
    fn what_nobody_waits_for_takes_turns_and_a_payer_does_not() {
        let budget = of(1);
        assert!(budget.turn(Lane::Background).now_or_never().unwrap().is_ok());
        assert!(budget.turn(Lane::Background).now_or_never().is_none(), "that was this second's");
        assert!(budget.another(Lane::Background).now_or_never().is_none());
        for _ in 0..100 {
            assert!(budget.turn(Lane::Interactive).now_or_never().unwrap().is_ok());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_would_wait_for_longer_than_a_run_bears_is_put_off() {
        let budget = of(1);
        budget.turn(Lane::Background).await.unwrap();
        let mut waiting: Vec<_> = (0..2).map(|_| Box::pin(budget.turn(Lane::Background))).collect();
        assert!(waiting.iter_mut().all(|turn| turn.now_or_never().is_none()));
        let put_off = || match budget.turn(Lane::Background).now_or_never() {
            Some(Err(Failure::NotYet(wait))) => wait.as_secs(),
            other => panic!("{other:?}"),
        };
        assert_eq!([(); 3].map(|()| put_off()), [3, 4, 5]);
        assert!(budget.turn(Lane::Interactive).now_or_never().unwrap().is_ok());
        assert_eq!((0..1000).map(|_| put_off()).max(), Some(LATE_MAX.as_secs()));
        drop(waiting);
        assert!(budget.turn(Lane::Background).now_or_never().is_none(), "there is a place again");
    }

    #[test]
    fn with_the_usual_budget_all_that_run_at_once_may_wait() {
        let places = Budget::per_second(Budget::DEFAULT).0.places.available_permits();
        assert!(places >= crate::registry::concurrency(Lane::Background), "{places}");
    }
}
