//! A merchant who signs, verifies and opens by hand.

use std::collections::BTreeMap;

use aes_gcm::{
    Aes256Gcm,
    aead::{Aead, KeyInit, Payload},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use rsa::{
    RsaPrivateKey, RsaPublicKey,
    pkcs1v15::{Signature, SigningKey, VerifyingKey},
    pkcs8::{DecodePrivateKey, DecodePublicKey},
    signature::{SignatureEncoding, Signer, Verifier},
};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::wire::{Answer, Cut, Request, send};

/// The merchant's own things, and the way to WeChat Pay.
#[derive(Clone)]
pub struct Hand {
    /// `127.0.0.1:…`.
    pub address: String,
    /// What `/_sim/merchant` says of the merchant.
    pub merchant: Value,
    key: SigningKey<Sha256>,
    /// The keys that are believed, by their serial numbers.
    pub trust: Trust,
}

/// WeChat Pay's keys, by their serial numbers.
#[derive(Clone, Default)]
pub struct Trust(BTreeMap<String, RsaPublicKey>);

/// What a request says of itself; change it to lie.
#[derive(Clone, Debug)]
pub struct Said {
    pub mchid: String,
    pub serial: String,
    pub timestamp: i64,
    pub nonce: String,
}

impl Trust {
    pub fn add_public_key(&mut self, id: &str, pem: &str) {
        self.0.insert(id.to_owned(), RsaPublicKey::from_public_key_pem(pem).unwrap());
    }

    /// Answers the certificate's serial number.
    pub fn add_certificate(&mut self, pem: &str) -> String {
        let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
        let certificate = block.parse_x509().unwrap();
        let serial = hex::encode_upper(certificate.raw_serial());
        let key = RsaPublicKey::from_public_key_der(certificate.public_key().raw).unwrap();
        self.0.insert(serial.clone(), key);
        serial
    }
}

impl Hand {
    pub fn new(address: &str, merchant: Value) -> Self {
        let key = RsaPrivateKey::from_pkcs8_pem(merchant["private_key"].as_str().unwrap()).unwrap();
        let mut trust = Trust::default();
        if let (Some(id), Some(pem)) = (merchant["public_key_id"].as_str(), merchant["public_key"].as_str()) {
            trust.add_public_key(id, pem);
        }
        if let Some(pem) = merchant["platform_certificate"].as_str() {
            trust.add_certificate(pem);
        }
        Self { address: address.to_owned(), merchant, key: SigningKey::new(key), trust }
    }

    pub fn mchid(&self) -> &str {
        self.merchant["mchid"].as_str().unwrap()
    }

    /// The truth, now.
    #[expect(clippy::disallowed_methods, reason = "a client of WeChat Pay has the machine's clock")]
    pub fn said(&self) -> Said {
        Said {
            mchid: self.mchid().to_owned(),
            serial: self.merchant["certificate_serial"].as_str().unwrap().to_owned(),
            timestamp: Timestamp::now().as_second(),
            nonce: hex::encode(rand::random::<[u8; 16]>()),
        }
    }

    /// The signature over the five lines (签名生成).
    pub fn signature(&self, said: &Said, method: &str, target: &str, body: &[u8]) -> String {
        let mut message = Vec::new();
        for line in [method, target, &said.timestamp.to_string(), &said.nonce] {
            message.extend_from_slice(line.as_bytes());
            message.push(b'\n');
        }
        message.extend_from_slice(body);
        message.push(b'\n');
        STANDARD.encode(self.key.sign(&message).to_bytes())
    }

    pub fn authorization(&self, said: &Said, method: &str, target: &str, body: &[u8]) -> String {
        let signature = self.signature(said, method, target, body);
        let Said { mchid, serial, timestamp, nonce } = said;
        format!(
            "WECHATPAY2-SHA256-RSA2048 mchid=\"{mchid}\",nonce_str=\"{nonce}\",signature=\"{signature}\",\
             timestamp=\"{timestamp}\",serial_no=\"{serial}\""
        )
    }

    /// A request with its signature.
    pub fn signed(&self, method: &str, target: &str, body: &str) -> Request {
        let authorization = self.authorization(&self.said(), method, target, body.as_bytes());
        Request::new(method, target, body).with("Authorization", &authorization)
    }

    pub async fn send(&self, request: &Request) -> Result<Answer, Cut> {
        send(&self.address, request).await
    }

    /// A signed call that gets an answer; what succeeds must be signed by WeChat Pay.
    pub async fn call(&self, method: &str, target: &str, body: &str) -> Answer {
        let answer = self.send(&self.signed(method, target, body)).await.unwrap();
        if answer.status < 300 {
            self.verify(&answer).unwrap_or_else(|why| panic!("{method} {target}: {why}"));
        }
        answer
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.call("GET", target, "").await
    }

    pub async fn post(&self, target: &str, body: &Value) -> Answer {
        self.call("POST", target, &body.to_string()).await
    }

    pub async fn create(&self, product: &str, order: &Value) -> Answer {
        self.post(&format!("/v3/pay/transactions/{product}"), order).await
    }

    pub fn query_target(&self, out_trade_no: &str) -> String {
        format!("/v3/pay/transactions/out-trade-no/{out_trade_no}?mchid={}", self.mchid())
    }

    pub async fn query(&self, out_trade_no: &str) -> Answer {
        self.get(&self.query_target(out_trade_no)).await
    }

    /// What a query calls the order's state.
    pub async fn state(&self, out_trade_no: &str) -> String {
        self.query(out_trade_no).await.json()["trade_state"].as_str().unwrap_or_default().to_owned()
    }

    pub async fn close(&self, out_trade_no: &str) -> Answer {
        let target = format!("/v3/pay/transactions/out-trade-no/{out_trade_no}/close");
        self.post(&target, &json!({"mchid": self.mchid()})).await
    }

    /// A Native order of one yuan.
    pub fn native(&self, out_trade_no: &str, notify_url: &str) -> Value {
        json!({
            "appid": self.merchant["apps"][0]["appid"],
            "mchid": self.mchid(),
            "description": "一杯茶",
            "out_trade_no": out_trade_no,
            "notify_url": notify_url,
            "amount": {"total": 100, "currency": "CNY"},
        })
    }

    /// The same for a page inside WeChat.
    pub fn jsapi(&self, out_trade_no: &str, notify_url: &str) -> Value {
        let mut order = self.native(out_trade_no, notify_url);
        order["payer"] = json!({"openid": "oPayer"});
        order
    }

    /// Whether WeChat Pay signed this, by the key that it names (签名验证).
    pub fn verify(&self, answer: &Answer) -> Result<(), String> {
        let text = |name: &str| answer.header(name).ok_or_else(|| format!("no {name}"));
        let serial = text("Wechatpay-Serial")?;
        let key = self.trust.0.get(serial).ok_or_else(|| format!("unknown serial {serial}"))?;
        let mut message = Vec::new();
        for line in [text("Wechatpay-Timestamp")?, text("Wechatpay-Nonce")?] {
            message.extend_from_slice(line.as_bytes());
            message.push(b'\n');
        }
        message.extend_from_slice(&answer.body);
        message.push(b'\n');
        let signature = STANDARD.decode(text("Wechatpay-Signature")?).map_err(|_| "not Base64")?;
        let signature = Signature::try_from(signature.as_slice()).map_err(|_| "not a signature")?;
        VerifyingKey::<Sha256>::new(key.clone())
            .verify(&message, &signature)
            .map_err(|_| "the signature differs".to_owned())
    }

    /// Opens what was sealed with an APIv3 key (AEAD_AES_256_GCM).
    pub fn open_with(&self, apiv3_key: &str, sealed: &Value) -> Option<Vec<u8>> {
        if sealed["algorithm"] != "AEAD_AES_256_GCM" {
            return None;
        }
        let nonce: [u8; 12] = sealed["nonce"].as_str()?.as_bytes().try_into().ok()?;
        let sealed_bytes = STANDARD.decode(sealed["ciphertext"].as_str()?).ok()?;
        let aad = sealed["associated_data"].as_str().unwrap_or_default().as_bytes();
        let cipher = Aes256Gcm::new_from_slice(apiv3_key.as_bytes()).unwrap();
        cipher.decrypt(&nonce.into(), Payload { msg: &sealed_bytes, aad }).ok()
    }

    pub fn open(&self, sealed: &Value) -> Option<Vec<u8>> {
        self.open_with(self.merchant["apiv3_key"].as_str().unwrap(), sealed)
    }
}
