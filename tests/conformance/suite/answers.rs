//! What an answer looks like (签名验证, 基本规则, 公共错误码).

use conformance::{Request, World};
use serde_json::json;

pub mod by_hand {
    use super::*;

    pub async fn a_good_answer_carries_five_signature_headers() {
        let World { simulator: _simulator, hand, shop } = World::start().await;
        let created = hand.create("native", &hand.native("ORDER-1", &shop.notify_url)).await;
        let closed = hand.close("ORDER-1").await;
        assert_eq!((created.status, closed.status, closed.body.len()), (200, 204, 0));
        for answer in [created, closed] {
            for name in ["Timestamp", "Nonce", "Signature", "Serial"] {
                assert!(answer.header(&format!("Wechatpay-{name}")).is_some(), "{name}");
            }
            assert_eq!(answer.header("Wechatpay-Signature-Type"), Some("WECHATPAY2-SHA256-RSA2048"));
            let said_at: i64 = answer.header("Wechatpay-Timestamp").unwrap().parse().unwrap();
            assert!((hand.said().timestamp - said_at).abs() < 60);
            assert_eq!(hand.verify(&answer), Ok(()));
        }
    }

    pub async fn headers_are_spelt_as_wechat_pay_spells_them() {
        let mut world = World::start().await;
        let created =
            world.hand.create("native", &world.hand.native("ORDER-1", &world.shop.notify_url)).await;
        world.pay("ORDER-1").await;
        let posted = world.shop.next().await;
        for message in [created, posted.message] {
            let names: Vec<_> =
                message.names().filter(|name| name.to_lowercase().starts_with("wechatpay")).collect();
            for name in ["Timestamp", "Nonce", "Signature", "Serial", "Signature-Type"] {
                assert!(names.contains(&format!("Wechatpay-{name}").as_str()), "{name} is not in {names:?}");
            }
        }
    }

    pub async fn json_says_that_it_is_utf_8() {
        let World { simulator: _simulator, hand, shop } = World::start().await;
        let good = hand.create("native", &hand.native("ORDER-1", &shop.notify_url)).await;
        let bad = hand.query("ORDER-2").await;
        for answer in [good, bad] {
            assert_eq!(answer.header("Content-Type"), Some("application/json; charset=utf-8"));
        }
    }

    pub async fn a_refusal_is_not_signed() {
        let World { simulator: _simulator, hand, shop: _ } = World::start().await;
        let unsigned = hand.send(&Request::new("GET", "/v3/certificates", "")).await.unwrap();
        let missing = hand.query("ORDER-1").await;
        let broken = hand.call("POST", "/v3/pay/transactions/native", "{").await;
        assert_eq!((unsigned.status, missing.status, broken.status), (401, 404, 400));
        for answer in [unsigned, missing, broken] {
            assert!(!answer.is_signed());
        }
    }

    pub async fn a_request_id_ends_in_the_number_of_the_error() {
        let World { simulator: _simulator, hand, shop } = World::start().await;
        let mut order = hand.native("ORDER-1", &shop.notify_url);
        let numbered = |answer: &conformance::Answer| {
            let id = answer.header("Request-ID").expect("a Request-ID").to_owned();
            let (hex, number) = id.split_once('-').unwrap();
            assert!(hex.starts_with("08") && hex.bytes().all(|c| c.is_ascii_hexdigit()), "{id}");
            number.parse::<u64>().unwrap()
        };
        assert_eq!(numbered(&hand.create("native", &order).await), 0);
        order["colour"] = json!("green");
        assert_eq!(numbered(&hand.create("native", &order).await), 270_924_358);
        assert_eq!(numbered(&hand.query("ORDER-2").await), 268_512_771);
        let certificates = hand.send(&Request::new("GET", "/v3/certificates", "")).await.unwrap();
        assert_eq!(certificates.status, 401);
        numbered(&certificates);
        let target = hand.query_target("ORDER-1");
        let transactions = hand.send(&Request::new("GET", &target, "")).await.unwrap();
        assert_eq!((transactions.status, transactions.header("Request-ID")), (401, None));
    }

    pub async fn an_unknown_path_or_method_has_an_empty_answer() {
        let World { simulator: _simulator, hand, shop: _ } = World::start().await;
        for (method, target, status) in [
            ("GET", "/v3/pay/transactions/elsewhere/1/2", 404),
            ("GET", "/v3/nothing", 404),
            ("GET", "/v3/pay/transactions/native", 405),
            ("POST", "/v3/certificates", 405),
        ] {
            let answer = hand.call(method, target, "").await;
            assert_eq!((answer.status, answer.body.len()), (status, 0), "{method} {target}");
        }
    }

    pub async fn an_error_names_code_message_and_field() {
        let World { simulator: _simulator, hand, shop } = World::start().await;
        let mut order = hand.native("ORDER-1", &shop.notify_url);
        order["amount"]["total"] = json!(0);
        let said = hand.create("native", &order).await.json();
        assert_eq!(said["code"], "PARAM_ERROR");
        assert!(!said["message"].as_str().unwrap().is_empty());
        let detail = &said["detail"];
        assert_eq!((&detail["field"], &detail["value"]), (&json!("/amount/total"), &json!(0)));
        assert_eq!(detail["location"], "body");
        assert!(detail["issue"].is_string());
        let query = hand.get("/v3/pay/transactions/out-trade-no/ORDER-1").await.json();
        assert_eq!(
            (&query["detail"]["field"], &query["detail"]["location"]),
            (&json!("mchid"), &json!("query"))
        );
    }
}

pub mod by_crate {
    use conformance::{code, refused};
    use wechatpay::{Patience, Product};

    use super::*;

    pub async fn a_good_answer_carries_five_signature_headers() {
        // Our client believes nothing else.
        let world = World::start().await;
        let ours = world.ours();
        let order = world.hand.native("ORDER-1", &world.shop.notify_url).to_string();
        ours.create(Product::Native, "ORDER-1", &order, Patience::default()).await.unwrap();
        ours.close("ORDER-1").await.unwrap();
    }

    pub async fn a_refusal_is_not_signed() {
        let world = World::start().await;
        let said = refused(world.ours().query_by_out_trade_no("ORDER-1").await);
        assert!(said.is_order_not_found() && !said.verified);
    }

    pub async fn a_request_id_ends_in_the_number_of_the_error() {
        let world = World::start().await;
        let said = refused(world.ours().query_by_out_trade_no("ORDER-1").await);
        assert!(said.request_id.unwrap().ends_with("-268512771"));
    }

    pub async fn an_error_names_code_message_and_field() {
        let world = World::start().await;
        let mut order = world.hand.native("ORDER-1", &world.shop.notify_url);
        order["amount"]["total"] = json!(0);
        let body = order.to_string();
        let created = world.ours().create(Product::Native, "ORDER-1", &body, Patience::default()).await;
        assert_eq!(code(created), (400, "PARAM_ERROR".into()));
    }
}
