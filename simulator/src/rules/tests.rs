use serde_json::json;

use super::*;

const T0: i64 = 1_789_173_000_000;

fn order(endpoint: Endpoint, state: State) -> Order {
    let body = json!({
        "appid": "wx0000000000000001", "mchid": "1900000001", "out_trade_no": "ORDER-1",
        "description": "a cup of tea", "notify_url": "https://shop.example/notify",
        "amount": {"total": 100}, "payer": {"openid": "oPayer"},
    });
    Order {
        out_trade_no: "ORDER-1".into(),
        endpoint,
        terms: serde_json::from_value(body.clone()).unwrap(),
        body,
        created_at: T0,
        payable_until: payable_until(T0, None),
        code: "wx1".into(),
        code_expires_at: T0 + CODE_LIFE_MS,
        state,
    }
}

fn paid() -> State {
    State::Success(Paid {
        transaction_id: "42".into(),
        paid_at: T0 + 1,
        openid: "oPayer".into(),
        payer_total: 100,
    })
}

fn closed() -> State {
    State::Closed { closed_at: T0 + 1 }
}

#[test]
fn time_expire_is_kept_between_a_minute_and_seven_days() {
    for (asked, got) in [
        (None, T0 + 7 * DAY),
        (Some(T0 - HOUR), T0 + MINUTE),
        (Some(T0 + 59_999), T0 + MINUTE),
        (Some(T0 + HOUR), T0 + HOUR),
        (Some(T0 + 8 * DAY), T0 + 7 * DAY),
    ] {
        assert_eq!(payable_until(T0, asked), got, "{asked:?}");
    }
}

#[test]
fn an_unpaid_order_closes_itself_after_seven_days_and_no_other_does() {
    let on_time = T0 + 7 * DAY;
    for (state, now, after) in [
        (State::NotPay, on_time - 1, State::NotPay),
        (State::NotPay, on_time + HOUR, State::Closed { closed_at: on_time }),
        (paid(), on_time + HOUR, paid()),
        (closed(), on_time + HOUR, closed()),
    ] {
        assert_eq!(order(Endpoint::Jsapi, state).at(now).state, after);
    }
}

#[test]
fn the_same_number_again() {
    use Endpoint::{Jsapi, Native};
    let same = order(Jsapi, State::NotPay).body;
    let mut other = same.clone();
    other["amount"]["total"] = json!(101);
    let late = T0 + CODE_LIFE_MS;
    for (first, state, endpoint, body, now, answer) in [
        (Jsapi, State::NotPay, Jsapi, &same, T0, Ok(Again::Current)),
        (Jsapi, State::NotPay, Jsapi, &same, late - 1, Ok(Again::Current)),
        (Jsapi, State::NotPay, Jsapi, &same, late, Ok(Again::Fresh)),
        (Native, State::NotPay, Native, &same, T0, Ok(Again::Fresh)),
        (Jsapi, State::NotPay, Native, &same, T0, Err(NotAgain::Differs)),
        (Jsapi, State::NotPay, Jsapi, &other, T0, Err(NotAgain::Differs)),
        (Jsapi, State::NotPay, Jsapi, &same, T0 + 7 * DAY + 1, Err(NotAgain::Expired)),
        (Jsapi, paid(), Jsapi, &same, T0, Err(NotAgain::Paid)),
        (Jsapi, paid(), Native, &other, T0, Err(NotAgain::Paid)),
        (Jsapi, closed(), Jsapi, &same, T0, Err(NotAgain::Closed)),
        (Native, closed(), Jsapi, &other, T0, Err(NotAgain::Closed)),
    ] {
        let order = order(first, state);
        assert_eq!(order.ask_again(endpoint, body, now), answer, "{order:?}");
    }
}

#[test]
fn who_may_pay_and_until_when() {
    let mut short = order(Endpoint::Jsapi, State::NotPay);
    short.payable_until = T0 + MINUTE;
    let open = order(Endpoint::Jsapi, State::NotPay);
    for (one, openid, now, answer) in [
        (&open, None, T0, Ok(())),
        (&open, Some("oPayer"), T0, Ok(())),
        (&open, Some("oOther"), T0, Err(Unpayable::OtherPayer)),
        (&open, None, T0 + CODE_LIFE_MS, Err(Unpayable::CodeExpired)),
        (&short, None, T0 + MINUTE, Ok(())),
        (&short, None, T0 + MINUTE + 1, Err(Unpayable::Expired)),
        (&order(Endpoint::Jsapi, paid()), None, T0, Err(Unpayable::Paid)),
        (&order(Endpoint::Jsapi, closed()), None, T0, Err(Unpayable::Closed)),
    ] {
        assert_eq!(one.payable(openid, now), answer);
    }
}

#[test]
fn closing_is_for_unpaid_orders_and_may_be_repeated() {
    for (state, answer) in [
        (State::NotPay, Ok(State::Closed { closed_at: T0 + 5 })),
        (closed(), Ok(closed())),
        (paid(), Err(AlreadyPaid)),
    ] {
        assert_eq!(order(Endpoint::Native, state).close(T0 + 5), answer);
    }
}
