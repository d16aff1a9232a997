//! What WeChat Pay posts to a merchant, and how often (支付成功回调通知, 回调通知注意事项).

use std::collections::BTreeSet;

use conformance::{Answer, World};
use serde_json::{Value, json};
use wechatpay::SignatureHeaders;
use wechatpay::notification::{Envelope, Told};

/// Seconds from one try to the next.
const LADDER: [i64; 15] =
    [15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600];

/// The signature headers as our client reads them.
pub fn headers(message: &Answer) -> http::HeaderMap {
    ["Timestamp", "Nonce", "Signature", "Serial", "Signature-Type"]
        .iter()
        .filter_map(|name| {
            let name = format!("wechatpay-{}", name.to_ascii_lowercase());
            let value = message.header(&name)?.parse().ok()?;
            Some((name.parse::<http::HeaderName>().ok()?, value))
        })
        .collect()
}

/// Orders by hand; the notification is what counts here.
async fn order(world: &World) {
    world.hand.create("native", &world.hand.native("ORDER-1", &world.shop.notify_url)).await;
}

async fn told(world: &World) -> Value {
    world.simulator.notifications_settled().await.unwrap();
    world.payment("ORDER-1").await["notifications"].clone()
}

/// What our client makes of a notification.
pub fn read(world: &World, message: &Answer) -> Told {
    let now = world.hand.said().timestamp;
    let signature = SignatureHeaders::from_map(&headers(message)).unwrap();
    world.ours().trusted_keys().verify(&signature, &message.body, now).unwrap();
    let envelope: Envelope = serde_json::from_slice(&message.body).unwrap();
    envelope.open(&[world.apiv3_key()]).unwrap()
}

fn payment(told: Told) -> wechatpay::Transaction {
    match told {
        Told::Payment(transaction) => *transaction,
        other => panic!("{other:?}"),
    }
}

/// Two orders are paid; what is told of the first lets what is told of the second pass.
async fn out_of_turn(world: &World) {
    order(world).await;
    world.hand.create("native", &world.hand.native("ORDER-2", &world.shop.notify_url)).await;
    world.fault(json!({"kind": "reorder", "times": 1, "delay_ms": 60_000})).await;
    world.pay("ORDER-1").await;
    while world.payment("ORDER-1").await["notifications"][0]["state"] != "pending" {}
    world.pay("ORDER-2").await;
}

pub mod by_hand {
    use super::*;

    pub async fn a_payment_is_told_signed_and_sealed() {
        let mut world = World::start().await;
        order(&world).await;
        world.pay("ORDER-1").await;
        let posted = world.shop.next().await;
        assert_eq!(posted.first_line, "POST /notify HTTP/1.1");
        assert_eq!(posted.message.header("Content-Type"), Some("application/json"));
        assert!(posted.message.header("Request-ID").is_some());
        assert_eq!(posted.message.header("Wechatpay-Signature-Type"), Some("WECHATPAY2-SHA256-RSA2048"));
        let envelope = posted.envelope();
        assert!(envelope["id"].as_str().unwrap().len() <= 36);
        assert!(envelope["create_time"].as_str().unwrap().ends_with("+08:00"));
        assert_eq!(envelope["event_type"], "TRANSACTION.SUCCESS");
        assert_eq!(envelope["resource_type"], "encrypt-resource");
        assert_eq!(envelope["summary"], "支付成功");
        assert_eq!(envelope["resource"]["original_type"], "transaction");
        assert_eq!(envelope["resource"]["algorithm"], "AEAD_AES_256_GCM");
        assert_eq!(envelope["resource"]["nonce"].as_str().unwrap().len(), 12);
        assert_eq!(posted.opened(&world.hand).unwrap()["trade_state"], "SUCCESS");
        assert!(world.hand.open_with(&"k".repeat(32), &envelope["resource"]).is_none());
    }

    pub async fn a_notification_says_what_a_query_says() {
        let mut world = World::start().await;
        order(&world).await;
        world.pay("ORDER-1").await;
        let said = world.shop.next().await.opened(&world.hand).unwrap();
        assert_eq!(said, world.hand.query("ORDER-1").await.json());
        for field in
            ["appid", "mchid", "out_trade_no", "transaction_id", "trade_type", "bank_type", "success_time"]
        {
            assert!(said[field].is_string(), "{field}");
        }
        assert!(said["payer"]["openid"].is_string());
        assert_eq!(said["amount"]["total"], 100);
    }

    pub async fn an_unpaid_order_is_never_told_of() {
        let mut world = World::start().await;
        order(&world).await;
        for leave in ["cancel", "fail"] {
            world.control("POST", &format!("/payments/ORDER-1/{leave}"), Value::Null).await;
        }
        world.hand.close("ORDER-1").await;
        assert_eq!(told(&world).await, json!([]));
        assert!(world.shop.rest().is_empty());
    }

    pub async fn the_ladder_has_fifteen_rungs() {
        let mut world = World::start().await;
        order(&world).await;
        world.shop.answer_with([500; 16]);
        world.pay("ORDER-1").await;
        world.shop.next().await;
        for wait in LADDER {
            told(&world).await;
            world.advance(wait - 1).await;
            told(&world).await;
            assert!(world.shop.rest().is_empty(), "sooner than {wait} s");
            world.advance(1).await;
            world.shop.next().await;
        }
        let told = told(&world).await;
        assert_eq!((&told[0]["state"], &told[0]["attempts"]), (&json!("given_up"), &json!(16)));
        world.advance(86_400).await;
        assert!(world.shop.rest().is_empty());
    }

    pub async fn every_try_is_signed_afresh() {
        let mut world = World::start().await;
        order(&world).await;
        world.shop.answer_with([500, 500]);
        world.pay("ORDER-1").await;
        let mut seen = [BTreeSet::new(), BTreeSet::new()];
        let mut ids = BTreeSet::new();
        for _ in 0..3 {
            let posted = world.shop.next().await;
            posted.opened(&world.hand).unwrap();
            for (set, name) in seen.iter_mut().zip(["Wechatpay-Signature", "Wechatpay-Nonce"]) {
                assert!(
                    set.insert(posted.message.header(name).unwrap().to_owned()),
                    "{name} was used before"
                );
            }
            ids.insert(posted.envelope()["id"].to_string());
            told(&world).await;
            world.advance(15).await;
        }
        assert_eq!(ids.len(), 1);
    }

    pub async fn only_200_and_204_are_taken() {
        let world = World::start().await;
        for (at, (status, state)) in [
            (200, "taken"),
            (204, "taken"),
            (201, "pending"),
            (202, "pending"),
            (206, "pending"),
            (302, "pending"),
            (401, "pending"),
            (404, "pending"),
            (500, "pending"),
        ]
        .into_iter()
        .enumerate()
        {
            let number = format!("STATUS-{at}");
            world.hand.create("native", &world.hand.native(&number, &world.shop.notify_url)).await;
            world.shop.answer_with([status]);
            world.pay(&number).await;
            world.simulator.notifications_settled().await.unwrap();
            let told = world.payment(&number).await["notifications"].clone();
            assert_eq!(told[0]["state"], state, "{status}");
        }
    }

    pub async fn an_answer_after_five_seconds_is_none() {
        let mut world = World::start().await;
        order(&world).await;
        world.shop.answer_with([0]);
        world.pay("ORDER-1").await;
        world.shop.next().await;
        let told = told(&world).await;
        assert_eq!(told[0]["state"], "pending");
        let delivery = &told[0]["deliveries"][0];
        assert_eq!(delivery["status"], Value::Null);
        assert!((5000..6000).contains(&delivery["took_ms"].as_i64().unwrap()), "{delivery}");
    }

    pub async fn duplicates_come_at_once_on_two_connections() {
        let mut world = World::start().await;
        order(&world).await;
        world.fault(json!({"kind": "duplicate", "times": 1})).await;
        world.pay("ORDER-1").await;
        let (one, other) = (world.shop.next().await, world.shop.next().await);
        assert_eq!(one.envelope()["id"], other.envelope()["id"]);
        assert_eq!(one.opened(&world.hand).unwrap(), other.opened(&world.hand).unwrap());
    }

    pub async fn a_notification_may_be_late() {
        let mut world = World::start().await;
        order(&world).await;
        world.fault(json!({"kind": "delay", "times": 1, "delay_ms": 60_000})).await;
        world.pay("ORDER-1").await;
        told(&world).await;
        assert!(world.shop.rest().is_empty());
        world.advance(60).await;
        world.shop.next().await.opened(&world.hand).unwrap();
    }

    pub async fn a_notification_may_never_come() {
        let mut world = World::start().await;
        order(&world).await;
        world.fault(json!({"kind": "silent", "times": 1})).await;
        world.pay("ORDER-1").await;
        told(&world).await;
        world.advance(2 * 86_400).await;
        told(&world).await;
        assert!(world.shop.rest().is_empty());
        assert_eq!(world.hand.state("ORDER-1").await, "SUCCESS");
    }

    pub async fn one_order_may_be_told_of_after_a_later_one() {
        let mut world = World::start().await;
        out_of_turn(&world).await;
        for number in ["ORDER-2", "ORDER-1"] {
            assert_eq!(world.shop.next().await.opened(&world.hand).unwrap()["out_trade_no"], number);
        }
    }

    pub async fn a_taken_notification_may_come_again() {
        let mut world = World::start().await;
        order(&world).await;
        world.fault(json!({"kind": "repeat", "times": 1})).await;
        world.pay("ORDER-1").await;
        let (first, second) = (world.shop.next().await, world.shop.next().await);
        assert_eq!(first.envelope()["id"], second.envelope()["id"]);
        assert_eq!(first.opened(&world.hand).unwrap(), second.opened(&world.hand).unwrap());
    }

    pub async fn a_notification_may_lie_in_one_field() {
        for (kind, pointer) in [
            ("wrong_amount", "/amount/total"),
            ("wrong_appid", "/appid"),
            ("wrong_mchid", "/mchid"),
            ("wrong_currency", "/amount/currency"),
            ("unknown_number", "/out_trade_no"),
        ] {
            let mut world = World::start().await;
            order(&world).await;
            world.fault(json!({"kind": kind, "times": 1})).await;
            world.pay("ORDER-1").await;
            let said = world.shop.next().await.opened(&world.hand).unwrap();
            let truth = world.hand.query("ORDER-1").await.json();
            assert_ne!(said.pointer(pointer), truth.pointer(pointer), "{kind}");
            assert_eq!(said["transaction_id"], truth["transaction_id"], "{kind}");
        }
    }

    pub async fn every_delivery_is_kept_with_its_answer() {
        let mut world = World::start().await;
        order(&world).await;
        world.shop.answer_with([500, 204]);
        world.pay("ORDER-1").await;
        world.shop.next().await;
        told(&world).await;
        world.advance(15).await;
        world.shop.next().await;
        let told = told(&world).await;
        let deliveries = told[0]["deliveries"].as_array().unwrap();
        let statuses: Vec<_> = deliveries.iter().map(|one| (&one["attempt"], &one["status"])).collect();
        assert_eq!(statuses, [(&json!(1), &json!(500)), (&json!(2), &json!(204))]);
    }
}

pub mod by_crate {
    use super::*;

    pub async fn a_payment_is_told_signed_and_sealed() {
        let mut world = World::start().await;
        order(&world).await;
        world.pay("ORDER-1").await;
        let posted = world.shop.next().await;
        let said = payment(read(&world, &posted.message));
        assert!(said.is_paid());
        let mut altered = posted.message.clone();
        altered.body.push(b' ');
        let signature = SignatureHeaders::from_map(&headers(&altered)).unwrap();
        let now = world.hand.said().timestamp;
        assert!(world.ours().trusted_keys().verify(&signature, &altered.body, now).is_err());
    }

    pub async fn a_notification_says_what_a_query_says() {
        let mut world = World::start().await;
        order(&world).await;
        world.pay("ORDER-1").await;
        let posted = world.shop.next().await;
        let said = payment(read(&world, &posted.message));
        assert_eq!(said, world.ours().query_by_out_trade_no("ORDER-1").await.unwrap());
    }

    pub async fn every_try_is_signed_afresh() {
        let mut world = World::start().await;
        order(&world).await;
        world.shop.answer_with([500]);
        world.pay("ORDER-1").await;
        let first = world.shop.next().await;
        told(&world).await;
        world.advance(15).await;
        let second = world.shop.next().await;
        assert_ne!(headers(&first.message), headers(&second.message));
        assert_eq!(payment(read(&world, &first.message)), payment(read(&world, &second.message)));
    }

    pub async fn duplicates_come_at_once_on_two_connections() {
        let mut world = World::start().await;
        order(&world).await;
        world.fault(json!({"kind": "duplicate", "times": 1})).await;
        world.pay("ORDER-1").await;
        let (one, other) = (world.shop.next().await, world.shop.next().await);
        assert_eq!(payment(read(&world, &one.message)), payment(read(&world, &other.message)));
    }

    pub async fn one_order_may_be_told_of_after_a_later_one() {
        let mut world = World::start().await;
        out_of_turn(&world).await;
        for number in ["ORDER-2", "ORDER-1"] {
            let posted = world.shop.next().await;
            assert_eq!(payment(read(&world, &posted.message)).out_trade_no.as_deref(), Some(number));
        }
    }

    pub async fn a_taken_notification_may_come_again() {
        let mut world = World::start().await;
        order(&world).await;
        world.fault(json!({"kind": "repeat", "times": 1})).await;
        world.pay("ORDER-1").await;
        let (first, second) = (world.shop.next().await, world.shop.next().await);
        assert_eq!(payment(read(&world, &first.message)), payment(read(&world, &second.message)));
    }

    pub async fn a_notification_may_lie_in_one_field() {
        let mut world = World::start().await;
        order(&world).await;
        world.fault(json!({"kind": "wrong_amount", "times": 1})).await;
        world.pay("ORDER-1").await;
        let posted = world.shop.next().await;
        let said = payment(read(&world, &posted.message));
        let truth = world.ours().query_by_out_trade_no("ORDER-1").await.unwrap();
        assert_ne!(said.amount, truth.amount);
        assert_eq!(said.transaction_id, truth.transaction_id);
    }

    pub async fn a_notification_may_never_come() {
        let world = World::start().await;
        order(&world).await;
        world.fault(json!({"kind": "silent", "times": 1})).await;
        world.pay("ORDER-1").await;
        assert!(world.ours().query_by_out_trade_no("ORDER-1").await.unwrap().is_paid());
    }
}
