//! The simulator's own book.

use std::time::Duration;

use serde_json::json;
use simulator::{Fault, FaultKind, Options, Pay, RefundOutcome, Target};

use crate::{
    client::{options, start, start_with},
    merchant::Merchant,
};

const NOWHERE: &str = "http://127.0.0.1:9/notify";

fn refund_of(order: &str, number: &str, fen: i64) -> serde_json::Value {
    json!({
        "out_trade_no": order,
        "out_refund_no": number,
        "amount": {"refund": fen, "total": 100, "currency": "CNY"},
    })
}

#[tokio::test]
async fn every_fen_is_accounted_for() {
    let (simulator, client) = start().await;
    for number in ["ORDER-1", "ORDER-2", "ORDER-3"] {
        client.create("native", &client.native_order(number, NOWHERE)).await;
    }
    simulator.pay("ORDER-1", Pay::default()).await.unwrap();
    simulator.pay("ORDER-2", Pay::default()).await.unwrap();
    client.close("ORDER-3").await;
    client.refund(&refund_of("ORDER-1", "R1", 30)).await;
    client.refund(&refund_of("ORDER-2", "R2", 100)).await;
    simulator.settle_refund("R2", RefundOutcome::Closed).await.unwrap();
    simulator.set_balance(160).await.unwrap();

    let ledger = client.control("GET", "/ledger", "").await.json();
    let states: Vec<_> = ledger["payments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|paid| (paid["out_trade_no"].as_str().unwrap(), paid["trade_state"].as_str().unwrap()))
        .collect();
    assert_eq!(states, [("ORDER-1", "REFUND"), ("ORDER-2", "REFUND")]);
    let refunds: Vec<_> = ledger["refunds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|refund| (refund["out_refund_no"].as_str().unwrap(), refund["status"].as_str().unwrap()))
        .collect();
    assert_eq!(refunds, [("R1", "PROCESSING"), ("R2", "CLOSED")]);
    assert_eq!(
        ledger["accounts"],
        json!([{"mchid": "1900000001", "paid": 200, "refunded": 30, "console": -10, "balance": 160}])
    );
    let checked = client.control("GET", "/ledger/check", "").await.json();
    assert_eq!(checked, json!({"is_right": true, "violations": []}));
}

/// Two payers and a close at once, then three refunds, with answers and notifications that go wrong.
#[tokio::test]
async fn the_book_is_right_after_everything_at_once() {
    let (simulator, client) = start_with(Options { seed: Some(7), probe_share: 0.3, ..options() }).await;
    let merchant = Merchant::open().await;
    merchant.answer_with([500, 200, 201].into_iter().cycle().take(20));
    for kind in [FaultKind::CutAfter, FaultKind::Accepted429, FaultKind::Empty, FaultKind::RefundClosed] {
        simulator.add_fault(Fault::new(kind).on(Target::Refund).times(2)).unwrap();
    }
    simulator.add_fault(Fault::new(FaultKind::Duplicate).times(3)).unwrap();
    for i in 0..8 {
        let number = format!("ORDER-{i}");
        client.try_create(&client.native_order(&number, &merchant.notify_url)).await.unwrap();
        let target = format!("/v3/pay/transactions/out-trade-no/{number}/close");
        let close = client.try_call("POST", &target, r#"{"mchid":"1900000001"}"#);
        let _ = tokio::join!(
            simulator.pay(&number, Pay::default()),
            simulator.pay(&number, Pay::default()),
            close
        );
        let refund = |at: i64| {
            let mut refund = refund_of(&number, &format!("R{i}-{at}"), 60);
            refund["notify_url"] = json!(merchant.notify_url);
            let client = &client;
            async move { client.try_call("POST", crate::client::REFUNDS, &refund.to_string()).await }
        };
        let _ = tokio::join!(refund(1), refund(2), refund(1));
        simulator.advance_clock(Duration::from_secs(20)).await.unwrap();
    }
    for _ in 0..4 {
        simulator.advance_clock(Duration::from_secs(90)).await.unwrap();
        simulator.notifications_settled().await.unwrap();
    }
    assert_eq!(simulator.check_ledger().await.unwrap(), [""; 0]);
    let ledger = simulator.ledger().await.unwrap();
    assert!(!ledger.payments.is_empty() && !ledger.refunds.is_empty());
    assert!(ledger.refunds.iter().all(|refund| refund.status != "PROCESSING"));
}

#[tokio::test]
async fn the_book_and_a_refund_on_its_way_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let with_file = || Options { data: Some(folder.path().join("simulator.db")), ..options() };
    let mut merchant = Merchant::open().await;
    let (simulator, client) = start_with(with_file()).await;
    client.create("native", &client.native_order("ORDER-1", NOWHERE)).await;
    simulator.pay("ORDER-1", Pay::default()).await.unwrap();
    let mut refund = refund_of("ORDER-1", "R1", 40);
    refund["notify_url"] = json!(merchant.notify_url);
    client.refund(&refund).await;
    simulator.stop().await;

    let (simulator, client) = start_with(with_file()).await;
    simulator.advance_clock(Duration::from_secs(5)).await.unwrap();
    assert_eq!(merchant.next().await.envelope()["event_type"], "REFUND.SUCCESS");
    assert_eq!(client.find_refund("R1").await.json()["status"], "SUCCESS");
    assert_eq!(simulator.ledger().await.unwrap().accounts[0].balance, 60);
    assert_eq!(simulator.check_ledger().await.unwrap(), [""; 0]);
}
