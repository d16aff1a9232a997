//! When WeChat Pay is asked about a payment again, if nobody tells us anything.

use std::time::Duration;

use entity::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// Seconds after the payment was made. The first seven are WeChat Pay's own advice (支付回调和查单
/// 实现指引); the slow ones catch what was paid, or closed by WeChat Pay after its seven days.
const RUNGS: [u64; 13] = [
    5,
    30,
    MINUTE,
    3 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    4 * HOUR,
    8 * HOUR,
    16 * HOUR,
    24 * HOUR,
];

/// The first rung that is still ahead; after the last one, every 24 hours.
pub fn next_look(created_at: Timestamp, now: Timestamp) -> Timestamp {
    let age = now.since(created_at);
    let ahead = RUNGS.into_iter().map(Duration::from_secs).find(|rung| *rung > age);
    ahead.map_or(now + Duration::from_secs(24 * HOUR), |rung| created_at + rung)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_look_is_followed_by_the_next_rung_and_then_by_days() {
        let created = Timestamp(0);
        let mut now = created;
        let mut looks = Vec::new();
        for _ in 0..16 {
            now = next_look(created, now);
            looks.push(now.unix_seconds());
        }
        assert_eq!(
            looks,
            [
                5, 30, 60, 180, 300, 600, 1800, 3600, 7200, 14400, 28800, 57600, 86400, 172_800, 259_200,
                345_600
            ]
        );
    }

    #[test]
    fn a_clock_that_stepped_back_asks_soon() {
        assert_eq!(next_look(Timestamp(100_000), Timestamp(0)), Timestamp(105_000));
    }
}
