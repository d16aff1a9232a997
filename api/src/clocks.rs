//! Is the clock of this machine right?
//!
//! WeChat Pay refuses what is dated five minutes off, and so do we: with a wrong clock no call and no
//! notification is believed. What WeChat Pay's answers and the database say of the time shows it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use entity::{Clock, Timestamp};
use wechatpay::trust::FRESHNESS_WINDOW_SECONDS;

/// How far off a signature may be dated, there and here.
const BEARABLE: Duration = Duration::from_secs(FRESHNESS_WINDOW_SECONDS);

/// What was said earlier counts no more: a machine that slept has not counted on.
const KNOWN_FOR: Duration = Duration::from_secs(600);

/// Who else has a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Other {
    WeChatPay,
    Database,
}

impl Other {
    const ALL: [Self; 2] = [Self::WeChatPay, Self::Database];

    fn name(self) -> &'static str {
        match self {
            Self::WeChatPay => "wechat_pay",
            Self::Database => "database",
        }
    }
}

/// What the others say. Clones share it.
#[derive(Clone, Debug)]
pub struct Clocks {
    own: Clock,
    said: Arc<Mutex<[Option<Said>; 2]>>,
}

/// The time it was, and when that was on a watch that nobody sets.
#[derive(Clone, Copy, Debug)]
struct Said {
    now: Timestamp,
    at: Instant,
}

impl Clocks {
    /// Nobody has said anything yet.
    pub fn new(own: Clock) -> Self {
        Self { own, said: Arc::default() }
    }

    /// This machine's.
    pub fn own(&self) -> &Clock {
        &self.own
    }

    /// An answer of WeChat Pay's was dated so, in Unix seconds.
    pub fn wechat_pay_says(&self, now: i64) {
        self.says(Other::WeChatPay, Timestamp::from_unix_seconds(now));
    }

    /// The database was asked for the time just now.
    pub fn database_says(&self, now: Timestamp) {
        self.says(Other::Database, now);
    }

    fn says(&self, other: Other, now: Timestamp) {
        self.said()[other as usize] = Some(Said { now, at: Instant::now() });
    }

    /// Would signatures of this machine be refused?
    pub(crate) fn is_off(&self) -> bool {
        let limit = i64::try_from(BEARABLE.as_millis()).unwrap_or(i64::MAX);
        self.ahead().iter().any(|(_, ahead)| ahead.is_some_and(|ahead| ahead.abs() > limit))
    }

    /// Shows in the metrics how far this machine is ahead of each; not a number if that is not known.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a few centuries")]
    pub(crate) fn publish(&self) {
        for (other, ahead) in self.ahead() {
            let seconds = ahead.map_or(f64::NAN, |ahead| ahead as f64 / 1000.0);
            metrics::gauge!("everpaid_clock_ahead_seconds", "of" => other.name()).set(seconds);
        }
    }

    /// In milliseconds. A clock that a test moves is right.
    fn ahead(&self) -> [(Other, Option<i64>); 2] {
        let said = *self.said();
        Other::ALL.map(|other| {
            let ahead = match (&self.own, said[other as usize]) {
                (Clock::System, Some(said)) => ahead(self.own.now(), said.now, said.at.elapsed()),
                _ => None,
            };
            (other, ahead)
        })
    }

    fn said(&self) -> MutexGuard<'_, [Option<Said>; 2]> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far we are ahead of who said that it was `said`, so long ago.
fn ahead(ours: Timestamp, said: Timestamp, ago: Duration) -> Option<i64> {
    (ago <= KNOWN_FOR).then(|| ours.0.saturating_sub((said + ago).0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp(1_700_000_000_000);

    #[test]
    fn a_clock_is_compared_with_what_would_be_said_now() {
        let minute = Duration::from_secs(60);
        assert_eq!(ahead(NOON + minute, NOON, minute), Some(0));
        assert_eq!(ahead(NOON + 11 * minute, NOON, minute), Some(600_000));
        assert_eq!(ahead(NOON - 9 * minute, NOON, minute), Some(-600_000));
    }

    #[test]
    fn what_was_said_long_ago_is_no_evidence() {
        assert_eq!(ahead(NOON, NOON, KNOWN_FOR), Some(-600_000));
        assert_eq!(ahead(NOON, NOON, KNOWN_FOR + Duration::from_millis(1)), None);
    }

    #[test]
    fn five_minutes_are_bearable_and_more_are_not() {
        let now = Clock::System.now().unix_seconds();
        let is_off = |off: i64| {
            let clocks = Clocks::new(Clock::System);
            clocks.wechat_pay_says(now - off);
            clocks.is_off()
        };
        assert!(!Clocks::new(Clock::System).is_off());
        assert_eq!([-310, -290, 0, 290, 310].map(is_off), [true, false, false, false, true]);
    }

    #[test]
    fn one_wrong_clock_is_enough_and_may_be_set_right() {
        let clocks = Clocks::new(Clock::System);
        clocks.wechat_pay_says(Clock::System.now().unix_seconds());
        clocks.database_says(Clock::System.now() - Duration::from_secs(3600));
        assert!(clocks.is_off());
        clocks.database_says(Clock::System.now());
        assert!(!clocks.is_off());
    }
}
