use serde_json::json;

use super::*;
use crate::{
    clock::parse_rfc3339,
    rules::{
        Endpoint, State as OrderState,
        refund::{Source, Terms},
    },
};

const PAID_AT: &str = "2026-09-12T08:30:00+08:00";
const REFUNDED_AT: &str = "2026-09-12T21:00:07+08:00";
const DRAWN_UP_AT: &str = "2026-09-13T09:00:00+08:00";

fn at(text: &str) -> i64 {
    parse_rfc3339(text).unwrap()
}

fn paid() -> Paid {
    Paid {
        transaction_id: "4200000000202609120000000001".into(),
        paid_at: at(PAID_AT),
        openid: "oPayer".into(),
        payer_total: 123_456,
    }
}

fn order(description: &str) -> Order {
    let body = json!({
        "appid": "wx0000000000000001", "mchid": "1900000001", "out_trade_no": "ORDER-1",
        "description": description, "notify_url": "https://shop.example/notify", "attach": "a,b\r\nc",
        "amount": {"total": 123_456}, "scene_info": {"payer_client_ip": "1.2.3.4", "device_id": "till 7"},
    });
    Order {
        out_trade_no: "ORDER-1".into(),
        endpoint: Endpoint::Native,
        terms: serde_json::from_value(body.clone()).unwrap(),
        body,
        created_at: 0,
        payable_until: 0,
        code: "1".into(),
        code_expires_at: 0,
        state: OrderState::Refund(paid()),
    }
}

fn refund(state: State) -> Refund {
    let body = json!({"out_refund_no": "R1", "amount": {"refund": 5, "total": 123_456}});
    let terms: Terms = serde_json::from_value(body.clone()).unwrap();
    Refund {
        mchid: "1900000001".into(),
        out_refund_no: "R1".into(),
        out_trade_no: "ORDER-1".into(),
        refund_id: "50300000002026091200000000001".into(),
        source: Source::Api,
        body,
        terms,
        created_at: at(REFUNDED_AT),
        due: None,
        state,
    }
}

fn check(kind: Kind, rows: &[Row<'_>], bill: &str) {
    assert_eq!(String::from_utf8(render(kind, rows, at(DRAWN_UP_AT))).unwrap(), bill);
}

#[test]
fn a_bill_of_all() {
    let (order, paid) = (order("一杯茶, 热的"), paid());
    let refund = refund(State::Success { at: at(REFUNDED_AT) + 5_000 });
    let rows = [
        Row { order: &order, paid: &paid, refund: None },
        Row { order: &order, paid: &paid, refund: Some(&refund) },
    ];
    check(
        Kind::All,
        &rows,
        "\u{feff}交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注\r\n\
         `2026-09-12 08:30:00,`wx0000000000000001,`1900000001,`0,`till 7,`4200000000202609120000000001,`ORDER-1,`oPayer,`NATIVE,`SUCCESS,`OTHERS,`CNY,`1234.56,`0.00,`0,`0,`0.00,`0.00,`,`,`一杯茶\\  热的,`a\\ b\\r\\nc,`0.00000,`0.00%,`1234.56,`0.00,`\r\n\
         `2026-09-12 21:00:07,`wx0000000000000001,`1900000001,`0,`till 7,`4200000000202609120000000001,`ORDER-1,`oPayer,`NATIVE,`REFUND,`OTHERS,`CNY,`0.00,`0.00,`50300000002026091200000000001,`R1,`0.05,`0.00,`ORIGINAL,`SUCCESS,`一杯茶\\  热的,`a\\ b\\r\\nc,`0.00000,`0.00%,`0.00,`0.05,`\r\n\
         总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\r\n\
         `2,`1234.56,`0.05,`0.00,`0.00000,`1234.56,`0.05\r\n",
    );
}

#[test]
fn a_bill_of_payments() {
    let (order, paid) = (order("tea"), paid());
    check(
        Kind::Success,
        &[Row { order: &order, paid: &paid, refund: None }],
        "\u{feff}交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,商品名称,商户数据包,手续费,费率,订单金额,费率备注\r\n\
         `2026-09-12 08:30:00,`wx0000000000000001,`1900000001,`0,`till 7,`4200000000202609120000000001,`ORDER-1,`oPayer,`NATIVE,`SUCCESS,`OTHERS,`CNY,`1234.56,`0.00,`tea,`a\\ b\\r\\nc,`0.00000,`0.00%,`1234.56,`\r\n\
         总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\r\n\
         `1,`1234.56,`0.00,`0.00,`0.00000,`1234.56,`0.00\r\n",
    );
}

#[test]
fn a_bill_of_refunds() {
    let (order, paid) = (order("tea"), paid());
    let refund = refund(State::Success { at: at("2026-09-12T21:00:12+08:00") });
    check(
        Kind::Refund,
        &[Row { order: &order, paid: &paid, refund: Some(&refund) }],
        "\u{feff}交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,退款申请时间,退款成功时间,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注\r\n\
         `2026-09-12 08:30:00,`wx0000000000000001,`1900000001,`0,`till 7,`4200000000202609120000000001,`ORDER-1,`oPayer,`NATIVE,`REFUND,`OTHERS,`CNY,`0.00,`0.00,`2026-09-12 21:00:07,`2026-09-12 21:00:12,`50300000002026091200000000001,`R1,`0.05,`0.00,`ORIGINAL,`SUCCESS,`tea,`a\\ b\\r\\nc,`0.00000,`0.00%,`0.00,`0.05,`\r\n\
         总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\r\n\
         `1,`0.00,`0.05,`0.00,`0.00000,`0.00,`0.05\r\n",
    );
}

#[test]
fn a_refund_stands_as_it_stood_when_the_bill_was_drawn_up() {
    let (order, paid) = (order("tea"), paid());
    let (before, after) = (at(DRAWN_UP_AT) - 1, at(DRAWN_UP_AT));
    for (state, status) in [
        (State::Processing, "`PROCESSING"),
        (State::Success { at: before }, "`SUCCESS"),
        (State::Success { at: after }, "`PROCESSING"),
        (State::Closed { at: before }, "`FAIL"),
        (State::Closed { at: after }, "`PROCESSING"),
        (State::Abnormal { at: before }, "`CHANGE"),
    ] {
        let refund = refund(state);
        let rows = [Row { order: &order, paid: &paid, refund: Some(&refund) }];
        let bill = String::from_utf8(render(Kind::All, &rows, at(DRAWN_UP_AT))).unwrap();
        let line = bill.lines().nth(1).unwrap();
        assert_eq!(line.split(',').nth(19), Some(status), "{state:?}");
    }
}
