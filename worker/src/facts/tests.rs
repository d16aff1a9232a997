use entity::{Fen, OrderId, PaymentId, Timestamp, payment};
use serde_json::{Value, json};

use super::{Mismatch, Paid, Word, read};

fn payment() -> payment::Model {
    payment::Model::from(payment::Opened {
        id: PaymentId::generate(),
        order_id: OrderId::generate(),
        merchant: "demo".to_owned(),
        mchid: "1900000001".to_owned(),
        out_trade_no: "EP0001".to_owned(),
        method: payment::Method::Native,
        app_id: "wx1".to_owned(),
        openid: None,
        amount: Fen(100),
        request_body: String::new(),
        is_queued: false,
        at: Timestamp(0),
    })
}

fn success() -> Value {
    json!({
        "mchid": "1900000001", "appid": "wx1", "out_trade_no": "EP0001", "transaction_id": "4200000001",
        "trade_state": "SUCCESS", "success_time": "2026-11-22T18:00:00+08:00", "bank_type": "OTHERS",
        "amount": {"total": 100, "payer_total": 90, "currency": "CNY"},
    })
}

fn check(change: impl FnOnce(&mut Value), expected: &Result<Word, Mismatch>) {
    let mut said = success();
    change(&mut said);
    assert_eq!(&read(&serde_json::from_value(said.clone()).unwrap(), &payment()), expected, "{said}");
}

#[test]
fn what_agrees_is_paid() {
    let paid = Paid {
        transaction_id: "4200000001".to_owned(),
        payer_total: Some(Fen(90)),
        bank_type: Some("OTHERS".to_owned()),
        succeeded_at: Timestamp::parse("2026-11-22T10:00:00Z").unwrap(),
    };
    check(|_| {}, &Ok(Word::Paid(paid.clone())));
    check(|said| said["trade_state"] = json!("REFUND"), &Ok(Word::Paid(paid)));
}

#[test]
fn what_differs_is_named() {
    check(|said| said["mchid"] = json!("1900000002"), &Err(Mismatch::Mchid));
    check(|said| said["out_trade_no"] = json!("EP0002"), &Err(Mismatch::OutTradeNo));
    check(|said| said["appid"] = json!("wx2"), &Err(Mismatch::Appid));
    check(|said| said["amount"]["total"] = json!(99), &Err(Mismatch::Amount));
    check(|said| said["amount"]["total"] = json!(101), &Err(Mismatch::Amount));
    check(|said| said["amount"]["currency"] = json!("USD"), &Err(Mismatch::Currency));
    check(|said| said["trade_state"] = json!("PAYERROR"), &Err(Mismatch::TradeState));
    check(|said| said["trade_state"] = json!("SOMETHING_NEW"), &Err(Mismatch::TradeState));
}

#[test]
fn a_success_without_all_its_parts_is_not_believed() {
    for part in ["mchid", "appid", "out_trade_no", "transaction_id", "success_time", "amount"] {
        check(|said| drop(said.as_object_mut().unwrap().remove(part)), &Err(Mismatch::Incomplete));
    }
    check(|said| drop(said["amount"].as_object_mut().unwrap().remove("total")), &Err(Mismatch::Incomplete));
    check(|said| said["success_time"] = json!("yesterday"), &Err(Mismatch::Incomplete));
}

#[test]
fn an_unpaid_payment_may_say_nearly_nothing() {
    check(|said| *said = json!({"trade_state": "NOTPAY"}), &Ok(Word::Unpaid));
    check(|said| *said = json!({"trade_state": "CLOSED"}), &Ok(Word::Closed));
}
