//! How long to wait after a failure, as a value.

use std::time::Duration;

/// The wait after so many failures in a row, before jitter:
/// 0.5 s, 1 s, 2 s, 4 s, 8 s, 16 s, 30 s, 30 s, …
///
/// Short, because a payer may be waiting, and never longer than half a minute, because an outage
/// of WeChat Pay ends without telling us.
pub fn wait(failures: i64) -> Duration {
    let doublings = u32::try_from(failures.clamp(1, 16) - 1).unwrap_or(0);
    Duration::from_millis(500).saturating_mul(2_u32.saturating_pow(doublings)).min(Duration::from_secs(30))
}

/// The wait with jitter: between a half and the whole of it. `jitter` is from 0 to 1.
pub fn jittered(wait: Duration, jitter: f64) -> Duration {
    wait.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_the_one_in_the_doc_comment() {
        let seconds: Vec<f64> = (1..=8).map(|failures| wait(failures).as_secs_f64()).collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        assert_eq!(wait(i64::MAX), Duration::from_secs(30));
        assert_eq!(wait(0), wait(1));
    }

    #[test]
    fn jitter_takes_away_at_most_half() {
        let wait = Duration::from_secs(8);
        assert_eq!(jittered(wait, 0.0), Duration::from_secs(4));
        assert_eq!(jittered(wait, 1.0), wait);
        assert_eq!(jittered(wait, 7.0), wait);
    }
}
