//! What a payer and an operator see.

use std::time::Duration;

use entity::payment;
use futures::StreamExt;
use serde_json::{Value, json};

use crate::system::{Answered, MERCHANT, Placed, SERVICE_ACCOUNT, SUPPORT, TestSystem};

const SECOND: Duration = Duration::from_secs(1);
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Reads server-sent events until `count` of them were seen; each as (id, data).
async fn events(system: &TestSystem, order: &Placed, last: Option<i64>, count: usize) -> Vec<(i64, Value)> {
    let url = system.url(&format!("/v1/orders/{}/events?client_secret={}", order.id, order.client_secret));
    let mut request = system.http.get(url);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut stream = response.bytes_stream();
    let (mut text, mut seen) = (String::new(), Vec::new());
    while seen.len() < count {
        text += std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap();
        while let Some((block, rest)) = text.split_once("\n\n") {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            if let (Some(id), Some(data)) = (field("id:"), field("data:")) {
                assert_eq!(field("event:"), Some("order"));
                seen.push((id.parse().unwrap(), serde_json::from_str(data).unwrap()));
            }
            text = rest.to_owned();
        }
    }
    seen
}

#[tokio::test]
async fn a_page_follows_an_order_live_and_resumes_where_it_was() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let payment = system.ready_payment(&order).await;
        let (seen, ()) = tokio::join!(events(&system, &order, None, 4), system.payer_pays(&payment));
        let kinds: Vec<_> = seen.iter().map(|(id, data)| (*id, data["kind"].as_str().unwrap())).collect();
        assert_eq!(
            kinds,
            [(1, "order_created"), (2, "payment_created"), (3, "prepay_issued"), (4, "payment_succeeded")]
        );
        assert_eq!(seen[3].1["order"]["status"], "paid");
        // Another process, after a restart: what was missed comes first.
        system.stop_everpaid().await;
        system.resume().await;
        let missed = events(&system, &order, Some(3), 1).await;
        assert_eq!(missed[0].0, 4);
        system.end().await;
    }
}

/// R3.1, R3.3, R3.5: what opens the cashier in WeChat, for the person who was named. R7.2, R7.3, R7.4: it
/// is told, asked about and made as a native payment is.
#[tokio::test]
async fn a_mini_program_payment_comes_with_its_call_up_parameters() {
    for system in TestSystem::each().await {
        let order = system.place_order("T-1").await;
        let path = format!("/v1/orders/{}/payments", order.id);
        let asked = json!({ "method": "jsapi", "app_id": SERVICE_ACCOUNT, "openid": "oPayerOfTea" });
        let answered = system.shop_posts(&path, &asked).await;
        assert_eq!(answered.status, 200, "{answered:?}");
        let payment = &answered.body["payment"];
        assert_eq!(payment["method"], "mini_program");
        let call_up = payment["call_up"].as_object().unwrap();
        let mut names: Vec<_> = call_up.keys().collect();
        names.sort();
        assert_eq!(names, ["appId", "nonceStr", "package", "paySign", "signType", "timeStamp"]);
        assert!(call_up.values().all(Value::is_string));
        assert_eq!((&call_up["appId"], &call_up["signType"]), (&json!(SERVICE_ACCOUNT), &json!("RSA")));
        assert!(call_up["package"].as_str().unwrap().starts_with("prepay_id=wx"));

        let payment = system.payment_of(&order).await;
        assert_eq!(payment.method, payment::Method::MiniProgram);
        let pay = simulator::Pay { openid: Some("oPayerOfTea".to_owned()), total: None };
        system.simulator.pay(&payment.out_trade_no, pay).await.unwrap();
        system.order_is_paid(&order).await;
        for path in [format!("/v1/orders/{}", order.id), format!("/v1/orders/{}/timeline", order.id)] {
            let shown = system.shop_gets(&path).await.body.to_string();
            assert!(!shown.contains("oPayerOfTea"), "an openid leaves the server: {shown}");
        }
        system.end().await;
    }
}

#[tokio::test]
async fn a_payer_sees_amount_and_description_and_nothing_of_the_shops_own() {
    let system = TestSystem::one().await;
    let asked = json!({
        "merchant_order_no": "T-1", "description": "茶", "amount": { "total": 1, "currency": "CNY" },
        "attach": "only-for-the-shop", "metadata": { "secret": "only-for-the-shop" },
    });
    let placed = system.shop_posts("/v1/orders", &asked).await;
    let secret = placed.body["client_secret"].as_str().unwrap();
    let path = format!("/v1/orders/{}", placed.body["order"]["id"].as_str().unwrap());
    let seen = system.get(&path, secret).await;
    assert_eq!(seen.body["order"]["amount"], json!({ "total": 1, "currency": "CNY" }));
    assert!(
        !seen.body.to_string().contains("only-for-the-shop")
            && seen.body["order"]["merchant_order_no"].is_null()
    );
    assert_eq!(system.shop_gets(&path).await.body["order"]["attach"], "only-for-the-shop");
    system.end().await;
}

/// Links live long in chats: after a week they say how it ended, and lead nowhere.
#[tokio::test]
async fn seven_days_after_it_came_to_rest_a_client_secret_shows_the_status_only() {
    for system in TestSystem::each().await {
        let paid = system.paid_order("T-1").await;
        let closed = system.place_order("T-2").await;
        let payment = system.payment_of(&paid).await;
        system.shop_posts(&format!("/v1/orders/{}/close", closed.id), &json!({})).await;
        system.jobs_are_idle().await;

        system.advance(WEEK - SECOND).await;
        for order in [&paid, &closed] {
            let seen = system.get(&format!("/v1/orders/{}", order.id), &order.client_secret).await.body;
            assert_eq!(seen["order"]["description"], "一壶龙井", "{seen}");
        }
        assert_eq!(events(&system, &paid, None, 4).await.len(), 4);
        system.advance(SECOND).await;
        for (order, status) in [(&paid, "paid"), (&closed, "closed")] {
            let seen = system.get(&format!("/v1/orders/{}", order.id), &order.client_secret).await;
            let left = json!({
                "id": order.id.as_str(),
                "merchant": { "name": MERCHANT, "support": SUPPORT },
                "status": status,
                "amount": { "total": 3990, "currency": "CNY" },
            });
            assert_eq!((seen.status, &seen.body["order"]), (200, &left));
            let page = Answered::of(system.http.get(system.url(&format!("/pay/{}", order.client_secret))));
            assert_eq!(page.await.status, 200, "the page shows it");
            let secret = &order.client_secret;
            let rows = system.rows().await;
            for (path, body) in [
                (format!("/v1/orders/{}/payments", order.id), json!({ "method": "native" })),
                ("/v1/wechat/mini-program/login".to_owned(), json!({ "code": "0a" })),
                ("/v1/wechat/oauth/openid".to_owned(), json!({ "code": "0a", "state": "b" })),
                (format!("/v1/payments/{}/confirm", payment.id), json!({})),
            ] {
                let refused = system.post(&path, secret, &body).await;
                assert_eq!((refused.status, refused.code()), (403, "status_only"), "{path}");
            }
            for path in [
                format!("/v1/payments/{}", payment.id),
                format!("/v1/payments/{}/qr.svg?client_secret={secret}", payment.id),
                format!("/v1/orders/{}/events?client_secret={secret}", order.id),
            ] {
                let refused = system.get(&path, secret).await;
                assert_eq!((refused.status, refused.code()), (403, "status_only"), "{path}");
            }
            let path = format!("/v1/wechat/oauth/authorize?client_secret={secret}");
            assert_eq!(Answered::of(system.http.get(system.url(&path))).await.status, 404);
            assert_eq!(system.rows().await, rows);
            let whole = system.shop_gets(&format!("/v1/orders/{}", order.id)).await.body;
            assert_eq!(whole["order"]["description"], "一壶龙井", "the shop sees all of it");
        }
        // What comes later is told, and opens nothing.
        system.refund(&paid, "R-1", 3990).await;
        system.jobs_are_idle().await;
        system.advance(5 * SECOND).await;
        let seen = system.get(&format!("/v1/orders/{}", paid.id), &paid.client_secret).await.body;
        assert_eq!(
            (&seen["order"]["status"], &seen["order"]["description"]),
            (&json!("refunded"), &Value::Null)
        );
        system.end().await;
    }
}

#[tokio::test]
async fn the_qr_code_is_there_while_it_can_be_paid() {
    let system = TestSystem::one().await;
    let order = system.place_order("T-1").await;
    let payment = system.ready_payment(&order).await;
    // The page adds a field of its own, so that a fresh code is not taken from a cache.
    let path = format!("/v1/payments/{}/qr.svg?client_secret={}&code=2", payment.id, order.client_secret);
    let qr = Answered::of(system.http.get(system.url(&path))).await;
    assert_eq!(
        (qr.status, &qr.headers["content-type"], &qr.headers["cache-control"]),
        (200, &"image/svg+xml".parse().unwrap(), &"no-store".parse().unwrap())
    );
    assert!(qr.body.as_str().unwrap().starts_with("<svg"));
    system.payer_pays(&payment).await;
    system.order_is_paid(&order).await;
    let gone = Answered::of(system.http.get(system.url(&path))).await;
    assert_eq!((gone.status, gone.code()), (404, "qr_not_available"));
    system.end().await;
}

#[tokio::test]
async fn the_checkout_page_is_strict_and_looking_changes_nothing() {
    let system = TestSystem::one().await;
    let order = system.place_order("T-1").await;
    let rows = system.rows().await;
    let page = Answered::of(system.http.get(system.url(&format!("/pay/{}", order.client_secret)))).await;
    assert_eq!(page.status, 200);
    let html = page.body.as_str().unwrap();
    assert!(html.contains("teahouse") && html.contains(&system.simulator.url()) && !html.contains("{{"));
    assert_eq!(page.headers["cache-control"], "no-store");
    assert_eq!(page.headers["referrer-policy"], "no-referrer");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(policy.contains("frame-src weixin: weixinping: weixinpreinject:"), "{policy}");
    // The style is in the page, and in no other address.
    assert!(html.contains("<style>/* The payer's page") && !html.contains("stylesheet"));
    let assets = html.split("src=\"").nth(1).and_then(|rest| rest.split("/main.js").next()).unwrap();
    for name in [
        "main.js",
        "everpaid.js",
        "order.js",
        "view.js",
        "api.js",
        "copy.js",
        "authorization.js",
        "bridge.js",
        "environment.js",
        "icon.svg",
    ] {
        assert!(html.contains(&format!("{assets}/{name}")), "{name} is not asked for with the page");
        let asset = Answered::of(system.http.get(system.url(&format!("{assets}/{name}")))).await;
        assert_eq!(asset.status, 200, "{name}");
        assert_eq!(asset.headers["cache-control"], "public, max-age=31536000, immutable");
    }
    // A page from before a release still finds its parts, and keeps none of the new ones under old names.
    let other = Answered::of(system.http.get(system.url("/checkout/0123456789abcdef/order.js"))).await;
    assert_eq!((other.status, &other.headers["cache-control"]), (200, &"no-store".parse().unwrap()));
    // A shop's own page knows no version, and is led to it.
    let newest = Answered::of(system.http.get(system.url("/checkout/everpaid.js"))).await;
    assert_eq!(newest.status, 200, "the client of the tests follows redirects");
    assert_eq!(newest.headers["cache-control"], "public, max-age=31536000, immutable");
    for path in [
        "/checkout/index.html",
        "/checkout/package.json",
        "/checkout/nothing.js",
        "/checkout/tests%2Forder.test.js",
        "/checkout/..%2FCargo.toml",
        "/checkout/0/index.html",
        "/checkout/0/..%2FCargo.toml",
    ] {
        assert_eq!(Answered::of(system.http.get(system.url(path))).await.status, 404, "{path}");
    }
    let unknown = Answered::of(system.http.get(system.url("/pay/cs_unknown"))).await;
    assert!(unknown.status == 404 && unknown.body.as_str().unwrap().contains("链接无效"), "{unknown:?}");
    assert_eq!(system.rows().await, rows);
    system.end().await;
}

#[tokio::test]
async fn an_operator_sees_life_readiness_and_figures() {
    let system = TestSystem::one().await;
    assert_eq!(Answered::of(system.http.get(system.url("/livez"))).await.status, 200);
    let ready = Answered::of(system.http.get(system.url("/readyz"))).await;
    assert_eq!((ready.status, &ready.body["ready"]), (200, &json!(true)));
    let document = Answered::of(system.http.get(system.url("/openapi.json"))).await;
    assert_eq!(document.body["openapi"].as_str().map(|version| &version[..3]), Some("3.1"));
    let order = system.place_order("T-1").await;
    let payment = system.ready_payment(&order).await;
    system.payer_pays(&payment).await;
    system.order_is_paid(&order).await;
    system.jobs_are_idle().await;
    let metrics = Answered::of(system.http.get(system.metrics_url())).await;
    let metrics = metrics.body.as_str().unwrap();
    for name in [
        "everpaid_http_request_duration_seconds_bucket{method=\"POST\",route=\"/v1/orders/{id}/payments\"",
        "everpaid_notifications_total{verdict=\"accepted\"}",
        "everpaid_job_runs_total{kind=\"request_prepay\",outcome=\"finished\"}",
        "everpaid_wechat_call_duration_seconds_bucket{operation=\"create_native\",host=\"primary\",outcome=\"ok\"",
        "everpaid_job_oldest_overdue_seconds",
        "everpaid_wechat_breaker_open{host=\"backup\"}",
    ] {
        assert!(metrics.contains(name), "{name} is not in\n{metrics}");
    }
    assert!(!metrics.contains(order.id.as_str()) && !metrics.contains(&order.client_secret));
    system.end().await;
}
