use std::{collections::HashSet, time::Duration};

use simulator::{Fault, FaultKind, Options, Pay, Simulator};

use crate::{
    client::{Client, options, start, start_with},
    merchant::Merchant,
};

/// The retries of section 8, in seconds.
const LADDER: [u64; 15] =
    [15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600];

async fn paid_order(simulator: &Simulator, client: &Client, merchant: &Merchant, number: &str) {
    client.create("native", &client.native_order(number, &merchant.notify_url)).await;
    simulator.pay(number, Pay::default()).await.unwrap();
}

#[tokio::test]
async fn a_payment_is_told_signed_and_sealed() {
    let (simulator, client) = start().await;
    let mut merchant = Merchant::open().await;
    paid_order(&simulator, &client, &merchant, "ORDER-1").await;
    let posted = merchant.next().await;
    assert_eq!(posted.headers["content-type"], "application/json");
    assert!(posted.headers.contains_key("request-id"));
    let envelope = posted.envelope();
    assert_eq!(envelope["event_type"], "TRANSACTION.SUCCESS");
    assert_eq!(envelope["resource_type"], "encrypt-resource");
    assert_eq!(envelope["resource"]["original_type"], "transaction");
    let told = posted.transaction(&client).unwrap();
    assert_eq!(told, client.query("ORDER-1").await.json());

    simulator.notifications_settled().await.unwrap();
    let payment = simulator.payment("ORDER-1").await.unwrap();
    let notification = &payment.notifications[0];
    assert_eq!((notification.state, notification.attempts), ("taken", 1));
    assert_eq!(notification.deliveries[0].status, Some(204));
}

#[tokio::test]
async fn the_ladder_is_climbed_to_its_end() {
    let (simulator, client) = start().await;
    let mut merchant = Merchant::open().await;
    merchant.answer_with([500, 404, 202, 201, 302].into_iter().cycle().take(16));
    paid_order(&simulator, &client, &merchant, "ORDER-1").await;
    let first = merchant.next().await;
    let mut signatures = HashSet::from([first.headers["wechatpay-signature"].clone()]);
    for wait in LADDER {
        simulator.notifications_settled().await.unwrap();
        simulator.advance_clock(Duration::from_secs(wait - 1)).await.unwrap();
        assert!(merchant.take_all().is_empty());
        simulator.advance_clock(Duration::from_secs(1)).await.unwrap();
        let posted = merchant.next().await;
        assert_eq!(posted.envelope()["id"], first.envelope()["id"]);
        assert!(posted.transaction(&client).is_ok());
        assert!(signatures.insert(posted.headers["wechatpay-signature"].clone()));
    }
    simulator.notifications_settled().await.unwrap();
    let payment = simulator.payment("ORDER-1").await.unwrap();
    let notification = &payment.notifications[0];
    assert_eq!((notification.state, notification.attempts), ("given_up", 16));
    assert_eq!(notification.next_at, None);
}

#[tokio::test]
async fn of_many_at_once_each_is_written_down() {
    let (simulator, client) = start().await;
    let merchant = Merchant::open().await;
    merchant.answer_with([500, 204].into_iter().cycle().take(40));
    simulator.add_fault(Fault::new(FaultKind::Delay).delay_ms(1000)).unwrap();
    for number in 0..40 {
        paid_order(&simulator, &client, &merchant, &format!("ORDER-{number}")).await;
    }
    simulator.notifications_settled().await.unwrap();
    simulator.advance_clock(Duration::from_secs(2)).await.unwrap();
    simulator.notifications_settled().await.unwrap();
    let mut taken = 0;
    for number in 0..40 {
        let payment = simulator.payment(&format!("ORDER-{number}")).await.unwrap();
        let told = &payment.notifications[0];
        assert_eq!((told.attempts, told.deliveries.len()), (1, 1));
        assert_eq!(told.state == "taken", told.deliveries[0].status == Some(204));
        taken += usize::from(told.state == "taken");
    }
    assert_eq!(taken, 20);
}

#[tokio::test]
async fn time_scale_makes_the_ladder_short() {
    let (simulator, client) = start_with(Options { time_scale: 1500.0, ..options() }).await;
    let mut merchant = Merchant::open().await;
    merchant.answer_with([500, 500, 200]);
    paid_order(&simulator, &client, &merchant, "ORDER-1").await;
    for _ in 0..3 {
        merchant.next().await;
    }
    simulator.notifications_settled().await.unwrap();
    assert_eq!(simulator.payment("ORDER-1").await.unwrap().notifications[0].state, "taken");
}

#[tokio::test]
async fn a_closed_door_is_a_failed_try() {
    let (simulator, client) = start().await;
    let merchant = Merchant::open().await;
    let gone = merchant.notify_url.clone();
    drop(merchant);
    client.create("native", &client.native_order("ORDER-1", &gone)).await;
    simulator.pay("ORDER-1", Pay::default()).await.unwrap();
    simulator.notifications_settled().await.unwrap();
    let payment = simulator.payment("ORDER-1").await.unwrap();
    assert_eq!(payment.notifications[0].state, "pending");
    assert!(payment.notifications[0].deliveries[0].error.is_some());
}

#[tokio::test]
async fn a_wrong_amount_is_claimed_and_never_booked() {
    let (simulator, client) = start().await;
    let mut merchant = Merchant::open().await;
    client.create("native", &client.native_order("ORDER-1", &merchant.notify_url)).await;
    let claim = Pay { total: Some(1), ..Pay::default() };
    simulator.pay("ORDER-1", claim).await.unwrap();
    let told = merchant.next().await.transaction(&client).unwrap();
    assert_eq!(told["amount"]["total"], 1);
    assert_eq!(simulator.ledger().await.unwrap().payments[0].total, 100);
    assert_eq!(client.query("ORDER-1").await.json()["amount"]["total"], 100);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "some time to start from")]
async fn an_injected_clock_that_jumps_is_noticed() {
    use std::sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    };
    let now = Arc::new(AtomicI64::new(jiff::Timestamp::now().as_millisecond()));
    let clock = Arc::clone(&now);
    let (simulator, client) =
        start_with(Options { now: Some(Arc::new(move || clock.load(Ordering::SeqCst))), ..options() }).await;
    let mut merchant = Merchant::open().await;
    merchant.answer_with([500]);
    paid_order(&simulator, &client, &merchant, "ORDER-1").await;
    merchant.next().await;
    simulator.notifications_settled().await.unwrap();
    now.fetch_add(15_000, Ordering::SeqCst);
    simulator.clock_moved();
    merchant.next().await;
}
