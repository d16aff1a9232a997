use std::sync::LazyLock;

use aes_gcm::aead::Payload;
use serde_json::json;

use super::*;
use crate::clock::Pace;

static CREDENTIALS: LazyLock<Credentials> = LazyLock::new(|| Credentials::generate().unwrap());

fn notary(mode: TrustMode) -> Notary {
    Notary {
        keys: Arc::new(Keys::parse(&CREDENTIALS, mode).unwrap()),
        clock: Arc::new(SimClock::new(Some(Arc::new(|| 1_789_173_000_000)), Pace::REAL)),
    }
}

fn verifies(notary: &Notary, headers: &HeaderMap, body: &[u8]) -> bool {
    let text = |name| headers[name].to_str().unwrap();
    let head = format!("{}\n{}\n", text("wechatpay-timestamp"), text("wechatpay-nonce"));
    let key = match notary.keys.mode {
        TrustMode::PublicKey => &notary.keys.wechat_key,
        TrustMode::Certificate => &notary.keys.platform_key,
    };
    let key: &RsaPrivateKey = key.as_ref();
    from_base64(text("wechatpay-signature"))
        .and_then(|bytes| RsaSignature::try_from(bytes.as_slice()).ok())
        .is_some_and(|signature| {
            let message = [head.as_bytes(), body, b"\n"].concat();
            VerifyingKey::<Sha256>::new(key.to_public_key()).verify(&message, &signature).is_ok()
        })
}

#[test]
fn each_mode_signs_with_its_own_key() {
    for (mode, serial) in [
        (TrustMode::PublicKey, &CREDENTIALS.public_key_id),
        (TrustMode::Certificate, &CREDENTIALS.platform.serial),
    ] {
        let notary = notary(mode);
        let headers = notary.sign_notification(b"{}");
        assert_eq!(headers["wechatpay-serial"], serial.as_str());
        assert_eq!(headers.len(), 5);
        assert!(verifies(&notary, &headers, b"{}"));
        assert!(!verifies(&notary, &headers, b"{ }"));
    }
}

#[test]
fn wrong_and_probing_signatures_do_not_verify() {
    let notary = notary(TrustMode::PublicKey);
    for kind in [Signature::Wrong, Signature::Probe] {
        let headers = notary.sign_notification_as(b"{}", kind);
        assert!(!verifies(&notary, &headers, b"{}"), "{kind:?}");
    }
    let probe = notary.sign_notification_as(b"{}", Signature::Probe);
    let probe = probe["wechatpay-signature"].to_str().unwrap();
    assert!(probe.starts_with("WECHATPAY/SIGNTEST/"));
}

#[test]
fn only_the_merchants_own_signature_is_taken() {
    let keys = notary(TrustMode::PublicKey).keys;
    let own = SigningKey::<Sha256>::new(read_key(&CREDENTIALS.merchant.private_key).unwrap());
    let signature = base64(&own.sign_with_rng(&mut rand::rng(), b"message").to_vec());
    assert!(keys.merchant_signed(b"message", &signature));
    for (message, signature) in [
        (&b"massage"[..], signature.as_str()),
        (b"message", ""),
        (b"message", "not base64!"),
        (b"message", &base64(&[7; 256])),
    ] {
        assert!(!keys.merchant_signed(message, signature));
    }
}

#[test]
fn a_corpus_is_complete_and_each_of_it_can_be_opened() {
    let notary = notary(TrustMode::PublicKey);
    let corpus = notary.corpus(5, |i| notary.paid_transaction(&format!("ORDER-{i}"), 100)).unwrap();
    assert_eq!(corpus.len(), 5);
    for (i, made) in corpus.iter().enumerate() {
        assert!(verifies(&notary, &made.headers, &made.body));
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
    let keys = notary(TrustMode::Certificate).keys;
    assert_eq!(keys.platform.serial, CREDENTIALS.platform.serial);
    assert_eq!(keys.platform.serial.len(), 40);
    let (_, block) = x509_parser::pem::parse_x509_pem(keys.platform.pem.as_bytes()).unwrap();
    let certificate = block.parse_x509().unwrap();
    let private: &RsaPrivateKey = keys.platform_key.as_ref();
    let public = rsa::pkcs8::EncodePublicKey::to_public_key_der(&private.to_public_key()).unwrap();
    assert_eq!(certificate.public_key().raw, public.as_bytes());
}
