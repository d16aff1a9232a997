use super::*;

fn refund_order() -> RefundOrder {
    RefundOrder {
        of: Paid::OutTradeNo("1217752501201407033233368018".to_owned()),
        out_refund_no: "1217752501201407033233368018-1".to_owned(),
        reason: None,
        notify_url: None,
        refund_fen: 888,
        total_fen: 999,
    }
}

#[test]
fn the_body_is_these_bytes() {
    assert_eq!(
        refund_order().to_body(),
        concat!(
            r#"{"out_trade_no":"1217752501201407033233368018","out_refund_no":"1217752501201407033233368018-1","#,
            r#""amount":{"refund":888,"total":999,"currency":"CNY"}}"#,
        ),
    );
    let full = RefundOrder {
        of: Paid::TransactionId("4200000001202408051234567890".to_owned()),
        reason: Some("商品已售完".to_owned()),
        notify_url: Some("https://shop.example/v1/wechat/refunds/m1".to_owned()),
        ..refund_order()
    };
    assert_eq!(
        full.to_body(),
        concat!(
            r#"{"transaction_id":"4200000001202408051234567890","out_refund_no":"1217752501201407033233368018-1","#,
            r#""reason":"商品已售完","notify_url":"https://shop.example/v1/wechat/refunds/m1","#,
            r#""amount":{"refund":888,"total":999,"currency":"CNY"}}"#,
        ),
    );
}

#[test]
fn an_answer_is_read_in_full() {
    let refund: Refund = serde_json::from_str(
        r#"{"refund_id":"50000000382019052709732678859","out_refund_no":"1217752501201407033233368018",
        "transaction_id":"1217752501201407033233368018","out_trade_no":"1217752501201407033233368018",
        "channel":"ORIGINAL","user_received_account":"招商银行信用卡0403","success_time":"2020-12-01T16:18:12+08:00",
        "create_time":"2020-12-01T16:18:12+08:00","status":"SUCCESS","funds_account":"UNSETTLED",
        "amount":{"total":100,"refund":80,"from":[{"account":"AVAILABLE","amount":80}],"payer_total":90,
        "payer_refund":70,"settlement_refund":75,"settlement_total":95,"discount_refund":10,"currency":"CNY",
        "refund_fee":1},"promotion_detail":[{"promotion_id":"109519","amount":10}],"new":{}}"#,
    )
    .unwrap();
    let amount = refund.amount.as_ref().unwrap();
    assert_eq!(refund.status, RefundStatus::Success);
    assert_eq!((amount.total, amount.refund, amount.payer_refund), (Some(100), Some(80), Some(70)));
    assert_eq!((amount.settlement_refund, amount.settlement_total), (Some(75), Some(95)));
    assert_eq!((amount.discount_refund, amount.refund_fee), (Some(10), Some(1)));
    assert_eq!(refund.succeeded_at(), Some(1_606_810_692));
    let written = serde_json::to_string(&refund).unwrap();
    assert_eq!(serde_json::from_str::<Refund>(&written).unwrap(), refund);
}

#[test]
fn an_answer_without_numbers_or_status_is_none() {
    let check = |json: &str, is_read: bool| {
        assert_eq!(serde_json::from_str::<Refund>(json).is_ok(), is_read, "{json}");
    };
    check(r#"{"status":"PROCESSING","out_refund_no":"R1","refund_id":"50"}"#, true);
    check(
        r#"{"status":"PROCESSING","out_refund_no":"R1","refund_id":"50","success_time":"","amount":null}"#,
        true,
    );
    check(r#"{"status":"PROCESSING","refund_id":"50"}"#, false);
    check(r#"{"status":"PROCESSING","out_refund_no":"R1"}"#, false);
    check(r#"{"out_refund_no":"R1","refund_id":"50"}"#, false);
}

#[test]
fn every_status_is_read_and_written() {
    for (word, status) in [
        ("PROCESSING", RefundStatus::Processing),
        ("SUCCESS", RefundStatus::Success),
        ("CLOSED", RefundStatus::Closed),
        ("ABNORMAL", RefundStatus::Abnormal),
        ("SOMETHING_NEW", RefundStatus::Other("SOMETHING_NEW".to_owned())),
    ] {
        let json = format!("\"{word}\"");
        assert_eq!(serde_json::from_str::<RefundStatus>(&json).unwrap(), status);
        assert_eq!(serde_json::to_string(&status).unwrap(), json);
    }
}

#[test]
fn a_refund_number_has_1_to_64_of_its_characters() {
    let check = |number: &str, expected: Result<(), OutRefundNoRefusal>| {
        assert_eq!(out_refund_no_is_acceptable(number), expected, "{number}");
    };
    let length = |length| Err(OutRefundNoRefusal::Length { length });
    let character = |position, character| Err(OutRefundNoRefusal::Character { position, character });
    check("1", Ok(()));
    check("aZ09_-|*@", Ok(()));
    check(&"1".repeat(64), Ok(()));
    check(&"1".repeat(65), length(65));
    check("", length(0));
    check("a b", character(1, ' '));
    check("退1", character(0, '退'));
    check("a/../b", character(1, '/'));
}
