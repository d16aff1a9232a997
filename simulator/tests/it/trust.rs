//! Keys and modes, and how they change while everything runs.

use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};
use simulator::{MerchantChange, Options, Pay, Simulator, TrustMode};

use crate::{
    client::{Client, options, start, start_with},
    merchant::Merchant,
};

const NOWHERE: &str = "http://127.0.0.1:9/notify";
const CERTIFICATES: &str = "/v3/certificates";

async fn start_in(mode: TrustMode) -> (Simulator, Client) {
    let (simulator, client) = start_with(Options { mode: Some(mode), ..options() }).await;
    client.create("native", &client.native_order("ORDER-1", NOWHERE)).await;
    (simulator, client)
}

/// Changes the contract by HTTP and returns the merchant's new console.
async fn change(client: &Client, change: Value) -> Value {
    let answer = client.control("POST", "/merchant", &change.to_string()).await;
    assert_eq!(answer.status, 200, "{change} {}", answer.json());
    answer.json()
}

/// What WeChat Pay calls its key of each kind for this merchant.
fn serials(client: &Client) -> (String, String) {
    let merchant = &client.merchant;
    (merchant.public_key_id.clone(), merchant.platform_certificate_serial.clone().unwrap())
}

#[tokio::test]
async fn while_migrating_an_answer_is_signed_as_the_request_asks() {
    let (_simulator, client) = start_in(TrustMode::Migrating).await;
    let (public, platform) = serials(&client);
    let order = client.query_target("ORDER-1");
    for (asked, signer) in
        [(None, &platform), (Some(platform.as_str()), &platform), (Some(public.as_str()), &public)]
    {
        let (answer, signed_by) = client.ask(&order, asked).await;
        assert_eq!((answer.status, signed_by.as_ref()), (200, Some(signer)), "{asked:?}");
    }
    // A body-less 204 too.
    let close = "/v3/pay/transactions/out-trade-no/ORDER-1/close";
    let body = json!({"mchid": client.merchant.mchid}).to_string();
    let request = client
        .request("POST", close)
        .header("authorization", client.authorization(&client.said(), "POST", close, &body))
        .header("wechatpay-serial", &public);
    let answer = client.send(request.body(body)).await.unwrap();
    assert_eq!((answer.status, answer.headers["wechatpay-serial"].to_str().unwrap()), (204, public.as_str()));
    client.check_signature(&answer.headers, b"").unwrap();
}

#[tokio::test]
async fn before_and_after_the_migration_there_is_one_signer() {
    let (_simulator, client) = start_in(TrustMode::Certificate).await;
    let (public, platform) = serials(&client);
    let order = client.query_target("ORDER-1");
    for asked in [None, Some(platform.as_str()), Some(public.as_str())] {
        assert_eq!(client.ask(&order, asked).await.1.as_ref(), Some(&platform));
    }
    let (_simulator, client) = start_in(TrustMode::PublicKey).await;
    for asked in [None, Some(public.as_str())] {
        assert_eq!(client.ask(&order, asked).await.1.as_ref(), Some(&public));
    }
    assert_eq!(client.ask(&order, Some(&platform)).await.0.outcome(), (400, "PARAM_ERROR".into()));
}

#[tokio::test]
async fn a_request_that_names_no_key_of_ours_is_refused_without_effect() {
    let (simulator, client) = start_in(TrustMode::Migrating).await;
    let (answer, _) = client.ask(&client.query_target("ORDER-1"), Some("PUB_KEY_ID_0")).await;
    assert_eq!(answer.outcome(), (400, "PARAM_ERROR".into()));
    assert!(answer.json()["message"].as_str().unwrap().contains("Wechatpay-Serial"));
    let target = "/v3/pay/transactions/native";
    let body = client.native_order("ORDER-2", NOWHERE).to_string();
    let request = client
        .request("POST", target)
        .header("authorization", client.authorization(&client.said(), "POST", target, &body))
        .header("wechatpay-serial", "5".repeat(40));
    assert_eq!(client.send(request.body(body)).await.unwrap().status, 400);
    assert_eq!(simulator.payments(10).await.unwrap().len(), 1);
}

async fn signers_of_notifications(seed: u64) -> Vec<String> {
    let options = Options { mode: Some(TrustMode::Migrating), seed: Some(seed), ..options() };
    let (simulator, client) = start_with(options).await;
    let mut merchant = Merchant::open().await;
    let mut signers = Vec::new();
    for number in 0..12 {
        let number = format!("ORDER-{number}");
        client.create("native", &client.native_order(&number, &merchant.notify_url)).await;
        simulator.pay(&number, Pay::default()).await.unwrap();
        let posted = merchant.next().await;
        assert_eq!(posted.transaction(&client).unwrap()["out_trade_no"], number);
        signers.push(posted.headers["wechatpay-serial"].to_str().unwrap().to_owned());
    }
    signers
}

#[tokio::test]
async fn while_migrating_a_notification_is_signed_by_either_key_and_a_seed_repeats_it() {
    let first = signers_of_notifications(7).await;
    assert_eq!(first.iter().collect::<HashSet<_>>().len(), 2, "{first:?}");
    assert_eq!(signers_of_notifications(7).await, first);
}

#[tokio::test]
async fn a_platform_certificate_is_replaced_with_two_live_ones() {
    let (simulator, client) = start_in(TrustMode::Certificate).await;
    let (_, old) = serials(&client);
    let console =
        change(&client, json!({"change": "issue_platform_certificate", "signs_after_seconds": 60})).await;
    let new = console["platform_certificate_serial"].as_str().unwrap().to_owned();
    assert_ne!(new, old);
    assert_eq!(console["platform_certificates"].as_array().unwrap().len(), 2);

    // Whoever has downloaded both can follow.
    let client = Client::of(&simulator);
    let order = client.query_target("ORDER-1");
    let (listed, signer) = client.ask(CERTIFICATES, None).await;
    assert_eq!(signer.as_ref(), Some(&old));
    let listed = listed.json()["data"].as_array().unwrap().clone();
    let names: Vec<_> = listed.iter().map(|one| one["serial_no"].as_str().unwrap()).collect();
    assert_eq!(names, [&old, &new]);
    for (one, known) in listed.iter().zip(&client.merchant.platform_certificates) {
        let pem = client.open(&one["encrypt_certificate"]).unwrap();
        assert_eq!(String::from_utf8(pem).unwrap(), known.certificate);
        assert_eq!(one["effective_time"], known.effective_time.as_str());
    }
    assert!(listed[0]["effective_time"].as_str() <= listed[1]["effective_time"].as_str());
    let early = client.control("POST", "/merchant", r#"{"change":"drop_old_platform_certificate"}"#).await;
    assert_eq!(early.status, 409);

    simulator.advance_clock(Duration::from_secs(60)).await.unwrap();
    assert_eq!(client.ask(&order, Some(&old)).await.1.as_ref(), Some(&new));
    let mut merchant = Merchant::open().await;
    client.create("native", &client.native_order("ORDER-2", &merchant.notify_url)).await;
    simulator.pay("ORDER-2", Pay::default()).await.unwrap();
    let posted = merchant.next().await;
    assert_eq!(posted.headers["wechatpay-serial"], new.as_str());
    assert!(posted.transaction(&client).is_ok());

    change(&client, json!({"change": "drop_old_platform_certificate"})).await;
    let (listed, _) = client.ask(CERTIFICATES, None).await;
    assert_eq!(listed.json()["data"].as_array().unwrap().len(), 1);
    assert_eq!(client.ask(&order, Some(&old)).await.0.status, 400);
}

#[tokio::test]
async fn the_newer_platform_certificate_signs_when_told_so() {
    let (simulator, _client) = start_in(TrustMode::Certificate).await;
    let mchid = simulator.merchant().mchid;
    let change = |change| simulator.change_merchant(&mchid, change);
    change(MerchantChange::IssuePlatformCertificate { signs_after_seconds: 86_400 }).await.unwrap();
    let client = Client::of(&simulator);
    let certificates = &client.merchant.platform_certificates;
    let order = client.query_target("ORDER-1");
    assert_eq!(client.ask(&order, None).await.1.as_ref(), Some(&certificates[0].serial));
    change(MerchantChange::SignWithNewPlatformCertificate {}).await.unwrap();
    assert_eq!(client.ask(&order, None).await.1.as_ref(), Some(&certificates[1].serial));
}

#[tokio::test]
async fn api_certificates_are_changed_without_a_gap() {
    let (simulator, old) = start().await;
    assert_eq!(old.query("ORDER-1").await.status, 404);
    let console = change(&old, json!({"change": "issue_certificate"})).await;
    let new = Client::of(&simulator);
    assert_eq!(console["certificate_serial"], new.merchant.certificate_serial.as_str());
    assert_ne!(new.merchant.certificate_serial, old.merchant.certificate_serial);
    for client in [&old, &new] {
        assert_eq!(client.query("ORDER-1").await.status, 404);
    }

    // The new serial with the old key, as after half a deployment.
    let target = old.query_target("ORDER-1");
    let mut said = old.said();
    said.serial.clone_from(&new.merchant.certificate_serial);
    let mixed = old.authorization(&said, "GET", &target, "");
    let answer = old.send(old.request("GET", &target).header("authorization", mixed)).await.unwrap();
    assert_eq!(answer.outcome(), (401, "SIGN_ERROR".into()));
    assert!(answer.json()["message"].as_str().unwrap().contains("商户证书序列号有误"));

    let serial = &old.merchant.certificate_serial;
    for (state, message) in [
        ("revoked", "商户证书已作废"),
        ("expired", "商户证书已过期"),
        ("replaced", "已更换证书，请使用新证书"),
    ] {
        change(&old, json!({"change": "set_certificate", "serial": serial, "state": state})).await;
        let answer = old.query("ORDER-1").await;
        assert_eq!(answer.outcome(), (401, "SIGN_ERROR".into()));
        assert!(answer.json()["message"].as_str().unwrap().contains(message), "{}", answer.json());
        assert_eq!(new.query("ORDER-1").await.status, 404);
    }
    change(&old, json!({"change": "set_certificate", "serial": serial, "state": "live"})).await;
    assert_eq!(old.query("ORDER-1").await.status, 404);
}

#[tokio::test]
async fn a_new_apiv3_key_seals_at_once_even_what_is_sent_again() {
    let (simulator, old) = start().await;
    let mut merchant = Merchant::open().await;
    merchant.answer_with([500]);
    old.create("native", &old.native_order("ORDER-1", &merchant.notify_url)).await;
    simulator.pay("ORDER-1", Pay::default()).await.unwrap();
    assert!(merchant.next().await.transaction(&old).is_ok());
    simulator.notifications_settled().await.unwrap();

    let key = "0123456789abcdefghijABCDEFGHIJ99";
    assert_eq!(change(&old, json!({"change": "apiv3_key", "apiv3_key": key})).await["apiv3_key"], key);
    simulator.advance_clock(Duration::from_secs(15)).await.unwrap();
    let posted = merchant.next().await;
    assert_eq!(posted.transaction(&old), Err("sealed otherwise".to_owned()));
    assert!(posted.transaction(&Client::of(&simulator)).is_ok());
    let drawn = change(&old, json!({"change": "apiv3_key"})).await["apiv3_key"].clone();
    assert!(drawn != key && drawn.as_str().unwrap().len() == 32);
}

#[tokio::test]
async fn what_excludes_itself_is_refused_and_changes_nothing() {
    let (simulator, client) = start_in(TrustMode::Certificate).await;
    let before = client.control("GET", "/merchant", "").await.json();
    let serial = &client.merchant.certificate_serial;
    for (change, status) in [
        (json!({"change": "mode"}), 400),
        (json!({"change": "mode", "mode": "both"}), 400),
        (json!({"change": "mode", "mode": "migrating", "extra": 1}), 400),
        (json!({"change": "issue_certificate", "extra": 1}), 400),
        (json!({"change": "everything"}), 400),
        (json!({"change": "apiv3_key", "apiv3_key": "short"}), 400),
        (json!({"change": "apiv3_key", "apiv3_key": "-".repeat(32)}), 400),
        (json!({"change": "set_certificate", "serial": "4A", "state": "revoked"}), 404),
        (json!({"change": "set_certificate", "serial": serial, "state": "lost"}), 400),
        (json!({"change": "sign_with_new_platform_certificate"}), 409),
        (json!({"change": "drop_old_platform_certificate"}), 409),
    ] {
        let answer = client.control("POST", "/merchant", &change.to_string()).await;
        assert_eq!(answer.status, status, "{change}");
        assert!(answer.json()["error"].is_string());
    }
    let missing = client.control("POST", "/merchant?mchid=1", r#"{"change":"issue_certificate"}"#).await;
    assert_eq!(missing.status, 404);
    assert_eq!(client.control("GET", "/merchant", "").await.json(), before);

    let mchid = client.merchant.mchid.clone();
    let change = |change| simulator.change_merchant(&mchid, change);
    let issue = MerchantChange::IssuePlatformCertificate { signs_after_seconds: 0 };
    change(issue.clone()).await.unwrap();
    assert!(change(issue.clone()).await.is_err());
    let migrate = MerchantChange::Mode { mode: TrustMode::Migrating };
    assert!(change(migrate.clone()).await.is_err());
    change(MerchantChange::DropOldPlatformCertificate {}).await.unwrap();
    change(migrate).await.unwrap();
    assert!(change(issue.clone()).await.is_err());
    change(MerchantChange::Mode { mode: TrustMode::PublicKey }).await.unwrap();
    assert!(change(issue).await.is_err());
}

#[tokio::test]
async fn a_restart_continues_with_the_changed_keys_and_mode() {
    let folder = tempfile::tempdir().unwrap();
    let with_file = || Options { data: Some(folder.path().join("simulator.db")), ..options() };
    let (simulator, client) = start_with(with_file()).await;
    for change in [
        MerchantChange::IssueCertificate {},
        MerchantChange::ApiV3Key { apiv3_key: None },
        MerchantChange::Mode { mode: TrustMode::Certificate },
        MerchantChange::IssuePlatformCertificate { signs_after_seconds: 0 },
    ] {
        simulator.change_merchant(&client.merchant.mchid, change).await.unwrap();
    }
    let changed = serde_json::to_value(simulator.merchant()).unwrap();
    assert_ne!(changed, serde_json::to_value(&client.merchant).unwrap());
    simulator.stop().await;

    let (simulator, new) = start_with(Options { credentials: None, ..with_file() }).await;
    assert_eq!(serde_json::to_value(simulator.merchant()).unwrap(), changed);
    assert_eq!(new.query("ORDER-1").await.status, 404);
    let old = Client::of_merchant(&simulator, client.merchant);
    assert_eq!(old.query("ORDER-1").await.status, 404);
    simulator.stop().await;

    let told_so = Options { credentials: None, mode: Some(TrustMode::PublicKey), ..with_file() };
    let (simulator, _) = start_with(told_so).await;
    assert_eq!(simulator.merchant().mode, TrustMode::PublicKey);
    simulator.stop().await;
}

#[tokio::test]
async fn fast_signing_changes_nothing_that_can_be_seen() {
    let (simulator, client) = start_with(Options { fast_signing: true, ..options() }).await;
    let mut merchant = Merchant::open().await;
    let order = client.native_order("ORDER-1", &merchant.notify_url);
    assert_eq!(client.create("native", &order).await.status, 200);
    simulator.pay("ORDER-1", Pay::default()).await.unwrap();
    assert!(merchant.next().await.transaction(&client).is_ok());
    let mut said = client.said();
    said.nonce.push('x');
    let target = client.query_target("ORDER-1");
    let other = client.authorization(&said, "GET", &format!("{target}&a=b"), "");
    let answer = client.send(client.request("GET", &target).header("authorization", other)).await.unwrap();
    assert_eq!(answer.json()["message"], "签名错误");
}
