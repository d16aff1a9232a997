//! The clock of the simulator: stepped, scaled, frozen, kept.

use std::time::Duration;

use serde_json::json;
use simulator::{Options, Pay, Simulator};

use crate::{
    client::{Client, options, start, start_with},
    merchant::Merchant,
};

const NOWHERE: &str = "http://127.0.0.1:9/notify";
const DAY: Duration = Duration::from_secs(86_400);

async fn paid_order(simulator: &Simulator, client: &Client, merchant: &Merchant) {
    client.create("native", &client.native_order("ORDER-1", &merchant.notify_url)).await;
    simulator.pay("ORDER-1", Pay::default()).await.unwrap();
}

#[tokio::test]
async fn a_frozen_clock_stands_still_until_it_is_stepped_or_thawed() {
    let (simulator, client) = start().await;
    let clock = async |body: &str| client.control("POST", "/clock", body).await.json();
    let frozen = clock(r#"{"frozen": true}"#).await;
    assert_eq!((&frozen["frozen"], &frozen["scale"]), (&json!(true), &json!(0.0)));
    let at = frozen["now_ms"].as_i64().unwrap();
    // Real time passes with every call, the simulator's does not.
    client.query("ORDER-1").await;
    assert_eq!(client.control("GET", "/clock", "").await.json()["now_ms"], at);
    assert_eq!(simulator.now_ms(), at);
    assert_eq!(clock(r#"{"advance_seconds": 5}"#).await["now_ms"], at + 5_000);
    let thawed = clock(r#"{"frozen": false}"#).await;
    assert_eq!((&thawed["frozen"], &thawed["scale"]), (&json!(false), &json!(1.0)));
    assert!(thawed["now_ms"].as_i64().unwrap() < at + 86_400_000);
}

#[tokio::test]
async fn orders_of_a_frozen_clock_keep_its_time_and_are_still_signed_by_ours() {
    let (simulator, client) = start().await;
    let at = simulator.freeze_clock().await.unwrap();
    simulator.advance_clock(30 * DAY).await.unwrap();
    // `call` verifies the answer, whose date is today's.
    client.create("native", &client.native_order("ORDER-1", NOWHERE)).await;
    let paid = simulator.pay("ORDER-1", Pay::default()).await.unwrap();
    assert_eq!(simulator.ledger().await.unwrap().payments[0].paid_at_ms, at + 30 * 86_400_000);
    assert_eq!(paid.paid_at, Some(paid.created_at));
    let asked = client.query("ORDER-1").await;
    let dated: i64 = asked.headers["wechatpay-timestamp"].to_str().unwrap().parse().unwrap();
    assert!((client.said().timestamp - dated).abs() < 300);
}

#[tokio::test]
async fn a_scaled_clock_brings_the_retries_sooner() {
    let (simulator, client) = start().await;
    let mut merchant = Merchant::open().await;
    merchant.answer_with([500; 4]);
    simulator.scale_clock(10_000.0).await.unwrap();
    let before = simulator.now_ms();
    paid_order(&simulator, &client, &merchant).await;
    for _ in 0..5 {
        merchant.next().await;
    }
    // 15 + 15 + 30 + 180 seconds by the simulator's clock.
    assert!(simulator.now_ms() - before >= 240_000);
}

#[tokio::test]
async fn a_frozen_clock_holds_retries_back_and_a_new_pace_lets_them_go() {
    let (simulator, client) = start().await;
    let mut merchant = Merchant::open().await;
    merchant.answer_with([500, 500]);
    simulator.freeze_clock().await.unwrap();
    paid_order(&simulator, &client, &merchant).await;
    // What is due at once needs no time to pass.
    merchant.next().await;
    simulator.notifications_settled().await.unwrap();
    simulator.advance_clock(Duration::from_secs(14)).await.unwrap();
    simulator.notifications_settled().await.unwrap();
    assert!(merchant.take_all().is_empty());
    simulator.advance_clock(Duration::from_secs(1)).await.unwrap();
    merchant.next().await;
    simulator.notifications_settled().await.unwrap();
    // Nobody steps it on now: the dispatcher must notice the new pace by itself.
    simulator.scale_clock(1_000.0).await.unwrap();
    merchant.next().await;
}

#[tokio::test]
async fn a_scaled_clock_ages_orders_and_codes() {
    let (simulator, client) = start_with(Options { clock_scale: Some(100_000.0), ..options() }).await;
    client.create("native", &client.native_order("ORDER-1", NOWHERE)).await;
    // Seven days are six seconds; a step is quicker still.
    simulator.advance_clock(6 * DAY).await.unwrap();
    while client.state("ORDER-1").await != "CLOSED" {}
    let payment = simulator.payment("ORDER-1").await.unwrap();
    assert_eq!(payment.closed_at, Some(payment.payable_until));
}

#[tokio::test]
async fn the_pace_outlives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let with_file = || Options { data: Some(folder.path().join("simulator.db")), ..options() };
    let (simulator, _client) = start_with(with_file()).await;
    simulator.freeze_clock().await.unwrap();
    let at = simulator.advance_clock(30 * DAY).await.unwrap();
    simulator.stop().await;

    let (simulator, client) = start_with(with_file()).await;
    assert_eq!(simulator.now_ms(), at);
    simulator.scale_clock(60.0).await.unwrap();
    simulator.stop().await;

    let (simulator, client) = {
        drop(client);
        start_with(with_file()).await
    };
    let shown = client.control("GET", "/clock", "").await.json();
    assert_eq!(shown["scale"], json!(60.0));
    assert!(simulator.now_ms() >= at);
    simulator.stop().await;

    // What is said at the start counts more than what was kept.
    let (_simulator, client) = start_with(Options { clock_scale: Some(2.0), ..with_file() }).await;
    assert_eq!(client.control("GET", "/clock", "").await.json()["scale"], json!(2.0));
}

#[tokio::test]
async fn a_pace_that_no_clock_has_is_refused() {
    let (simulator, client) = start().await;
    for body in [
        "{}",
        r#"{"scale": -1}"#,
        r#"{"scale": 1e9}"#,
        r#"{"scale": "1"}"#,
        r#"{"scale": 1, "frozen": false}"#,
        r#"{"frozen": 1}"#,
    ] {
        let refused = client.control("POST", "/clock", body).await;
        assert_eq!(refused.status, 400, "{body}");
        assert!(refused.json()["error"].is_string());
    }
    assert!(simulator.scale_clock(f64::NAN).await.is_err());
    assert_eq!(client.control("GET", "/clock", "").await.json()["scale"], json!(1.0));
}
