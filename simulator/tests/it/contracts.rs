//! Several merchants at one WeChat Pay.

use serde_json::json;
use simulator::{Config, Options};

use crate::{
    client::{Client, options, start_with},
    merchant::Merchant,
};

const TWO: &str = r#"
[[merchants]]
mchid = "1900000077"
name = "山茶小铺"
mode = "certificate"
apps = [{ appid = "wx00000000000000aa", kind = "service_account", secret = "given" }]

[[merchants]]
mchid = "1900000001"
apps = [{ appid = "wx0000000000000001", kind = "mini_program" }]
"#;

fn options_of(toml: &str) -> Options {
    Options { merchants: Config::parse(toml).unwrap().merchants, ..options() }
}

#[tokio::test]
async fn merchants_of_one_file_share_nothing_but_the_place() {
    let (simulator, tea) = start_with(options_of(TWO)).await;
    let [_, other] = <[_; 2]>::try_from(simulator.merchants()).ok().unwrap();
    let other = Client::of_merchant(&simulator, other);
    assert_eq!((tea.merchant.mchid.as_str(), other.merchant.mchid.as_str()), ("1900000077", "1900000001"));

    let mut shops = [Merchant::open().await, Merchant::open().await];
    for (client, shop) in [&tea, &other].into_iter().zip(&mut shops) {
        let order = client.native_order("ORDER-1", &shop.notify_url);
        let code = client.create("native", &order).await.json()["code_url"].clone();
        let scanned = client.control("GET", &format!("/phone?code={}", code.as_str().unwrap()), "").await;
        assert_eq!(scanned.json()["merchant"], client.merchant.name.as_str());
        let target = format!("/payments/ORDER-1/pay?mchid={}", client.merchant.mchid);
        assert_eq!(client.control("POST", &target, "").await.status, 200);
        let told = shop.next().await.transaction(client).unwrap();
        assert_eq!(told["mchid"], client.merchant.mchid.as_str());
        assert_eq!(client.state("ORDER-1").await, "SUCCESS");
    }

    // Each other's app, serial and key are worth nothing.
    let mut order = tea.native_order("ORDER-2", "http://127.0.0.1:9/n");
    order["appid"] = json!("wx0000000000000001");
    assert_eq!(tea.create("native", &order).await.outcome(), (400, "APPID_MCHID_NOT_MATCH".into()));
    let target = other.query_target("ORDER-1");
    for (serial, message) in [
        (&tea.merchant.certificate_serial, "商户证书序列号有误"),
        (&other.merchant.certificate_serial, "签名错误"),
    ] {
        let mut said = other.said();
        said.serial.clone_from(serial);
        let authorization = tea.authorization(&said, "GET", &target, "");
        let request = tea.request("GET", &target).header("authorization", authorization);
        let answer = tea.send(request).await.unwrap();
        assert_eq!(answer.outcome(), (401, "SIGN_ERROR".into()));
        assert!(answer.json()["message"].as_str().unwrap().contains(message));
    }
}

#[tokio::test]
async fn everyone_is_listed_without_secrets_and_shown_with_them() {
    let (simulator, client) = start_with(options_of(TWO)).await;
    let listed = client.control("GET", "/merchants", "").await.json();
    assert_eq!(
        listed["merchants"],
        json!([
            {
                "mchid": "1900000077",
                "name": "山茶小铺",
                "mode": "certificate",
                "apps": [{"appid": "wx00000000000000aa", "kind": "service_account"}],
            },
            {
                "mchid": "1900000001",
                "name": "山茶小铺",
                "mode": "public_key",
                "apps": [{"appid": "wx0000000000000001", "kind": "mini_program"}],
            },
        ])
    );
    let shown = client.control("GET", "/merchant?mchid=1900000077", "").await.json();
    assert_eq!(shown["base_url"], simulator.url());
    assert_eq!(shown["mode"], "certificate");
    assert_eq!(shown["apps"][0]["secret"], "given");
    assert_eq!(shown["platform_certificates"].as_array().unwrap().len(), 1);
    let without_key = shown["platform_certificates"][0].as_object().unwrap();
    assert!(!without_key.contains_key("private_key"));
    assert_eq!(client.control("GET", "/merchant?mchid=1900000002", "").await.status, 404);
}

#[tokio::test]
async fn a_file_keeps_its_merchants_and_takes_in_new_ones() {
    let folder = tempfile::tempdir().unwrap();
    let with_file = |toml| Options {
        data: Some(folder.path().join("simulator.db")),
        credentials: None,
        ..options_of(toml)
    };
    let (first, client) = start_with(with_file(&TWO[..TWO.rfind("[[merchants]]").unwrap()])).await;
    first.stop().await;

    // Another name and another app; keys, secret and mode are the file's.
    let changed = TWO.replace("山茶小铺", "茶馆").replace(", secret = \"given\"", "").replace(
        "mode = \"certificate\"\napps = [",
        "mode = \"public_key\"\napps = [{ appid = \"wx00000000000000bb\", kind = \"mini_program\" }, ",
    );
    let (second, again) = start_with(with_file(&changed)).await;
    assert_eq!(again.merchant.certificate_serial, client.merchant.certificate_serial);
    assert_eq!((again.merchant.name.as_str(), again.merchant.mode), ("茶馆", client.merchant.mode));
    assert_eq!(again.merchant.apps[1], client.merchant.apps[0]);
    assert_eq!(second.merchants().len(), 2);
    let all = serde_json::to_value(second.merchants()).unwrap();
    second.stop().await;

    let without_configuration = Options { merchants: Vec::new(), ..with_file(TWO) };
    let (third, _) = start_with(without_configuration).await;
    assert_eq!(serde_json::to_value(third.merchants()).unwrap(), all);
    third.stop().await;
}
