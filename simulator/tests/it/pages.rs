use serde_json::json;

use crate::{client::start, merchant::Merchant};

#[tokio::test]
async fn the_pages_come_whole_and_need_nothing_from_elsewhere() {
    let (_simulator, client) = start().await;
    let get = async |target: &str| client.send(client.request("GET", target)).await.unwrap();
    for target in
        ["/", "/phone?code_url=weixin://wxpay/bizpayurl?pr=x", "/assets/authorize.html", "/mini-program"]
    {
        let page = get(target).await;
        assert_eq!(page.status, 200);
        assert!(page.headers["content-type"].to_str().unwrap().starts_with("text/html"));
        let text = String::from_utf8(page.body).unwrap();
        assert!(text.contains("模拟器") && text.contains("simulator"), "{target}");
        assert!(!text.contains("https://") && !text.contains("//cdn"), "{target}");
        for link in text.split(['"', '\'']).filter(|part| part.starts_with("/assets/")) {
            assert_eq!(get(link).await.status, 200, "{link}");
        }
    }
    assert_eq!(get("/assets/none.js").await.status, 404);
    assert_eq!(get("/assets/..%2fCargo.toml").await.status, 404);
}

#[tokio::test]
async fn the_phone_reads_a_code_and_pays() {
    let (simulator, client) = start().await;
    let mut merchant = Merchant::open().await;
    let native = client.native_order("ORDER-1", &merchant.notify_url);
    let jsapi = client.jsapi_order("ORDER-2", &merchant.notify_url);
    let code_url = client.create("native", &native).await.json()["code_url"].clone();
    let prepay_id = client.create("jsapi", &jsapi).await.json()["prepay_id"].clone();
    let package = format!("prepay_id={}", prepay_id.as_str().unwrap());
    for code in [code_url.as_str().unwrap(), &package] {
        let escaped = code.replace('?', "%3F").replace('=', "%3D");
        let target = format!("/phone?code={escaped}");
        let shown = client.control("GET", &target, "").await.json();
        assert_eq!((&shown["description"], &shown["total"]), (&json!("一杯茶"), &json!(100)));
        assert_eq!(shown["reason"], json!(null));
        let body = json!({"code": code}).to_string();
        assert_eq!(client.control("POST", "/phone/cancel", &body).await.status, 200);
        assert_eq!(client.control("POST", "/phone/fail", &body).await.status, 200);
        let paid = client.control("POST", "/phone/pay", &body).await.json();
        assert_eq!(paid["trade_state"], "SUCCESS");
        merchant.next().await;
        assert_eq!(client.control("POST", "/phone/pay", &body).await.status, 409);
    }
    assert_eq!(simulator.ledger().await.unwrap().payments.len(), 2);
}
