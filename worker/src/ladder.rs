//! When WeChat Pay is asked about a payment or a refund again, if nobody tells us anything.

use std::time::Duration;

use entity::{Timestamp, refund};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

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
    DAY,
];

/// Seconds after WeChat Pay was last asked for the refund: every minute, then after 5, 10, 20 and 30
/// minutes more (查询单笔退款, and WeChat Pay's own sample code).
const RUNGS_OF_REFUND: [u64; 9] = [
    MINUTE,
    2 * MINUTE,
    3 * MINUTE,
    4 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    20 * MINUTE,
    40 * MINUTE,
    70 * MINUTE,
];

/// The first rung that is still ahead; after the last one, every 24 hours.
pub fn next_look(created_at: Timestamp, now: Timestamp) -> Timestamp {
    ahead(&RUNGS, created_at, now).unwrap_or(now + Duration::from_secs(DAY))
}

/// The first rung that is still ahead; then every hour of its first day and every day after it: to a
/// card it takes some days. One that waits for a person is looked at daily.
pub fn next_look_at_refund(refund: &refund::Model, now: Timestamp) -> Timestamp {
    let since = refund.request_signed_at.unwrap_or(refund.created_at);
    let rung = match refund.status {
        refund::Status::Abnormal => None,
        _ => ahead(&RUNGS_OF_REFUND, since, now),
    };
    let is_young = refund.status != refund::Status::Abnormal && now.since(since).as_secs() < DAY;
    let pause = if is_young { HOUR } else { DAY };
    rung.unwrap_or(now + Duration::from_secs(pause))
}

fn ahead(rungs: &[u64], since: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let age = now.since(since);
    rungs.iter().map(|rung| Duration::from_secs(*rung)).find(|rung| *rung > age).map(|rung| since + rung)
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
    fn a_refund_is_looked_at_every_minute_then_every_hour_then_daily() {
        let mut refund = refund::Model::from(refund::Asked {
            id: entity::RefundId::generate(),
            order_id: entity::OrderId::generate(),
            payment_id: entity::PaymentId::generate(),
            merchant: "teahouse".to_owned(),
            mchid: "1900000001".to_owned(),
            out_refund_no: "R1".to_owned(),
            asked_by: refund::AskedBy::Shop,
            merchant_refund_no: None,
            amount: entity::Fen(1),
            reason: None,
            request_body: String::new(),
            at: Timestamp(0),
        });
        let looks = |refund: &refund::Model, count| {
            let next = |now: &Timestamp| Some(next_look_at_refund(refund, *now));
            let looks = std::iter::successors(Some(Timestamp(0)), next).skip(1).take(count);
            looks.map(|at| at.unix_seconds() / 60).collect::<Vec<_>>()
        };
        let minutes = looks(&refund, 34);
        assert_eq!(minutes[..11], [1, 2, 3, 4, 5, 10, 20, 40, 70, 130, 190]);
        assert_eq!(minutes[30..], [1390, 1450, 2890, 4330]);
        refund.status = refund::Status::Abnormal;
        assert_eq!(looks(&refund, 3), [1440, 2880, 4320]);
    }

    #[test]
    fn a_clock_that_stepped_back_asks_soon() {
        assert_eq!(next_look(Timestamp(100_000), Timestamp(0)), Timestamp(105_000));
    }
}
