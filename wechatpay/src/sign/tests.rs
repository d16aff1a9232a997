use std::collections::HashMap;

use super::*;
use crate::testing::{MERCHANT_KEY, NOW, environment, merchant};

#[test]
fn a_request_is_five_lines_each_ended() {
    let check = |method: &str, target: &str, body: &str, expected: &str| {
        let message = request_message(method, target, 1_554_208_460, "593BEC0C930BF1AF", body.as_bytes());
        assert_eq!(String::from_utf8(message).unwrap(), expected);
    };
    check("GET", "/v3/certificates", "", "GET\n/v3/certificates\n1554208460\n593BEC0C930BF1AF\n\n");
    check(
        "GET",
        "/v3/pay/transactions/id/42?mchid=1900000001",
        "",
        "GET\n/v3/pay/transactions/id/42?mchid=1900000001\n1554208460\n593BEC0C930BF1AF\n\n",
    );
    check(
        "POST",
        "/v3/pay/transactions/jsapi",
        r#"{"description":"图书"}"#,
        "POST\n/v3/pay/transactions/jsapi\n1554208460\n593BEC0C930BF1AF\n{\"description\":\"图书\"}\n",
    );
}

#[test]
fn an_authorization_names_the_merchant_and_carries_its_signature() {
    let mut merchant = merchant();
    merchant.certificate_serial.make_ascii_lowercase();
    let header = authorization(&merchant, "POST", "/v3/x", b"{}", &environment()).unwrap();

    let (scheme, rest) = header.split_once(' ').unwrap();
    assert_eq!(scheme, "WECHATPAY2-SHA256-RSA2048");
    let fields: HashMap<&str, &str> = rest
        .split(',')
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(key, value)| (key, value.strip_prefix('"').unwrap().strip_suffix('"').unwrap()))
        .collect();
    let nonce = "0".repeat(32);
    assert_eq!(fields.len(), 5);
    assert_eq!(fields["mchid"], "1900000001");
    assert_eq!(fields["nonce_str"], nonce);
    assert_eq!(fields["timestamp"], NOW.to_string());
    assert_eq!(fields["serial_no"], "3775B6A45ACD588826D15E583A95F5DD0000000A");
    let message = format!("POST\n/v3/x\n{NOW}\n{nonce}\n{{}}\n");
    assert!(MERCHANT_KEY.verifies(message.as_bytes(), fields["signature"]));
}

#[test]
fn a_call_up_is_six_texts_and_its_signature_covers_four_lines() {
    assert_eq!(
        call_up_message(
            "wx8888888888888888",
            "1414561699",
            "5K8264ILTKCH16CQ",
            "prepay_id=wx201410272009395522657A"
        ),
        "wx8888888888888888\n1414561699\n5K8264ILTKCH16CQ\nprepay_id=wx201410272009395522657A\n",
    );

    let call_up = merchant().call_up("wx8888888888888888", "wx2014", &environment()).unwrap();

    let nonce = "0".repeat(32);
    let message = format!("wx8888888888888888\n{NOW}\n{nonce}\nprepay_id=wx2014\n");
    assert!(MERCHANT_KEY.verifies(message.as_bytes(), &call_up.pay_sign));
    assert_eq!(
        serde_json::to_value(&call_up).unwrap(),
        serde_json::json!({
            "appId": "wx8888888888888888",
            "timeStamp": NOW.to_string(),
            "nonceStr": nonce,
            "package": "prepay_id=wx2014",
            "signType": "RSA",
            "paySign": call_up.pay_sign,
        }),
    );
}

#[test]
fn a_system_nonce_is_32_letters_and_digits_and_new_each_time() {
    let environment = Environment::system();
    let (first, second) = ((environment.nonce)(), (environment.nonce)());
    assert_ne!(first, second);
    assert!(
        [&first, &second]
            .iter()
            .all(|nonce| nonce.len() == 32 && nonce.bytes().all(|b| b.is_ascii_alphanumeric()))
    );
    assert!((environment.now)() > NOW);
}
