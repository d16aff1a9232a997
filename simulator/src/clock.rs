//! The simulator's own time: it follows the machine's clock, or an injected one, at a pace of its
//! own. It can be stepped on, scaled and frozen, and never goes back.
//!
//! It is the time of orders, codes and retries. Signatures are dated by the machine's clock: a
//! client whose clock nobody moved would have to refuse anything else, and be refused.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jiff::{Timestamp, tz};
use serde::{Deserialize, Serialize};

use crate::payer::ControlError;

/// Unix milliseconds on demand.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// A day in under a second: fast enough for any test, and far from the end of time.
const FASTEST: f64 = 100_000.0;

pub(crate) struct SimClock {
    base: Option<Now>,
    pace: RwLock<Pace>,
}

/// When the pace last changed, by both clocks, and how fast the simulator's has gone since.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pace {
    machine_ms: i64,
    shown_ms: i64,
    /// Simulated seconds in a second, also while frozen: thawing returns to it.
    scale: f64,
    is_frozen: bool,
}

impl Pace {
    /// The machine's own.
    pub(crate) const REAL: Self = Self { machine_ms: 0, shown_ms: 0, scale: 1.0, is_frozen: false };

    /// Simulated seconds in a second, 0 while frozen.
    pub(crate) fn rate(&self) -> f64 {
        if self.is_frozen { 0.0 } else { self.scale }
    }

    fn at(&self, machine_ms: i64) -> i64 {
        // Exact for 285,000 years of milliseconds.
        let elapsed = machine_ms.saturating_sub(self.machine_ms) as f64;
        self.shown_ms.saturating_add(whole(elapsed * self.rate()))
    }

    /// The same moment as the start of another pace.
    fn anchored(self, machine_ms: i64) -> Self {
        Self { machine_ms, shown_ms: self.at(machine_ms), ..self }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and a span that long is forever")]
fn whole(ms: f64) -> i64 {
    ms.floor() as i64
}

/// Refuses a scale that no clock can have.
pub(crate) fn check_scale(scale: f64) -> Result<(), ControlError> {
    if (0.0..=FASTEST).contains(&scale) {
        Ok(())
    } else {
        Err(ControlError::Invalid(format!("scale is 0 to {FASTEST}")))
    }
}

impl SimClock {
    pub(crate) fn new(base: Option<Now>, pace: Pace) -> Self {
        Self { base, pace: RwLock::new(pace) }
    }

    /// The time of orders and retries.
    pub(crate) fn now_ms(&self) -> i64 {
        self.pace().at(self.signing_ms())
    }

    /// The time both sides date their signatures by.
    pub(crate) fn signing_ms(&self) -> i64 {
        match &self.base {
            Some(now) => now(),
            None => system_ms(),
        }
    }

    pub(crate) fn pace(&self) -> Pace {
        *self.pace.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The simulator's time, and how far it is ahead of the machine's.
    pub(crate) fn reading(&self) -> (i64, i64) {
        let machine_ms = self.signing_ms();
        let now_ms = self.pace().at(machine_ms);
        (now_ms, now_ms - machine_ms)
    }

    pub(crate) fn advance(&self, ms: i64) {
        self.change(|pace| pace.shown_ms = pace.shown_ms.saturating_add(ms));
    }

    /// From now on so many simulated seconds pass in a second; 0 freezes.
    pub(crate) fn scale(&self, scale: f64) {
        self.change(|pace| {
            pace.is_frozen = scale == 0.0;
            if !pace.is_frozen {
                pace.scale = scale;
            }
        });
    }

    /// Stops the clock, or lets it go on at the pace it had.
    pub(crate) fn freeze(&self, is_frozen: bool) {
        self.change(|pace| pace.is_frozen = is_frozen);
    }

    fn change(&self, change: impl FnOnce(&mut Pace)) {
        let machine_ms = self.signing_ms();
        let mut pace = self.pace.write().unwrap_or_else(PoisonError::into_inner);
        *pace = pace.anchored(machine_ms);
        change(&mut pace);
    }

    /// How long it really takes until the clock shows this time; absent: it stands still.
    pub(crate) fn wait_for(&self, at_ms: i64) -> Option<Duration> {
        let ahead_ms = u64::try_from(at_ms.saturating_sub(self.now_ms())).unwrap_or(0);
        let ahead = Duration::from_millis(ahead_ms.max(1));
        match self.pace().rate() {
            0.0 if ahead_ms > 0 => None,
            0.0 => Some(ahead),
            rate => Some(Duration::try_from_secs_f64(ahead.as_secs_f64() / rate).unwrap_or(Duration::MAX)),
        }
    }

    /// An injected clock may jump without telling anyone.
    pub(crate) fn is_injected(&self) -> bool {
        self.base.is_some()
    }
}

#[expect(clippy::disallowed_methods, reason = "the default that a caller may replace")]
fn system_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// `2026-09-12T10:00:00+08:00`, the way WeChat Pay writes a moment.
pub(crate) fn rfc3339(at_ms: i64) -> String {
    Timestamp::from_second(at_ms.div_euclid(1000))
        .unwrap_or(Timestamp::MAX)
        .display_with_offset(tz::offset(8))
        .to_string()
}

/// `2026-09-12 10:00:00`, the way bills and v2 write a moment.
pub(crate) fn beijing_time(at_ms: i64) -> String {
    rfc3339(at_ms).replacen('T', " ", 1).replace("+08:00", "")
}

/// Unix milliseconds of an RFC 3339 text with its `T` and its offset.
pub(crate) fn parse_rfc3339(text: &str) -> Option<i64> {
    if text.as_bytes().get(10) != Some(&b'T') || text.contains('[') {
        return None;
    }
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    const MINUTE: i64 = 60_000;

    /// A clock over a machine whose time is set by hand.
    fn clock() -> (SimClock, impl Fn(i64)) {
        let machine = Arc::new(AtomicI64::new(1_789_173_000_000));
        let read = Arc::clone(&machine);
        let clock = SimClock::new(Some(Arc::new(move || read.load(Ordering::SeqCst))), Pace::REAL);
        (clock, move |ms| {
            machine.fetch_add(ms, Ordering::SeqCst);
        })
    }

    #[test]
    fn the_clock_is_the_machines_until_someone_touches_it() {
        let (clock, pass) = clock();
        assert_eq!(clock.now_ms(), clock.signing_ms());
        pass(7);
        assert_eq!(clock.now_ms(), clock.signing_ms());
    }

    #[test]
    fn each_pace_begins_where_the_one_before_ended() {
        let (clock, pass) = clock();
        let start = clock.now_ms();
        clock.scale(60.0);
        pass(1_000);
        assert_eq!(clock.now_ms(), start + MINUTE);
        clock.freeze(true);
        pass(1_000);
        assert_eq!(clock.now_ms(), start + MINUTE);
        clock.advance(MINUTE);
        assert_eq!(clock.now_ms(), start + 2 * MINUTE);
        clock.freeze(false);
        pass(1_000);
        assert_eq!(clock.now_ms(), start + 3 * MINUTE);
        clock.scale(0.0);
        pass(1_000);
        assert_eq!(clock.now_ms(), start + 3 * MINUTE);
        clock.scale(0.5);
        pass(1_000);
        assert_eq!(clock.now_ms(), start + 3 * MINUTE + 500);
        assert_eq!(clock.reading(), (start + 180_500, 176_500 - 1_000));
    }

    #[test]
    fn a_timer_waits_by_the_pace() {
        let (clock, _) = clock();
        let in_a_minute = || clock.wait_for(clock.now_ms() + MINUTE);
        assert_eq!(in_a_minute(), Some(Duration::from_secs(60)));
        clock.scale(60.0);
        assert_eq!(in_a_minute(), Some(Duration::from_secs(1)));
        clock.freeze(true);
        assert_eq!(in_a_minute(), None);
        assert!(clock.wait_for(clock.now_ms()).is_some());
    }

    #[test]
    fn a_pace_is_kept_as_it_is() {
        let (clock, pass) = clock();
        clock.scale(1.5);
        clock.advance(1);
        pass(333);
        let kept = serde_json::to_string(&clock.pace()).unwrap();
        assert_eq!(serde_json::from_str::<Pace>(&kept).unwrap(), clock.pace());
    }

    #[test]
    fn a_moment_is_written_in_beijing_time() {
        assert_eq!(rfc3339(1_789_173_000_999), "2026-09-12T08:30:00+08:00");
        assert_eq!(beijing_time(1_789_173_000_999), "2026-09-12 08:30:00");
    }

    #[test]
    fn a_moment_needs_its_t_and_its_offset() {
        let at = 1_789_173_000_000;
        for (text, parsed) in [
            ("2026-09-12T08:30:00+08:00", Some(at)),
            ("2026-09-12T00:30:00Z", Some(at)),
            ("2026-09-12T08:30:00.500+08:00", Some(at + 500)),
            ("2026-09-12 08:30:00+08:00", None),
            ("2026-09-12T08:30:00", None),
            ("20260912083000", None),
            ("", None),
        ] {
            assert_eq!(parse_rfc3339(text), parsed, "{text}");
        }
    }

    #[test]
    fn an_advance_adds_to_an_injected_clock() {
        let (clock, _) = clock();
        clock.advance(750);
        assert_eq!(clock.now_ms(), clock.signing_ms() + 750);
    }
}
