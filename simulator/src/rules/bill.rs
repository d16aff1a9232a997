//! Which bills there are, and when: pure, the time comes in as a value.

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, date},
    tz,
};

use super::HOUR;

/// A day's bill can be had from this time of the next day on.
const READY_MS: i64 = 10 * HOUR;
/// What happens to a refund after this time of the next day does not reach the bill.
const DRAWN_UP_MS: i64 = 9 * HOUR;
/// How many months back a bill can be asked for.
const MONTHS: i32 = 3;
/// How long the address of a bill holds.
pub(crate) const DOWNLOAD_LIFE_MS: i64 = 5 * super::MINUTE;

/// A calendar day in Beijing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day(Date);

/// Which trades are in a bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    All,
    Success,
    Refund,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoBill {
    #[error("账单日期必须早于今天")]
    NotOver,
    #[error("仅支持三个月内的账单下载申请")]
    TooOld,
    #[error("账单生成中，请稍后再试")]
    Creating,
    #[error("请求的账单文件不存在，当日没有交易")]
    NoTrade,
}

impl Day {
    /// Reads `yyyy-MM-dd`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let day: Date = text.parse().ok()?;
        (day.to_string() == text).then_some(Self(day))
    }

    /// The day of a moment.
    pub(crate) fn of(at_ms: i64) -> Self {
        let at = Timestamp::from_millisecond(at_ms).unwrap_or_default();
        Self(tz::offset(8).to_datetime(at).date())
    }

    /// Its first moment, and the first one after it, in Unix milliseconds.
    pub(crate) fn bounds(self) -> (i64, i64) {
        let start = |day: Date| {
            let midnight = day.to_datetime(jiff::civil::Time::midnight());
            tz::offset(8).to_timestamp(midnight).map_or(0, Timestamp::as_millisecond)
        };
        (start(self.0), start(self.0.tomorrow().unwrap_or(date(9999, 12, 31))))
    }

    /// When its bill is drawn up; it shows what was known then.
    pub(crate) fn drawn_up_at(self) -> i64 {
        self.bounds().1 + DRAWN_UP_MS
    }

    /// Is its bill to be had at `now`?
    pub(crate) fn has_bill(self, now: i64) -> Result<(), NoBill> {
        let today = Self::of(now);
        if self >= today {
            return Err(NoBill::NotOver);
        }
        if self.0 < today.0.saturating_sub(MONTHS.months()) {
            return Err(NoBill::TooOld);
        }
        if now < self.bounds().1 + READY_MS {
            return Err(NoBill::Creating);
        }
        Ok(())
    }
}

impl Kind {
    /// Reads a `bill_type`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "ALL" => Some(Self::All),
            "SUCCESS" => Some(Self::Success),
            "REFUND" => Some(Self::Refund),
            _ => None,
        }
    }

    pub(crate) fn has_payments(self) -> bool {
        matches!(self, Self::All | Self::Success)
    }

    pub(crate) fn has_refunds(self) -> bool {
        matches!(self, Self::All | Self::Refund)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse_rfc3339;

    fn at(text: &str) -> i64 {
        parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_day_is_written_in_one_way_only() {
        for (text, is_day) in [
            ("2026-09-12", true),
            ("2024-02-29", true),
            ("2026-02-29", false),
            ("20260912", false),
            ("2026-9-12", false),
            ("2026-09-12T00:00:00", false),
            (" 2026-09-12", false),
            ("", false),
        ] {
            assert_eq!(Day::parse(text).is_some(), is_day, "{text}");
        }
    }

    #[test]
    fn a_day_begins_in_beijing() {
        let day = Day::parse("2026-09-12").unwrap();
        assert_eq!(day.bounds(), (at("2026-09-12T00:00:00+08:00"), at("2026-09-13T00:00:00+08:00")));
        assert_eq!(Day::of(at("2026-09-11T16:00:00Z")), day);
        assert_eq!(Day::of(at("2026-09-12T15:59:59Z")), day);
    }

    #[test]
    fn a_bill_is_there_from_ten_the_next_day_for_three_months() {
        let day = Day::parse("2026-09-12").unwrap();
        for (now, answer) in [
            ("2026-09-11T12:00:00+08:00", Err(NoBill::NotOver)),
            ("2026-09-12T23:59:59+08:00", Err(NoBill::NotOver)),
            ("2026-09-13T00:00:00+08:00", Err(NoBill::Creating)),
            ("2026-09-13T09:59:59+08:00", Err(NoBill::Creating)),
            ("2026-09-13T10:00:00+08:00", Ok(())),
            ("2026-12-12T23:59:59+08:00", Ok(())),
            ("2026-12-13T00:00:00+08:00", Err(NoBill::TooOld)),
        ] {
            assert_eq!(day.has_bill(at(now)), answer, "{now}");
        }
    }
}
