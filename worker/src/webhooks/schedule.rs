//! When an event that was not taken is sent again.

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// Seconds between one try and the next, as Standard Webhooks 1.0.0 suggests them. The first try is
/// at once; the tenth and last is three days and three and a half hours later.
const WAITS: [u64; 9] =
    [5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];

/// The wait after so many tries that failed; none after the last. Up to a tenth comes on top of it,
/// so that what failed together does not come back together. `jitter` is from 0 to 1.
pub(crate) fn wait_after(tries: i64, jitter: f64) -> Option<Duration> {
    let at = usize::try_from(tries).ok()?.checked_sub(1)?;
    let wait = Duration::from_secs(*WAITS.get(at)?);
    Some(wait.mul_f64(1.0 + 0.1 * jitter.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_tries_in_a_bit_over_three_days() {
        let mut at = 0;
        let tries: Vec<u64> = (1..)
            .map_while(|tries| wait_after(tries, 0.0))
            .map(|wait| {
                at += wait.as_secs();
                at
            })
            .collect();
        assert_eq!(tries, [5, 305, 2105, 9305, 27305, 63305, 113_705, 185_705, 272_105]);
        assert_eq!(wait_after(0, 0.0), None);
    }

    #[test]
    fn jitter_adds_at_most_a_tenth() {
        assert_eq!(wait_after(1, 1.0), Some(Duration::from_millis(5500)));
        assert_eq!(wait_after(1, 7.0), Some(Duration::from_millis(5500)));
        assert_eq!(wait_after(9, 1.0), Some(Duration::from_secs(95_040)));
    }
}
