//! How much of WeChat Pay's patience is spent on calls that nobody waits for.
//!
//! WeChat Pay publishes no limit for most calls; it answers 429 above it, and then payers
//! cannot be called up either. After an outage thousands of payments are due at once.

use std::{fmt, num::NonZeroU32, sync::Arc};

use entity::job::Lane;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Calls a second of one merchant in one process that nobody waits for. Clones share it.
#[derive(Clone)]
pub struct Budget(Arc<DefaultDirectRateLimiter>);

impl Budget {
    pub const DEFAULT: NonZeroU32 = NonZeroU32::new(50).expect("is not zero");

    pub fn per_second(calls: NonZeroU32) -> Self {
        // Evenly: a burst is what is to be avoided.
        let quota = Quota::per_second(calls).allow_burst(NonZeroU32::MIN);
        Self(Arc::new(RateLimiter::direct(quota)))
    }

    /// Waits until a run of that lane may call WeChat Pay; at once if somebody waits for it. Never long: as many
    /// wait here as jobs run at once, and the others wait as rows.
    pub(crate) async fn turn(&self, lane: Lane) {
        if lane == Lane::Background {
            self.0.until_ready().await;
        }
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

    #[test]
    fn what_nobody_waits_for_takes_turns_and_a_payer_does_not() {
        let budget = Budget::per_second(NonZeroU32::MIN);
        assert!(budget.turn(Lane::Background).now_or_never().is_some());
        assert!(budget.turn(Lane::Background).now_or_never().is_none(), "that was this second's");
        for _ in 0..100 {
            assert!(budget.turn(Lane::Interactive).now_or_never().is_some());
        }
    }
}
