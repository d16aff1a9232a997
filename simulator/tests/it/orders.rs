use std::time::Duration;

use serde_json::json;
use simulator::Pay;

use crate::{client::start, merchant::Merchant};

const NOWHERE: &str = "http://127.0.0.1:9/notify";
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn an_order_is_created_paid_found_and_cannot_be_closed() {
    let (simulator, client) = start().await;
    let merchant = Merchant::open().await;
    let mut order = client.jsapi_order("ORDER-1", &merchant.notify_url);
    order["attach"] = json!("table 7");
    let created = client.create("jsapi", &order).await;
    assert_eq!(created.status, 200);
    let prepay_id = created.json()["prepay_id"].as_str().unwrap().to_owned();
    assert!(prepay_id.starts_with("wx") && (22..=64).contains(&prepay_id.len()), "{prepay_id}");

    let unpaid = client.query("ORDER-1").await.json();
    assert_eq!(
        unpaid,
        json!({
            "appid": client.merchant.apps[0].appid,
            "mchid": client.merchant.mchid,
            "out_trade_no": "ORDER-1",
            "trade_state": "NOTPAY",
            "trade_state_desc": "订单未支付",
            "attach": "table 7",
        })
    );

    simulator.pay("ORDER-1", Pay::default()).await.unwrap();
    let paid = client.query("ORDER-1").await.json();
    assert_eq!(paid["trade_state"], "SUCCESS");
    assert_eq!(paid["trade_type"], "JSAPI");
    assert_eq!(paid["payer"]["openid"], "oPayer");
    assert_eq!(
        paid["amount"],
        json!({"total": 100, "payer_total": 100, "currency": "CNY", "payer_currency": "CNY"})
    );
    assert!(paid["success_time"].as_str().unwrap().ends_with("+08:00"));

    let id = paid["transaction_id"].as_str().unwrap();
    let mchid = &client.merchant.mchid;
    let target = format!("/v3/pay/transactions/id/{id}?mchid={mchid}");
    assert_eq!(client.call("GET", &target, "").await.json(), paid);

    assert_eq!(client.close("ORDER-1").await.outcome(), (400, "ORDER_PAID".into()));
    let again = client.create("jsapi", &order).await;
    assert_eq!(again.outcome(), (403, "OUT_TRADE_NO_USED".into()));
    assert_eq!(again.json()["message"], "订单已支付");
}

#[tokio::test]
async fn a_native_order_is_closed_twice_and_then_gone() {
    let (simulator, client) = start().await;
    let order = client.native_order("ORDER-1", NOWHERE);
    let created = client.create("native", &order).await.json();
    assert!(created["code_url"].as_str().unwrap().starts_with("weixin://wxpay/bizpayurl?pr="));
    for _ in 0..2 {
        let closed = client.close("ORDER-1").await;
        assert_eq!((closed.status, closed.body.len()), (204, 0));
    }
    assert_eq!(client.state("ORDER-1").await, "CLOSED");
    let again = client.create("native", &order).await;
    assert_eq!(again.outcome(), (400, "ORDER_CLOSED".into()));
    let refused = simulator.pay("ORDER-1", Pay::default()).await;
    assert!(matches!(refused, Err(simulator::ControlError::Refused(_))));
}

#[tokio::test]
async fn what_does_not_exist() {
    let (_simulator, client) = start().await;
    let unknown = (404, "ORDER_NOT_EXIST".to_owned());
    assert_eq!(client.query("ORDER-1").await.outcome(), unknown);
    assert_eq!(client.close("ORDER-1").await.outcome(), unknown);
    let mchid = &client.merchant.mchid;
    let target = format!("/v3/pay/transactions/id/4200?mchid={mchid}");
    assert_eq!(client.call("GET", &target, "").await.outcome(), unknown);
}

#[tokio::test]
async fn the_same_order_again_and_a_different_one_under_its_number() {
    let (_simulator, client) = start().await;
    let order = client.jsapi_order("ORDER-1", NOWHERE);
    let first = client.create("jsapi", &order).await.json();
    assert_eq!(client.create("jsapi", &order).await.json(), first);

    let used = (403, "OUT_TRADE_NO_USED".to_owned());
    let mut dearer = order.clone();
    dearer["amount"]["total"] = json!(101);
    assert_eq!(client.create("jsapi", &dearer).await.outcome(), used);
    let elsewhere = client.native_order("ORDER-1", NOWHERE);
    assert_eq!(client.create("native", &elsewhere).await.outcome(), used);
    assert_eq!(client.state("ORDER-1").await, "NOTPAY");
}

#[tokio::test]
async fn a_repeated_native_order_gets_a_new_code_and_the_old_one_is_dead() {
    let (_simulator, client) = start().await;
    let order = client.native_order("ORDER-1", NOWHERE);
    let code = async || {
        let created = client.create("native", &order).await.json();
        created["code_url"].as_str().unwrap().to_owned()
    };
    let (old, new) = (code().await, code().await);
    assert_ne!(old, new);
    let pay = async |code: &str| {
        let body = json!({"code": code}).to_string();
        client.control("POST", "/phone/pay", &body).await.status
    };
    assert_eq!(pay(&old).await, 404);
    assert_eq!(pay(&new).await, 200);
}

#[tokio::test]
async fn a_code_lives_two_hours_and_an_order_seven_days() {
    let (simulator, client) = start().await;
    let order = client.jsapi_order("ORDER-1", NOWHERE);
    let first = client.create("jsapi", &order).await.json();
    simulator.advance_clock(2 * HOUR).await.unwrap();
    assert!(simulator.pay("ORDER-1", Pay::default()).await.is_err());

    let renewed = client.create("jsapi", &order).await.json();
    assert_ne!(renewed["prepay_id"], first["prepay_id"]);

    simulator.advance_clock(7 * 24 * HOUR).await.unwrap();
    assert_eq!(client.state("ORDER-1").await, "CLOSED");
}

#[tokio::test]
async fn after_time_expire_nobody_can_pay_and_the_order_stays_unpaid() {
    let (simulator, client) = start().await;
    let mut order = client.native_order("ORDER-1", NOWHERE);
    order["time_expire"] = json!("2020-01-01T00:00:00+08:00");
    client.create("native", &order).await;
    simulator.advance_clock(Duration::from_secs(62)).await.unwrap();
    let refused = simulator.pay("ORDER-1", Pay::default()).await.unwrap_err();
    assert!(refused.to_string().contains("time_expire"), "{refused}");
    assert_eq!(client.state("ORDER-1").await, "NOTPAY");
    assert_eq!(client.close("ORDER-1").await.status, 204);
}

#[tokio::test]
async fn time_expire_is_kept_between_a_minute_and_seven_days_of_the_order() {
    let (simulator, client) = start().await;
    let now = simulator.freeze_clock().await.unwrap();
    let at = |ms: i64| jiff::Timestamp::from_millisecond(now / 1000 * 1000 + ms).unwrap();
    const SECOND: i64 = 1000;
    const DAY: i64 = 86_400 * SECOND;
    for (i, (asked, got)) in [
        (None, 7 * DAY),
        (Some(-DAY), 60 * SECOND),
        (Some(59 * SECOND), 60 * SECOND),
        (Some(5 * 60 * SECOND), 5 * 60 * SECOND),
        (Some(30 * DAY), 7 * DAY),
    ]
    .into_iter()
    .enumerate()
    {
        let number = format!("ORDER-{i}");
        let mut order = client.native_order(&number, NOWHERE);
        if let Some(asked) = asked {
            order["time_expire"] = json!(at(asked).to_string());
        }
        assert_eq!(client.create("native", &order).await.status, 200);
        let until = simulator.payment(&number).await.unwrap().payable_until;
        assert_eq!(until.parse::<jiff::Timestamp>().unwrap(), at(got), "{asked:?}");
    }
}

#[tokio::test]
async fn the_same_order_is_the_same_in_other_words_and_another_with_another_time_expire() {
    let (_simulator, client) = start().await;
    let mut order = client.jsapi_order("ORDER-1", NOWHERE);
    order["time_expire"] = json!("2099-01-01T00:00:00+08:00");
    let first = client.create("jsapi", &order).await.json();
    // The order of keys, and blanks, mean nothing.
    let words = serde_json::to_string_pretty(&order).unwrap();
    assert_ne!(words, order.to_string());
    let again = client.call("POST", "/v3/pay/transactions/jsapi", &words).await;
    assert_eq!(again.json(), first);

    let used = (403, "OUT_TRADE_NO_USED".to_owned());
    order["time_expire"] = json!("2099-01-02T00:00:00+08:00");
    assert_eq!(client.create("jsapi", &order).await.outcome(), used);
    order.as_object_mut().unwrap().remove("time_expire");
    assert_eq!(client.create("jsapi", &order).await.outcome(), used);
}

#[tokio::test]
async fn the_same_create_many_times_at_once_makes_one_order() {
    let (simulator, client) = start().await;
    let order = client.jsapi_order("ORDER-1", NOWHERE);
    let mut dearer = order.clone();
    dearer["amount"]["total"] = json!(101);
    let create = async |order: &serde_json::Value| client.create("jsapi", order).await;
    let (a, b, c, d) = tokio::join!(create(&order), create(&dearer), create(&order), create(&dearer));
    // Whichever was first, its twin got the same and the others were refused.
    let (won, lost) = if a.status == 200 { ([a, c], [b, d]) } else { ([b, d], [a, c]) };
    assert_eq!(won[0].json(), won[1].json());
    assert!(won[0].json()["prepay_id"].is_string());
    assert!(lost.iter().all(|answer| answer.outcome() == (403, "OUT_TRADE_NO_USED".into())));
    assert_eq!(simulator.payments(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_order_that_closed_itself_is_closed_for_everyone() {
    let (simulator, client) = start().await;
    let order = client.native_order("ORDER-1", NOWHERE);
    client.create("native", &order).await;
    simulator.advance_clock(7 * 24 * HOUR).await.unwrap();
    let payment = simulator.payment("ORDER-1").await.unwrap();
    assert_eq!(payment.trade_state, "CLOSED");
    assert_eq!(payment.closed_at, Some(payment.payable_until));
    assert!(simulator.pay("ORDER-1", Pay::default()).await.is_err());
    assert_eq!(client.create("native", &order).await.outcome(), (400, "ORDER_CLOSED".into()));
    assert_eq!(client.close("ORDER-1").await.status, 204);
    // The close changed nothing of it.
    assert_eq!(simulator.payment("ORDER-1").await.unwrap().closed_at, payment.closed_at);
}

#[tokio::test]
async fn a_paid_order_never_closes_itself() {
    let (simulator, client) = start().await;
    client.create("native", &client.native_order("ORDER-1", NOWHERE)).await;
    simulator.pay("ORDER-1", Pay::default()).await.unwrap();
    simulator.advance_clock(30 * 24 * HOUR).await.unwrap();
    assert_eq!(client.state("ORDER-1").await, "SUCCESS");
    assert_eq!(client.close("ORDER-1").await.outcome(), (400, "ORDER_PAID".into()));
}

#[tokio::test]
async fn an_expired_order_must_be_closed_before_a_new_number_is_taken() {
    let (simulator, client) = start().await;
    let mut order = client.native_order("ORDER-1", NOWHERE);
    order["time_expire"] = json!("2020-01-01T00:00:00+08:00");
    client.create("native", &order).await;
    simulator.advance_clock(Duration::from_secs(62)).await.unwrap();
    assert_eq!(client.create("native", &order).await.outcome(), (400, "INVALID_REQUEST".into()));
    assert_eq!(client.state("ORDER-1").await, "NOTPAY");
    assert_eq!(client.close("ORDER-1").await.status, 204);
    assert_eq!(client.create("native", &order).await.outcome(), (400, "ORDER_CLOSED".into()));
}

#[tokio::test]
async fn a_renewed_code_lives_two_hours_of_its_own() {
    let (simulator, client) = start().await;
    let order = client.native_order("ORDER-1", NOWHERE);
    let almost = 2 * HOUR - Duration::from_secs(60);
    client.create("native", &order).await;
    simulator.advance_clock(almost).await.unwrap();
    client.create("native", &order).await;
    simulator.advance_clock(almost).await.unwrap();
    assert_eq!(simulator.pay("ORDER-1", Pay::default()).await.unwrap().trade_state, "SUCCESS");
}

#[tokio::test]
async fn a_close_and_a_payment_at_once_have_one_winner() {
    let (simulator, client) = start().await;
    let merchant = Merchant::open().await;
    for i in 0..10 {
        let number = format!("ORDER-{i}");
        let order = client.native_order(&number, &merchant.notify_url);
        client.create("native", &order).await;
        let (paid, closed) = tokio::join!(simulator.pay(&number, Pay::default()), client.close(&number));
        let state = client.state(&number).await;
        match paid {
            Ok(_) => assert_eq!((state.as_str(), closed.status), ("SUCCESS", 400)),
            Err(_) => assert_eq!((state.as_str(), closed.status), ("CLOSED", 204)),
        }
    }
}

#[tokio::test]
async fn certificates_are_for_merchants_who_have_them() {
    let (_simulator, client) = start().await;
    let none = client.call("GET", "/v3/certificates", "").await;
    assert_eq!(none.outcome(), (404, "RESOURCE_NOT_EXISTS".into()));

    let (_simulator, client) = crate::client::start_with(simulator::Options {
        mode: Some(simulator::TrustMode::Certificate),
        ..crate::client::options()
    })
    .await;
    let answer = client.call("GET", "/v3/certificates", "").await;
    let listed = answer.json()["data"][0].clone();
    let pem = client.open(&listed["encrypt_certificate"]).unwrap();
    let pem = String::from_utf8(pem).unwrap();
    assert_eq!(Some(&pem), client.merchant.platform_certificate.as_ref());
    assert_eq!(listed["serial_no"], answer.headers["wechatpay-serial"].to_str().unwrap());
    assert_eq!(client.create("native", &client.native_order("ORDER-1", NOWHERE)).await.status, 200);
}
