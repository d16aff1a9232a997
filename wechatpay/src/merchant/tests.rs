use super::*;
use crate::testing::{MERCHANT_KEY, merchant};

#[test]
fn secrets_are_not_printed() {
    let printed = format!("{:?} {:?}", merchant(), ApiV3Key::new(&"k".repeat(32)));
    assert!(printed.contains("PrivateKey(..)") && printed.contains("ApiV3Key(..)"));
    assert!(!printed.contains("kkkk"));
}

#[test]
fn an_api_v3_key_has_32_bytes() {
    let check = |text: &str, length: Option<usize>| {
        let refused = ApiV3Key::new(text).err();
        assert_eq!(refused, length.map(|length| KeyError::ApiV3KeyLength { length }), "{text}");
    };
    check(&"k".repeat(32), None);
    check("", Some(0));
    check(&"k".repeat(31), Some(31));
    check(&"k".repeat(33), Some(33));
    check(&"微".repeat(11), Some(33));
}

#[test]
fn a_private_key_is_pkcs8_rsa() {
    let check = |pem: &str, refused: Option<KeyError>| {
        assert_eq!(PrivateKey::from_pem(pem).err(), refused);
    };
    let not_pem = Some(KeyError::NotPem { label: "PRIVATE KEY" });
    let good = &MERCHANT_KEY.private_pem;
    check(good, None);
    check(&good.replace('\n', "\r\n"), None);
    check(&format!("Bag Attributes\n{good}trailing"), None);
    check("", not_pem.clone());
    check(&MERCHANT_KEY.public_pem, not_pem.clone());
    check(&good.replace("PRIVATE KEY", "RSA PRIVATE KEY"), not_pem.clone());
    check("-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----", not_pem);
    check("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", Some(KeyError::NotRsa));
    check("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----", Some(KeyError::NotRsa));
}
