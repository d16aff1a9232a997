//! WeChat Pay and a merchant made of keys that live for one test run.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use rcgen::{CertificateParams, PKCS_RSA_SHA256, SerialNumber, date_time_ymd};

use crate::notification::Resource;
use crate::{ApiV3Key, Environment, Merchant, PrivateKey};

/// The time of all tests, in Unix seconds.
pub(crate) const NOW: i64 = 1_722_850_421;
pub(crate) const PUBLIC_KEY_ID: &str = "PUB_KEY_ID_0114232134912410000000000000";
pub(crate) const API_V3_KEY: &str = "0123456789abcdefghijklmnopqrstuv";
/// Begins with a set bit, so that DER writes a zero before it.
pub(crate) const SERIAL: &str = "F5765756002FDD77000000000000000000000001";

pub(crate) static MERCHANT_KEY: LazyLock<Key> = LazyLock::new(Key::generate);
pub(crate) static WECHAT_KEY: LazyLock<Key> = LazyLock::new(Key::generate);
pub(crate) static OTHER_KEY: LazyLock<Key> = LazyLock::new(Key::generate);

pub(crate) struct Key {
    pair: KeyPair,
    pub(crate) private_pem: String,
    pub(crate) public_pem: String,
}

impl Key {
    fn generate() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        Self {
            private_pem: pem("PRIVATE KEY", private.as_ref()),
            public_pem: pem("PUBLIC KEY", public.as_ref()),
            pair,
        }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> String {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let random = SystemRandom::new();
        self.pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
        STANDARD.encode(signature)
    }

    /// Whether `signature` is this key's over `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        self.sign(message) == signature
    }

    /// A platform certificate that ends with the year before `last_year_exclusive`.
    pub(crate) fn certificate(&self, serial: &str, last_year_exclusive: i32) -> String {
        let private: Pkcs8V1Der<'_> = self.pair.as_der().unwrap();
        let der = private.as_ref().to_vec().into();
        let key = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_RSA_SHA256).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.serial_number = Some(SerialNumber::from(hex::decode(serial).unwrap()));
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(last_year_exclusive, 1, 1);
        params.self_signed(&key).unwrap().pem()
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

pub(crate) fn merchant() -> Merchant {
    Merchant {
        mchid: "1900000001".to_owned(),
        certificate_serial: "3775B6A45ACD588826D15E583A95F5DD0000000A".to_owned(),
        private_key: PrivateKey::from_pem(&MERCHANT_KEY.private_pem).unwrap(),
    }
}

/// The clock stands still; the nonces are counted.
pub(crate) fn environment() -> Environment {
    let count = AtomicUsize::new(0);
    Environment {
        now: Arc::new(|| NOW),
        nonce: Arc::new(move || format!("{:032}", count.fetch_add(1, Ordering::Relaxed))),
    }
}

/// The five headers with which WeChat signs `body` now.
pub(crate) fn signed(key: &Key, serial: &str, body: &[u8]) -> HeaderMap {
    let nonce = "fdasflkja484w";
    let message = [format!("{NOW}\n{nonce}\n").as_bytes(), body, b"\n"].concat();
    headers(&[
        ("Wechatpay-Timestamp", &NOW.to_string()),
        ("Wechatpay-Nonce", nonce),
        ("Wechatpay-Signature", &key.sign(&message)),
        ("Wechatpay-Serial", serial),
        ("Wechatpay-Signature-Type", "WECHATPAY2-SHA256-RSA2048"),
    ])
}

pub(crate) fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        })
        .collect()
}

pub(crate) fn api_v3_key(text: &str) -> ApiV3Key {
    ApiV3Key::new(text).unwrap()
}

/// Seals as WeChat does.
pub(crate) fn sealed(key: &str, associated_data: Option<&str>, plain: &[u8]) -> Resource {
    let nonce = "fdasfjihihih";
    let mut bytes = plain.to_vec();
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_bytes()).unwrap())
        .seal_in_place_append_tag(
            Nonce::try_assume_unique_for_key(nonce.as_bytes()).unwrap(),
            Aad::from(associated_data.unwrap_or_default().as_bytes()),
            &mut bytes,
        )
        .unwrap();
    Resource {
        algorithm: "AEAD_AES_256_GCM".to_owned(),
        original_type: Some("transaction".to_owned()),
        associated_data: associated_data.map(str::to_owned),
        nonce: nonce.to_owned(),
        ciphertext: STANDARD.encode(bytes),
    }
}
