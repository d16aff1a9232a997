//! Giving money back (退款申请, 查询单笔退款, 退款结果回调通知).

use conformance::{Answer, World};
use serde_json::{Value, json};

const REFUNDS: &str = "/v3/refund/domestic/refunds";
const MINUTE: i64 = 60;
const DAY: i64 = 86_400;
/// Longer than a refund is under way by itself.
const AWHILE: i64 = MINUTE;

fn rule_broken() -> (u16, String) {
    (400, "INVALID_REQUEST".to_owned())
}

/// An order of 100 fen that was paid, and of which the shop has heard.
async fn paid() -> World {
    let mut world = World::start().await;
    pay_another(&mut world, "ORDER-1").await;
    world
}

async fn pay_another(world: &mut World, number: &str) {
    let order = world.hand.native(number, &world.shop.notify_url);
    assert_eq!(world.hand.create("native", &order).await.status, 200);
    world.pay(number).await;
    world.shop.next().await;
}

fn refund(world: &World, out_refund_no: &str, fen: i64) -> Value {
    json!({
        "out_trade_no": "ORDER-1",
        "out_refund_no": out_refund_no,
        "reason": "茶凉了",
        "notify_url": world.shop.notify_url,
        "amount": {"refund": fen, "total": 100, "currency": "CNY"},
    })
}

async fn ask(world: &World, out_refund_no: &str, fen: i64) -> Answer {
    world.hand.post(REFUNDS, &refund(world, out_refund_no, fen)).await
}

async fn find(world: &World, out_refund_no: &str) -> Answer {
    world.hand.get(&format!("{REFUNDS}/{out_refund_no}")).await
}

async fn status(world: &World, out_refund_no: &str) -> String {
    find(world, out_refund_no).await.json()["status"].as_str().unwrap_or_default().to_owned()
}

/// A control that ends a refund, or makes one in the merchant's console.
async fn control(world: &World, path: &str, body: Value) {
    world.control("POST", path, body).await;
}

pub mod by_hand {
    use super::*;

    pub async fn a_refund_is_processing_first_and_ends_later() {
        let world = paid().await;
        let asked = ask(&world, "R-1", 40).await;
        let said = asked.json();
        for (field, value) in [
            ("status", json!("PROCESSING")),
            ("out_refund_no", json!("R-1")),
            ("out_trade_no", json!("ORDER-1")),
            ("success_time", Value::Null),
        ] {
            assert_eq!(said[field], value, "{field}");
        }
        for field in ["refund_id", "transaction_id", "channel", "user_received_account", "create_time"] {
            assert!(said[field].is_string(), "{field}");
        }
        let amount = &said["amount"];
        for (field, fen) in [("total", 100), ("refund", 40), ("payer_total", 100), ("payer_refund", 40)] {
            assert_eq!(amount[field], fen, "{field}");
        }
        assert_eq!(amount["currency"], "CNY");
        assert_eq!(find(&world, "R-1").await.json(), said);
        world.advance(AWHILE).await;
        let ended = find(&world, "R-1").await.json();
        assert_eq!(ended["status"], "SUCCESS");
        assert!(ended["success_time"].as_str().unwrap().ends_with("+08:00"));
    }

    pub async fn a_refund_may_end_abnormal_or_closed() {
        let world = paid().await;
        for (kind, number, expected) in
            [("refund_abnormal", "R-1", "ABNORMAL"), ("refund_closed", "R-2", "CLOSED")]
        {
            world.fault(json!({"kind": kind, "times": 1})).await;
            assert_eq!(ask(&world, number, 10).await.json()["status"], "PROCESSING");
            world.advance(AWHILE).await;
            assert_eq!(status(&world, number).await, expected);
        }
    }

    pub async fn one_number_and_body_is_one_refund() {
        let world = paid().await;
        let first = ask(&world, "R-1", 40).await.json();
        let spaced = serde_json::to_string_pretty(&refund(&world, "R-1", 40)).unwrap();
        let again = world.hand.call("POST", REFUNDS, &spaced).await.json();
        assert_eq!(again["refund_id"], first["refund_id"]);
        let ledger = world.control("GET", "/ledger", Value::Null).await.json();
        assert_eq!(ledger["refunds"].as_array().unwrap().len(), 1);
    }

    pub async fn one_number_with_other_amounts_is_refused() {
        let world = paid().await;
        ask(&world, "R-1", 40).await;
        assert_eq!(ask(&world, "R-1", 41).await.outcome(), rule_broken());
        assert_eq!(find(&world, "R-1").await.json()["amount"]["refund"], 40);
    }

    pub async fn parts_are_a_minute_apart() {
        let world = paid().await;
        assert_eq!(ask(&world, "R-1", 10).await.status, 200);
        assert_eq!(ask(&world, "R-2", 10).await.outcome(), (429, "FREQUENCY_LIMITED".into()));
        world.advance(MINUTE).await;
        assert_eq!(ask(&world, "R-2", 10).await.status, 200);
    }

    pub async fn there_are_at_most_fifty_parts() {
        let world = paid().await;
        for part in 0..50 {
            assert_eq!(ask(&world, &format!("R-{part}"), 1).await.status, 200, "{part}");
            world.advance(MINUTE).await;
        }
        assert_eq!(ask(&world, "R-50", 1).await.outcome(), rule_broken());
    }

    pub async fn parts_are_never_more_than_the_whole() {
        let world = paid().await;
        assert_eq!(ask(&world, "R-1", 101).await.outcome(), rule_broken());
        assert_eq!(ask(&world, "R-1", 60).await.status, 200);
        world.advance(MINUTE).await;
        assert_eq!(ask(&world, "R-2", 41).await.outcome(), rule_broken());
        assert_eq!(ask(&world, "R-2", 40).await.status, 200);
        world.advance(MINUTE).await;
        assert_eq!(ask(&world, "R-3", 1).await.outcome(), rule_broken());
    }

    pub async fn the_total_must_be_the_orders() {
        let world = paid().await;
        let mut body = refund(&world, "R-1", 40);
        body["amount"]["total"] = json!(99);
        assert_eq!(world.hand.post(REFUNDS, &body).await.outcome(), rule_broken());
    }

    pub async fn only_a_paid_order_can_be_refunded() {
        let world = World::start().await;
        let missing = (404, "RESOURCE_NOT_EXISTS".to_owned());
        assert_eq!(ask(&world, "R-1", 40).await.outcome(), missing);
        world.hand.create("native", &world.hand.native("ORDER-1", &world.shop.notify_url)).await;
        assert_eq!(ask(&world, "R-1", 40).await.outcome(), missing);
        assert_eq!(find(&world, "R-1").await.outcome(), missing);
    }

    pub async fn a_refund_is_possible_for_a_year() {
        let world = paid().await;
        world.advance(365 * DAY - MINUTE).await;
        assert_eq!(ask(&world, "R-1", 40).await.status, 200);
        world.advance(2 * MINUTE).await;
        assert_eq!(ask(&world, "R-2", 40).await.outcome(), rule_broken());
    }

    pub async fn a_refunded_order_is_refund() {
        let world = paid().await;
        ask(&world, "R-1", 1).await;
        assert_eq!(world.hand.state("ORDER-1").await, "REFUND");
        assert_eq!(world.hand.query("ORDER-1").await.json()["amount"]["total"], 100);
    }

    pub async fn a_refund_names_its_order_by_either_number() {
        let world = paid().await;
        let id = world.hand.query("ORDER-1").await.json()["transaction_id"].clone();
        let mut body = refund(&world, "R-1", 40);
        body["transaction_id"] = id;
        let param_error = (400, "PARAM_ERROR".to_owned());
        assert_eq!(world.hand.post(REFUNDS, &body).await.outcome(), param_error);
        body.as_object_mut().unwrap().remove("out_trade_no");
        let said = world.hand.post(REFUNDS, &body).await.json();
        assert_eq!(said["out_trade_no"], "ORDER-1");
        let mut of_nothing = body.clone();
        of_nothing.as_object_mut().unwrap().remove("transaction_id");
        assert_eq!(world.hand.post(REFUNDS, &of_nothing).await.outcome(), param_error);
    }

    pub async fn a_refunds_fields_have_their_limits() {
        let world = paid().await;
        for (pointer, value) in [
            ("/out_refund_no", json!("R".repeat(65))),
            ("/out_refund_no", json!("退")),
            ("/out_refund_no", json!("")),
            ("/reason", json!("字".repeat(27))),
            ("/notify_url", json!("https://shop.example/n?a=1")),
            ("/amount/refund", json!(0)),
            ("/amount/refund", json!("40")),
            ("/amount/currency", json!("USD")),
            ("/amount/currency", Value::Null),
        ] {
            let mut body = refund(&world, "R-1", 40);
            *body.pointer_mut(pointer).unwrap() = value.clone();
            let answer = world.hand.post(REFUNDS, &body).await;
            assert_eq!(answer.outcome(), (400, "PARAM_ERROR".into()), "{pointer} {value}");
        }
        let mut unknown = refund(&world, "R-1", 40);
        unknown["mchid"] = json!(world.hand.mchid());
        assert_eq!(world.hand.post(REFUNDS, &unknown).await.outcome(), (400, "PARAM_ERROR".into()));
        let mut number = refund(&world, "aZ09_-|*@", 40);
        number["reason"] = json!("字".repeat(26));
        assert_eq!(world.hand.post(REFUNDS, &number).await.status, 200);
    }

    pub async fn a_short_account_is_not_enough_until_it_is_filled() {
        let world = paid().await;
        control(&world, "/console", json!({"balance": 0})).await;
        assert_eq!(ask(&world, "R-1", 40).await.outcome(), (403, "NOT_ENOUGH".into()));
        control(&world, "/console", json!({"balance": 100})).await;
        assert_eq!(ask(&world, "R-1", 40).await.status, 200);
    }

    pub async fn a_429_may_have_been_accepted() {
        let world = paid().await;
        world.fault(json!({"kind": "accepted_429", "times": 1})).await;
        let unverified = world.hand.signed("POST", REFUNDS, &refund(&world, "R-1", 40).to_string());
        assert_eq!(world.hand.send(&unverified).await.unwrap().status, 429);
        assert_eq!(status(&world, "R-1").await, "PROCESSING");
        assert_eq!(ask(&world, "R-1", 40).await.json()["status"], "PROCESSING");
    }

    pub async fn a_refunds_end_is_told_signed_and_sealed() {
        for (kind, event, status, summary) in [
            (None, "REFUND.SUCCESS", "SUCCESS", "退款成功"),
            (Some("refund_abnormal"), "REFUND.ABNORMAL", "ABNORMAL", "退款异常"),
            (Some("refund_closed"), "REFUND.CLOSED", "CLOSED", "退款关闭"),
        ] {
            let mut world = paid().await;
            if let Some(kind) = kind {
                world.fault(json!({"kind": kind, "times": 1})).await;
            }
            let said = ask(&world, "R-1", 40).await.json();
            world.advance(AWHILE).await;
            let posted = world.shop.next().await;
            let envelope = posted.envelope();
            assert_eq!((&envelope["event_type"], &envelope["summary"]), (&json!(event), &json!(summary)));
            assert_eq!(envelope["resource"]["original_type"], "refund");
            let told = posted.opened(&world.hand).unwrap();
            for (field, value) in [
                ("refund_status", json!(status)),
                ("status", Value::Null),
                ("appid", Value::Null),
                ("mchid", json!(world.hand.mchid())),
                ("out_refund_no", json!("R-1")),
                ("refund_id", said["refund_id"].clone()),
                ("out_trade_no", json!("ORDER-1")),
                ("transaction_id", said["transaction_id"].clone()),
                ("amount", json!({"total": 100, "refund": 40, "payer_total": 100, "payer_refund": 40})),
            ] {
                assert_eq!(told[field], value, "{event} {field}");
            }
            assert_eq!(told["success_time"].is_string(), status == "SUCCESS");
        }
    }

    pub async fn a_refund_without_an_address_is_told_in_xml_or_not_at_all() {
        let mut world = paid().await;
        let mut body = refund(&world, "R-1", 40);
        body.as_object_mut().unwrap().remove("notify_url");
        world.hand.post(REFUNDS, &body).await;
        world.advance(AWHILE).await;
        world.simulator.notifications_settled().await.unwrap();
        assert!(world.shop.rest().is_empty());

        let console = world.shop.notify_url.clone();
        control(&world, "/console", json!({"refund_notify_url": console})).await;
        body["out_refund_no"] = json!("R-2");
        world.hand.post(REFUNDS, &body).await;
        world.advance(AWHILE).await;
        let posted = world.shop.next().await.message;
        let text = String::from_utf8(posted.body.clone()).unwrap();
        assert!(text.starts_with("<xml>") && text.contains("<req_info>"), "{text}");
        assert!(!posted.is_signed());
    }

    pub async fn an_event_may_be_of_an_unknown_type() {
        let mut world = paid().await;
        world.fault(json!({"kind": "unknown_event", "times": 1})).await;
        ask(&world, "R-1", 40).await;
        world.advance(AWHILE).await;
        let strange = world.shop.next().await;
        strange.opened(&world.hand).unwrap();
        let event = strange.envelope()["event_type"].as_str().unwrap().to_owned();
        assert!(!event.starts_with("TRANSACTION.") && !event.starts_with("REFUND."), "{event}");
        assert_eq!(world.shop.next().await.envelope()["event_type"], "REFUND.SUCCESS");
    }

    pub async fn associated_data_may_be_empty() {
        let mut world = paid().await;
        world.fault(json!({"kind": "no_associated_data", "times": 1})).await;
        ask(&world, "R-1", 40).await;
        world.advance(AWHILE).await;
        let posted = world.shop.next().await;
        let aad = posted.envelope()["resource"]["associated_data"].clone();
        assert!(aad.is_null() || aad == "", "{aad}");
        assert_eq!(posted.opened(&world.hand).unwrap()["refund_status"], "SUCCESS");
    }

    pub async fn the_ledger_keeps_exact_money_and_checks_itself() {
        let mut world = paid().await;
        pay_another(&mut world, "ORDER-2").await;
        ask(&world, "R-1", 33).await;
        world.fault(json!({"kind": "refund_closed", "times": 1})).await;
        world.advance(AWHILE).await;
        ask(&world, "R-2", 50).await;
        world.advance(AWHILE).await;
        let ledger = world.control("GET", "/ledger", Value::Null).await.json();
        let sum = |entries: &Value, field: &str| -> i64 {
            entries.as_array().unwrap().iter().map(|entry| entry[field].as_i64().unwrap()).sum()
        };
        assert_eq!(sum(&ledger["payments"], "total"), 200);
        assert_eq!(sum(&ledger["refunds"], "refund"), 83);
        let account = &ledger["accounts"][0];
        assert_eq!((&account["paid"], &account["refunded"]), (&json!(200), &json!(33)));
        let balance = account["paid"].as_i64().unwrap() - 33 + account["console"].as_i64().unwrap();
        assert_eq!(account["balance"], balance);
        let check = world.control("GET", "/ledger/check", Value::Null).await.json();
        assert_eq!(check, json!({"is_right": true, "violations": []}));
    }
}

pub mod by_crate {
    use conformance::code;
    use wechatpay::notification::Told;
    use wechatpay::refund::Paid;
    use wechatpay::{Error, Refund, RefundOrder, RefundStatus};

    use super::*;
    use crate::notifications::read;

    fn order(world: &World, out_refund_no: &str, fen: i64) -> RefundOrder {
        RefundOrder {
            of: Paid::OutTradeNo("ORDER-1".to_owned()),
            out_refund_no: out_refund_no.to_owned(),
            reason: Some("茶凉了".to_owned()),
            notify_url: Some(world.shop.notify_url.clone()),
            refund_fen: fen,
            total_fen: 100,
        }
    }

    async fn ask(world: &World, out_refund_no: &str, fen: i64) -> Result<Refund, Error> {
        world.ours().refund(out_refund_no, &order(world, out_refund_no, fen).to_body()).await
    }

    async fn status(world: &World, out_refund_no: &str) -> RefundStatus {
        world.ours().query_refund(out_refund_no).await.unwrap().status
    }

    pub async fn a_refund_is_processing_first_and_ends_later() {
        let world = paid().await;
        let asked = ask(&world, "R-1", 40).await.unwrap();
        assert_eq!(asked.status, RefundStatus::Processing);
        assert_eq!(asked.amount.as_ref().unwrap().refund, Some(40));
        assert_eq!(world.ours().query_refund("R-1").await.unwrap(), asked);
        world.advance(AWHILE).await;
        let ended = world.ours().query_refund("R-1").await.unwrap();
        assert_eq!(ended.status, RefundStatus::Success);
        assert!(ended.succeeded_at().is_some());
    }

    pub async fn a_refund_may_end_abnormal_or_closed() {
        let world = paid().await;
        for (kind, number, expected) in [
            ("refund_abnormal", "R-1", RefundStatus::Abnormal),
            ("refund_closed", "R-2", RefundStatus::Closed),
        ] {
            world.fault(json!({"kind": kind, "times": 1})).await;
            ask(&world, number, 10).await.unwrap();
            world.advance(AWHILE).await;
            assert_eq!(status(&world, number).await, expected);
        }
    }

    pub async fn one_number_and_body_is_one_refund() {
        let world = paid().await;
        let first = ask(&world, "R-1", 40).await.unwrap();
        assert_eq!(ask(&world, "R-1", 40).await.unwrap().refund_id, first.refund_id);
    }

    pub async fn one_number_with_other_amounts_is_refused() {
        let world = paid().await;
        ask(&world, "R-1", 40).await.unwrap();
        assert_eq!(code(ask(&world, "R-1", 41).await), rule_broken());
    }

    pub async fn parts_are_a_minute_apart() {
        let world = paid().await;
        ask(&world, "R-1", 10).await.unwrap();
        // A 429 to a refund may be a yes, so that our client does not call it a no.
        assert_eq!(ask(&world, "R-2", 10).await.unwrap_err().reason(), "perhaps_taken");
        assert!(conformance::refused(world.ours().query_refund("R-2").await).is_resource_not_found());
        world.advance(MINUTE).await;
        ask(&world, "R-2", 10).await.unwrap();
    }

    pub async fn parts_are_never_more_than_the_whole() {
        let world = paid().await;
        assert_eq!(code(ask(&world, "R-1", 101).await), rule_broken());
        ask(&world, "R-1", 60).await.unwrap();
        world.advance(MINUTE).await;
        assert_eq!(code(ask(&world, "R-2", 41).await), rule_broken());
        ask(&world, "R-2", 40).await.unwrap();
    }

    pub async fn only_a_paid_order_can_be_refunded() {
        let world = World::start().await;
        assert!(conformance::refused(ask(&world, "R-1", 40).await).is_resource_not_found());
        assert!(conformance::refused(world.ours().query_refund("R-1").await).is_resource_not_found());
    }

    pub async fn a_refunded_order_is_refund() {
        let world = paid().await;
        ask(&world, "R-1", 1).await.unwrap();
        let found = world.ours().query_by_out_trade_no("ORDER-1").await.unwrap();
        assert_eq!(found.trade_state, wechatpay::TradeState::Refund);
        assert!(found.is_paid());
    }

    pub async fn a_refund_names_its_order_by_either_number() {
        let world = paid().await;
        let found = world.ours().query_by_out_trade_no("ORDER-1").await.unwrap();
        let of = Paid::TransactionId(found.transaction_id.unwrap());
        let body = RefundOrder { of, ..order(&world, "R-1", 40) }.to_body();
        let asked = world.ours().refund("R-1", &body).await.unwrap();
        assert_eq!(asked.out_trade_no.as_deref(), Some("ORDER-1"));
    }

    pub async fn a_short_account_is_not_enough_until_it_is_filled() {
        let world = paid().await;
        control(&world, "/console", json!({"balance": 0})).await;
        assert!(conformance::refused(ask(&world, "R-1", 40).await).is_balance_short());
        control(&world, "/console", json!({"balance": 100})).await;
        ask(&world, "R-1", 40).await.unwrap();
    }

    pub async fn a_429_may_have_been_accepted() {
        let world = paid().await;
        world.fault(json!({"kind": "accepted_429", "times": 1})).await;
        assert_eq!(ask(&world, "R-1", 40).await.unwrap_err().reason(), "perhaps_taken");
        assert_eq!(status(&world, "R-1").await, RefundStatus::Processing);
    }

    pub async fn a_refunds_end_is_told_signed_and_sealed() {
        let mut world = paid().await;
        ask(&world, "R-1", 40).await.unwrap();
        world.advance(AWHILE).await;
        let posted = world.shop.next().await;
        let Told::Refund(told) = read(&world, &posted.message) else { panic!("not of a refund") };
        assert_eq!(told.refund_status, RefundStatus::Success);
        assert_eq!((told.out_refund_no.as_str(), told.out_trade_no.as_str()), ("R-1", "ORDER-1"));
        assert_eq!(told.amount.as_ref().unwrap().refund, Some(40));
        assert_eq!(told.succeeded_at(), world.ours().query_refund("R-1").await.unwrap().succeeded_at());
    }

    pub async fn an_event_may_be_of_an_unknown_type() {
        let mut world = paid().await;
        world.fault(json!({"kind": "unknown_event", "times": 1})).await;
        ask(&world, "R-1", 40).await.unwrap();
        world.advance(AWHILE).await;
        let strange = world.shop.next().await;
        assert!(matches!(read(&world, &strange.message), Told::Other(_)));
    }

    pub async fn associated_data_may_be_empty() {
        let mut world = paid().await;
        world.fault(json!({"kind": "no_associated_data", "times": 1})).await;
        ask(&world, "R-1", 40).await.unwrap();
        world.advance(AWHILE).await;
        let posted = world.shop.next().await;
        assert!(matches!(read(&world, &posted.message), Told::Refund(_)));
    }
}
