//! Who may speak, and what may be said.

use std::sync::Arc;

use serde_json::{Value, json};
use simulator::Options;

use crate::client::{Answer, Client, Said, options, start, start_with};

const NOWHERE: &str = "http://127.0.0.1:9/notify";
const CERTIFICATES: &str = "/v3/certificates";

async fn get(client: &Client, target: &str, authorization: Option<String>) -> Answer {
    let mut request = client.request("GET", target);
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    client.send(request).await.unwrap()
}

#[tokio::test]
async fn each_way_of_not_being_the_merchant() {
    let (_simulator, client) = start().await;
    let order = client.query_target("ORDER-1");
    let said = client.said();
    let signed = |said: &Said, target: &str| client.authorization(said, "GET", target, "");
    let lie = |change: fn(&mut Said)| {
        let mut said = said.clone();
        change(&mut said);
        said
    };
    let stale = lie(|said| said.timestamp -= 302);
    let early = lie(|said| said.timestamp += 302);
    let other_serial = lie(|said| said.serial = "5".repeat(40));
    let not_over_this = signed(&said, "/v3/pay/transactions/out-trade-no/ORDER-2");
    let stale_and_wrong = client.authorization(&stale, "POST", &order, "");
    let scheme = signed(&said, CERTIFICATES).replace("RSA2048", "RSA1024");
    for (target, authorization, message) in [
        (order.as_str(), None, "签名信息错误，验签失败"),
        (&order, Some("Bearer abc".into()), "签名信息错误，验签失败"),
        (&order, Some(signed(&said, &order).replace('"', "")), "签名信息错误，验签失败"),
        (CERTIFICATES, None, "Http头Authorization值格式错误"),
        (CERTIFICATES, Some(scheme), "HTTP头Authorization认证类型不正确"),
        (&order, Some(signed(&stale, &order)), "不得超过5分钟"),
        (&order, Some(signed(&early, &order)), "不得超过5分钟"),
        (&order, Some(stale_and_wrong), "不得超过5分钟"),
        (&order, Some(signed(&other_serial, &order)), "商户证书序列号有误"),
        (&order, Some(not_over_this), "签名错误"),
    ] {
        let answer = get(&client, target, authorization).await;
        assert_eq!(answer.outcome(), (401, "SIGN_ERROR".into()));
        let said = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(said.contains(message), "{said} is not {message}");
        assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("wechatpay-")));
        assert_eq!(answer.headers.contains_key("request-id"), target == CERTIFICATES);
    }
}

#[tokio::test]
async fn who_has_no_contract_does_not_exist() {
    let (_simulator, client) = start().await;
    let stranger = Said { mchid: "1900000009".into(), ..client.said() };
    let order = client.query_target("ORDER-1");
    for (target, status) in [(order.as_str(), 400), (CERTIFICATES, 404)] {
        let authorization = client.authorization(&stranger, "GET", target, "");
        let answer = get(&client, target, Some(authorization)).await;
        assert_eq!(answer.outcome(), (status, "MCH_NOT_EXISTS".into()));
        assert!(!answer.is_signed());
    }
}

#[tokio::test]
async fn a_changed_body_is_not_the_signed_one() {
    let (_simulator, client) = start().await;
    let target = "/v3/pay/transactions/native";
    let body = client.native_order("ORDER-1", NOWHERE).to_string();
    let authorization = client.authorization(&client.said(), "POST", target, &body);
    let changed = body.replace("100", "101");
    let request = client.request("POST", target).header("authorization", authorization);
    let answer = client.send(request.body(changed)).await.unwrap();
    assert_eq!(answer.outcome(), (401, "SIGN_ERROR".into()));
}

#[tokio::test]
async fn the_target_is_signed_as_it_is_sent() {
    let (_simulator, client) = start().await;
    let order = client.native_order("ORDER|1*", NOWHERE);
    assert_eq!(client.create("native", &order).await.status, 200);
    assert_eq!(client.query("ORDER%7C1*").await.status, 200);
    let plain = client.query_target("ORDER|1*");
    let authorization = client.authorization(&client.said(), "GET", &plain, "");
    let encoded = client.query_target("ORDER%7C1*");
    assert_eq!(get(&client, &encoded, Some(authorization)).await.status, 401);
}

#[tokio::test]
async fn certificates_want_a_user_agent_and_orders_do_not() {
    let (_simulator, client) = start().await;
    let nameless = Client { http: reqwest::Client::builder().no_proxy().build().unwrap(), ..client };
    let answer = nameless.call("GET", CERTIFICATES, "").await;
    assert_eq!(answer.outcome(), (400, "INVALID_REQUEST".into()));
    assert_eq!(nameless.query("ORDER-1").await.status, 404);
    // An empty one is none, and no signature is asked for before it.
    let picky = nameless.request("GET", CERTIFICATES).header("user-agent", "test").header("accept", "");
    let answer = nameless.send(picky).await.unwrap();
    assert_eq!(answer.outcome(), (400, "INVALID_REQUEST".into()));
}

#[tokio::test]
async fn a_header_that_is_no_text_is_refused_and_the_next_call_is_served() {
    let (_simulator, client) = start().await;
    let target = client.query_target("ORDER-1");
    let good = client.authorization(&client.said(), "GET", &target, "");
    for header in
        [&[good.as_bytes(), &[0xff]].concat(), b"\xff\xfe".as_slice(), b"", b"WECHATPAY2-SHA256-RSA2048 "]
    {
        let answer =
            client.send(client.request("GET", &target).header("authorization", header)).await.unwrap();
        assert_eq!(answer.outcome(), (401, "SIGN_ERROR".into()), "{header:?}");
    }
    let serial = client
        .request("GET", &target)
        .header("authorization", &good)
        .header("wechatpay-serial", &b"\xff"[..]);
    assert_eq!(client.send(serial).await.unwrap().outcome(), (400, "PARAM_ERROR".into()));
    assert_eq!(client.query("ORDER-1").await.status, 404);
}

#[tokio::test]
async fn certificates_are_listed_a_thousand_times_a_second() {
    let at = Client::now() * 1000;
    let (_simulator, client) = start_with(Options { now: Some(Arc::new(move || at)), ..options() }).await;
    let authorization = client.authorization(&client.said(), "GET", CERTIFICATES, "");
    for number in 0..=1000 {
        let answer = get(&client, CERTIFICATES, Some(authorization.clone())).await;
        assert_eq!(answer.status, if number < 1000 { 404 } else { 429 }, "{number}");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_have_empty_answers() {
    let (_simulator, client) = start().await;
    for (method, target, status) in [
        ("GET", "/v3/pay/transactions/elsewhere/1/2", 404),
        ("GET", "/v3/refund/unknown", 404),
        ("GET", "/v3/pay/transactions/native", 405),
        ("POST", CERTIFICATES, 405),
    ] {
        let answer = client.call(method, target, "").await;
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{target}");
    }
}

#[tokio::test]
async fn the_mchid_is_one_everywhere() {
    let (_simulator, client) = start().await;
    let mut order = client.native_order("ORDER-1", NOWHERE);
    client.create("native", &order).await;
    order["mchid"] = json!("1900000009");
    let answer = client.create("native", &order).await;
    assert_eq!(answer.outcome(), (400, "PARAM_ERROR".into()));
    assert!(answer.json()["message"].as_str().unwrap().contains("post payload"));
    for query in ["", "?mchid=1900000009"] {
        let target = format!("/v3/pay/transactions/out-trade-no/ORDER-1{query}");
        let answer = client.call("GET", &target, "").await;
        assert_eq!(answer.outcome(), (400, "PARAM_ERROR".into()));
        assert_eq!(answer.json()["detail"]["location"], "query");
    }
    let target = "/v3/pay/transactions/out-trade-no/ORDER-1/close";
    let answer = client.call("POST", target, r#"{"mchid":"1900000009"}"#).await;
    assert_eq!(answer.outcome(), (400, "PARAM_ERROR".into()));
    assert_eq!(client.state("ORDER-1").await, "NOTPAY");
}

#[tokio::test]
async fn a_bad_body_is_told_where_and_changes_nothing() {
    let (simulator, client) = start().await;
    let good = client.native_order("ORDER-1", NOWHERE);
    let with = |name: &str, value: Value| {
        let mut order = good.clone();
        order[name] = value;
        order.to_string()
    };
    for (body, field) in [
        (with("amount", json!({"total": 0})), "/amount/total"),
        (with("attach", Value::Null), "/attach"),
        (with("description", json!("茶😀")), "/description"),
        (with("extra", json!(1)), "/extra"),
        (with("payer", json!({"openid": "o"})), "/payer"),
        (with("out_trade_no", json!("12345")), "/out_trade_no"),
    ] {
        let answer = client.call("POST", "/v3/pay/transactions/native", &body).await;
        assert_eq!(answer.outcome(), (400, "PARAM_ERROR".into()), "{body}");
        assert_eq!(answer.json()["detail"]["field"], field);
    }
    let answer = client.call("POST", "/v3/pay/transactions/native", "{").await;
    assert_eq!(answer.outcome(), (400, "PARAM_ERROR".into()));
    let foreign = with("appid", json!("wx00000000000000ff"));
    let answer = client.call("POST", "/v3/pay/transactions/native", &foreign).await;
    assert_eq!(answer.outcome(), (400, "APPID_MCHID_NOT_MATCH".into()));
    let long = "1".repeat(33);
    assert_eq!(client.query(&long).await.outcome(), (400, "PARAM_ERROR".into()));
    assert!(simulator.payments(10).await.unwrap().is_empty());
}
