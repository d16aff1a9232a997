use serde_json::{Value, json};

use crate::{
    client::{start, start_with},
    merchant::Merchant,
};

#[tokio::test]
async fn the_merchants_console_has_all_a_client_needs() {
    let (_simulator, client) = start().await;
    let shown = client.control("GET", "/merchant", "").await.json();
    assert_eq!(shown["mchid"], "1900000001");
    assert_eq!(shown["certificate_serial"].as_str().unwrap().len(), 40);
    assert!(shown["private_key"].as_str().unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
    assert!(shown["public_key"].as_str().unwrap().starts_with("-----BEGIN PUBLIC KEY-----"));
    assert!(shown["public_key_id"].as_str().unwrap().starts_with("PUB_KEY_ID_"));
    assert_eq!(shown["apiv3_key"].as_str().unwrap().len(), 32);
    assert_eq!(shown["apps"][0]["appid"], "wx0000000000000001");
    assert_eq!(shown["apps"][0]["kind"], "service_account");
    assert_eq!(shown["apps"][1]["kind"], "mini_program");
    assert_eq!(shown["platform_certificate"], Value::Null);
}

#[tokio::test]
async fn a_payment_over_http_ends_in_the_ledger() {
    let (simulator, client) = start().await;
    let mut merchant = Merchant::open().await;
    let order = client.native_order("ORDER-1", &merchant.notify_url);
    client.create("native", &order).await;
    for leave in ["cancel", "fail"] {
        let left = client.control("POST", &format!("/payments/ORDER-1/{leave}"), "").await;
        assert_eq!(left.json()["trade_state"], "NOTPAY");
    }
    let paid = client.control("POST", "/payments/ORDER-1/pay", r#"{"openid":"oSomeone"}"#).await;
    assert_eq!(paid.json()["payer_openid"], "oSomeone");
    assert_eq!(client.control("POST", "/payments/ORDER-1/pay", "").await.status, 409);
    assert_eq!(client.control("POST", "/payments/ORDER-1/cancel", "").await.status, 409);
    merchant.next().await;
    simulator.notifications_settled().await.unwrap();

    let shown = client.control("GET", "/payments/ORDER-1", "").await.json();
    let outcomes: Vec<_> = shown["payer_attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| attempt["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["cancelled", "failed", "paid"]);
    assert_eq!(shown["notifications"][0]["deliveries"][0]["status"], 204);
    let listed = client.control("GET", "/payments?limit=1", "").await.json();
    assert_eq!(listed["payments"][0]["out_trade_no"], "ORDER-1");

    let ledger = client.control("GET", "/ledger", "").await.json();
    let entry = &ledger["payments"][0];
    assert_eq!(entry["transaction_id"], shown["transaction_id"]);
    assert_eq!((&entry["total"], &entry["payer_total"]), (&json!(100), &json!(100)));
    assert_eq!(entry["trade_state"], "SUCCESS");
    assert_eq!(ledger["refunds"], json!([]));
}

#[tokio::test]
async fn an_unpaid_order_is_not_in_the_ledger() {
    let (_simulator, client) = start().await;
    client.create("native", &client.native_order("ORDER-1", "http://127.0.0.1:9/n")).await;
    let ledger = client.control("GET", "/ledger", "").await.json();
    assert_eq!(ledger, json!({"payments": [], "refunds": [], "accounts": []}));
}

#[tokio::test]
async fn the_clock_moves_on_and_never_back() {
    let (_simulator, client) = start().await;
    let before = client.control("GET", "/clock", "").await.json();
    let after = client.control("POST", "/clock", r#"{"advance_seconds": 3600}"#).await.json();
    assert!(after["now_ms"].as_i64() >= before["now_ms"].as_i64().map(|ms| ms + 3_600_000));
    assert_eq!(after["offset_seconds"], 3600);
    let refused = client.control("POST", "/clock", r#"{"advance_seconds": -1}"#).await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn faults_are_added_listed_and_taken_away() {
    let (_simulator, client) = start().await;
    let add = async |body: &str| client.control("POST", "/faults", body).await;
    let first = add(r#"{"kind":"status_429","on":"create","times":2}"#).await;
    assert_eq!((first.status, first.json()), (201, json!({"id": 1})));
    add(r#"{"kind":"slow","on":"any","delay_ms":5}"#).await;
    let listed = client.control("GET", "/faults", "").await.json();
    assert_eq!(
        listed["faults"],
        json!([
            {"id": 1, "kind": "status_429", "on": "create", "times": 2},
            {"id": 2, "kind": "slow", "on": "any", "delay_ms": 5},
        ])
    );
    assert_eq!(client.control("DELETE", "/faults/1", "").await.status, 204);
    assert_eq!(client.control("DELETE", "/faults/1", "").await.status, 404);
    assert_eq!(client.control("DELETE", "/faults", "").await.status, 204);
    assert_eq!(client.control("GET", "/faults", "").await.json(), json!({"faults": []}));
}

#[tokio::test]
async fn bad_controls_are_refused_in_json_and_change_nothing() {
    let (simulator, client) = start().await;
    client.create("native", &client.native_order("ORDER-1", "http://127.0.0.1:9/n")).await;
    for (method, target, body, status) in [
        ("GET", "/nothing", "", 404),
        ("PUT", "/clock", "", 405),
        ("GET", "/payments?limit=0", "", 400),
        ("GET", "/payments?limit=x", "", 400),
        ("GET", "/payments/ORDER-2", "", 404),
        ("POST", "/payments/ORDER-2/pay", "", 404),
        ("POST", "/payments/ORDER-1/pay", "{", 400),
        ("POST", "/payments/ORDER-1/pay", r#"{"total":0}"#, 400),
        ("POST", "/payments/ORDER-1/pay", r#"{"total":1.5}"#, 400),
        ("POST", "/payments/ORDER-1/pay", r#"{"openid":""}"#, 400),
        ("POST", "/payments/ORDER-1/pay", r#"{"amount":1}"#, 400),
        ("GET", "/phone?code=wx0", "", 404),
        ("GET", "/phone", "", 400),
        ("POST", "/phone/pay", r#"{"code":"weixin://wxpay/bizpayurl?pr=none"}"#, 404),
        ("POST", "/faults", r#"{"kind":"earthquake"}"#, 400),
        ("POST", "/faults", r#"{"kind":"silent","on":"create"}"#, 400),
        ("POST", "/faults", r#"{"kind":"slow"}"#, 400),
        ("POST", "/faults", r#"{"kind":"html","times":0}"#, 400),
        ("POST", "/clock", r#"{"advance_seconds":"1"}"#, 400),
        ("POST", "/clock", "", 400),
    ] {
        let answer = client.control(method, target, body).await;
        assert_eq!(answer.status, status, "{method} {target} {body}");
        assert!(answer.json()["error"].is_string(), "{method} {target} {body}");
    }
    assert_eq!(client.state("ORDER-1").await, "NOTPAY");
    assert!(simulator.faults().is_empty());
}

#[tokio::test]
async fn every_answer_takes_its_time_when_told_so() {
    let delay = std::time::Duration::from_millis(20);
    let (_simulator, client) =
        start_with(simulator::Options { answer_delay: delay, ..crate::client::options() }).await;
    let started = std::time::Instant::now();
    client.query("ORDER-1").await;
    assert!(started.elapsed() >= delay);
}
