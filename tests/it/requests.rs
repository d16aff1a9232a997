//! What shops and payers may ask, and what they are told when they may not. Bad input gets a
//! clear problem and changes nothing.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::Pay;

use crate::system::{API_KEY, Answered, OTHER_API_KEY, TestSystem, UNBOUND_APP, order};

fn with(field: &str, value: Value) -> Value {
    let mut asked = order("T-1");
    asked[field] = value;
    asked
}

fn is_problem(answered: &Answered, status: u16, code: &str) {
    assert_eq!((answered.status, answered.code()), (status, code), "{answered:?}");
    assert_eq!(answered.headers["content-type"], "application/problem+json");
    let problem = &answered.body;
    assert_eq!(problem["type"], format!("urn:everpaid:problem:{code}"));
    assert_eq!(problem["status"], status);
    assert_eq!(problem["request_id"], answered.headers["x-request-id"].to_str().unwrap());
    assert!(
        problem["title"].is_string() && problem["detail"].is_string() && problem["retryable"].is_boolean()
    );
}

#[tokio::test]
async fn an_order_that_is_not_valid_is_refused_with_its_place() {
    let long = "长".repeat(128);
    let amount =
        |total: Value, currency: &str| with("amount", json!({ "total": total, "currency": currency }));
    let cases = [
        ("/amount/total", amount(json!(0), "CNY")),
        ("/amount/total", amount(json!(-1), "CNY")),
        ("/amount/total", amount(json!(1.5), "CNY")),
        ("/amount/total", amount(json!("100"), "CNY")),
        ("/amount/total", amount(json!(10_000_000_001_i64), "CNY")),
        ("/amount/total", amount(json!(u64::MAX), "CNY")),
        ("/amount/currency", amount(json!(1), "USD")),
        ("/amount/currency", amount(json!(1), "cny")),
        ("/amount/fee", with("amount", json!({ "total": 1, "currency": "CNY", "fee": 1 }))),
        ("/amount", with("amount", json!({ "total": 1 }))),
        ("/description", with("description", json!(""))),
        ("/description", with("description", json!("茶🍵"))),
        ("/description", with("description", json!(long))),
        ("/description", with("description", json!("a\u{0}b"))),
        ("/description", with("description", json!(null))),
        ("/attach", with("attach", json!(long + "x"))),
        ("/attach", with("attach", json!("🍵"))),
        ("/merchant_order_no", with("merchant_order_no", json!(""))),
        ("/merchant_order_no", with("merchant_order_no", json!("a b"))),
        ("/merchant_order_no", with("merchant_order_no", json!("一"))),
        ("/merchant_order_no", with("merchant_order_no", json!("x".repeat(65)))),
        ("/expires_in", with("expires_in", json!(59))),
        ("/expires_in", with("expires_in", json!(604_801))),
        ("/return_url", with("return_url", json!("javascript:alert(1)"))),
        ("/return_url", with("return_url", json!("/relative"))),
        ("/metadata", with("metadata", json!([1]))),
        ("/metadata", with("metadata", json!({ "x": "y".repeat(4096) }))),
        ("/colour", with("colour", json!("red"))),
    ];
    let system = TestSystem::one().await;
    for (pointer, asked) in cases {
        let answered = system.shop_posts("/v1/orders", &asked).await;
        is_problem(&answered, 400, "invalid_request");
        assert_eq!(answered.body["pointer"], pointer, "{answered:?}");
    }
    assert_eq!(system.rows().await, [0; 6], "nothing was written");

    let emoji = system.shop_posts("/v1/orders", &with("description", json!("茶🍵"))).await;
    assert!(emoji.body["detail"].as_str().unwrap().contains("WeChat Pay takes only"), "{emoji:?}");
    system.end().await;
}

#[tokio::test]
async fn what_is_not_json_is_refused() {
    let system = TestSystem::one().await;
    let send = async |kind: &str, body: Vec<u8>| {
        let request = system.http.post(system.url("/v1/orders")).bearer_auth(API_KEY);
        Answered::of(request.header("content-type", kind).body(body)).await
    };
    for body in [
        "",
        "{",
        "[]",
        "null",
        "{\"merchant_order_no\":\"a\",\"merchant_order_no\":\"b\"}",
        "{} {}",
        "\u{feff}{}",
    ] {
        is_problem(&send("application/json", body.into()).await, 400, "invalid_request");
    }
    let valid = serde_json::to_vec(&order("T-1")).unwrap();
    let with_more = [valid.clone(), b"x".to_vec()].concat();
    is_problem(&send("application/json", with_more).await, 400, "invalid_request");
    is_problem(&send("application/json", vec![0xff, 0xfe]).await, 400, "invalid_request");
    is_problem(&send("text/plain", valid).await, 415, "unsupported_media_type");
    is_problem(&send("application/json", vec![b' '; 64 * 1024 + 1]).await, 413, "body_too_large");
    assert_eq!(system.rows().await, [0; 6]);
    system.end().await;
}

#[tokio::test]
async fn the_same_number_is_the_same_order_or_a_conflict() {
    for system in TestSystem::each().await {
        let full = json!({
            "merchant_order_no": "T-1", "description": "茶", "amount": { "total": 1, "currency": "CNY" },
            "expires_in": 600, "attach": "a", "return_url": "https://shop.example/thanks", "metadata": { "b": 1, "a": 2 },
        });
        let first = system.shop_posts("/v1/orders", &full).await;
        assert_eq!(first.status, 201);
        let again = system.shop_posts("/v1/orders", &full).await;
        assert_eq!((again.status, &again.body), (200, &first.body), "the same body");
        for (field, value) in [
            ("description", json!("酒")),
            ("amount", json!({ "total": 2, "currency": "CNY" })),
            ("expires_in", json!(601)),
            ("attach", json!("b")),
            ("return_url", json!(null)),
            ("metadata", json!({ "a": 1 })),
        ] {
            let mut other = full.clone();
            other[field] = value;
            let answered = system.shop_posts("/v1/orders", &other).await;
            is_problem(&answered, 409, "merchant_order_no_used");
            assert!(answered.body["detail"].as_str().unwrap().contains(field), "{answered:?}");
        }
        // Another merchant's numbers are its own.
        assert_eq!(system.post("/v1/orders", OTHER_API_KEY, &order("T-1")).await.status, 201);

        let racing = (0..20).map(|_| async { system.shop_posts("/v1/orders", &order("T-2")).await });
        let answers = futures::future::join_all(racing).await;
        assert_eq!(answers.iter().filter(|answered| answered.status == 201).count(), 1);
        assert!(
            answers.iter().all(|answered| answered.body["order"]["id"] == answers[0].body["order"]["id"])
        );
        system.end().await;
    }
}

#[tokio::test]
async fn who_is_not_known_or_not_meant_is_told_so_and_foreign_looks_like_missing() {
    let system = TestSystem::one().await;
    let mine = system.place_order("T-1").await;
    let payment = system.ready_payment(&mine).await;
    let others = system.place_order("T-2").await;
    let of_order = format!("/v1/orders/{}", mine.id);
    let of_payment = format!("/v1/payments/{}", payment.id);

    for token in ["", "sk_test_wrong", "cs_wrong", &mine.client_secret[1..]] {
        is_problem(&system.get(&of_order, token).await, 401, "unauthorized");
    }
    is_problem(&Answered::of(system.http.get(system.url(&of_order))).await, 401, "unauthorized");
    is_problem(&system.get("/v1/orders", &mine.client_secret).await, 403, "shop_key_required");
    is_problem(
        &system.get(&format!("{of_order}/timeline"), &mine.client_secret).await,
        403,
        "shop_key_required",
    );

    let foreign_and_missing = [
        (of_order.clone(), OTHER_API_KEY),
        (of_order.clone(), others.client_secret.as_str()),
        ("/v1/orders/ord_01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(), API_KEY),
        ("/v1/orders/nonsense".to_owned(), API_KEY),
        (format!("{of_order}/timeline"), OTHER_API_KEY),
        (format!("{of_order}/events"), OTHER_API_KEY),
    ];
    let mut bodies = Vec::new();
    for (path, token) in &foreign_and_missing {
        let mut answered = system.get(path, token).await;
        is_problem(&answered, 404, "order_not_found");
        answered.body["request_id"] = Value::Null;
        bodies.push(answered.body);
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "they look the same");

    for (path, token) in [
        (of_payment.as_str(), OTHER_API_KEY),
        (of_payment.as_str(), others.client_secret.as_str()),
        ("/v1/payments/nonsense", API_KEY),
    ] {
        is_problem(&system.get(path, token).await, 404, "payment_not_found");
        is_problem(
            &system.post(&format!("{path}/confirm"), token, &json!({})).await,
            404,
            "payment_not_found",
        );
    }
    is_problem(&system.get("/v1/nothing", API_KEY).await, 404, "no_such_route");
    is_problem(&Answered::of(system.http.delete(system.url(&of_order))).await, 405, "method_not_allowed");
    // A shop's key in an address would end up in logs.
    let qr = system.url(&format!("{of_payment}/qr.svg?client_secret={API_KEY}"));
    is_problem(&Answered::of(system.http.get(qr)).await, 401, "unauthorized");
    system.end().await;
}

#[tokio::test]
async fn a_payment_that_may_not_be_opened_is_refused_with_the_reason() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let path = format!("/v1/orders/{}/payments", order.id);
        let native = json!({ "method": "native" });
        for (asked, status, code) in [
            (json!({ "method": "mini_program", "app_id": "wx0000000000000001" }), 400, "openid_required"),
            (
                json!({ "method": "jsapi", "app_id": "wx0000000000000001", "openid": "" }),
                400,
                "openid_required",
            ),
            (json!({ "method": "mini_program", "openid": "o1" }), 400, "app_unknown"),
            (json!({ "method": "native", "app_id": "wx9" }), 400, "app_unknown"),
            (json!({ "method": "native", "openid": "o1" }), 400, "invalid_request"),
            (json!({ "method": "card" }), 400, "invalid_request"),
            (json!({ "method": "native", "amount": 1 }), 400, "invalid_request"),
            (json!({ "method": "native", "expected_total": 3989 }), 409, "amount_differs"),
        ] {
            is_problem(&system.shop_posts(&path, &asked).await, status, code);
        }
        // A payer cannot pay in somebody else's name.
        let named = json!({ "method": "mini_program", "app_id": "wx0000000000000001", "openid": "o1" });
        is_problem(&system.post(&path, &order.client_secret, &named).await, 403, "openid_not_verified");
        assert_eq!(system.rows().await[1], 0, "no payment was written");

        let first = system.shop_posts(&path, &json!({ "method": "native", "expected_total": 3990 })).await;
        assert_eq!(first.status, 200);
        let again = system.shop_posts(&path, &native).await;
        assert_eq!(again.body, first.body, "the live one is given again");

        let payment = system.payment_of(&order).await;
        system.simulator.pay(&payment.out_trade_no, Pay::default()).await.unwrap();
        system.order_is_paid(&order).await;
        is_problem(&system.shop_posts(&path, &native).await, 409, "order_paid");

        let expiring = system.place_order("T-2").await;
        system.advance(Duration::from_secs(7200 - 60)).await;
        is_problem(&system.open_payment(&expiring).await, 409, "order_expired");
        system.end().await;
    }
}

/// A definite no of WeChat Pay ends the payment, and the next one may be opened.
#[tokio::test]
async fn what_wechat_refuses_is_told_with_its_own_words() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let path = format!("/v1/orders/{}/payments", order.id);
        // An app that is in the configuration and not bound to the mchid.
        let asked = json!({ "method": "mini_program", "app_id": UNBOUND_APP, "openid": "oPayerOfTea" });
        let answered = system.shop_posts(&path, &asked).await;
        is_problem(&answered, 422, "payment_refused");
        assert_eq!(answered.body["wechat"]["code"], "APPID_MCHID_NOT_MATCH");
        assert!(!answered.body.to_string().contains("oPayerOfTea"));
        assert_eq!(system.open_payment(&order).await.status, 200);
        assert_eq!(
            system.timeline(&order).await,
            [
                "api order_created: order pending",
                "api payment_created: order pending, payment created",
                "call create_refused: order pending, payment failed",
                "api payment_created: order pending, payment created",
                "call prepay_issued: order pending, payment awaiting_payment",
            ]
        );
        system.end().await;
    }
}

#[tokio::test]
async fn orders_are_listed_by_page_and_by_what_is_asked_for() {
    for system in TestSystem::each().await {
        for number in 1..=5 {
            system.place_order(&format!("T-{number}")).await;
        }
        system.post("/v1/orders", OTHER_API_KEY, &order("O-1")).await;
        let numbers = |answered: &Answered| -> Vec<String> {
            let orders = answered.body["orders"].as_array().unwrap();
            orders.iter().map(|order| order["merchant_order_no"].as_str().unwrap().to_owned()).collect()
        };
        let first = system.shop_gets("/v1/orders?limit=3").await;
        assert_eq!(
            (numbers(&first), &first.body["has_more"]),
            (vec!["T-5".into(), "T-4".into(), "T-3".into()], &json!(true))
        );
        let last = first.body["orders"][2]["id"].as_str().unwrap();
        let second = system.shop_gets(&format!("/v1/orders?limit=3&starting_after={last}")).await;
        assert_eq!(
            (numbers(&second), &second.body["has_more"]),
            (vec!["T-2".into(), "T-1".into()], &json!(false))
        );
        assert_eq!(numbers(&system.shop_gets("/v1/orders?merchant_order_no=T-4").await), ["T-4"]);
        assert_eq!(numbers(&system.shop_gets("/v1/orders?status=paid").await), Vec::<String>::new());
        for query in ["limit=0", "limit=101", "limit=x", "status=done", "starting_after=x", "colour=red"] {
            is_problem(&system.shop_gets(&format!("/v1/orders?{query}")).await, 400, "invalid_request");
        }
        system.end().await;
    }
}
