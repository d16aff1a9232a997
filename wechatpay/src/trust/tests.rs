use super::*;
use crate::testing::{NOW, OTHER_KEY, PUBLIC_KEY_ID, SERIAL, WECHAT_KEY, headers, signed};

const BODY: &[u8] = r#"{"summary":"支付成功"}"#.as_bytes();

fn public_key() -> TrustedKeys {
    TrustedKeys::with_public_key(PUBLIC_KEY_ID, &WECHAT_KEY.public_pem).unwrap()
}

fn verdict(keys: &TrustedKeys, map: &HeaderMap, body: &[u8], now: i64) -> Result<(), VerifyError> {
    keys.verify(&SignatureHeaders::from_map(map)?, body, now)
}

#[test]
fn the_signed_message_is_three_lines_each_ended() {
    let map = headers(&[
        ("Wechatpay-Timestamp", "1554209980"),
        ("Wechatpay-Nonce", "c5ac7061fccab6bf3e254dcf98995b8c"),
        ("Wechatpay-Signature", "x"),
        ("Wechatpay-Serial", "y"),
    ]);
    let check = |body: &str, expected: &str| {
        let message = SignatureHeaders::from_map(&map).unwrap().message(body.as_bytes());
        assert_eq!(String::from_utf8(message).unwrap(), expected);
    };
    check("{}", "1554209980\nc5ac7061fccab6bf3e254dcf98995b8c\n{}\n");
    check("", "1554209980\nc5ac7061fccab6bf3e254dcf98995b8c\n\n");
}

#[test]
fn each_header_is_there_once_and_makes_sense() {
    let check = |name: &'static str, values: &[&str], expected: Result<(), VerifyError>| {
        let mut map = signed(&WECHAT_KEY, PUBLIC_KEY_ID, BODY);
        map.remove(name);
        for value in values {
            map.append(name, value.parse().unwrap());
        }
        assert_eq!(verdict(&public_key(), &map, BODY, NOW), expected, "{name}: {values:?}");
    };
    let now = NOW.to_string();
    for name in ["Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial"] {
        check(name, &[], Err(VerifyError::Missing(name)));
        check(name, &[""], Err(VerifyError::Malformed(name)));
        check(name, &[&now, &now], Err(VerifyError::Duplicate(name)));
        check(name, &["ü"], Err(VerifyError::Malformed(name)));
    }
    let timestamp = "Wechatpay-Timestamp";
    check(timestamp, &[&now], Ok(()));
    for wrong in ["-1", "+1722850421", "01722850421", "1722850421.0", "1e9", "99999999999999999999", "0x1"] {
        check(timestamp, &[wrong], Err(VerifyError::Malformed(timestamp)));
    }
    let kind = "Wechatpay-Signature-Type";
    check(kind, &[], Ok(()));
    check(kind, &["WECHATPAY2-SM2-WITH-SM3"], Err(VerifyError::Malformed(kind)));
    check(kind, &[""], Err(VerifyError::Malformed(kind)));
    check(kind, &["WECHATPAY2-SHA256-RSA2048"; 2], Err(VerifyError::Duplicate(kind)));
}

#[test]
fn a_signature_is_fresh_for_five_minutes_both_ways() {
    let map = signed(&WECHAT_KEY, PUBLIC_KEY_ID, BODY);
    let check = |now: i64, expected: Result<(), VerifyError>| {
        assert_eq!(verdict(&public_key(), &map, BODY, now), expected, "{now}");
    };
    check(NOW, Ok(()));
    check(NOW + 300, Ok(()));
    check(NOW - 300, Ok(()));
    check(NOW + 301, Err(VerifyError::Stale { skew_seconds: 301 }));
    check(NOW - 301, Err(VerifyError::Stale { skew_seconds: -301 }));
    check(i64::MAX, Err(VerifyError::Stale { skew_seconds: i64::MAX - NOW }));
    check(i64::MIN, Err(VerifyError::Stale { skew_seconds: i64::MIN }));
}

#[test]
fn any_altered_byte_breaks_the_signature() {
    let map = signed(&WECHAT_KEY, PUBLIC_KEY_ID, BODY);
    let keys = public_key();
    assert_eq!(verdict(&keys, &map, BODY, NOW), Ok(()));
    for position in 0..BODY.len() {
        let mut body = BODY.to_vec();
        body[position] ^= 1;
        assert_eq!(verdict(&keys, &map, &body, NOW), Err(VerifyError::BadSignature), "body {position}");
    }
    for name in ["Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial"] {
        let value = map[name].as_bytes().to_vec();
        for position in 0..value.len() {
            let mut value = value.clone();
            value[position] = if value[position] == b'2' { b'3' } else { b'2' };
            let mut map = map.clone();
            map.insert(name, value.as_slice().try_into().unwrap());
            assert!(verdict(&keys, &map, BODY, NOW).is_err(), "{name} {position}");
        }
    }
    let longer = [BODY, b" "].concat();
    assert_eq!(verdict(&keys, &map, &longer, NOW), Err(VerifyError::BadSignature));
    assert_eq!(verdict(&keys, &map, b"", NOW), Err(VerifyError::BadSignature));
}

#[test]
fn nonsense_and_probes_are_refused_without_a_panic() {
    let good = signed(&WECHAT_KEY, PUBLIC_KEY_ID, BODY);
    let check = |signature: &str, expected: VerifyError| {
        let mut map = good.clone();
        map.insert("Wechatpay-Signature", signature.parse().unwrap());
        assert_eq!(verdict(&public_key(), &map, BODY, NOW), Err(expected), "{signature}");
    };
    let right = good["Wechatpay-Signature"].to_str().unwrap();
    check("WECHATPAY/SIGNTEST/", VerifyError::Probe);
    check(&format!("WECHATPAY/SIGNTEST/{right}"), VerifyError::Probe);
    check("wechatpay/signtest/AAAA", VerifyError::BadSignature);
    check("!", VerifyError::BadSignature);
    check("AAAA", VerifyError::BadSignature);
    check(&right[..right.len() - 1], VerifyError::BadSignature);
    check(&format!("{right}="), VerifyError::BadSignature);
    check(&right.replace('=', "%3D"), VerifyError::BadSignature);
}

#[test]
fn a_probe_is_told_only_when_the_rest_is_fine() {
    let check = |serial: &str, now: i64, expected: VerifyError| {
        let mut map = signed(&WECHAT_KEY, serial, BODY);
        map.insert("Wechatpay-Signature", "WECHATPAY/SIGNTEST/A".parse().unwrap());
        assert_eq!(verdict(&public_key(), &map, BODY, now), Err(expected));
    };
    check(PUBLIC_KEY_ID, NOW, VerifyError::Probe);
    check(PUBLIC_KEY_ID, NOW + 999, VerifyError::Stale { skew_seconds: 999 });
    check(SERIAL, NOW, VerifyError::UnknownSerial(SERIAL.to_owned()));
}

#[test]
fn the_serial_chooses_the_key_in_every_mode() {
    let check = |keys: &TrustedKeys, serial: &str, expected: Result<(), VerifyError>| {
        let map = signed(&WECHAT_KEY, serial, BODY);
        assert_eq!(verdict(keys, &map, BODY, NOW), expected, "{serial}");
    };
    let unknown = |serial: &str| Err(VerifyError::UnknownSerial(serial.to_owned()));

    let keys = public_key();
    assert_eq!(keys.mode(), Mode::PublicKey);
    assert_eq!(keys.preferred_serial().as_deref(), Some(PUBLIC_KEY_ID));
    check(&keys, PUBLIC_KEY_ID, Ok(()));
    check(&keys, &PUBLIC_KEY_ID.to_lowercase(), unknown(&PUBLIC_KEY_ID.to_lowercase()));
    check(&keys, SERIAL, unknown(SERIAL));

    let shared = keys.clone();
    assert_eq!(shared.add_certificate(&WECHAT_KEY.certificate(SERIAL, 2040)).as_deref(), Ok(SERIAL));
    assert_eq!(keys.mode(), Mode::Migrating);
    assert_eq!(keys.preferred_serial().as_deref(), Some(PUBLIC_KEY_ID));
    check(&keys, PUBLIC_KEY_ID, Ok(()));
    check(&keys, SERIAL, Ok(()));
    check(&keys, &SERIAL.to_lowercase(), Ok(()));

    let keys = TrustedKeys::new();
    assert_eq!((keys.mode(), keys.preferred_serial()), (Mode::Certificate, None));
    check(&keys, SERIAL, unknown(SERIAL));
    keys.add_certificate(&OTHER_KEY.certificate(SERIAL, 2040)).unwrap();
    check(&keys, SERIAL, Err(VerifyError::BadSignature));
    check(&keys, PUBLIC_KEY_ID, unknown(PUBLIC_KEY_ID));
}

#[test]
fn certificates_are_replaced_as_a_whole_and_expire() {
    let keys = TrustedKeys::new();
    let serials = || -> Vec<_> { keys.certificates().into_iter().map(|known| known.serial).collect() };
    keys.replace_certificates([WECHAT_KEY.certificate("00A1", 2041), OTHER_KEY.certificate("7B", 2040)])
        .unwrap();
    assert_eq!(serials(), ["7B", "A1"]);

    let refused = keys.replace_certificates([WECHAT_KEY.certificate("7C", 2040), "nonsense".to_owned()]);
    assert_eq!(refused, Err(KeyError::NotPem { label: "CERTIFICATE" }));
    assert_eq!(serials(), ["7B", "A1"]);

    keys.replace_certificates([WECHAT_KEY.certificate(SERIAL, 2024)]).unwrap();
    assert_eq!(serials(), [SERIAL]);
    let map = signed(&WECHAT_KEY, SERIAL, BODY);
    let expired = Err(VerifyError::UnknownSerial(SERIAL.to_owned()));
    assert_eq!(verdict(&keys, &map, BODY, NOW), expired);
}

#[test]
fn keys_that_are_no_keys_are_refused() {
    let check = |id: &str, pem: &str, expected: KeyError| {
        assert_eq!(TrustedKeys::with_public_key(id, pem).err(), Some(expected));
    };
    check("0114232134912410000000000000", &WECHAT_KEY.public_pem, KeyError::PublicKeyId);
    check(PUBLIC_KEY_ID, &WECHAT_KEY.private_pem, KeyError::NotPem { label: "PUBLIC KEY" });
    check(PUBLIC_KEY_ID, "-----BEGIN PUBLIC KEY-----AAAA-----END PUBLIC KEY-----", KeyError::NotRsa);
    let certificate = "-----BEGIN CERTIFICATE-----AAAA-----END CERTIFICATE-----";
    assert_eq!(TrustedKeys::new().add_certificate(certificate), Err(KeyError::NotCertificate));
}
