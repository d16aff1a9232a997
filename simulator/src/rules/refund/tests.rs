use serde_json::json;

use super::*;
use crate::rules::{Endpoint, Paid, State as OrderState, payable_until};

const T0: i64 = 1_789_173_000_000;

fn order(state: OrderState) -> Order {
    let body = json!({
        "appid": "wx0000000000000001", "mchid": "1900000001", "out_trade_no": "ORDER-1",
        "description": "a cup of tea", "notify_url": "https://shop.example/notify",
        "amount": {"total": 100},
    });
    Order {
        out_trade_no: "ORDER-1".into(),
        endpoint: Endpoint::Native,
        terms: serde_json::from_value(body.clone()).unwrap(),
        body,
        created_at: T0,
        payable_until: payable_until(T0, None),
        code: "1".into(),
        code_expires_at: T0,
        state,
    }
}

fn paid() -> Paid {
    Paid { transaction_id: "42".into(), paid_at: T0, openid: "oPayer".into(), payer_total: 100 }
}

fn amount(refund: i64) -> Amount {
    Amount { refund, total: 100, from: Vec::new() }
}

fn refund(refund: i64, created_at: i64, state: State) -> Refund {
    let body =
        json!({"out_trade_no": "ORDER-1", "out_refund_no": "R", "amount": {"refund": refund, "total": 100}});
    Refund {
        mchid: "1900000001".into(),
        out_refund_no: "R".into(),
        out_trade_no: "ORDER-1".into(),
        refund_id: "50".into(),
        source: Source::Api,
        terms: serde_json::from_value(body.clone()).unwrap(),
        body,
        created_at,
        due: None,
        state,
    }
}

#[test]
fn what_may_go_back_and_when() {
    use OrderState::{Closed, NotPay, Success};
    let now = T0 + 2 * INTERVAL_MS;
    let done = |fen| refund(fen, T0 + 1, State::Success { at: T0 + 2 });
    let closed = |fen| refund(fen, T0 + 1, State::Closed { at: T0 + 2 });
    let success = order(Success(paid()));
    let refunded = order(OrderState::Refund(paid()));
    let year = T0 + WINDOW_MS;
    let total_lies = Amount { total: 99, ..amount(1) };
    for (name, order, asked, earlier, balance, now, answer) in [
        ("all", &success, amount(100), vec![], 100, now, Ok(())),
        ("unpaid", &order(NotPay), amount(1), vec![], 100, now, Err(Unrefundable::NotPaid)),
        ("closed", &order(Closed { closed_at: T0 }), amount(1), vec![], 9, now, Err(Unrefundable::NotPaid)),
        ("lie", &success, total_lies, vec![], 100, now, Err(Unrefundable::TotalDiffers)),
        ("in time", &success, amount(1), vec![], 100, year, Ok(())),
        ("late", &success, amount(1), vec![], 100, year + 1, Err(Unrefundable::TooLate)),
        ("too much at once", &success, amount(101), vec![], 900, now, Err(Unrefundable::TooMuch)),
        ("the rest", &refunded, amount(40), vec![done(60)], 100, now, Ok(())),
        ("more than that", &refunded, amount(41), vec![done(60)], 100, now, Err(Unrefundable::TooMuch)),
        ("closed is free again", &refunded, amount(100), vec![closed(60)], 100, now, Ok(())),
        ("49 parts", &refunded, amount(1), vec![done(1); 49], 100, now, Ok(())),
        ("50 parts", &refunded, amount(1), vec![done(1); 50], 100, now, Err(Unrefundable::TooMany)),
        ("a minute", &refunded, amount(1), vec![done(1)], 100, T0 + 1 + INTERVAL_MS, Ok(())),
        ("sooner", &refunded, amount(1), vec![done(1)], 100, T0 + INTERVAL_MS, Err(Unrefundable::TooSoon)),
        ("poor", &success, amount(100), vec![], 99, now, Err(Unrefundable::BalanceShort)),
    ] {
        assert_eq!(order.refundable(&asked, &earlier, balance, now), answer, "{name}");
    }
}

#[test]
fn how_a_refund_ends() {
    use Outcome::{Abnormal, Closed, Success};
    let at = T0 + 1;
    for (state, outcome, after) in [
        (State::Processing, Success, Ok(State::Success { at })),
        (State::Processing, Abnormal, Ok(State::Abnormal { at })),
        (State::Processing, Closed, Ok(State::Closed { at })),
        (State::Abnormal { at: T0 }, Success, Ok(State::Success { at })),
        (State::Abnormal { at: T0 }, Abnormal, Err(Settled)),
        (State::Abnormal { at: T0 }, Closed, Err(Settled)),
        (State::Success { at: T0 }, Success, Err(Settled)),
        (State::Success { at: T0 }, Closed, Err(Settled)),
        (State::Closed { at: T0 }, Success, Err(Settled)),
    ] {
        let mut one = refund(1, T0, state);
        let answer = one.settle(outcome, at).map(|()| one.state);
        assert_eq!(answer, after, "{state:?} {outcome:?}");
    }
}
