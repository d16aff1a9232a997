use super::*;
use crate::testing::{API_V3_KEY, api_v3_key, sealed};

const PLAIN: &[u8] = br#"{"trade_state":"SUCCESS"}"#;
const OTHER_KEY: &str = "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz";

#[test]
fn an_envelope_is_read_whatever_else_is_in_it() {
    let check = |json: &str, expected: Option<(&str, &str, Option<&str>)>| {
        let read = serde_json::from_str::<Envelope>(json).ok();
        let seen = read
            .as_ref()
            .map(|e| (e.id.as_str(), e.event_type.as_str(), e.resource.associated_data.as_deref()));
        assert_eq!(seen, expected, "{json}");
    };
    check(
        r#"{"id":"EV-1","create_time":"2015-05-20T13:29:35+08:00","resource_type":"encrypt-resource",
        "event_type":"TRANSACTION.SUCCESS","summary":"支付成功","new":[1],"resource":{"new":{},
        "original_type":"transaction","algorithm":"AEAD_AES_256_GCM","ciphertext":"","associated_data":"","nonce":""}}"#,
        Some(("EV-1", "TRANSACTION.SUCCESS", Some(""))),
    );
    check(
        r#"{"id":"EV-2","event_type":"X","summary":null,"resource":{"algorithm":"A","ciphertext":"","nonce":""}}"#,
        Some(("EV-2", "X", None)),
    );
    check(r#"{"id":"EV-3","event_type":"X"}"#, None);
    check("<xml><return_code>SUCCESS</return_code></xml>", None);
    check("", None);
}

#[test]
fn a_resource_opens_with_the_key_that_sealed_it() {
    let check = |keys: &[&str], associated_data: Option<&str>, expected: Result<&[u8], DecryptError>| {
        let keys: Vec<_> = keys.iter().map(|key| api_v3_key(key)).collect();
        let opened = sealed(API_V3_KEY, associated_data, PLAIN).decrypt(&keys);
        assert_eq!(opened.as_deref().map_err(Clone::clone), expected);
    };
    check(&[API_V3_KEY], Some("transaction"), Ok(PLAIN));
    check(&[API_V3_KEY], Some(""), Ok(PLAIN));
    check(&[API_V3_KEY], None, Ok(PLAIN));
    check(&[OTHER_KEY, API_V3_KEY], None, Ok(PLAIN));
    check(&[API_V3_KEY, OTHER_KEY], None, Ok(PLAIN));
    check(&[OTHER_KEY], None, Err(DecryptError::TagMismatch));
    check(&[], None, Err(DecryptError::TagMismatch));
}

#[test]
fn an_altered_resource_stays_closed() {
    let check = |alter: fn(&mut Resource), expected: DecryptError| {
        let mut resource = sealed(API_V3_KEY, Some("transaction"), PLAIN);
        alter(&mut resource);
        assert_eq!(resource.decrypt(&[api_v3_key(API_V3_KEY)]), Err(expected), "{resource:?}");
    };
    let malformed = DecryptError::Malformed;
    check(|r| r.associated_data = Some("refund".to_owned()), DecryptError::TagMismatch);
    check(|r| r.associated_data = None, DecryptError::TagMismatch);
    check(|r| r.nonce = "fdasfjihihii".to_owned(), DecryptError::TagMismatch);
    check(|r| r.nonce.clear(), malformed("nonce"));
    check(|r| r.nonce.push('x'), malformed("nonce"));
    check(|r| r.nonce = "微信微信微信".to_owned(), malformed("nonce"));
    check(|r| r.ciphertext.clear(), malformed("ciphertext"));
    check(|r| r.ciphertext = STANDARD.encode([0; 15]), malformed("ciphertext"));
    check(|r| r.ciphertext = STANDARD.encode([0; 16]), DecryptError::TagMismatch);
    check(|r| r.ciphertext.insert(0, '!'), malformed("ciphertext"));
    check(|r| r.ciphertext.replace_range(..4, ""), DecryptError::TagMismatch);
    check(
        |r| r.algorithm = "AEAD_SM4_GCM".to_owned(),
        DecryptError::UnsupportedAlgorithm("AEAD_SM4_GCM".to_owned()),
    );
}
