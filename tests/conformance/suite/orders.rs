//! The life of an order (JSAPI/小程序下单, Native下单, 查询订单, 关闭订单, 订单状态流转).

use conformance::{Answer, Request, World, code, send};
use serde_json::{Value, json};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn used() -> (u16, String) {
    (403, "OUT_TRADE_NO_USED".to_owned())
}

/// What comes of paying: the status of the control.
async fn paying(world: &World, out_trade_no: &str) -> u16 {
    let pay = Request::new("POST", &format!("/_sim/payments/{out_trade_no}/pay"), "");
    send(&world.hand.address, &pay).await.unwrap().status
}

/// What comes of paying by a code that the payer holds.
async fn paying_by(world: &World, code: &str) -> u16 {
    let body = json!({"code": code}).to_string();
    let pay = Request::new("POST", "/_sim/phone/pay", &body);
    send(&world.hand.address, &pay).await.unwrap().status
}

fn text(answer: &Answer, field: &str) -> String {
    answer.json()[field].as_str().unwrap_or_else(|| panic!("no {field}")).to_owned()
}

/// RFC 3339 in Beijing, so many seconds from the simulator's now.
fn from_now(world: &World, seconds: i64) -> String {
    let at = jiff::Timestamp::from_second(world.simulator.now_ms() / 1000 + seconds).unwrap();
    jiff::tz::offset(8).to_datetime(at).strftime("%Y-%m-%dT%H:%M:%S+08:00").to_string()
}

pub mod by_hand {
    use super::*;

    pub async fn an_identical_create_is_taken_again() {
        let world = World::start().await;
        let hand = &world.hand;
        let order = hand.jsapi("ORDER-1", &world.shop.notify_url);
        let first = hand.create("jsapi", &order).await;
        let spaced = serde_json::to_string_pretty(&order).unwrap();
        let again = hand.call("POST", "/v3/pay/transactions/jsapi", &spaced).await;
        assert_eq!(text(&first, "prepay_id"), text(&again, "prepay_id"));
        assert!(text(&first, "prepay_id").len() <= 64);

        let order = hand.native("ORDER-2", &world.shop.notify_url);
        for _ in 0..2 {
            let code_url = text(&hand.create("native", &order).await, "code_url");
            assert!(code_url.starts_with("weixin://wxpay/bizpayurl?pr="), "{code_url}");
        }
    }

    pub async fn a_different_create_of_one_number_is_out_trade_no_used() {
        let world = World::start().await;
        let hand = &world.hand;
        let order = hand.jsapi("ORDER-1", &world.shop.notify_url);
        assert_eq!(hand.create("jsapi", &order).await.status, 200);
        for (pointer, value) in [
            ("/amount/total", json!(101)),
            ("/description", json!("两杯茶")),
            ("/payer/openid", json!("oOther")),
            ("/notify_url", json!("https://shop.example/other")),
        ] {
            let mut other = order.clone();
            *other.pointer_mut(pointer).unwrap() = value;
            assert_eq!(hand.create("jsapi", &other).await.outcome(), used(), "{pointer}");
        }
        let mut later = order.clone();
        later["time_expire"] = json!(from_now(&world, HOUR));
        assert_eq!(hand.create("jsapi", &later).await.outcome(), used());
        let elsewhere = hand.native("ORDER-1", &world.shop.notify_url);
        assert_eq!(hand.create("native", &elsewhere).await.outcome(), used());
        assert_eq!(hand.create("jsapi", &order).await.status, 200);
    }

    pub async fn a_closed_number_is_order_closed() {
        let world = World::start().await;
        let order = world.hand.native("ORDER-1", &world.shop.notify_url);
        world.hand.create("native", &order).await;
        world.hand.close("ORDER-1").await;
        assert_eq!(world.hand.create("native", &order).await.outcome(), (400, "ORDER_CLOSED".into()));
    }

    pub async fn a_paid_number_is_not_ordered_again() {
        let world = World::start().await;
        let order = world.hand.native("ORDER-1", &world.shop.notify_url);
        world.hand.create("native", &order).await;
        world.pay("ORDER-1").await;
        assert_eq!(world.hand.create("native", &order).await.outcome(), used());
    }

    pub async fn time_expire_is_raised_to_a_minute() {
        let world = World::start().await;
        let mut order = world.hand.native("ORDER-1", &world.shop.notify_url);
        order["time_expire"] = json!(from_now(&world, -HOUR));
        assert_eq!(world.hand.create("native", &order).await.status, 200);
        world.advance(50).await;
        assert_eq!(paying(&world, "ORDER-1").await, 200);
    }

    pub async fn after_time_expire_an_order_is_unpaid_and_unpayable() {
        let world = World::start().await;
        let mut order = world.hand.native("ORDER-1", &world.shop.notify_url);
        order["time_expire"] = json!(from_now(&world, 10 * MINUTE));
        assert_eq!(world.hand.create("native", &order).await.status, 200);
        world.advance(11 * MINUTE).await;
        assert_eq!(paying(&world, "ORDER-1").await, 409);
        assert_eq!(world.hand.state("ORDER-1").await, "NOTPAY");
        assert_eq!(world.hand.close("ORDER-1").await.status, 204);
    }

    pub async fn time_expire_is_cut_to_seven_days() {
        let world = World::start().await;
        let mut order = world.hand.native("ORDER-1", &world.shop.notify_url);
        order["time_expire"] = json!(from_now(&world, 90 * DAY));
        assert_eq!(world.hand.create("native", &order).await.status, 200);
        world.advance(7 * DAY + MINUTE).await;
        assert_eq!(paying(&world, "ORDER-1").await, 409);
    }

    pub async fn a_prepay_id_lives_two_hours() {
        let world = World::start().await;
        let order = world.hand.jsapi("ORDER-1", &world.shop.notify_url);
        let first = text(&world.hand.create("jsapi", &order).await, "prepay_id");
        world.advance(2 * HOUR + 1).await;
        assert_eq!(paying_by(&world, &first).await, 409);
        let fresh = text(&world.hand.create("jsapi", &order).await, "prepay_id");
        assert_ne!(fresh, first);
        assert_eq!(paying_by(&world, &fresh).await, 200);
    }

    pub async fn a_code_url_lives_two_hours() {
        let world = World::start().await;
        let order = world.hand.native("ORDER-1", &world.shop.notify_url);
        let first = text(&world.hand.create("native", &order).await, "code_url");
        world.advance(2 * HOUR + 1).await;
        assert_eq!(paying_by(&world, &first).await, 409);
        let fresh = text(&world.hand.create("native", &order).await, "code_url");
        assert_eq!(paying_by(&world, &fresh).await, 200);
    }

    pub async fn a_repeated_native_create_ends_the_older_code_url() {
        let world = World::start().await;
        let order = world.hand.native("ORDER-1", &world.shop.notify_url);
        let older = text(&world.hand.create("native", &order).await, "code_url");
        let newer = text(&world.hand.create("native", &order).await, "code_url");
        assert_eq!(paying_by(&world, &older).await, 404);
        assert_eq!(paying_by(&world, &newer).await, 200);
    }

    pub async fn an_unpaid_order_closes_itself_after_seven_days() {
        let world = World::start().await;
        world.hand.create("native", &world.hand.native("ORDER-1", &world.shop.notify_url)).await;
        world.advance(7 * DAY - MINUTE).await;
        assert_eq!(world.hand.state("ORDER-1").await, "NOTPAY");
        world.advance(2 * MINUTE).await;
        assert_eq!(world.hand.state("ORDER-1").await, "CLOSED");
    }

    pub async fn a_close_is_taken_twice_and_ends_the_order() {
        let world = World::start().await;
        world.hand.create("native", &world.hand.native("ORDER-1", &world.shop.notify_url)).await;
        for _ in 0..2 {
            assert_eq!(world.hand.close("ORDER-1").await.status, 204);
        }
        assert_eq!(world.hand.state("ORDER-1").await, "CLOSED");
        assert_eq!(paying(&world, "ORDER-1").await, 409);
    }

    pub async fn closing_a_paid_order_is_order_paid() {
        let world = World::start().await;
        world.hand.create("native", &world.hand.native("ORDER-1", &world.shop.notify_url)).await;
        world.pay("ORDER-1").await;
        assert_eq!(world.hand.close("ORDER-1").await.outcome(), (400, "ORDER_PAID".into()));
        assert_eq!(world.hand.state("ORDER-1").await, "SUCCESS");
    }

    /// Whoever comes first wins, and both sides are told the same story.
    pub async fn a_close_that_races_a_payment_ends_one_way() {
        let world = World::start().await;
        for at in 0..20 {
            let number = format!("RACE-{at:03}");
            world.hand.create("native", &world.hand.native(&number, &world.shop.notify_url)).await;
            let (closed, paid) = futures::join!(world.hand.close(&number), paying(&world, &number));
            let expected = match (closed.status, paid) {
                (204, 409) => "CLOSED",
                (400, 200) => {
                    assert_eq!(closed.outcome(), (400, "ORDER_PAID".into()));
                    "SUCCESS"
                }
                both => panic!("{number}: {both:?}"),
            };
            assert_eq!(world.hand.state(&number).await, expected, "{number}");
        }
    }

    pub async fn an_order_paid_while_closing_is_order_paid() {
        let mut world = World::start().await;
        world.hand.create("native", &world.hand.native("ORDER-1", &world.shop.notify_url)).await;
        world.fault(json!({"kind": "pay_while_closing", "times": 1})).await;
        assert_eq!(world.hand.close("ORDER-1").await.outcome(), (400, "ORDER_PAID".into()));
        assert_eq!(world.hand.state("ORDER-1").await, "SUCCESS");
        world.shop.next().await.opened(&world.hand).unwrap();
    }

    pub async fn an_order_is_found_by_both_numbers() {
        let world = World::start().await;
        let hand = &world.hand;
        let mut order = hand.jsapi("ORDER-1", &world.shop.notify_url);
        order["attach"] = json!("桌 5");
        hand.create("jsapi", &order).await;
        world.pay("ORDER-1").await;
        let by_ours = hand.query("ORDER-1").await.json();
        let id = by_ours["transaction_id"].as_str().unwrap();
        let by_theirs = hand.get(&format!("/v3/pay/transactions/id/{id}?mchid={}", hand.mchid())).await;
        assert_eq!(by_theirs.json(), by_ours);
        for (field, value) in [
            ("trade_state", json!("SUCCESS")),
            ("trade_type", json!("JSAPI")),
            ("out_trade_no", json!("ORDER-1")),
            ("mchid", json!(hand.mchid())),
            ("appid", hand.merchant["apps"][0]["appid"].clone()),
            ("attach", json!("桌 5")),
            ("payer", json!({"openid": "oPayer"})),
            ("amount", json!({"total": 100, "payer_total": 100, "currency": "CNY", "payer_currency": "CNY"})),
        ] {
            assert_eq!(by_ours[field], value, "{field}");
        }
        assert!(by_ours["success_time"].as_str().unwrap().ends_with("+08:00"));
        assert!(by_ours["bank_type"].is_string());
        let unknown = hand.get(&format!("/v3/pay/transactions/id/42?mchid={}", hand.mchid())).await;
        assert_eq!(unknown.outcome(), (404, "ORDER_NOT_EXIST".into()));
    }

    pub async fn an_unpaid_order_has_no_payment_to_tell_of() {
        let world = World::start().await;
        world.hand.create("native", &world.hand.native("ORDER-1", &world.shop.notify_url)).await;
        let found = world.hand.query("ORDER-1").await.json();
        assert_eq!(found["trade_state"], "NOTPAY");
        for field in ["transaction_id", "success_time", "payer", "bank_type"] {
            assert_eq!(found[field], Value::Null, "{field}");
        }
    }
}

pub mod by_crate {
    use wechatpay::{Client, Created, Error, Patience, Product, TradeState, Transaction};

    use super::*;

    async fn create(ours: &Client, product: Product, order: &Value) -> Result<Created, Error> {
        let number = order["out_trade_no"].as_str().unwrap();
        ours.create(product, number, &order.to_string(), Patience::default()).await
    }

    async fn found(world: &World) -> Transaction {
        world.ours().query_by_out_trade_no("ORDER-1").await.unwrap()
    }

    fn prepay_id(created: Result<Created, Error>) -> String {
        match created {
            Ok(Created::PrepayId(id)) => id,
            other => panic!("{other:?}"),
        }
    }

    fn code_url(created: Result<Created, Error>) -> String {
        match created {
            Ok(Created::CodeUrl(url)) => url,
            other => panic!("{other:?}"),
        }
    }

    pub async fn an_identical_create_is_taken_again() {
        let world = World::start().await;
        let order = world.hand.jsapi("ORDER-1", &world.shop.notify_url);
        let ours = world.ours();
        let first = prepay_id(create(&ours, Product::Jsapi, &order).await);
        assert_eq!(prepay_id(create(&ours, Product::Jsapi, &order).await), first);
    }

    pub async fn a_different_create_of_one_number_is_out_trade_no_used() {
        let world = World::start().await;
        let ours = world.ours();
        let mut order = world.hand.native("ORDER-1", &world.shop.notify_url);
        code_url(create(&ours, Product::Native, &order).await);
        order["amount"]["total"] = json!(101);
        assert_eq!(code(create(&ours, Product::Native, &order).await), used());
        let elsewhere = world.hand.jsapi("ORDER-1", &world.shop.notify_url);
        assert_eq!(code(create(&ours, Product::Jsapi, &elsewhere).await), used());
    }

    pub async fn a_closed_number_is_order_closed() {
        let world = World::start().await;
        let ours = world.ours();
        let order = world.hand.native("ORDER-1", &world.shop.notify_url);
        code_url(create(&ours, Product::Native, &order).await);
        ours.close("ORDER-1").await.unwrap();
        assert_eq!(code(create(&ours, Product::Native, &order).await), (400, "ORDER_CLOSED".into()));
    }

    pub async fn a_paid_number_is_not_ordered_again() {
        let world = World::start().await;
        let ours = world.ours();
        let order = world.hand.native("ORDER-1", &world.shop.notify_url);
        code_url(create(&ours, Product::Native, &order).await);
        world.pay("ORDER-1").await;
        assert_eq!(code(create(&ours, Product::Native, &order).await), used());
    }

    pub async fn a_prepay_id_lives_two_hours() {
        let world = World::start().await;
        let order = world.hand.jsapi("ORDER-1", &world.shop.notify_url);
        let ours = world.ours();
        let first = prepay_id(create(&ours, Product::Jsapi, &order).await);
        world.advance(2 * HOUR + 1).await;
        assert_ne!(prepay_id(create(&ours, Product::Jsapi, &order).await), first);
    }

    pub async fn a_repeated_native_create_ends_the_older_code_url() {
        let world = World::start().await;
        let order = world.hand.native("ORDER-1", &world.shop.notify_url);
        let ours = world.ours();
        let older = code_url(create(&ours, Product::Native, &order).await);
        let newer = code_url(create(&ours, Product::Native, &order).await);
        assert_eq!(paying_by(&world, &older).await, 404);
        assert_eq!(paying_by(&world, &newer).await, 200);
    }

    pub async fn an_unpaid_order_closes_itself_after_seven_days() {
        let world = World::start().await;
        let order = world.hand.native("ORDER-1", &world.shop.notify_url);
        code_url(create(&world.ours(), Product::Native, &order).await);
        world.advance(7 * DAY + MINUTE).await;
        assert_eq!(found(&world).await.trade_state, TradeState::Closed);
    }

    pub async fn a_close_is_taken_twice_and_ends_the_order() {
        let world = World::start().await;
        let order = world.hand.native("ORDER-1", &world.shop.notify_url);
        let ours = world.ours();
        code_url(create(&ours, Product::Native, &order).await);
        ours.close("ORDER-1").await.unwrap();
        ours.close("ORDER-1").await.unwrap();
        assert_eq!(found(&world).await.trade_state, TradeState::Closed);
    }

    pub async fn closing_a_paid_order_is_order_paid() {
        let world = World::start().await;
        let order = world.hand.native("ORDER-1", &world.shop.notify_url);
        code_url(create(&world.ours(), Product::Native, &order).await);
        world.pay("ORDER-1").await;
        assert_eq!(code(world.ours().close("ORDER-1").await), (400, "ORDER_PAID".into()));
        assert!(found(&world).await.is_paid());
    }

    pub async fn an_order_paid_while_closing_is_order_paid() {
        let world = World::start().await;
        let order = world.hand.native("ORDER-1", &world.shop.notify_url);
        code_url(create(&world.ours(), Product::Native, &order).await);
        world.fault(json!({"kind": "pay_while_closing", "times": 1})).await;
        assert!(conformance::refused(world.ours().close("ORDER-1").await).says_paid_used_or_closed());
        assert!(found(&world).await.is_paid());
    }

    pub async fn an_order_is_found_by_both_numbers() {
        let world = World::start().await;
        let order = world.hand.jsapi("ORDER-1", &world.shop.notify_url);
        prepay_id(create(&world.ours(), Product::Jsapi, &order).await);
        world.pay("ORDER-1").await;
        let by_ours = found(&world).await;
        let id = by_ours.transaction_id.clone().unwrap();
        assert_eq!(world.ours().query_by_transaction_id(&id).await.unwrap(), by_ours);
        let amount = by_ours.amount.as_ref().unwrap();
        assert_eq!((amount.total, amount.currency.as_deref()), (Some(100), Some("CNY")));
        assert_eq!(by_ours.payer.as_ref().unwrap().openid.as_ref().unwrap().0, "oPayer");
        assert!(by_ours.paid_at().is_some());
        let unknown = world.ours().query_by_transaction_id("42").await;
        assert_eq!(code(unknown), (404, "ORDER_NOT_EXIST".into()));
    }

    pub async fn an_unpaid_order_has_no_payment_to_tell_of() {
        let world = World::start().await;
        let order = world.hand.native("ORDER-1", &world.shop.notify_url);
        code_url(create(&world.ours(), Product::Native, &order).await);
        let found = found(&world).await;
        assert_eq!(found.trade_state, TradeState::NotPay);
        assert_eq!((&found.transaction_id, found.paid_at()), (&None, None));
    }
}
