//! Money that goes back.

use std::time::Duration;

use aes_gcm::{
    KeyInit,
    aes::{
        Aes256,
        cipher::{Array, BlockCipherDecrypt},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use md5::{Digest, Md5};
use serde_json::{Value, json};
use simulator::{ConsoleRefund, Fault, FaultKind, Pay, RefundOutcome, Simulator, Target};

use crate::{
    client::{Client, REFUNDS, start},
    merchant::Merchant,
};

const NOWHERE: &str = "http://127.0.0.1:9/notify";

/// A paid order of 100 fen.
async fn paid_order(simulator: &Simulator, client: &Client, number: &str) {
    client.create("native", &client.native_order(number, NOWHERE)).await;
    simulator.pay(number, Pay::default()).await.unwrap();
}

async fn start_paid() -> (Simulator, Client) {
    let (simulator, client) = start().await;
    paid_order(&simulator, &client, "ORDER-1").await;
    (simulator, client)
}

fn refund_of(order: &str, number: &str, fen: i64) -> Value {
    json!({
        "out_trade_no": order,
        "out_refund_no": number,
        "amount": {"refund": fen, "total": 100, "currency": "CNY"},
    })
}

async fn later(simulator: &Simulator, seconds: u64) {
    simulator.advance_clock(Duration::from_secs(seconds)).await.unwrap();
}

#[tokio::test]
async fn a_refund_is_processing_first_and_succeeds_by_itself() {
    let (simulator, client) = start_paid().await;
    let accepted = client.refund(&refund_of("ORDER-1", "R@1", 40)).await;
    assert_eq!(accepted.status, 200);
    let said = accepted.json();
    let paid = simulator.payment("ORDER-1").await.unwrap();
    assert_eq!(said["status"], "PROCESSING");
    assert_eq!(said["out_trade_no"], "ORDER-1");
    assert_eq!(said["out_refund_no"], "R@1");
    assert_eq!(said["transaction_id"].as_str(), paid.transaction_id.as_deref());
    assert_eq!(said["channel"], "ORIGINAL");
    assert_eq!(said["funds_account"], "AVAILABLE");
    assert_eq!(said["user_received_account"], "支付用户零钱");
    assert_eq!(said["promotion_detail"], json!([]));
    assert!(said["success_time"].is_null());
    assert_eq!(
        said["amount"],
        json!({
            "total": 100, "refund": 40, "from": [], "payer_total": 100, "payer_refund": 40,
            "settlement_refund": 40, "settlement_total": 100, "discount_refund": 0, "currency": "CNY",
        })
    );
    // A part is enough for the order to say so, at once.
    let order = client.query("ORDER-1").await.json();
    assert_eq!(order["trade_state"], "REFUND");
    assert_eq!(order["amount"]["total"], 100);
    assert_eq!(client.find_refund("R@1").await.json(), said);

    later(&simulator, 5).await;
    let done = client.find_refund("R%401").await.json();
    assert_eq!(done["status"], "SUCCESS");
    assert_eq!(done["refund_id"], said["refund_id"]);
    assert!(done["success_time"].is_string());
    assert_eq!(client.close("ORDER-1").await.outcome(), (400, "ORDER_PAID".into()));
    assert_eq!(
        client.create("native", &client.native_order("ORDER-1", NOWHERE)).await.outcome(),
        (403, "OUT_TRADE_NO_USED".into())
    );
}

#[tokio::test]
async fn the_same_number_is_one_refund() {
    let (simulator, client) = start_paid().await;
    let refund = refund_of("ORDER-1", "R1", 40);
    let first = client.refund(&refund).await.json();
    assert_eq!(client.refund(&refund).await.json(), first);
    later(&simulator, 5).await;
    assert_eq!(client.refund(&refund).await.json()["status"], "SUCCESS");
    let other = client.refund(&refund_of("ORDER-1", "R1", 41)).await;
    assert_eq!(other.outcome(), (400, "INVALID_REQUEST".into()));
    paid_order(&simulator, &client, "ORDER-2").await;
    let other = client.refund(&refund_of("ORDER-2", "R1", 40)).await;
    assert_eq!(other.outcome(), (400, "INVALID_REQUEST".into()));
    let ledger = simulator.ledger().await.unwrap();
    assert_eq!(ledger.refunds.len(), 1);
    assert_eq!(ledger.accounts[0].balance, 160);
}

#[tokio::test]
async fn an_order_is_found_by_either_number() {
    let (simulator, client) = start_paid().await;
    let id = simulator.payment("ORDER-1").await.unwrap().transaction_id.unwrap();
    let mut refund = refund_of("ORDER-1", "R1", 40);
    refund["transaction_id"] = json!(id);
    let both = client.refund(&refund).await;
    assert_eq!(both.outcome(), (400, "PARAM_ERROR".into()));
    refund.as_object_mut().unwrap().remove("out_trade_no");
    assert_eq!(client.refund(&refund).await.json()["out_trade_no"], "ORDER-1");
    refund.as_object_mut().unwrap().remove("transaction_id");
    assert_eq!(client.refund(&refund).await.outcome(), (400, "PARAM_ERROR".into()));
}

#[tokio::test]
async fn what_cannot_go_back_is_refused() {
    let (simulator, client) = start_paid().await;
    client.create("native", &client.native_order("UNPAID", NOWHERE)).await;
    let mut total_lies = refund_of("ORDER-1", "R1", 1);
    total_lies["amount"]["total"] = json!(101);
    for (refund, status, code) in [
        (refund_of("NO-SUCH-ORDER", "R1", 1), 404, "RESOURCE_NOT_EXISTS"),
        (refund_of("UNPAID", "R1", 1), 404, "RESOURCE_NOT_EXISTS"),
        (refund_of("ORDER-1", "R1", 101), 400, "INVALID_REQUEST"),
        (total_lies, 400, "INVALID_REQUEST"),
    ] {
        assert_eq!(client.refund(&refund).await.outcome(), (status, code.into()), "{refund}");
    }
    assert_eq!(client.find_refund("R1").await.outcome(), (404, "RESOURCE_NOT_EXISTS".into()));
    assert_eq!(client.state("ORDER-1").await, "SUCCESS");
    later(&simulator, 366 * 86_400).await;
    let late = client.refund(&refund_of("ORDER-1", "R1", 1)).await;
    assert_eq!(late.outcome(), (400, "INVALID_REQUEST".into()));
}

#[tokio::test]
async fn parts_are_a_minute_apart_and_never_more_than_the_whole() {
    let (simulator, client) = start_paid().await;
    assert_eq!(client.refund(&refund_of("ORDER-1", "R1", 60)).await.status, 200);
    let second = refund_of("ORDER-1", "R2", 40);
    assert_eq!(client.refund(&second).await.outcome(), (429, "FREQUENCY_LIMITED".into()));
    later(&simulator, 60).await;
    let more = client.refund(&refund_of("ORDER-1", "R2", 41)).await;
    assert_eq!(more.outcome(), (400, "INVALID_REQUEST".into()));
    assert_eq!(client.refund(&second).await.status, 200);
    // What is closed may be asked for again, with another number.
    assert_eq!(simulator.settle_refund("R2", RefundOutcome::Closed).await.unwrap().status, "CLOSED");
    later(&simulator, 60).await;
    assert_eq!(client.refund(&second).await.json()["status"], "CLOSED");
    assert_eq!(client.refund(&refund_of("ORDER-1", "R3", 40)).await.status, 200);
    assert_eq!(simulator.ledger().await.unwrap().accounts[0].balance, 0);
}

#[tokio::test]
async fn there_are_fifty_parts() {
    let (simulator, client) = start_paid().await;
    for i in 0..50 {
        let answer = client.refund(&refund_of("ORDER-1", &format!("R{i}"), 1)).await;
        assert_eq!(answer.status, 200, "{i}");
        later(&simulator, 60).await;
    }
    let answer = client.refund(&refund_of("ORDER-1", "R50", 1)).await;
    assert_eq!(answer.outcome(), (400, "INVALID_REQUEST".into()));
}

#[tokio::test]
async fn a_bad_refund_is_told_where_and_changes_nothing() {
    let (simulator, client) = start_paid().await;
    for (pointer, value) in [
        ("/out_refund_no", json!("")),
        ("/out_refund_no", json!("R".repeat(65))),
        ("/out_refund_no", json!("R 1")),
        ("/out_trade_no", json!("12345")),
        ("/reason", Value::Null),
        ("/reason", json!("茶".repeat(27))),
        ("/reason", json!("茶😀")),
        ("/notify_url", json!("http://")),
        ("/notify_url", json!("https://shop.example/n?a=1")),
        ("/notify_url", json!(format!("https://shop.example/{}", "x".repeat(256)))),
        ("/funds_account", json!("BASIC")),
        ("/amount/refund", json!(0)),
        ("/amount/refund", json!("1")),
        ("/amount/total", json!(1.5)),
        ("/amount/currency", json!("USD")),
        ("/amount/from", json!([{"account": "AVAILABLE", "amount": 39}])),
        ("/amount/extra", json!(1)),
        ("/goods_detail", json!([])),
        ("/mchid", json!("1900000001")),
        ("/extra", json!("x")),
    ] {
        let mut refund = refund_of("ORDER-1", "R1", 40);
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        refund.pointer_mut(parent).unwrap()[name] = value.clone();
        let answer = client.refund(&refund).await;
        assert_eq!(answer.outcome(), (400, "PARAM_ERROR".into()), "{pointer} {value}");
        assert_eq!(answer.json()["detail"]["field"], pointer);
    }
    for name in ["out_refund_no", "amount"] {
        let mut refund = refund_of("ORDER-1", "R1", 40);
        refund.as_object_mut().unwrap().remove(name);
        assert_eq!(client.refund(&refund).await.outcome(), (400, "PARAM_ERROR".into()), "{name}");
    }
    let mut no_currency = refund_of("ORDER-1", "R1", 40);
    no_currency["amount"].as_object_mut().unwrap().remove("currency");
    assert_eq!(client.refund(&no_currency).await.outcome(), (400, "PARAM_ERROR".into()));
    assert_eq!(client.find_refund(&"R".repeat(65)).await.outcome(), (400, "PARAM_ERROR".into()));
    assert!(simulator.refunds(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn everything_a_refund_may_say_is_accepted() {
    let (_simulator, client) = start_paid().await;
    let mut refund = refund_of("ORDER-1", &"a@_-|*1".repeat(9), 40);
    refund["reason"] = json!("茶".repeat(26));
    refund["notify_url"] = json!(NOWHERE);
    refund["funds_account"] = json!("AVAILABLE");
    refund["amount"]["from"] =
        json!([{"account": "AVAILABLE", "amount": 30}, {"account": "UNAVAILABLE", "amount": 10}]);
    refund["goods_detail"] = json!([{
        "merchant_goods_id": "g1", "wechatpay_goods_id": "1001", "goods_name": "茶",
        "unit_price": 100, "refund_amount": 40, "refund_quantity": 1,
    }]);
    let answer = client.refund(&refund).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["amount"]["from"], refund["amount"]["from"]);
}

#[tokio::test]
async fn refunds_want_a_user_agent_and_an_accept() {
    let (_simulator, client) = start_paid().await;
    let nameless = Client { http: reqwest::Client::builder().no_proxy().build().unwrap(), ..client };
    let answer = nameless.refund(&refund_of("ORDER-1", "R1", 1)).await;
    assert_eq!(answer.outcome(), (400, "INVALID_REQUEST".into()));
    assert_eq!(nameless.find_refund("R1").await.outcome(), (400, "INVALID_REQUEST".into()));
    let unsigned = nameless.request("GET", &format!("{REFUNDS}/R1")).header("user-agent", "test");
    let answer = nameless.send(unsigned).await.unwrap();
    assert_eq!(answer.outcome(), (401, "SIGN_ERROR".into()));
    assert!(answer.json()["message"].as_str().unwrap().contains("Http头Authorization值格式错误"));
    assert!(answer.headers.contains_key("request-id"));
}

#[tokio::test]
async fn an_empty_account_pays_no_refund_until_it_is_filled() {
    let (simulator, client) = start_paid().await;
    let shown = client.control("POST", "/console", r#"{"balance": 0}"#).await.json();
    assert_eq!(shown["balance"], 0);
    let refund = refund_of("ORDER-1", "R1", 40);
    assert_eq!(client.refund(&refund).await.outcome(), (403, "NOT_ENOUGH".into()));
    assert_eq!(client.state("ORDER-1").await, "SUCCESS");
    simulator.set_balance(40).await.unwrap();
    assert_eq!(client.refund(&refund).await.status, 200);
    let account = &simulator.ledger().await.unwrap().accounts[0];
    assert_eq!((account.paid, account.refunded, account.console, account.balance), (100, 40, -60, 0));
    for body in [r#"{"balance": -1}"#, r#"{"refund_notify_url": "/n"}"#, r#"{"other": 1}"#] {
        assert_eq!(client.control("POST", "/console", body).await.status, 400, "{body}");
    }
    assert_eq!(client.control("GET", "/console?mchid=1900000009", "").await.status, 404);
}

#[tokio::test]
async fn each_end_is_told_signed_and_sealed() {
    let (simulator, client) = start().await;
    let mut merchant = Merchant::open().await;
    for (i, (fault, event, status, summary)) in [
        (None, "REFUND.SUCCESS", "SUCCESS", "退款成功"),
        (Some(FaultKind::RefundAbnormal), "REFUND.ABNORMAL", "ABNORMAL", "退款异常"),
        (Some(FaultKind::RefundClosed), "REFUND.CLOSED", "CLOSED", "退款关闭"),
    ]
    .into_iter()
    .enumerate()
    {
        let (order, number) = (format!("ORDER-{i}"), format!("R{i}"));
        paid_order(&simulator, &client, &order).await;
        if let Some(kind) = fault {
            simulator.add_fault(Fault::new(kind).times(1)).unwrap();
        }
        let mut refund = refund_of(&order, &number, 40);
        refund["notify_url"] = json!(merchant.notify_url);
        let accepted = client.refund(&refund).await.json();
        assert_eq!(accepted["status"], "PROCESSING");
        later(&simulator, 5).await;
        let posted = merchant.next().await;
        let envelope = posted.envelope();
        assert_eq!(envelope["event_type"], event);
        assert_eq!(envelope["summary"], summary);
        assert_eq!(envelope["resource_type"], "encrypt-resource");
        assert_eq!(envelope["resource"]["original_type"], "refund");
        let told = posted.transaction(&client).unwrap();
        let done = client.find_refund(&number).await.json();
        assert_eq!((&told["refund_status"], &done["status"]), (&json!(status), &json!(status)));
        assert_eq!(told["success_time"], done["success_time"]);
        assert_eq!(told["refund_id"], accepted["refund_id"]);
        assert_eq!(told["mchid"], "1900000001");
        assert_eq!(
            told["amount"],
            json!({"total": 100, "refund": 40, "payer_total": 100, "payer_refund": 40})
        );
        assert!(told["appid"].is_null());

        simulator.notifications_settled().await.unwrap();
        let shown = client.control("GET", &format!("/refunds/{number}"), "").await.json();
        assert_eq!(shown["status"], status);
        assert_eq!(shown["notifications"][0]["event_type"], event);
        assert_eq!(shown["notifications"][0]["state"], "taken");
        let payment = simulator.payment(&order).await.unwrap();
        assert_eq!(payment.refunds[0].out_refund_no, number);
        let about: Vec<_> = payment
            .notifications
            .iter()
            .map(|told| (told.event_type, told.out_refund_no.as_deref()))
            .collect();
        assert_eq!(about, [("TRANSACTION.SUCCESS", None), (event, Some(number.as_str()))]);
    }
}

#[tokio::test]
async fn a_refund_notice_climbs_the_ladder_with_fresh_signatures() {
    let (simulator, client) = start_paid().await;
    let mut merchant = Merchant::open().await;
    merchant.answer_with([500, 201]);
    let mut refund = refund_of("ORDER-1", "R1", 40);
    refund["notify_url"] = json!(merchant.notify_url);
    client.refund(&refund).await;
    let mut signatures = std::collections::HashSet::new();
    for wait in [5, 15, 15] {
        later(&simulator, wait).await;
        let posted = merchant.next().await;
        assert!(posted.transaction(&client).is_ok());
        assert!(signatures.insert(posted.headers["wechatpay-signature"].clone()));
        simulator.notifications_settled().await.unwrap();
    }
    let told = &simulator.refund("R1").await.unwrap().notifications[0];
    assert_eq!((told.state, told.attempts), ("taken", 3));
}

#[tokio::test]
async fn a_refund_without_any_address_is_not_told() {
    let (simulator, client) = start_paid().await;
    client.refund(&refund_of("ORDER-1", "R1", 40)).await;
    // Nobody is told, and whoever waits for that is not left waiting.
    simulator.advance_clock(Duration::from_secs(5)).await.unwrap();
    simulator.notifications_settled().await.unwrap();
    let refund = simulator.refund("R1").await.unwrap();
    assert_eq!(refund.status, "SUCCESS");
    assert!(refund.notifications.is_empty());
}

#[tokio::test]
async fn the_consoles_address_gets_the_xml_of_v2() {
    let (simulator, client) = start_paid().await;
    let mut merchant = Merchant::open().await;
    let body = json!({"refund_notify_url": merchant.notify_url}).to_string();
    client.control("POST", "/console", &body).await;
    let made =
        client.control("POST", "/payments/ORDER-1/refund", r#"{"reason": "tired of tea"}"#).await.json();
    assert_eq!((&made["source"], &made["refund"]), (&json!("console"), &json!(100)));
    // What v3 takes for a yes is none in v2.
    merchant.answer_with([204]);
    merchant.answer_with_body("<xml><return_code><![CDATA[SUCCESS]]></return_code></xml>");
    later(&simulator, 5).await;
    let posted = merchant.next().await;
    assert_eq!(posted.headers["content-type"], "text/xml");
    assert!(!posted.headers.contains_key("wechatpay-signature"));
    let xml = String::from_utf8(posted.body.to_vec()).unwrap();
    let field = |xml: &str, name: &str| {
        let (_, rest) = xml.split_once(&format!("<{name}><![CDATA[")).unwrap();
        rest.split_once("]]>").unwrap().0.to_owned()
    };
    assert!(xml.starts_with("<xml>"), "{xml}");
    assert_eq!(field(&xml, "return_code"), "SUCCESS");
    assert_eq!(field(&xml, "appid"), "wx0000000000000001");
    assert_eq!(field(&xml, "mch_id"), "1900000001");
    let secret = opened(&field(&xml, "req_info"), &client.merchant.apiv2_key);
    assert!(secret.starts_with("<root>") && secret.ends_with("</root>"), "{secret}");
    assert_eq!(field(&secret, "refund_status"), "SUCCESS");
    assert_eq!(field(&secret, "refund_fee"), "100");
    assert_eq!(field(&secret, "out_refund_no"), made["out_refund_no"].as_str().unwrap());
    assert_eq!(field(&secret, "refund_request_source"), "VENDOR_PLATFORM");

    simulator.notifications_settled().await.unwrap();
    later(&simulator, 15).await;
    merchant.next().await;
    simulator.notifications_settled().await.unwrap();
    let number = made["out_refund_no"].as_str().unwrap();
    let told = &simulator.refund(number).await.unwrap().notifications[0];
    assert_eq!((told.event_type, told.state, told.attempts), ("V2.REFUND", "taken", 2));
}

/// AES-256-ECB with the MD5 of the key in lower hex, and PKCS#7.
fn opened(secret: &str, key: &str) -> String {
    let cipher = Aes256::new_from_slice(hex::encode(Md5::digest(key)).as_bytes()).unwrap();
    let mut bytes = STANDARD.decode(secret).unwrap();
    let (blocks, rest) = Array::slice_as_chunks_mut(&mut bytes);
    assert!(rest.is_empty());
    cipher.decrypt_blocks(blocks);
    let padding = usize::from(*bytes.last().unwrap());
    bytes.truncate(bytes.len() - padding);
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_console_refund_obeys_the_rules_too() {
    let (simulator, client) = start_paid().await;
    client.create("native", &client.native_order("UNPAID", NOWHERE)).await;
    let part = ConsoleRefund { refund: Some(60), ..ConsoleRefund::default() };
    let made = simulator.refund_from_console("ORDER-1", part).await.unwrap();
    assert_eq!(client.find_refund(&made.out_refund_no).await.json()["amount"]["refund"], 60);
    for (target, body, status) in [
        ("/payments/ORDER-1/refund", r#"{"refund": 41}"#, 409),
        ("/payments/ORDER-1/refund", r#"{"refund": 40}"#, 409),
        ("/payments/ORDER-1/refund", r#"{"refund": 0}"#, 400),
        ("/payments/ORDER-1/refund", r#"{"fen": 1}"#, 400),
        ("/payments/UNPAID/refund", "", 409),
        ("/payments/NO-SUCH-ORDER/refund", "", 404),
        ("/refunds/NONE/succeed", "", 404),
    ] {
        assert_eq!(client.control("POST", target, body).await.status, status, "{target} {body}");
    }
    later(&simulator, 60).await;
    assert_eq!(simulator.refund_from_console("ORDER-1", ConsoleRefund::default()).await.unwrap().refund, 40);
    let listed = client.control("GET", "/refunds?limit=10", "").await.json();
    assert_eq!(listed["refunds"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_end_by_hand_is_final_unless_it_was_abnormal() {
    let (simulator, client) = start_paid().await;
    client.refund(&refund_of("ORDER-1", "R1", 40)).await;
    let act = async |act: &str| client.control("POST", &format!("/refunds/R1/{act}"), "").await;
    assert_eq!(act("abnormal").await.json()["status"], "ABNORMAL");
    assert_eq!(act("close").await.status, 409);
    later(&simulator, 3600).await;
    assert_eq!(client.find_refund("R1").await.json()["status"], "ABNORMAL");
    assert_eq!(act("succeed").await.json()["status"], "SUCCESS");
    assert_eq!(act("close").await.status, 409);
    assert_eq!(simulator.ledger().await.unwrap().accounts[0].balance, 60);
}

#[tokio::test]
async fn a_refund_may_be_accepted_and_answered_with_429() {
    let (simulator, client) = start_paid().await;
    simulator.add_fault(Fault::new(FaultKind::Accepted429).on(Target::Refund).times(1)).unwrap();
    let refund = refund_of("ORDER-1", "R1", 40);
    assert_eq!(client.refund(&refund).await.outcome(), (429, "FREQUENCY_LIMITED".into()));
    assert_eq!(client.find_refund("R1").await.json()["status"], "PROCESSING");
    assert_eq!(client.refund(&refund).await.status, 200);
    simulator.add_fault(Fault::new(FaultKind::NotFound).on(Target::RefundQuery).times(1)).unwrap();
    assert_eq!(client.find_refund("R1").await.outcome(), (404, "RESOURCE_NOT_EXISTS".into()));
}

#[tokio::test]
async fn an_unheard_of_event_comes_first_and_settles_nothing() {
    let (simulator, client) = start().await;
    let mut merchant = Merchant::open().await;
    simulator.add_fault(Fault::new(FaultKind::UnknownEvent).times(1)).unwrap();
    merchant.answer_with([204, 500]);
    client.create("native", &client.native_order("ORDER-1", &merchant.notify_url)).await;
    simulator.pay("ORDER-1", Pay::default()).await.unwrap();
    let (unknown, known) = (merchant.next().await, merchant.next().await);
    assert_eq!(unknown.envelope()["event_type"], "SIMULATOR.UNKNOWN");
    assert!(unknown.transaction(&client).is_ok());
    assert_eq!(known.envelope()["event_type"], "TRANSACTION.SUCCESS");
    assert_ne!(unknown.envelope()["id"], known.envelope()["id"]);
    simulator.notifications_settled().await.unwrap();
    assert_eq!(simulator.payment("ORDER-1").await.unwrap().notifications[0].state, "pending");
}

#[tokio::test]
async fn the_associated_data_may_be_empty() {
    let (simulator, client) = start().await;
    let mut merchant = Merchant::open().await;
    simulator.add_fault(Fault::new(FaultKind::NoAssociatedData)).unwrap();
    client.create("native", &client.native_order("ORDER-1", &merchant.notify_url)).await;
    simulator.pay("ORDER-1", Pay::default()).await.unwrap();
    let posted = merchant.next().await;
    assert_eq!(posted.envelope()["resource"]["associated_data"], "");
    assert!(posted.transaction(&client).is_ok());
}

#[tokio::test]
async fn a_notary_tells_of_refunds_too() {
    let (simulator, client) = start().await;
    let notary = simulator.notary();
    let refund = notary.settled_refund(&notary.paid_transaction("ORDER-1", 100), "R1", 40);
    let signed = notary.refund_notification(&refund).unwrap();
    client.check_signature(&signed.headers, &signed.body).unwrap();
    let envelope: Value = serde_json::from_slice(&signed.body).unwrap();
    assert_eq!(envelope["event_type"], "REFUND.SUCCESS");
    let told: Value = serde_json::from_slice(&client.open(&envelope["resource"]).unwrap()).unwrap();
    assert_eq!(told, refund);
    let mut pending = refund;
    pending["refund_status"] = json!("PROCESSING");
    assert!(notary.refund_notification(&pending).is_err());
}
