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

#[test]
fn a_notification_is_read_as_what_its_event_is_about() {
    let refund = r#"{"mchid":"1900000100","transaction_id":"1008450740201411110005820873",
        "out_trade_no":"20150806125346","out_refund_no":"7752501201407033233368018",
        "refund_id":"50200207182018070300011301001","refund_status":"SUCCESS",
        "success_time":"2018-06-08T10:34:56+08:00","user_received_account":"招商银行信用卡0403",
        "amount":{"total":999,"refund":888,"payer_total":990,"payer_refund":880}}"#;
    let told = |event_type: &str, original_type: Option<&str>, plain: &str| {
        let resource = Resource {
            original_type: original_type.map(str::to_owned),
            ..sealed(API_V3_KEY, Some("refund"), plain.as_bytes())
        };
        let envelope = Envelope {
            id: "EV-1".to_owned(),
            create_time: None,
            event_type: event_type.to_owned(),
            resource_type: None,
            summary: None,
            resource,
        };
        envelope.open(&[api_v3_key(API_V3_KEY)])
    };
    for (event, kind) in
        [("REFUND.SUCCESS", Some("refund")), ("REFUND.ABNORMAL", None), ("REFUND.CLOSED", Some("refund"))]
    {
        let Ok(Told::Refund(said)) = told(event, kind, refund) else { panic!("{event}") };
        assert_eq!(said.refund_status, crate::refund::RefundStatus::Success);
        assert_eq!((said.out_trade_no.as_str(), said.refund_id.len()), ("20150806125346", 29));
        assert_eq!(said.amount.as_ref().unwrap().payer_refund, Some(880));
        assert_eq!(said.succeeded_at(), Some(1_528_425_296));
    }
    let paid = r#"{"trade_state":"SUCCESS"}"#;
    for kind in [Some("transaction"), None] {
        let Ok(Told::Payment(said)) = told("TRANSACTION.SUCCESS", kind, paid) else { panic!("{kind:?}") };
        assert!(said.is_paid());
    }
    for (event, kind) in [
        ("TRANSACTION.SUCCESS", Some("profitsharing")),
        ("REFUND.SUCCESS", Some("transaction")),
        ("COMPLAINT.CREATE", Some("complaint")),
        ("", None),
    ] {
        assert_eq!(told(event, kind, "{}"), Ok(Told::Other(b"{}".to_vec())), "{event}");
    }
    assert_eq!(told("REFUND.SUCCESS", Some("refund"), "{}"), Err(OpenError::Unreadable));
    assert_eq!(told("TRANSACTION.SUCCESS", None, "<xml>"), Err(OpenError::Unreadable));
}
