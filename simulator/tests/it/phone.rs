use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use rsa::signature::{SignatureEncoding, Signer};
use serde_json::{Value, json};

use crate::{
    client::{Answer, Client, start},
    merchant::Merchant,
};

const NOWHERE: &str = "http://127.0.0.1:9/n";

async fn post(client: &Client, target: &str, body: &Value) -> Answer {
    client.control("POST", &format!("/phone/{target}"), &body.to_string()).await
}

async fn native_code(client: &Client, number: &str) -> String {
    let created = client.create("native", &client.native_order(number, NOWHERE)).await;
    created.json()["code_url"].as_str().unwrap().to_owned()
}

/// The openid of a payer at the merchant's n-th app, as a merchant learns it.
async fn openid(client: &Client, app: usize, payer: &str) -> String {
    let simulator::App { appid, secret, .. } = &client.merchant.apps[app];
    let target = if app == 0 {
        let link = format!(
            "/connect/oauth2/authorize?appid={appid}&redirect_uri=http%3A%2F%2Fshop.example%2F&response_type=code&scope=snsapi_base&state=S1"
        );
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let visit = http.build().unwrap().get(format!("{}{link}", client.url));
        let sent = client.send(visit.header("cookie", format!("simulated_payer={payer}"))).await.unwrap();
        let to: reqwest::Url = sent.headers["location"].to_str().unwrap().parse().unwrap();
        let code = to.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
        format!(
            "/sns/oauth2/access_token?appid={appid}&secret={secret}&code={code}&grant_type=authorization_code"
        )
    } else {
        let login = post(client, "login", &json!({"appid": appid, "payer": payer})).await.json();
        let code = login["code"].as_str().unwrap();
        format!(
            "/sns/jscode2session?appid={appid}&secret={secret}&js_code={code}&grant_type=authorization_code"
        )
    };
    let answer = client.send(client.request("GET", &target)).await.unwrap().json();
    answer["openid"].as_str().unwrap().to_owned()
}

async fn prepay_id(client: &Client, app: usize, number: &str, openid: &str) -> String {
    let mut order = client.jsapi_order(number, NOWHERE);
    order["appid"] = client.merchant.apps[app].appid.clone().into();
    order["payer"] = json!({"openid": openid});
    let created = client.create("jsapi", &order).await;
    created.json()["prepay_id"].as_str().unwrap().to_owned()
}

/// The six fields, signed as a merchant does.
fn call_up(client: &Client, app: usize, package: &str, time_stamp: &str) -> Value {
    let appid = &client.merchant.apps[app].appid;
    let message = format!("{appid}\n{time_stamp}\nN0nce\n{package}\n");
    let signature = client.key.sign(message.as_bytes());
    json!({
        "appId": appid,
        "timeStamp": time_stamp,
        "nonceStr": "N0nce",
        "package": package,
        "signType": "RSA",
        "paySign": STANDARD.encode(signature.to_bytes()),
    })
}

async fn outcomes(client: &Client, number: &str) -> Vec<String> {
    let shown = client.control("GET", &format!("/payments/{number}"), "").await.json();
    let tries = shown["payer_attempts"].as_array().unwrap().clone();
    tries.iter().map(|attempt| attempt["outcome"].as_str().unwrap().to_owned()).collect()
}

async fn unpaid(client: &Client, payer: &str) -> Vec<Value> {
    let listed = client.control("GET", &format!("/phone/unpaid?payer={payer}"), "").await.json();
    listed["unpaid"].as_array().unwrap().iter().map(|order| order["out_trade_no"].clone()).collect()
}

#[tokio::test]
async fn a_wrong_password_is_not_final() {
    let (_simulator, client) = start().await;
    let code = native_code(&client, "ORDER-1").await;
    let pay = async |password: &str| {
        post(&client, "pay", &json!({"code": code, "payer": "xiaoming", "password": password})).await
    };
    assert_eq!(pay("000000").await.status, 403);
    assert_eq!(pay("12345").await.status, 400);
    assert_eq!(pay("12345a").await.status, 400);
    assert_eq!(client.state("ORDER-1").await, "NOTPAY");
    assert_eq!(pay("123456").await.json()["trade_state"], "SUCCESS");
    assert_eq!(outcomes(&client, "ORDER-1").await, ["wrong_password", "paid"]);
}

#[tokio::test]
async fn a_native_order_belongs_to_its_first_scanner() {
    let (_simulator, client) = start().await;
    let code = native_code(&client, "ORDER-1").await;
    let open = async |code: &str, payer: &str| {
        post(&client, "open", &json!({"code": code, "payer": payer})).await.json()["reason"].clone()
    };
    assert_eq!(open(&code, "xiaoming").await, Value::Null);
    assert_eq!(open(&code, "xiaohong").await, "scanned_by_other");
    assert_eq!(open(&code, "xiaoming").await, Value::Null);
    let theirs = json!({"code": code, "payer": "xiaohong", "password": "123456"});
    assert_eq!(post(&client, "pay", &theirs).await.status, 409);
    // A new code of the same order is still the same order.
    let newer = native_code(&client, "ORDER-1").await;
    assert_eq!(open(&newer, "xiaohong").await, "scanned_by_other");
    let mine = json!({"code": newer, "payer": "xiaoming", "password": "123456"});
    assert_eq!(post(&client, "pay", &mine).await.status, 200);
    let paid = client.query("ORDER-1").await.json();
    assert_eq!(paid["payer"]["openid"], openid(&client, 0, "xiaoming").await.as_str());
}

#[tokio::test]
async fn a_jsapi_order_is_paid_by_whoever_ordered() {
    let (_simulator, client) = start().await;
    let hers = openid(&client, 0, "xiaohong").await;
    let code = prepay_id(&client, 0, "ORDER-1", &hers).await;
    let opened = post(&client, "open", &json!({"code": code, "payer": "xiaoming"})).await.json();
    assert_eq!(opened["reason"], "other_payer");
    let pay = json!({"code": code, "payer": "xiaohong", "password": "654321"});
    assert_eq!(post(&client, "pay", &pay).await.status, 200);
    assert_eq!(client.query("ORDER-1").await.json()["payer"]["openid"], hers.as_str());
}

#[tokio::test]
async fn an_openid_nobody_has_is_whoever_holds_the_phone() {
    let (_simulator, client) = start().await;
    let code = prepay_id(&client, 0, "ORDER-1", "oMadeUp").await;
    let pay = json!({"code": code, "payer": "xiaohong", "password": "123456"});
    assert_eq!(post(&client, "pay", &pay).await.status, 200);
    assert_eq!(client.query("ORDER-1").await.json()["payer"]["openid"], "oMadeUp");
}

#[tokio::test]
async fn what_is_put_off_waits_on_the_phone_until_it_is_paid() {
    let (simulator, client) = start().await;
    let (first, second) = (native_code(&client, "ORDER-1").await, native_code(&client, "ORDER-2").await);
    for code in [&first, &second] {
        post(&client, "open", &json!({"code": code, "payer": "xiaoming"})).await;
        assert_eq!(post(&client, "later", &json!({"code": code})).await.json()["trade_state"], "NOTPAY");
    }
    assert_eq!(outcomes(&client, "ORDER-1").await, ["put_off"]);
    assert_eq!(unpaid(&client, "xiaoming").await, ["ORDER-2", "ORDER-1"]);
    assert!(unpaid(&client, "xiaohong").await.is_empty());
    // Nobody can pay with a code that was replaced.
    native_code(&client, "ORDER-2").await;
    assert_eq!(unpaid(&client, "xiaoming").await, ["ORDER-1"]);
    post(&client, "pay", &json!({"code": first, "payer": "xiaoming", "password": "123456"})).await;
    assert!(unpaid(&client, "xiaoming").await.is_empty());
    let third = native_code(&client, "ORDER-3").await;
    post(&client, "open", &json!({"code": third, "payer": "xiaoming"})).await;
    simulator.advance_clock(Duration::from_secs(2 * 3600)).await.unwrap();
    assert!(unpaid(&client, "xiaoming").await.is_empty());
}

#[tokio::test]
async fn the_cashier_comes_up_for_what_the_merchant_signed() {
    let (_simulator, client) = start().await;
    let mut merchant = Merchant::open().await;
    let now = client.said().timestamp.to_string();
    for (app, cashier) in [(0, "jsapi"), (1, "mini_program")] {
        let number = format!("ORDER-{app}");
        let hers = openid(&client, app, "xiaohong").await;
        let mut order = client.jsapi_order(&number, &merchant.notify_url);
        order["appid"] = client.merchant.apps[app].appid.clone().into();
        order["payer"] = json!({"openid": hers});
        let created = client.create("jsapi", &order).await.json();
        let package = format!("prepay_id={}", created["prepay_id"].as_str().unwrap());
        let invoked = post(
            &client,
            "invoke",
            &json!({
                "cashier": cashier,
                "appid": client.merchant.apps[app].appid,
                "payer": "xiaohong",
                "parameters": call_up(&client, app, &package, &now),
            }),
        )
        .await
        .json();
        assert_eq!(invoked["order"]["out_trade_no"], number.as_str(), "{invoked}");
        let pay = json!({"code": invoked["code"], "payer": "xiaohong", "password": "123456"});
        assert_eq!(post(&client, "pay", &pay).await.status, 200);
        assert_eq!(merchant.next().await.transaction(&client).unwrap()["payer"]["openid"], hers.as_str());
    }
}

#[tokio::test]
async fn a_wrong_call_up_fails_in_the_words_of_the_client() {
    let (simulator, client) = start().await;
    let said = client.said().timestamp;
    let now = said.to_string();
    let hers = openid(&client, 0, "xiaohong").await;
    let package = format!("prepay_id={}", prepay_id(&client, 0, "ORDER-1", &hers).await);
    let native = native_code(&client, "ORDER-2").await;
    let native = format!("prepay_id={}", native.split_once("pr=").unwrap().1);
    let right = || call_up(&client, 0, &package, &now);
    let with = |name: &str, value: Value| {
        let mut parameters = right();
        parameters[name] = value;
        parameters
    };
    let mut without_sign = right();
    without_sign.as_object_mut().unwrap().remove("paySign");
    let invoke = async |parameters: &Value, payer: &str| {
        let body = json!({"cashier": "jsapi", "payer": payer, "parameters": parameters});
        let failed = post(&client, "invoke", &body).await.json();
        let text = |name: &str| failed[name].as_str().unwrap_or_default().to_owned();
        (text("message"), text("shown"))
    };
    const FAIL: &str = "get_brand_wcpay_request:fail";
    for (parameters, payer, message, shown) in [
        (without_sign, "xiaohong", FAIL, "缺少参数：paySign"),
        (with("timeStamp", json!(said)), "xiaohong", FAIL, "缺少参数：timeStamp"),
        (
            with("appId", json!("wx0")),
            "xiaohong",
            "get_brand_wcpay_request:fail_invalid appid",
            "invalid appid",
        ),
        (with("package", json!("wx0")), "xiaohong", FAIL, "total_fee"),
        (with("package", json!("prepay_id=wx0")), "xiaohong", FAIL, "total_fee"),
        (call_up(&client, 0, &native, &now), "xiaohong", FAIL, "total_fee"),
        (call_up(&client, 1, &package, &now), "xiaohong", FAIL, "total_fee"),
        (with("paySign", json!("AAAA")), "xiaohong", FAIL, "支付验证签名失败"),
        (with("nonceStr", json!("other")), "xiaohong", FAIL, "支付验证签名失败"),
        (with("signType", json!("MD5")), "xiaohong", FAIL, "支付验证签名失败"),
        (call_up(&client, 0, &package, &(said - 7300).to_string()), "xiaohong", FAIL, "timeStamp"),
        (call_up(&client, 0, &package, &format!("{now}000")), "xiaohong", FAIL, "timeStamp"),
        (right(), "xiaoming", FAIL, "下单账号与支付账号不一致"),
    ] {
        let (said, told) = invoke(&parameters, payer).await;
        assert_eq!(said, message, "{parameters}");
        assert!(told.contains(shown), "{told} for {parameters}");
    }
    simulator.pay("ORDER-1", simulator::Pay::default()).await.unwrap();
    assert_eq!(invoke(&right(), "xiaohong").await.1, "订单已支付");
    let hers = openid(&client, 0, "xiaohong").await;
    let package = format!("prepay_id={}", prepay_id(&client, 0, "ORDER-3", &hers).await);
    simulator.advance_clock(Duration::from_secs(2 * 3600)).await.unwrap();
    assert!(invoke(&call_up(&client, 0, &package, &now), "xiaohong").await.1.contains("total_fee"));
}

#[tokio::test]
async fn a_mini_program_hears_what_is_wrong_with_its_parameters() {
    let (_simulator, client) = start().await;
    let appid = &client.merchant.apps[1].appid;
    let body = json!({
        "cashier": "mini_program",
        "appid": appid,
        "parameters": {"timeStamp": 1, "nonceStr": "n", "package": "prepay_id=x", "signType": "RSA"},
    });
    assert_eq!(
        post(&client, "invoke", &body).await.json()["message"],
        "requestPayment:fail parameter error: parameter.timeStamp should be String instead of Number;\
         parameter.paySign should be String instead of Undefined;"
    );
    // A page's prepay_id is not a mini-program's.
    let hers = openid(&client, 0, "xiaoming").await;
    let package = format!("prepay_id={}", prepay_id(&client, 0, "ORDER-1", &hers).await);
    let parameters = call_up(&client, 1, &package, &client.said().timestamp.to_string());
    let body = json!({"cashier": "mini_program", "appid": appid, "parameters": parameters});
    let failed = post(&client, "invoke", &body).await.json();
    assert!(failed["message"].as_str().unwrap().starts_with("requestPayment:fail "));
}

#[tokio::test]
async fn nobody_else_can_hold_the_phone() {
    let (_simulator, client) = start().await;
    let code = native_code(&client, "ORDER-1").await;
    let payers = client.control("GET", "/payers", "").await.json();
    assert_eq!(payers["payers"][0]["name"], "小明");
    for (target, body) in [
        ("open", json!({"code": code, "payer": "nobody"})),
        ("pay", json!({"code": code, "payer": "nobody"})),
        ("login", json!({"appid": client.merchant.apps[1].appid, "payer": "nobody"})),
        ("invoke", json!({"cashier": "jsapi", "parameters": {}, "payer": "nobody"})),
        ("invoke", json!({"cashier": "app", "parameters": {}})),
    ] {
        assert_eq!(post(&client, target, &body).await.status, 400, "{target} {body}");
    }
    let login = json!({"appid": client.merchant.apps[0].appid});
    assert_eq!(post(&client, "login", &login).await.status, 404);
}
