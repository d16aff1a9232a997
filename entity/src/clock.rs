//! Time is passed in.
//!
//! A moment is milliseconds since 1970 in UTC, in a 64-bit column on both databases.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use sea_orm::DeriveValueType;
use serde::{Serialize, Serializer};

/// A moment, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, DeriveValueType)]
pub struct Timestamp(pub i64);

impl Timestamp {
    pub fn from_unix_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    pub fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// How long it was from `earlier` until this; zero if it was not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads RFC 3339, as WeChat Pay writes its times.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|t| Self(t.as_millisecond()))
    }

    /// RFC 3339 in Beijing time with whole seconds, as WeChat Pay asks for times in requests.
    pub fn to_beijing(self) -> String {
        self.in_beijing("%Y-%m-%dT%H:%M:%S+08:00")
    }

    /// The same with milliseconds, as shipping has it.
    pub fn to_beijing_ms(self) -> String {
        self.in_beijing("%Y-%m-%dT%H:%M:%S.%3f+08:00")
    }

    fn in_beijing(self, format: &str) -> String {
        let at = jiff::Timestamp::from_millisecond(self.0).unwrap_or_default();
        at.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(8))).strftime(format).to_string()
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = jiff::Timestamp::from_millisecond(self.0).unwrap_or_default();
        write!(f, "{at:.3}")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Whose watch counts.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's. On Postgres the *database's*, so that processes on machines whose clocks
    /// differ agree on what is due.
    System,
    /// One that a test moves.
    Manual(ManualClock),
}

/// A clock that stands still until it is moved.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    pub fn at(moment: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(moment.0)))
    }

    pub fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    pub fn advance(&self, span: Duration) {
        self.0.fetch_add(i64::try_from(span.as_millis()).unwrap_or(0), Ordering::SeqCst);
    }

    /// As a clock that was ahead is set right.
    pub fn set_back(&self, span: Duration) {
        self.0.fetch_sub(i64::try_from(span.as_millis()).unwrap_or(0), Ordering::SeqCst);
    }
}

impl Clock {
    /// The time on this process' own watch.
    ///
    /// For what this process alone decides (the age of a notification, a throttle, a log).
    /// What is due is decided by [`crate::Db::now`].
    #[expect(clippy::disallowed_methods, reason = "the one place where the machine's watch is read")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp(jiff::Timestamp::now().as_millisecond()),
            Self::Manual(clock) => clock.now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_in_utc_and_in_beijing() {
        let at = Timestamp::parse("2026-11-22T18:00:01.250+08:00").unwrap();
        assert_eq!(at.to_string(), "2026-11-22T10:00:01.250Z");
        assert_eq!(at.to_beijing(), "2026-11-22T18:00:01+08:00");
        assert_eq!(Timestamp::parse("yesterday"), None);
    }

    #[test]
    fn spans_never_wrap() {
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
        assert_eq!(Timestamp(i64::MAX) + Duration::from_secs(1), Timestamp(i64::MAX));
    }
}
