//! Who may speak, and what may be said (签名生成, 基本规则, 公共错误码).

use conformance::{Answer, Hand, Request, Said, World, code, refused};
use serde_json::{Value, json};
use simulator::{AppConfig, AppKind, MerchantConfig, Options};

const CERTIFICATES: &str = "/v3/certificates";

/// A GET with what stands in `Authorization`.
async fn get(hand: &Hand, target: &str, authorization: &str) -> Answer {
    let request = Request::new("GET", target, "").with("Authorization", authorization);
    hand.send(&request).await.unwrap()
}

fn sign_error() -> (u16, String) {
    (401, "SIGN_ERROR".to_owned())
}

fn param_error() -> (u16, String) {
    (400, "PARAM_ERROR".to_owned())
}

/// Two of them at one WeChat Pay: the first as ever, and another one's hand.
async fn two_merchants() -> (World, Hand) {
    let merchant = |mchid: &str| MerchantConfig {
        mchid: mchid.to_owned(),
        name: None,
        mode: None,
        certificate_serial: None,
        public_key_id: None,
        apps: vec![AppConfig {
            appid: "wx0000000000000001".to_owned(),
            kind: AppKind::ServiceAccount,
            secret: None,
        }],
    };
    let merchants = vec![merchant("1900000001"), merchant("1900000002")];
    let world = World::with(Options { merchants, ..Options::default() }).await;
    let other = world.control("GET", "/merchant?mchid=1900000002", Value::Null).await.json();
    let other = Hand::new(&world.hand.address, other);
    (world, other)
}

pub mod by_hand {
    use super::*;

    pub async fn authorization_covers_the_raw_target_and_the_raw_body() {
        let World { simulator: _simulator, hand, shop } = World::start().await;
        let target = "/v3/pay/transactions/native";
        // Blanks, and keys in an order of its own: what counts is the bytes.
        let order = hand.native("ORDER|1*", &shop.notify_url);
        let spaced = serde_json::to_string_pretty(&order).unwrap();
        assert_eq!(hand.call("POST", target, &spaced).await.status, 200);

        let compact = order.to_string();
        let over_compact = hand.authorization(&hand.said(), "POST", target, compact.as_bytes());
        let sent_spaced = Request::new("POST", target, &spaced).with("Authorization", &over_compact);
        assert_eq!(hand.send(&sent_spaced).await.unwrap().outcome(), sign_error());

        let encoded = hand.query_target("ORDER%7C1%2A");
        assert_eq!(hand.get(&encoded).await.status, 200);
        let over_plain = hand.authorization(&hand.said(), "GET", &hand.query_target("ORDER|1*"), b"");
        assert_eq!(get(&hand, &encoded, &over_plain).await.outcome(), sign_error());
        let without_query = hand.authorization(&hand.said(), "GET", encoded.split('?').next().unwrap(), b"");
        assert_eq!(get(&hand, &encoded, &without_query).await.outcome(), sign_error());
    }

    pub async fn authorization_pairs_come_in_any_order() {
        let World { simulator: _simulator, hand, shop } = World::start().await;
        hand.create("native", &hand.native("ORDER-1", &shop.notify_url)).await;
        let target = hand.query_target("ORDER-1");
        let header = hand.authorization(&hand.said(), "GET", &target, b"");
        let (scheme, pairs) = header.split_once(' ').unwrap();
        let mut pairs: Vec<_> = pairs.split(',').collect();
        for _ in 0..pairs.len() {
            pairs.rotate_left(1);
            let answer = get(&hand, &target, &format!("{scheme} {}", pairs.join(","))).await;
            assert_eq!(answer.status, 200, "{pairs:?}");
        }
        pairs.reverse();
        assert_eq!(get(&hand, &target, &format!("{scheme} {}", pairs.join(","))).await.status, 200);
    }

    pub async fn the_clock_is_checked_before_the_signature() {
        let World { simulator: _simulator, hand, shop: _ } = World::start().await;
        let target = hand.query_target("ORDER-1");
        let now = hand.said();
        for (offset, expected) in
            [(-302, sign_error()), (302, sign_error()), (-290, (404, "ORDER_NOT_EXIST".into()))]
        {
            let said = Said { timestamp: now.timestamp + offset, ..now.clone() };
            let answer = get(&hand, &target, &hand.authorization(&said, "GET", &target, b"")).await;
            assert_eq!(answer.outcome(), expected, "{offset}");
        }
        // Both are wrong; the clock is what is told.
        let stale = Said { timestamp: now.timestamp - 302, ..now };
        let answer = get(&hand, &target, &hand.authorization(&stale, "POST", &target, b"")).await;
        assert!(answer.json()["message"].as_str().unwrap().contains("5分钟"));
    }

    pub async fn a_refused_signature_says_why_in_wechats_words() {
        let World { simulator: _simulator, hand, shop: _ } = World::start().await;
        let order = hand.query_target("ORDER-1");
        let refund = "/v3/refund/domestic/refunds/R1";
        let good = |target: &str| hand.authorization(&hand.said(), "GET", target, b"");
        let other_serial = Said { serial: "5".repeat(40), ..hand.said() };
        let other_serial = hand.authorization(&other_serial, "GET", &order, b"");
        for (target, authorization, message) in [
            (order.as_str(), "Bearer abc".to_owned(), "签名信息错误，验签失败"),
            (&order, good(&order).replace('"', ""), "签名信息错误，验签失败"),
            (&order, good("/elsewhere"), "签名错误"),
            (&order, other_serial, "商户证书序列号有误"),
            (refund, "WECHATPAY2-SHA256-RSA2048 mchid=1".to_owned(), "Authorization值格式错误"),
            (CERTIFICATES, "WECHATPAY2-SHA256-RSA2048 mchid=1".to_owned(), "Authorization值格式错误"),
            (CERTIFICATES, good(CERTIFICATES).replace("RSA2048", "RSA1024"), "Authorization认证类型不正确"),
        ] {
            let answer = get(&hand, target, &authorization).await;
            assert_eq!(answer.outcome(), sign_error(), "{target}");
            let said = answer.json()["message"].as_str().unwrap().to_owned();
            assert!(said.contains(message), "{said} is not {message}");
        }
        let missing = hand.send(&Request::new("GET", &order, "")).await.unwrap();
        assert_eq!(missing.outcome(), sign_error());
    }

    pub async fn a_missing_user_agent_is_refused_on_certificates_and_refunds_only() {
        let World { simulator: _simulator, hand, shop: _ } = World::start().await;
        for (target, expected) in [
            (CERTIFICATES.to_owned(), (400, "INVALID_REQUEST")),
            ("/v3/refund/domestic/refunds/R1".to_owned(), (400, "INVALID_REQUEST")),
            (hand.query_target("ORDER-1"), (404, "ORDER_NOT_EXIST")),
        ] {
            let nameless = hand.signed("GET", &target, "").without("User-Agent");
            let answer = hand.send(&nameless).await.unwrap();
            assert_eq!(answer.outcome(), (expected.0, expected.1.to_owned()), "{target}");
        }
    }

    pub async fn the_mchid_is_one_in_header_body_and_query() {
        let World { simulator: _simulator, hand, shop } = World::start().await;
        let mut order = hand.native("ORDER-1", &shop.notify_url);
        hand.create("native", &order).await;
        let path = "/v3/pay/transactions/out-trade-no/ORDER-1";
        for query in ["", "?mchid=1900000999"] {
            assert_eq!(hand.get(&format!("{path}{query}")).await.outcome(), param_error(), "{query}");
        }
        let close = hand.post(&format!("{path}/close"), &json!({"mchid": "1900000999"})).await;
        assert_eq!(close.outcome(), param_error());
        order["mchid"] = json!("1900000999");
        assert_eq!(hand.create("native", &order).await.outcome(), param_error());
    }

    pub async fn unknown_fields_are_refused() {
        let World { simulator: _simulator, hand, shop } = World::start().await;
        let order = hand.native("ORDER-1", &shop.notify_url);
        for (pointer, name) in [("", "colour"), ("/amount", "tip"), ("", "payer"), ("", "Description")] {
            let mut order = order.clone();
            order.pointer_mut(pointer).unwrap()[name] = json!({});
            let answer = hand.create("native", &order).await;
            assert_eq!(answer.outcome(), param_error(), "{pointer}/{name}");
            assert_eq!(answer.json()["detail"]["field"], format!("{pointer}/{name}"));
        }
        let close = json!({"mchid": hand.mchid(), "reason": "none"});
        let answer = hand.post("/v3/pay/transactions/out-trade-no/ORDER-1/close", &close).await;
        assert_eq!(answer.outcome(), param_error());
    }

    pub async fn null_is_no_value() {
        let World { simulator: _simulator, hand, shop } = World::start().await;
        for name in ["attach", "time_expire", "description", "detail"] {
            let mut order = hand.native("ORDER-1", &shop.notify_url);
            order[name] = Value::Null;
            assert_eq!(hand.create("native", &order).await.outcome(), param_error(), "{name}");
        }
    }

    pub async fn characters_of_four_bytes_are_refused() {
        let World { simulator: _simulator, hand, shop } = World::start().await;
        let mut order = hand.native("ORDER-1", &shop.notify_url);
        order["description"] = json!("奶茶 \u{ffe5} é");
        assert_eq!(hand.create("native", &order).await.status, 200);
        for (name, text) in [("description", "奶茶🧋"), ("attach", "𠮷")] {
            let mut order = hand.native("ORDER-2", &shop.notify_url);
            order[name] = json!(text);
            assert_eq!(hand.create("native", &order).await.outcome(), param_error(), "{text}");
        }
    }

    pub async fn fields_have_their_limits() {
        let World { simulator: _simulator, hand, shop } = World::start().await;
        let long = |length: usize| json!("字".repeat(length));
        let url = |length: usize| json!(format!("https://shop.example/{}", "n".repeat(length - 21)));
        let cases = [
            ("/description", long(127), true),
            ("/description", long(128), false),
            ("/description", json!(""), false),
            ("/attach", long(128), true),
            ("/attach", long(129), false),
            ("/notify_url", url(255), true),
            ("/notify_url", url(256), false),
            ("/notify_url", json!("https://shop.example/n?order=1"), false),
            ("/notify_url", json!("shop.example/n"), false),
            ("/out_trade_no", json!("A".repeat(5)), false),
            ("/out_trade_no", json!("A-_|*9"), true),
            ("/out_trade_no", json!("B".repeat(32)), true),
            ("/out_trade_no", json!("B".repeat(33)), false),
            ("/out_trade_no", json!("ORDER 1"), false),
            ("/out_trade_no", json!("ORDER@1"), false),
            ("/amount/total", json!(1), true),
            ("/amount/total", json!(0), false),
            ("/amount/total", json!(-1), false),
            ("/amount/total", json!(1.5), false),
            ("/amount/total", json!("100"), false),
            ("/amount/currency", json!("USD"), false),
            ("/time_expire", json!("2018-06-08T10:34"), false),
            ("/goods_tag", long(33), false),
        ];
        for (at, (pointer, value, is_taken)) in cases.into_iter().enumerate() {
            let mut order = hand.native(&format!("LIMIT-{at}"), &shop.notify_url);
            *order.pointer_mut(pointer).unwrap_or(&mut Value::Null) = value.clone();
            if order.pointer(pointer).is_none() {
                order[pointer.trim_start_matches('/')] = value.clone();
            }
            let answer = hand.create("native", &order).await;
            let expected = if is_taken { (200, String::new()) } else { param_error() };
            assert_eq!(answer.outcome(), expected, "{pointer} {value}");
        }
        let mut nobody = hand.jsapi("ORDER-1", &shop.notify_url);
        nobody.as_object_mut().unwrap().remove("payer");
        assert_eq!(hand.create("jsapi", &nobody).await.outcome(), param_error());
    }

    pub async fn a_broken_body_is_refused_and_changes_nothing() {
        let World { simulator: _simulator, hand, shop } = World::start().await;
        let order = hand.native("ORDER-1", &shop.notify_url).to_string();
        for body in ["", "{", "[]", "null", "<xml/>", &order[..order.len() - 1], &format!("{order}{order}")] {
            let answer = hand.call("POST", "/v3/pay/transactions/native", body).await;
            assert_eq!(answer.outcome(), param_error(), "{body}");
        }
        assert_eq!(hand.query("ORDER-1").await.outcome(), (404, "ORDER_NOT_EXIST".into()));
    }

    pub async fn an_app_must_belong_to_the_merchant() {
        let World { simulator: _simulator, hand, shop } = World::start().await;
        let mut order = hand.native("ORDER-1", &shop.notify_url);
        order["appid"] = json!("wx9999999999999999");
        assert_eq!(hand.create("native", &order).await.outcome(), (400, "APPID_MCHID_NOT_MATCH".into()));
    }

    pub async fn a_merchant_must_have_a_contract() {
        let World { simulator: _simulator, hand, shop: _ } = World::start().await;
        for (target, status) in [
            ("/v3/pay/transactions/out-trade-no/ORDER-1?mchid=1900000999", 400),
            ("/v3/refund/domestic/refunds/R1", 404),
        ] {
            let stranger = Said { mchid: "1900000999".to_owned(), ..hand.said() };
            let answer = get(&hand, target, &hand.authorization(&stranger, "GET", target, b"")).await;
            assert_eq!(answer.outcome(), (status, "MCH_NOT_EXISTS".into()), "{target}");
        }
    }

    pub async fn merchants_do_not_see_each_other() {
        let (world, other) = two_merchants().await;
        let hand = &world.hand;
        assert_eq!(hand.create("native", &hand.native("ORDER-1", &world.shop.notify_url)).await.status, 200);
        assert_eq!(other.query("ORDER-1").await.outcome(), (404, "ORDER_NOT_EXIST".into()));
        // The same number is free for another.
        let mut theirs = other.native("ORDER-1", &world.shop.notify_url);
        theirs["amount"]["total"] = json!(7);
        assert_eq!(other.create("native", &theirs).await.status, 200);
        world.pay("ORDER-1").await;
        assert_eq!(other.state("ORDER-1").await, "NOTPAY");
        let id = hand.query("ORDER-1").await.json()["transaction_id"].as_str().unwrap().to_owned();
        let stolen = other.get(&format!("/v3/pay/transactions/id/{id}?mchid={}", other.mchid())).await;
        assert_eq!(stolen.outcome(), (404, "ORDER_NOT_EXIST".into()));
        let refund = json!({
            "transaction_id": id,
            "out_refund_no": "R-1",
            "amount": {"refund": 1, "total": 100, "currency": "CNY"},
        });
        let refund = other.post("/v3/refund/domestic/refunds", &refund).await;
        assert_eq!(refund.outcome(), (404, "RESOURCE_NOT_EXISTS".into()));

        let paid = hand.query("ORDER-1").await.json();
        let day = &paid["success_time"].as_str().unwrap()[..10];
        world.advance(36 * 3600).await;
        let bill = hand.get(&format!("/v3/bill/tradebill?bill_date={day}")).await.json();
        let url = bill["download_url"].as_str().unwrap();
        let target = &url[url.find("/v3/").unwrap()..];
        let stolen = other.send(&other.signed("GET", target, "")).await.unwrap();
        assert_eq!(stolen.outcome(), (403, "NO_AUTH".into()));
    }
}

pub mod by_crate {
    use std::sync::Arc;

    use wechatpay::{Patience, Product};

    use super::*;

    pub async fn authorization_covers_the_raw_target_and_the_raw_body() {
        let world = World::start().await;
        let ours = world.ours();
        let order = world.hand.native("ORDER|1*", &world.shop.notify_url);
        let spaced = serde_json::to_string_pretty(&order).unwrap();
        ours.create(Product::Native, "ORDER|1*", &spaced, Patience::default()).await.unwrap();
        assert!(!ours.query_by_out_trade_no("ORDER|1*").await.unwrap().is_paid());
        ours.close("ORDER|1*").await.unwrap();
    }

    pub async fn the_clock_is_checked_before_the_signature() {
        let world = World::start().await;
        for offset in [-302, 302] {
            let ours = world.ours_with(|config| {
                let now = Arc::clone(&config.environment.now);
                config.environment.now = Arc::new(move || now() + offset);
                // Both are wrong; the clock is what is told.
                config.merchant.mchid = "1900000999".to_owned();
            });
            let said = refused(ours.query_by_out_trade_no("ORDER-1").await);
            assert!(said.is_authentication() && said.message.contains("5分钟"), "{said:?}");
        }
    }

    pub async fn a_refused_signature_says_why_in_wechats_words() {
        let world = World::start().await;
        let ours = world.ours_with(|config| config.merchant.certificate_serial = "5".repeat(40));
        let said = refused(ours.query_by_out_trade_no("ORDER-1").await);
        assert!(said.is_authentication() && said.message.contains("商户证书序列号有误"), "{said:?}");
    }

    pub async fn unknown_fields_are_refused() {
        let world = World::start().await;
        let mut order = world.hand.native("ORDER-1", &world.shop.notify_url);
        order["colour"] = json!("green");
        let body = order.to_string();
        let created = world.ours().create(Product::Native, "ORDER-1", &body, Patience::default()).await;
        assert_eq!(code(created), param_error());
    }

    pub async fn an_app_must_belong_to_the_merchant() {
        let world = World::start().await;
        let mut order = world.hand.native("ORDER-1", &world.shop.notify_url);
        order["appid"] = json!("wx9999999999999999");
        let body = order.to_string();
        let created = world.ours().create(Product::Native, "ORDER-1", &body, Patience::default()).await;
        assert_eq!(code(created), (400, "APPID_MCHID_NOT_MATCH".into()));
    }

    pub async fn a_merchant_must_have_a_contract() {
        let world = World::start().await;
        let ours = world.ours_with(|config| config.merchant.mchid = "1900000999".to_owned());
        assert_eq!(code(ours.query_by_out_trade_no("ORDER-1").await), (400, "MCH_NOT_EXISTS".into()));
        assert_eq!(code(ours.query_refund("R-1").await), (404, "MCH_NOT_EXISTS".into()));
    }

    pub async fn merchants_do_not_see_each_other() {
        let (world, other) = two_merchants().await;
        let order = world.hand.native("ORDER-1", &world.shop.notify_url).to_string();
        world.ours().create(Product::Native, "ORDER-1", &order, Patience::default()).await.unwrap();
        let other = World { hand: other, ..world };
        assert!(refused(other.ours().query_by_out_trade_no("ORDER-1").await).is_order_not_found());
    }
}
