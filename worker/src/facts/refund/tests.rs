use entity::{Fen, OrderId, PaymentId, RefundId, Timestamp, payment, refund};
use serde_json::{Value, json};
use wechatpay::{Refund, RefundNotification};

use super::{Mismatch, Said, Word, read};

fn payment() -> payment::Model {
    payment::Model {
        transaction_id: Some("4200000001".to_owned()),
        ..payment::Model::from(payment::Opened {
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
}

fn refund() -> refund::Model {
    let payment = payment();
    refund::Model::from(refund::Asked {
        id: RefundId::generate(),
        order_id: payment.order_id,
        payment_id: payment.id,
        merchant: "demo".to_owned(),
        mchid: "1900000001".to_owned(),
        out_refund_no: "RF0001".to_owned(),
        asked_by: refund::AskedBy::Shop,
        merchant_refund_no: Some("R-1".to_owned()),
        amount: Fen(40),
        reason: None,
        request_body: String::new(),
        at: Timestamp(0),
    })
}

fn success() -> Value {
    json!({
        "mchid": "1900000001", "out_trade_no": "EP0001", "transaction_id": "4200000001",
        "out_refund_no": "RF0001", "refund_id": "5000000001", "refund_status": "SUCCESS",
        "success_time": "2026-11-22T18:00:00+08:00",
        "amount": {"total": 100, "refund": 40, "payer_total": 90, "payer_refund": 36},
    })
}

/// As a notification, and as the answer that says the same.
fn check(change: impl FnOnce(&mut Value), expected: &Result<Word, Mismatch>) {
    let mut said = success();
    change(&mut said);
    let notification: RefundNotification = serde_json::from_value(said.clone()).unwrap();
    assert_eq!(&read(Said::from(&notification), &refund(), &payment()), expected, "{said}");
    if *expected == Err(Mismatch::Mchid) {
        return;
    }
    said["status"] = said["refund_status"].take();
    let answer: Refund = serde_json::from_value(said.clone()).unwrap();
    assert_eq!(&read(Said::from(&answer), &refund(), &payment()), expected, "{said}");
}

#[test]
fn what_agrees_is_believed() {
    let refund_id = "5000000001".to_owned();
    let succeeded_at = Timestamp::parse("2026-11-22T10:00:00Z").unwrap();
    check(|_| {}, &Ok(Word::Succeeded { refund_id: refund_id.clone(), succeeded_at }));
    let status = |word: &'static str| move |said: &mut Value| said["refund_status"] = json!(word);
    check(status("PROCESSING"), &Ok(Word::Processing { refund_id: refund_id.clone() }));
    check(status("CLOSED"), &Ok(Word::Closed { refund_id: refund_id.clone() }));
    check(status("ABNORMAL"), &Ok(Word::Abnormal { refund_id }));
    check(status("SOMETHING_NEW"), &Err(Mismatch::RefundStatus));
}

#[test]
fn what_differs_is_named() {
    check(|said| said["mchid"] = json!("1900000002"), &Err(Mismatch::Mchid));
    check(|said| said["out_refund_no"] = json!("RF0002"), &Err(Mismatch::OutRefundNo));
    check(|said| said["out_trade_no"] = json!("EP0002"), &Err(Mismatch::OutTradeNo));
    check(|said| said["transaction_id"] = json!("4200000002"), &Err(Mismatch::Transaction));
    check(|said| said["amount"]["refund"] = json!(39), &Err(Mismatch::Amount));
    check(|said| said["amount"]["refund"] = json!(41), &Err(Mismatch::Amount));
    check(|said| said["amount"]["total"] = json!(101), &Err(Mismatch::Amount));
    check(|said| said["amount"]["currency"] = json!("USD"), &Err(Mismatch::Currency));
}

#[test]
fn a_success_without_all_its_parts_is_not_believed() {
    for part in ["success_time", "amount"] {
        check(|said| drop(said.as_object_mut().unwrap().remove(part)), &Err(Mismatch::RefundIncomplete));
    }
    for part in ["total", "refund"] {
        let remove = |said: &mut Value| drop(said["amount"].as_object_mut().unwrap().remove(part));
        check(remove, &Err(Mismatch::RefundIncomplete));
    }
    check(|said| said["refund_id"] = json!(""), &Err(Mismatch::RefundIncomplete));
}

#[test]
fn another_refund_under_the_same_number_is_not_this_one() {
    let known = refund::Model { refund_id: Some("5000000009".to_owned()), ..refund() };
    let said: RefundNotification = serde_json::from_value(success()).unwrap();
    assert_eq!(read(Said::from(&said), &known, &payment()), Err(Mismatch::Refund));
}
