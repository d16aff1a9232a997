//! What an app tells of shipping, and the tokens that takes.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::Pay;

use crate::client::{Client, start};

const PAYER: &str = "oShippingTest";

async fn post(client: &Client, target: &str, body: &Value) -> Value {
    let answer = client.send(client.request("POST", target).body(body.to_string())).await.unwrap();
    assert_eq!((answer.status, &answer.headers["content-type"]), (200, &"text/plain".parse().unwrap()));
    answer.json()
}

async fn token(client: &Client, changes: Value) -> Value {
    let app = &client.merchant.apps[1];
    let mut asked = json!({"grant_type": "client_credential", "appid": app.appid, "secret": app.secret});
    for (field, value) in changes.as_object().unwrap() {
        asked[field] = value.clone();
    }
    post(client, "/cgi-bin/stable_token", &asked).await
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

async fn upload(client: &Client, token: &str, body: &Value) -> i64 {
    let target = format!("/wxa/sec/order/upload_shipping_info?access_token={token}");
    post(client, &target, body).await["errcode"].as_i64().unwrap()
}

#[tokio::test]
async fn a_token_is_the_same_to_everybody_until_it_nears_its_end() {
    let (simulator, client) = start().await;
    let first = token(&client, json!({})).await;
    assert_eq!(first["expires_in"], 7200);
    assert_eq!(token(&client, json!({})).await["access_token"], first["access_token"]);
    simulator.advance_clock(Duration::from_secs(7200 - 5 * 60)).await.unwrap();
    let second = token(&client, json!({})).await;
    assert_ne!(second["access_token"], first["access_token"]);
    // Both are good for these minutes; the shipping is not, because nothing was paid.
    for given in [&first, &second] {
        assert_eq!(upload(&client, text(&given["access_token"]), &json!({})).await, 47001);
    }
    simulator.advance_clock(Duration::from_secs(5 * 60)).await.unwrap();
    assert_eq!(upload(&client, text(&first["access_token"]), &json!({})).await, 42001);
    let forced = token(&client, json!({"force_refresh": true})).await;
    assert_eq!(upload(&client, text(&second["access_token"]), &json!({})).await, 40001);
    assert_eq!(upload(&client, text(&forced["access_token"]), &json!({})).await, 47001);

    for (changes, errcode) in [
        (json!({"grant_type": "password"}), 40002),
        (json!({"appid": "wx0"}), 40013),
        (json!({"secret": "wrong"}), 40125),
    ] {
        assert_eq!(token(&client, changes).await["errcode"], errcode);
    }
    assert_eq!(upload(&client, "", &json!({})).await, 41001);
}

#[tokio::test]
async fn shipping_is_taken_for_a_payment_of_this_app_and_this_payer_once_and_for_one_change() {
    let (simulator, client) = start().await;
    let app = client.merchant.apps[1].appid.clone();
    let mut order = client.native_order("ORDER-1", "http://127.0.0.1:1/notify");
    order["appid"] = app.into();
    order["payer"] = json!({"openid": PAYER});
    client.create("jsapi", &order).await;
    let given = token(&client, json!({})).await;
    let given = text(&given["access_token"]);
    let told = |changes: Value| {
        let mut told = json!({
            "order_key": {"order_number_type": 1, "mchid": client.merchant.mchid, "out_trade_no": "ORDER-1"},
            "logistics_type": 1,
            "delivery_mode": 1,
            "shipping_list": [{"tracking_no": "SF1", "express_company": "SF", "item_desc": "茶"}],
            "upload_time": "2026-11-22T12:00:00.000+08:00",
            "payer": {"openid": PAYER},
        });
        for (field, value) in changes.as_object().unwrap() {
            told[field] = value.clone();
        }
        told
    };
    assert_eq!(upload(&client, given, &told(json!({}))).await, 10_060_001, "it is not paid");
    simulator.pay("ORDER-1", Pay { openid: Some(PAYER.to_owned()), total: None }).await.unwrap();
    let number = simulator.payment("ORDER-1").await.unwrap().transaction_id.unwrap();
    for (changes, errcode) in [
        (json!({"payer": {"openid": "oSomebodyElse"}}), 10_060_031),
        (json!({"order_key": {"order_number_type": 2, "transaction_id": "42"}}), 10_060_001),
        (json!({"logistics_type": 5}), 10_060_005),
        (json!({"delivery_mode": 2}), 10_060_014),
        (json!({"shipping_list": []}), 10_060_014),
        (json!({"shipping_list": [{"item_desc": "茶"}]}), 10_060_014),
        (json!({"shipping_list": [{"tracking_no": "SF1", "express_company": "SF"}]}), 10_060_008),
        (
            json!({"shipping_list": [{"tracking_no": "1", "express_company": "SF", "item_desc": "茶".repeat(121)}]}),
            10_060_009,
        ),
        (json!({"upload_time": "noon"}), 268_485_216),
    ] {
        assert_eq!(upload(&client, given, &told(changes.clone())).await, errcode, "{changes}");
        assert_eq!(simulator.shipped(&number).await.unwrap(), None);
    }
    assert_eq!(upload(&client, given, &told(json!({}))).await, 0);
    assert_eq!(upload(&client, given, &told(json!({}))).await, 10_060_023, "the same is no change");
    let change =
        |at: &str| told(json!({"logistics_type": 4, "upload_time": format!("2026-11-22T{at}.000+08:00")}));
    assert_eq!(upload(&client, given, &change("11:59:59")).await, 268_485_216);
    assert_eq!(upload(&client, given, &change("12:00:01")).await, 0);
    assert_eq!(upload(&client, given, &change("12:00:02")).await, 10_060_003);
    let shipped = simulator.shipped(&number).await.unwrap().unwrap();
    assert_eq!((shipped.logistics_type, shipped.uploads), (4, 2));
    // Another app's token is worth nothing here.
    let account = &client.merchant.apps[0];
    let other = token(&client, json!({"appid": account.appid, "secret": account.secret})).await;
    assert_eq!(upload(&client, text(&other["access_token"]), &change("12:00:03")).await, 10_060_001);
}
