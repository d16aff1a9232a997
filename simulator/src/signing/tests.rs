use std::sync::LazyLock;

use aes_gcm::aead::Payload;
use serde_json::json;

use super::*;
use crate::clock::Pace;

static CREDENTIALS: LazyLock<Credentials> = LazyLock::new(|| Credentials::generate().unwrap());

fn keys(mode: TrustMode, change: impl FnOnce(&mut Credentials)) -> Keys {
    let mut credentials = Credentials { mode, ..CREDENTIALS.clone() };
    change(&mut credentials);
    Keys::parse(credentials, &Workshop::new(Library::Independent)).unwrap()
}

fn notary(mode: TrustMode) -> Notary {
    Notary {
        keys: Arc::new(keys(mode, |_| {})),
        clock: Arc::new(SimClock::new(Some(Arc::new(|| 1_789_173_000_000)), Pace::REAL)),
    }
}

fn verifies(headers: &HeaderMap, body: &[u8]) -> bool {
    let text = |name| headers[name].to_str().unwrap();
    let head = format!("{}\n{}\n", text("wechatpay-timestamp"), text("wechatpay-nonce"));
    let key = match text("wechatpay-serial") {
        serial if serial == CREDENTIALS.public_key_id => &CREDENTIALS.wechat_private_key,
        _ => &CREDENTIALS.platform_certificates[0].certified.private_key,
    };
    let key = KeyMaterial::read(key).unwrap().public(Library::Independent).unwrap();
    from_base64(text("wechatpay-signature")).is_some_and(|signature| {
        let message = [head.as_bytes(), body, b"\n"].concat();
        key.verifies(&message, &signature)
    })
}

#[test]
fn each_mode_signs_with_its_own_key() {
    let platform = &CREDENTIALS.platform_certificates[0].certified.serial;
    for (mode, serial) in
        [(TrustMode::PublicKey, &CREDENTIALS.public_key_id), (TrustMode::Certificate, platform)]
    {
        let headers = notary(mode).sign_notification(b"{}");
        assert_eq!(headers["wechatpay-serial"], serial.as_str());
        assert_eq!(headers.len(), 5);
        assert!(verifies(&headers, b"{}"));
        assert!(!verifies(&headers, b"{ }"));
    }
}

#[test]
fn an_answers_key_follows_the_mode_and_what_was_asked_for() {
    let (public, platform) =
        (CREDENTIALS.public_key_id.as_str(), CREDENTIALS.platform_certificates[0].certified.serial.as_str());
    let modes = [TrustMode::Certificate, TrustMode::Migrating, TrustMode::PublicKey].map(|m| keys(m, |_| {}));
    for (asked, serials) in [
        (None, [Some(platform), Some(platform), Some(public)]),
        (Some(platform), [Some(platform), Some(platform), None]),
        (Some(public), [Some(platform), Some(public), Some(public)]),
        (Some("PUB_KEY_ID_01"), [None; 3]),
        (Some(""), [None; 3]),
    ] {
        let signed_by =
            modes.each_ref().map(|keys| keys.for_answer(asked, 0).ok().map(|key| key.serial.as_str()));
        assert_eq!(signed_by, serials, "{asked:?}");
    }
    for choice in [true, false] {
        let told = modes.each_ref().map(|keys| keys.for_notification(|| choice, 0).serial.as_str());
        assert_eq!(told, [platform, if choice { public } else { platform }, public]);
    }
}

#[test]
fn a_new_platform_certificate_signs_when_its_time_has_come() {
    let new = PLATFORM.clone();
    let keys = keys(TrustMode::Certificate, |to| to.platform_certificates.push(new));
    let old = &CREDENTIALS.platform_certificates[0].certified.serial;
    let new = &PLATFORM.certified.serial;
    let signer = |now| keys.for_answer(None, now).unwrap().serial.as_str();
    assert_eq!((signer(-1), signer(1999), signer(2000)), (old.as_str(), old.as_str(), new.as_str()));
    assert_eq!(keys.merchant().platform_certificates.len(), 2);
    assert_eq!(keys.merchant().platform_certificate_serial.as_ref(), Some(new));
}

static PLATFORM: LazyLock<credentials::PlatformCertificate> = LazyLock::new(|| {
    credentials::PlatformCertificate::issue(credentials::new_private_key().unwrap(), 1_789_173_000_000, 2000)
        .unwrap()
});

#[test]
fn wrong_and_probing_signatures_do_not_verify() {
    let notary = notary(TrustMode::PublicKey);
    for kind in [Signature::Wrong, Signature::Probe] {
        let headers = notary.sign_notification_as(b"{}", kind);
        assert!(!verifies(&headers, b"{}"), "{kind:?}");
    }
    let probe = notary.sign_notification_as(b"{}", Signature::Probe);
    let probe = probe["wechatpay-signature"].to_str().unwrap();
    assert!(probe.starts_with("WECHATPAY/SIGNTEST/"));
}

#[test]
fn only_the_merchants_own_signature_is_taken() {
    const NOW: i64 = 1_789_173_000_000;
    let second = credentials::ApiCertificate::issue(credentials::new_private_key().unwrap(), NOW).unwrap();
    let (first_serial, second_serial) =
        (CREDENTIALS.api_certificates[0].certified.serial.clone(), second.certified.serial.clone());
    let key = |pem: &str| KeyMaterial::read(pem).unwrap().private(Library::Fast).unwrap();
    let own = base64(&key(&CREDENTIALS.api_certificates[0].certified.private_key).sign(b"message"));
    let others = base64(&key(&second.certified.private_key).sign(b"message"));
    let foreign = base64(&key(&CREDENTIALS.wechat_private_key).sign(b"message"));
    let with = |state| {
        let mut second = second.clone();
        second.state = state;
        keys(TrustMode::PublicKey, |to| to.api_certificates.push(second))
    };
    let keys = with(CertificateState::Live);
    let later = NOW + 6 * 365 * 24 * 60 * 60 * 1000;
    for (serial, message, signature, now, why) in [
        (&first_serial, "message", own.as_str(), NOW, Ok(())),
        (&second_serial, "message", &others, NOW, Ok(())),
        (&second_serial, "message", &own, NOW, Err(NotTheMerchant::Serial)),
        (&"4A".to_owned(), "message", &own, NOW, Err(NotTheMerchant::Serial)),
        (&first_serial, "massage", &own, NOW, Err(NotTheMerchant::Signature)),
        (&first_serial, "message", &foreign, NOW, Err(NotTheMerchant::Signature)),
        (&first_serial, "message", "", NOW, Err(NotTheMerchant::Signature)),
        (&first_serial, "message", "not base64!", NOW, Err(NotTheMerchant::Signature)),
        (&first_serial, "message", &own, later, Err(NotTheMerchant::Certificate(CertificateState::Expired))),
    ] {
        assert_eq!(keys.check_merchant(serial, message.as_bytes(), signature, now), why);
    }
    for state in [CertificateState::Expired, CertificateState::Revoked, CertificateState::Replaced] {
        let keys = with(state);
        let refused = keys.check_merchant(&second_serial, b"message", &others, NOW);
        assert_eq!(refused, Err(NotTheMerchant::Certificate(state)));
        assert_eq!(keys.check_merchant(&first_serial, b"message", &own, NOW), Ok(()));
        assert_eq!(keys.merchant().certificate_serial, first_serial);
    }
}

#[test]
fn a_corpus_is_complete_and_each_of_it_can_be_opened() {
    let notary = notary(TrustMode::PublicKey);
    let corpus = notary.corpus(5, |i| notary.paid_transaction(&format!("ORDER-{i}"), 100)).unwrap();
    assert_eq!(corpus.len(), 5);
    for (i, made) in corpus.iter().enumerate() {
        assert!(verifies(&made.headers, &made.body));
        let envelope: Value = serde_json::from_slice(&made.body).unwrap();
        assert_eq!(envelope["event_type"], "TRANSACTION.SUCCESS");
        assert_eq!(envelope["id"].as_str().unwrap().len(), 36);
        let resource = &envelope["resource"];
        let mut nonce = [0; 12];
        nonce.copy_from_slice(resource["nonce"].as_str().unwrap().as_bytes());
        let payload = Payload {
            msg: &from_base64(resource["ciphertext"].as_str().unwrap()).unwrap(),
            aad: resource["associated_data"].as_str().unwrap().as_bytes(),
        };
        let opened = notary.keys.apiv3.decrypt(&nonce.into(), payload).unwrap();
        let opened: Value = serde_json::from_slice(&opened).unwrap();
        assert_eq!(opened["out_trade_no"], json!(format!("ORDER-{i}")));
    }
}

#[test]
fn the_platform_certificate_is_over_the_platform_key() {
    let issued = &CREDENTIALS.platform_certificates[0].certified;
    let keys = keys(TrustMode::Certificate, |_| {});
    let platform = &keys.platform()[0];
    assert_eq!((platform.serial(), platform.serial().len()), (issued.serial.as_str(), 40));
    let (_, block) = x509_parser::pem::parse_x509_pem(platform.pem.as_bytes()).unwrap();
    let certificate = block.parse_x509().unwrap();
    assert_eq!(hex::encode_upper(certificate.raw_serial()), issued.serial);
    let public = KeyMaterial::read(&issued.private_key).unwrap().public_pem().unwrap();
    let (_, public) = x509_parser::pem::parse_x509_pem(public.as_bytes()).unwrap();
    assert_eq!(certificate.public_key().raw, public.contents);
}
