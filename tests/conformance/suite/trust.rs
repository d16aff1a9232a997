//! Whose signature an answer and a notification carry, and how keys change hands (微信支付公钥,
//! 平台证书, 下载平台证书, 签名探测).

use conformance::{Hand, Posted, World};
use serde_json::{Value, json};
use simulator::{Options, TrustMode};

const CERTIFICATES: &str = "/v3/certificates";

async fn in_mode(mode: TrustMode) -> World {
    World::with(Options { mode: Some(mode), ..Options::default() }).await
}

async fn with_certificates() -> World {
    in_mode(TrustMode::Certificate).await
}

/// Changes the merchant's contract; what it is now.
async fn change(world: &World, change: Value) -> Value {
    world.control("POST", "/merchant", change).await.json()
}

/// Orders, lets the payer pay, and hears of it.
async fn hear_of(world: &mut World, number: &str) -> Posted {
    world.hand.create("native", &world.hand.native(number, &world.shop.notify_url)).await;
    world.pay(number).await;
    world.shop.next().await
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

    pub async fn an_answers_key_follows_the_requested_serial() {
        let world = in_mode(TrustMode::Migrating).await;
        let hand = &world.hand;
        hand.create("native", &hand.native("ORDER-1", &world.shop.notify_url)).await;
        let id = hand.merchant["public_key_id"].as_str().unwrap();
        let certificate = hand.merchant["platform_certificate_serial"].as_str().unwrap();
        let request = || hand.signed("GET", &hand.query_target("ORDER-1"), "");
        for (request, expected) in [
            (request(), certificate),
            (request().with("Wechatpay-Serial", id), id),
            (request().with("Wechatpay-Serial", certificate), certificate),
        ] {
            let answer = hand.send(&request).await.unwrap();
            assert_eq!(answer.header("Wechatpay-Serial"), Some(expected));
            assert_eq!(hand.verify(&answer), Ok(()));
        }
    }

    pub async fn a_request_that_names_an_unknown_key_is_refused() {
        let world = in_mode(TrustMode::Migrating).await;
        for serial in ["PUB_KEY_ID_0100000000000000000000000000", &"5".repeat(40)] {
            let order = world.hand.native("ORDER-1", &world.shop.notify_url).to_string();
            let request = world.hand.signed("POST", "/v3/pay/transactions/native", &order);
            let answer = world.hand.send(&request.with("Wechatpay-Serial", serial)).await.unwrap();
            assert_eq!(answer.outcome(), (400, "PARAM_ERROR".into()), "{serial}");
        }
        assert_eq!(world.hand.query("ORDER-1").await.status, 404);
    }

    pub async fn a_notifications_key_is_drawn_at_random_while_migrating() {
        let mut world = in_mode(TrustMode::Migrating).await;
        let mut kinds = std::collections::BTreeSet::new();
        for at in 0..40 {
            let posted = hear_of(&mut world, &format!("ORDER-{at:03}")).await;
            posted.opened(&world.hand).unwrap();
            kinds.insert(posted.message.header("Wechatpay-Serial").unwrap().starts_with("PUB_KEY_ID_"));
            if kinds.len() == 2 {
                return;
            }
        }
        panic!("forty notifications, all by one key");
    }

    pub async fn a_migration_ends_with_the_public_key_alone() {
        let mut world = in_mode(TrustMode::Migrating).await;
        change(&world, json!({"change": "mode", "mode": "public_key"})).await;
        let posted = hear_of(&mut world, "ORDER-1").await;
        assert!(posted.message.header("Wechatpay-Serial").unwrap().starts_with("PUB_KEY_ID_"));
        assert_eq!(world.hand.get(CERTIFICATES).await.status, 404);
    }

    pub async fn a_platform_certificate_is_replaced_with_two_of_them_live() {
        let mut world = with_certificates().await;
        let old = world.hand.merchant["platform_certificate_serial"].as_str().unwrap().to_owned();
        change(&world, json!({"change": "issue_platform_certificate", "signs_after_seconds": 3600})).await;
        let listed = world.hand.get(CERTIFICATES).await;
        assert_eq!(listed.header("Wechatpay-Serial"), Some(old.as_str()));
        let pems = opened(&world.hand, &listed.json());
        assert_eq!(pems.len(), 2);
        let serials: Vec<_> = pems.iter().map(|pem| world.hand.trust.add_certificate(pem)).collect();
        let new = serials.into_iter().find(|serial| *serial != old).unwrap();

        world.advance(3600).await;
        let posted = hear_of(&mut world, "ORDER-1").await;
        assert_eq!(posted.message.header("Wechatpay-Serial"), Some(new.as_str()));
        posted.opened(&world.hand).unwrap();
        change(&world, json!({"change": "drop_old_platform_certificate"})).await;
        let listed = world.hand.get(CERTIFICATES).await;
        assert_eq!(listed.header("Wechatpay-Serial"), Some(new.as_str()));
        assert_eq!(listed.json()["data"].as_array().unwrap().len(), 1);
    }

    pub async fn a_merchants_certificate_is_replaced_while_both_are_taken() {
        let world = World::start().await;
        let (old, target) = (&world.hand, world.hand.query_target("ORDER-1"));
        let changed = change(&world, json!({"change": "issue_certificate"})).await;
        let new = Hand::new(&world.hand.address, changed);
        assert_ne!(old.said().serial, new.said().serial);
        for hand in [old, &new] {
            assert_eq!(hand.get(&target).await.outcome(), (404, "ORDER_NOT_EXIST".into()));
        }
        for (state, message) in [("revoked", "作废"), ("expired", "过期"), ("replaced", "更换")] {
            let serial = old.said().serial;
            change(&world, json!({"change": "set_certificate", "serial": serial, "state": state})).await;
            let answer = old.get(&target).await;
            assert_eq!(answer.outcome(), (401, "SIGN_ERROR".into()));
            assert!(answer.json()["message"].as_str().unwrap().contains(message), "{state}");
        }
        assert_eq!(new.get(&target).await.status, 404);
        let mixed = conformance::Said { serial: new.said().serial, ..old.said() };
        let authorization = old.authorization(&mixed, "GET", &target, b"");
        let request = conformance::Request::new("GET", &target, "").with("Authorization", &authorization);
        assert_eq!(old.send(&request).await.unwrap().outcome(), (401, "SIGN_ERROR".into()));
    }

    pub async fn a_reset_apiv3_key_seals_what_is_sent_from_then_on() {
        let mut world = World::start().await;
        let old = world.hand.merchant["apiv3_key"].as_str().unwrap().to_owned();
        world.shop.answer_with([500]);
        let before = hear_of(&mut world, "ORDER-1").await;
        world.simulator.notifications_settled().await.unwrap();
        let new = "n".repeat(32);
        change(&world, json!({"change": "apiv3_key", "apiv3_key": new})).await;
        world.advance(15).await;
        let after = world.shop.next().await;
        let opens =
            |posted: &Posted, key: &str| world.hand.open_with(key, &posted.envelope()["resource"]).is_some();
        assert_eq!((opens(&before, &old), opens(&before, &new)), (true, false));
        assert_eq!((opens(&after, &old), opens(&after, &new)), (false, true));
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
    use wechatpay::notification::Envelope;
    use wechatpay::{
        ApiV3Key, Client, Error, Patience, PrivateKey, Product, SignatureHeaders, TrustedKeys, VerifyError,
    };

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

    pub async fn an_answers_key_follows_the_requested_serial() {
        let world = in_mode(TrustMode::Migrating).await;
        // It knows the public key and says so; another, which knows the certificate, says nothing.
        create(&world, &world.ours()).await.unwrap();
        let ours = world.ours_with(|config| {
            let pem = world.hand.merchant["platform_certificate"].as_str().unwrap();
            config.trusted_keys = TrustedKeys::new();
            config.trusted_keys.add_certificate(pem).unwrap();
        });
        create(&world, &ours).await.unwrap();
    }

    pub async fn a_notifications_key_is_drawn_at_random_while_migrating() {
        let mut world = in_mode(TrustMode::Migrating).await;
        let keys = world.ours().trusted_keys().clone();
        keys.add_certificate(world.hand.merchant["platform_certificate"].as_str().unwrap()).unwrap();
        let mut kinds = std::collections::BTreeSet::new();
        for at in 0..40 {
            let message = hear_of(&mut world, &format!("ORDER-{at:03}")).await.message;
            let signature = SignatureHeaders::from_map(&headers(&message)).unwrap();
            let now = world.hand.said().timestamp;
            assert_eq!(keys.verify(&signature, &message.body, now), Ok(()));
            let public_key_alone = world.ours().trusted_keys().verify(&signature, &message.body, now);
            kinds.insert(public_key_alone.is_ok());
        }
        assert_eq!(kinds.len(), 2);
    }

    pub async fn a_platform_certificate_is_replaced_with_two_of_them_live() {
        let world = with_certificates().await;
        let ours = world.ours_with(|config| config.trusted_keys = TrustedKeys::new());
        let keys = [world.apiv3_key()];
        let pems = ours.certificates(&keys).await.unwrap();
        ours.trusted_keys().replace_certificates(pems).unwrap();
        change(&world, json!({"change": "issue_platform_certificate", "signs_after_seconds": 3600})).await;
        world.advance(3600).await;
        assert_eq!(create(&world, &ours).await.unwrap_err().reason(), "unknown_serial");
        let pems = ours.certificates(&keys).await.unwrap();
        assert_eq!(pems.len(), 2);
        ours.trusted_keys().replace_certificates(pems).unwrap();
        create(&world, &ours).await.unwrap();
    }

    pub async fn a_merchants_certificate_is_replaced_while_both_are_taken() {
        let world = World::start().await;
        let old = world.ours();
        let changed = change(&world, json!({"change": "issue_certificate"})).await;
        let text = |name: &str| changed[name].as_str().unwrap().to_owned();
        let new = world.ours_with(|config| {
            config.merchant.certificate_serial = text("certificate_serial");
            config.merchant.private_key = PrivateKey::from_pem(&text("private_key")).unwrap();
        });
        create(&world, &old).await.unwrap();
        create(&world, &new).await.unwrap();
        let serial = world.hand.said().serial;
        change(&world, json!({"change": "set_certificate", "serial": serial, "state": "revoked"})).await;
        assert!(conformance::refused(old.query_by_out_trade_no("ORDER-1").await).is_authentication());
        new.query_by_out_trade_no("ORDER-1").await.unwrap();
    }

    pub async fn a_reset_apiv3_key_seals_what_is_sent_from_then_on() {
        let mut world = World::start().await;
        change(&world, json!({"change": "apiv3_key", "apiv3_key": "n".repeat(32)})).await;
        let posted = hear_of(&mut world, "ORDER-1").await;
        let envelope: Envelope = serde_json::from_slice(&posted.message.body).unwrap();
        let (old, new) = (world.apiv3_key(), ApiV3Key::new(&"n".repeat(32)).unwrap());
        assert!(envelope.open(std::slice::from_ref(&old)).is_err());
        assert!(envelope.open(&[new, old]).is_ok());
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
