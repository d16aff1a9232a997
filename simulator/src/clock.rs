//! The simulator's own time: the machine's, or an injected one, plus what it was advanced by.
//!
//! An advance moves orders, codes and retries. It does not move the dates of signatures: a client
//! whose clock nobody moved would have to refuse them, and be refused.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use jiff::{Timestamp, tz};

/// Unix milliseconds on demand.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

pub(crate) struct SimClock {
    base: Option<Now>,
    offset_ms: AtomicI64,
}

impl SimClock {
    pub(crate) fn new(base: Option<Now>, offset_ms: i64) -> Self {
        Self { base, offset_ms: AtomicI64::new(offset_ms) }
    }

    /// The time of orders and retries.
    pub(crate) fn now_ms(&self) -> i64 {
        self.signing_ms().saturating_add(self.offset_ms())
    }

    /// The time both sides date their signatures by.
    pub(crate) fn signing_ms(&self) -> i64 {
        match &self.base {
            Some(now) => now(),
            None => system_ms(),
        }
    }

    pub(crate) fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::SeqCst)
    }

    pub(crate) fn advance(&self, ms: i64) -> i64 {
        self.offset_ms.fetch_add(ms, Ordering::SeqCst) + ms
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
    use super::*;

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
        let clock = SimClock::new(Some(Arc::new(|| 1_000)), 500);
        assert_eq!(clock.advance(250), 750);
        assert_eq!(clock.now_ms(), 1_750);
        assert_eq!(clock.signing_ms(), 1_000);
    }
}
