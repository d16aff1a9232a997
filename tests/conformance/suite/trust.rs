//! Whose signature an answer and a notification carry, and how keys change hands (微信支付公钥,
//! 平台证书, 下载平台证书, 签名探测).

use conformance::{Hand, World};
use serde_json::{Value, json};
use simulator::{Options, TrustMode};

const CERTIFICATES: &str = "/v3/certificates";

async fn with_certificates() -> World {
    World::with(Options { mode: Some(TrustMode::Certificate), ..Options::default() }).await
}

/// The certificates in an answer, opened.
fn opened(hand: &Hand, answer: &Value) -> Vec<String> {
    let sealed = answer["data"].as_array().unwrap().iter().map(|one| &one["encrypt_certificate"]);
    sealed.map(|sealed| String::from_utf8(hand.open(sealed).unwrap()).unwrap()).collect()
}

pub mod by_hand {
    use super::*;

    pub async fn answers_of_a_merchant_with_a_public_key_are_signed_by_it() {
        let world = World::start().await;
        let hand = &world.hand;
        let id = hand.merchant["public_key_id"].as_str().unwrap();
        assert!(id.starts_with("PUB_KEY_ID_"));
        hand.create("native", &hand.native("ORDER-1", &world.shop.notify_url)).await;
        for request in [
            hand.signed("GET", &hand.query_target("ORDER-1"), ""),
            hand.signed("GET", &hand.query_target("ORDER-1"), "").with("Wechatpay-Serial", id),
        ] {
            let answer = hand.send(&request).await.unwrap();
            assert_eq!(answer.header("Wechatpay-Serial"), Some(id));
            assert_eq!(hand.verify(&answer), Ok(()));
        }
    }

    pub async fn answers_of_a_merchant_with_certificates_are_signed_by_one() {
        let mut world = with_certificates().await;
        let created =
            world.hand.create("native", &world.hand.native("ORDER-1", &world.shop.notify_url)).await;
        let serial = created.header("Wechatpay-Serial").unwrap().to_owned();
        assert!(serial.len() == 40 && serial.bytes().all(|c| c.is_ascii_hexdigit()));
        world.pay("ORDER-1").await;
        let posted = world.shop.next().await;
        assert_eq!(posted.message.header("Wechatpay-Serial"), Some(serial.as_str()));
        posted.opened(&world.hand).unwrap();
    }

    pub async fn certificates_are_sealed_and_vouch_for_their_own_delivery() {
        let world = with_certificates().await;
        let answer = world.hand.get(CERTIFICATES).await;
        let said = answer.json();
        let sealed = &said["data"][0]["encrypt_certificate"];
        assert_eq!(sealed["algorithm"], "AEAD_AES_256_GCM");
        assert_eq!(sealed["associated_data"], "certificate");
        let pems = opened(&world.hand, &said);
        let mut first_time = world.hand.clone();
        first_time.trust = conformance::Trust::default();
        assert!(first_time.verify(&answer).is_err());
        let serial = first_time.trust.add_certificate(&pems[0]);
        assert_eq!(said["data"][0]["serial_no"], serial.as_str());
        assert_eq!(first_time.verify(&answer), Ok(()));
        for name in ["effective_time", "expire_time"] {
            assert!(said["data"][0][name].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{name}");
        }
    }

    pub async fn a_merchant_with_a_public_key_has_no_certificates() {
        let world = World::start().await;
        let answer = world.hand.get(CERTIFICATES).await;
        assert_eq!(answer.outcome(), (404, "RESOURCE_NOT_EXISTS".into()));
    }

    pub async fn a_probe_on_an_answer_is_clean_on_retry() {
        let world = World::with(Options { probe_share: 1.0, ..Options::default() }).await;
        let order = world.hand.native("ORDER-1", &world.shop.notify_url).to_string();
        let mut probes = 0;
        for _ in 0..2 {
            let request = world.hand.signed("POST", "/v3/pay/transactions/native", &order);
            let answer = world.hand.send(&request).await.unwrap();
            let signature = answer.header("Wechatpay-Signature").unwrap();
            match world.hand.verify(&answer) {
                Ok(()) => assert_eq!(probes, 1),
                Err(_) => {
                    assert!(signature.starts_with("WECHATPAY/SIGNTEST/"));
                    probes += 1;
                }
            }
        }
        assert_eq!(probes, 1);
    }

    pub async fn a_probe_on_a_notification_is_clean_on_retry() {
        let mut world = World::start().await;
        world.fault(json!({"kind": "probe_signature", "on": "notify", "times": 1})).await;
        world.hand.create("native", &world.hand.native("ORDER-1", &world.shop.notify_url)).await;
        world.shop.answer_with([401, 204]);
        world.pay("ORDER-1").await;
        let probe = world.shop.next().await;
        assert!(probe.message.header("Wechatpay-Signature").unwrap().starts_with("WECHATPAY/SIGNTEST/"));
        assert!(probe.opened(&world.hand).is_err());
        let clean = world.shop.next().await;
        assert_eq!(clean.opened(&world.hand).unwrap()["out_trade_no"], "ORDER-1");
    }
}

pub mod by_crate {
    use wechatpay::{ApiV3Key, Client, Error, Patience, Product, SignatureHeaders, TrustedKeys, VerifyError};

    use super::*;
    use crate::notifications::headers;

    async fn create(world: &World, ours: &Client) -> Result<(), Error> {
        let order = world.hand.native("ORDER-1", &world.shop.notify_url).to_string();
        ours.create(Product::Native, "ORDER-1", &order, Patience::default()).await.map(|_| ())
    }

    pub async fn answers_of_a_merchant_with_a_public_key_are_signed_by_it() {
        let world = World::start().await;
        create(&world, &world.ours()).await.unwrap();
        let other = "PUB_KEY_ID_0100000000000000000000000000";
        let public_key = world.hand.merchant["public_key"].as_str().unwrap();
        let ours = world.ours_with(|config| {
            config.trusted_keys = TrustedKeys::with_public_key(other, public_key).unwrap();
        });
        // The id goes with the request, and WeChat Pay refuses one that is not this merchant's.
        let error = create(&world, &ours).await.unwrap_err();
        assert_eq!(error.api_error().map(|said| said.code.as_str()), Some("PARAM_ERROR"), "{error}");
    }

    pub async fn answers_of_a_merchant_with_certificates_are_signed_by_one() {
        let world = with_certificates().await;
        let ours = world.ours_with(|config| config.trusted_keys = TrustedKeys::new());
        assert_eq!(create(&world, &ours).await.unwrap_err().reason(), "unknown_serial");
        let pems = ours.certificates(&[world.apiv3_key()]).await.unwrap();
        ours.trusted_keys().replace_certificates(pems).unwrap();
        create(&world, &ours).await.unwrap();
    }

    pub async fn certificates_are_sealed_and_vouch_for_their_own_delivery() {
        let world = with_certificates().await;
        let ours = world.ours_with(|config| config.trusted_keys = TrustedKeys::new());
        let pems = ours.certificates(&[world.apiv3_key()]).await.unwrap();
        assert!(pems[0].starts_with("-----BEGIN CERTIFICATE-----"));
        let other_key = ApiV3Key::new(&"k".repeat(32)).unwrap();
        assert_eq!(ours.certificates(&[other_key]).await.unwrap_err().reason(), "sealed");
    }

    pub async fn a_merchant_with_a_public_key_has_no_certificates() {
        let world = World::start().await;
        let answer = world.ours().certificates(&[world.apiv3_key()]).await;
        assert!(conformance::refused(answer).is_resource_not_found());
    }

    pub async fn a_probe_on_an_answer_is_clean_on_retry() {
        let world = World::with(Options { probe_share: 1.0, ..Options::default() }).await;
        // A create tries twice by itself, a close does not.
        create(&world, &world.ours()).await.unwrap();
        let ours = world.ours();
        assert_eq!(ours.close("ORDER-1").await.unwrap_err().reason(), "probe");
        ours.close("ORDER-1").await.unwrap();
    }

    pub async fn a_probe_on_a_notification_is_clean_on_retry() {
        let mut world = World::start().await;
        world.fault(json!({"kind": "probe_signature", "on": "notify", "times": 1})).await;
        create(&world, &world.ours()).await.unwrap();
        world.shop.answer_with([401, 204]);
        world.pay("ORDER-1").await;
        let keys = world.ours().trusted_keys().clone();
        let now = world.hand.said().timestamp;
        let probe = world.shop.next().await.message;
        let signature = SignatureHeaders::from_map(&headers(&probe)).unwrap();
        assert_eq!(keys.verify(&signature, &probe.body, now), Err(VerifyError::Probe));
        let clean = world.shop.next().await.message;
        let signature = SignatureHeaders::from_map(&headers(&clean)).unwrap();
        assert_eq!(keys.verify(&signature, &clean.body, now), Ok(()));
    }
}
