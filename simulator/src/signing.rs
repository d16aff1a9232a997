//! WeChat Pay's pen: signs answers and notifications, seals what is secret, and checks the
//! merchant's signatures.
//!
//! Everything here is synchronous and CPU-bound; [`Keys::off_thread`] is the way in from async
//! code.

use std::{num::NonZero, sync::Arc, thread};

use aes_gcm::{
    Aes256Gcm,
    aead::{Aead, KeyInit, Payload},
    aes::{
        Aes256,
        cipher::{Array, BlockCipherEncrypt},
    },
};
use anyhow::{Context, bail};
use http::{HeaderMap, HeaderName, HeaderValue};
use md5::Md5;
use rsa::{
    RsaPrivateKey,
    pkcs1v15::{Signature as RsaSignature, SigningKey, VerifyingKey},
    pkcs8::DecodePrivateKey,
    signature::{RandomizedSigner, SignatureEncoding, Verifier},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::{
    clock::{SimClock, rfc3339},
    credentials::{
        Credentials, MerchantCredentials, base64, from_base64, public_pem, random_digits, random_text,
    },
    payers::Payer,
    wire::event::Event,
};

const SCHEME: &str = "WECHATPAY2-SHA256-RSA2048";
const PROBE_PREFIX: &str = "WECHATPAY/SIGNTEST/";

/// Which of WeChat Pay's keys a merchant's answers and notifications are signed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustMode {
    /// 微信支付公钥: what every new merchant has.
    #[default]
    PublicKey,
    /// 平台证书: fetched from `/v3/certificates`.
    Certificate,
}

/// How a signature comes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signature {
    #[default]
    Right,
    /// Of the right shape, and not over these bytes.
    Wrong,
    /// WeChat Pay's deliberate probe (签名探测), which must be refused like any other.
    Probe,
}

pub(crate) struct Keys {
    mode: TrustMode,
    merchant: MerchantCredentials,
    merchant_key: VerifyingKey<Sha256>,
    wechat_key: SigningKey<Sha256>,
    platform_key: SigningKey<Sha256>,
    platform: PlatformCertificate,
    apiv3: Aes256Gcm,
    cores: Semaphore,
}

pub(crate) struct PlatformCertificate {
    pub serial: String,
    pub pem: String,
    pub effective_at: i64,
    pub expires_at: i64,
}

/// What a notification of v3 is made of.
pub(crate) struct Envelope<'a> {
    pub id: &'a str,
    pub created_at: i64,
    pub event: Event,
    pub content: &'a [u8],
    /// It may be empty, and is always there.
    pub has_associated_data: bool,
}

/// Bytes encrypted with the APIv3 key.
pub(crate) struct Sealed {
    pub nonce: String,
    pub ciphertext: String,
}

impl Keys {
    /// Parses every key once.
    pub(crate) fn parse(credentials: &Credentials, mode: TrustMode) -> anyhow::Result<Self> {
        let merchant_key = read_key(&credentials.merchant.private_key)?;
        let wechat_key = read_key(&credentials.wechat_private_key)?;
        let platform_key = read_key(&credentials.platform.private_key)?;
        let platform = PlatformCertificate::parse(&credentials.platform.certificate)?;
        let in_certificate_mode = mode == TrustMode::Certificate;
        Ok(Self {
            mode,
            merchant: MerchantCredentials {
                mchid: credentials.mchid.clone(),
                certificate_serial: credentials.merchant.serial.clone(),
                private_key: credentials.merchant.private_key.clone(),
                certificate: credentials.merchant.certificate.clone(),
                apiv3_key: credentials.apiv3_key.clone(),
                apiv2_key: credentials.apiv2_key.clone(),
                public_key_id: credentials.public_key_id.clone(),
                public_key: public_pem(&wechat_key)?,
                apps: credentials.apps.clone(),
                platform_certificate: in_certificate_mode.then(|| platform.pem.clone()),
                platform_certificate_serial: in_certificate_mode.then(|| platform.serial.clone()),
            },
            merchant_key: VerifyingKey::new(merchant_key.to_public_key()),
            wechat_key: SigningKey::new(wechat_key),
            platform_key: SigningKey::new(platform_key),
            platform,
            apiv3: Aes256Gcm::new_from_slice(credentials.apiv3_key.as_bytes())
                .ok()
                .context("the APIv3 key is not 32 bytes long")?,
            cores: Semaphore::new(thread::available_parallelism().map_or(2, NonZero::get)),
        })
    }

    pub(crate) fn merchant(&self) -> &MerchantCredentials {
        &self.merchant
    }

    pub(crate) fn mchid(&self) -> &str {
        &self.merchant.mchid
    }

    pub(crate) fn mode(&self) -> TrustMode {
        self.mode
    }

    pub(crate) fn platform(&self) -> &PlatformCertificate {
        &self.platform
    }

    /// Runs RSA work on the blocking pool, no more of it at once than there are cores.
    pub(crate) async fn off_thread<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        let _core = self.cores.acquire().await?;
        let keys = Arc::clone(self);
        Ok(tokio::task::spawn_blocking(move || work(&keys)).await?)
    }

    /// Did the merchant sign this message?
    pub(crate) fn merchant_signed(&self, message: &[u8], signature: &str) -> bool {
        from_base64(signature)
            .and_then(|bytes| RsaSignature::try_from(bytes.as_slice()).ok())
            .is_some_and(|signature| self.merchant_key.verify(message, &signature).is_ok())
    }

    /// The five `Wechatpay-*` headers over a body.
    pub(crate) fn sign(&self, now_ms: i64, body: &[u8], kind: Signature) -> HeaderMap {
        let timestamp = now_ms.div_euclid(1000).to_string();
        let nonce = random_text(32);
        let message = [timestamp.as_bytes(), b"\n", nonce.as_bytes(), b"\n", body, b"\n"].concat();
        let (key, serial) = match self.mode {
            TrustMode::PublicKey => (&self.wechat_key, &self.merchant.public_key_id),
            TrustMode::Certificate => (&self.platform_key, &self.platform.serial),
        };
        let mut signature = key.sign_with_rng(&mut rand::rng(), &message).to_vec();
        if kind == Signature::Wrong {
            signature[0] ^= 1;
        }
        let signature = match kind {
            Signature::Probe => format!("{PROBE_PREFIX}{}", base64(&signature)),
            Signature::Right | Signature::Wrong => base64(&signature),
        };
        [
            ("wechatpay-timestamp", timestamp.as_str()),
            ("wechatpay-nonce", &nonce),
            ("wechatpay-signature", &signature),
            ("wechatpay-serial", serial),
            ("wechatpay-signature-type", SCHEME),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?)))
        .collect()
    }

    pub(crate) fn seal(&self, associated_data: &str, plaintext: &[u8]) -> anyhow::Result<Sealed> {
        let nonce = random_text(12);
        let payload = Payload { msg: plaintext, aad: associated_data.as_bytes() };
        let mut bytes = [0; 12];
        bytes.copy_from_slice(nonce.as_bytes());
        let ciphertext = self.apiv3.encrypt(&bytes.into(), payload).ok().context("encrypting a resource")?;
        Ok(Sealed { nonce, ciphertext: base64(&ciphertext) })
    }

    /// What is posted about an event, around its content.
    pub(crate) fn envelope(&self, told: &Envelope<'_>) -> anyhow::Result<Vec<u8>> {
        let event = told.event;
        let associated_data = if told.has_associated_data { event.original_type() } else { "" };
        let sealed = self.seal(associated_data, told.content)?;
        Ok(serde_json::to_vec(&json!({
            "id": told.id,
            "create_time": rfc3339(told.created_at),
            "resource_type": "encrypt-resource",
            "event_type": event.name(),
            "summary": event.summary(),
            "resource": {
                "original_type": event.original_type(),
                "algorithm": "AEAD_AES_256_GCM",
                "ciphertext": sealed.ciphertext,
                "associated_data": associated_data,
                "nonce": sealed.nonce,
            },
        }))?)
    }

    /// AES-256-ECB with PKCS#7 padding under the MD5 of the APIv2 key, as v2 hides a `req_info`.
    pub(crate) fn seal_v2(&self, plaintext: &str) -> anyhow::Result<String> {
        const BLOCK: usize = 16;
        let key = hex::encode(Md5::digest(&self.merchant.apiv2_key));
        let cipher = Aes256::new_from_slice(key.as_bytes()).ok().context("hashing the APIv2 key")?;
        let padding = BLOCK - plaintext.len() % BLOCK;
        let mut bytes = plaintext.as_bytes().to_vec();
        bytes.resize(plaintext.len() + padding, u8::try_from(padding)?);
        let (blocks, _) = Array::slice_as_chunks_mut(&mut bytes);
        cipher.encrypt_blocks(blocks);
        Ok(base64(&bytes))
    }
}

impl PlatformCertificate {
    fn parse(pem: &str) -> anyhow::Result<Self> {
        let (_, block) =
            x509_parser::pem::parse_x509_pem(pem.as_bytes()).context("reading the platform certificate")?;
        let certificate = block.parse_x509().context("reading the platform certificate")?;
        let validity = certificate.validity();
        Ok(Self {
            serial: hex::encode_upper(certificate.raw_serial()),
            pem: pem.to_owned(),
            effective_at: validity.not_before.timestamp() * 1000,
            expires_at: validity.not_after.timestamp() * 1000,
        })
    }
}

/// A notification ready to be posted.
#[derive(Clone, Debug)]
pub struct SignedNotification {
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Makes notifications without sending them: synchronous, cheap to clone, for any thread.
#[derive(Clone)]
pub struct Notary {
    pub(crate) keys: Arc<Keys>,
    pub(crate) clock: Arc<SimClock>,
}

impl Notary {
    /// The `Wechatpay-*` headers that make `body` a notification of now.
    pub fn sign_notification(&self, body: &[u8]) -> HeaderMap {
        self.sign_notification_as(body, Signature::Right)
    }

    pub fn sign_notification_as(&self, body: &[u8], signature: Signature) -> HeaderMap {
        self.keys.sign(self.clock.signing_ms(), body, signature)
    }

    /// The envelope around a transaction, with an id of its own.
    pub fn encrypt_transaction(&self, transaction: &Value) -> anyhow::Result<Vec<u8>> {
        self.encrypt(Event::TransactionSuccess, transaction)
    }

    /// The envelope around a settled refund, with an id of its own; its `event_type` follows from
    /// `refund_status`.
    pub fn encrypt_refund(&self, refund: &Value) -> anyhow::Result<Vec<u8>> {
        let event = match refund["refund_status"].as_str() {
            Some("SUCCESS") => Event::RefundSuccess,
            Some("ABNORMAL") => Event::RefundAbnormal,
            Some("CLOSED") => Event::RefundClosed,
            _ => bail!("a refund is told of when it is SUCCESS, ABNORMAL or CLOSED"),
        };
        self.encrypt(event, refund)
    }

    fn encrypt(&self, event: Event, content: &Value) -> anyhow::Result<Vec<u8>> {
        self.keys.envelope(&Envelope {
            id: &notification_id(),
            created_at: self.clock.now_ms(),
            event,
            content: &serde_json::to_vec(content)?,
            has_associated_data: true,
        })
    }

    /// A signed notification of a transaction.
    pub fn notification(&self, transaction: &Value) -> anyhow::Result<SignedNotification> {
        let body = self.encrypt_transaction(transaction)?;
        Ok(SignedNotification { headers: self.sign_notification(&body), body })
    }

    /// A signed notification of a settled refund.
    pub fn refund_notification(&self, refund: &Value) -> anyhow::Result<SignedNotification> {
        let body = self.encrypt_refund(refund)?;
        Ok(SignedNotification { headers: self.sign_notification(&body), body })
    }

    /// What WeChat Pay would say of an order paid now, known to its ledger or not.
    pub fn paid_transaction(&self, out_trade_no: &str, total: i64) -> Value {
        let merchant = self.keys.merchant();
        let appid = merchant.apps.first().map_or("", |app| &app.appid);
        json!({
            "mchid": merchant.mchid,
            "appid": appid,
            "out_trade_no": out_trade_no,
            "transaction_id": transaction_id(self.clock.now_ms()),
            "trade_type": "NATIVE",
            "trade_state": "SUCCESS",
            "trade_state_desc": "支付成功",
            "bank_type": "OTHERS",
            "success_time": rfc3339(self.clock.now_ms()),
            "payer": {"openid": Payer::first().openid(appid)},
            "amount": {
                "total": total,
                "payer_total": total,
                "currency": "CNY",
                "payer_currency": "CNY",
            },
        })
    }

    /// What WeChat Pay would say of a refund that succeeded now, known to its ledger or not.
    pub fn settled_refund(&self, paid: &Value, out_refund_no: &str, refund: i64) -> Value {
        let now = self.clock.now_ms();
        let total = &paid["amount"]["total"];
        json!({
            "mchid": paid["mchid"],
            "out_trade_no": paid["out_trade_no"],
            "transaction_id": paid["transaction_id"],
            "out_refund_no": out_refund_no,
            "refund_id": refund_id(now),
            "refund_status": "SUCCESS",
            "success_time": rfc3339(now),
            "user_received_account": "支付用户零钱",
            "amount": {
                "total": total,
                "refund": refund,
                "payer_total": total,
                "payer_refund": refund,
            },
        })
    }

    /// Signs `n` notifications on all cores; `transaction` says what the i-th one is about.
    pub fn corpus(
        &self,
        n: usize,
        transaction: impl Fn(usize) -> Value + Sync,
    ) -> anyhow::Result<Vec<SignedNotification>> {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let share = n.div_ceil(threads).max(1);
        let transaction = &transaction;
        thread::scope(|scope| {
            let shares: Vec<_> = (0..n)
                .step_by(share)
                .map(|start| {
                    scope.spawn(move || {
                        (start..n.min(start + share))
                            .map(|i| self.notification(&transaction(i)))
                            .collect::<anyhow::Result<Vec<_>>>()
                    })
                })
                .collect();
            let mut all = Vec::with_capacity(n);
            for made in shares {
                let made = made.join().unwrap_or_else(|_| anyhow::bail!("making a notification panicked"));
                all.extend(made?);
            }
            Ok(all)
        })
    }
}

pub(crate) fn transaction_id(now_ms: i64) -> String {
    format!("4200{}{}{}", random_digits(6), day(now_ms), random_digits(10))
}

pub(crate) fn refund_id(now_ms: i64) -> String {
    format!("5030{}{}{}", random_digits(6), day(now_ms), random_digits(11))
}

/// `20260912`
fn day(now_ms: i64) -> String {
    rfc3339(now_ms).chars().take(10).filter(char::is_ascii_digit).collect()
}

/// `EV-` and 33 more: 36 characters, as WeChat Pay documents.
pub(crate) fn notification_id() -> String {
    format!("EV-{}", random_text(33))
}

/// `08<hex>-<number>`: the number names the error inside WeChat Pay, 0 for none.
pub(crate) fn request_id(number: u64) -> HeaderValue {
    let text = format!("08{}-{number}", hex::encode_upper(rand::random::<[u8; 16]>()));
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("08-0"))
}

fn read_key(pem: &str) -> anyhow::Result<RsaPrivateKey> {
    RsaPrivateKey::from_pkcs8_pem(pem).context("reading a private key")
}

#[cfg(test)]
mod tests;
