//! WeChat Pay's pen: signs answers and notifications, seals what is secret, and checks the
//! merchant's signatures.
//!
//! Everything here is synchronous and CPU-bound; [`Keys::off_thread`] is the way in from async
//! code.

use std::{num::NonZero, sync::Arc, thread};

use aes_gcm::{
    Aes256Gcm,
    aead::{Aead, KeyInit, Payload},
};
use anyhow::Context;
use http::{HeaderMap, HeaderName, HeaderValue};
use rsa::{
    RsaPrivateKey,
    pkcs1v15::{Signature as RsaSignature, SigningKey, VerifyingKey},
    pkcs8::DecodePrivateKey,
    signature::{RandomizedSigner, SignatureEncoding, Verifier},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::Semaphore;

use crate::{
    clock::{SimClock, rfc3339},
    credentials::{
        Credentials, MerchantCredentials, base64, from_base64, public_pem, random_digits, random_text,
    },
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

    /// A `TRANSACTION.SUCCESS` envelope around a transaction.
    pub(crate) fn envelope(&self, id: &str, created_at: i64, transaction: &[u8]) -> anyhow::Result<Vec<u8>> {
        const KIND: &str = "transaction";
        let sealed = self.seal(KIND, transaction)?;
        Ok(serde_json::to_vec(&json!({
            "id": id,
            "create_time": rfc3339(created_at),
            "resource_type": "encrypt-resource",
            "event_type": "TRANSACTION.SUCCESS",
            "summary": "支付成功",
            "resource": {
                "original_type": KIND,
                "algorithm": "AEAD_AES_256_GCM",
                "ciphertext": sealed.ciphertext,
                "associated_data": KIND,
                "nonce": sealed.nonce,
            },
        }))?)
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
        let plaintext = serde_json::to_vec(transaction)?;
        self.keys.envelope(&notification_id(), self.clock.now_ms(), &plaintext)
    }

    /// A signed notification of a transaction.
    pub fn notification(&self, transaction: &Value) -> anyhow::Result<SignedNotification> {
        let body = self.encrypt_transaction(transaction)?;
        Ok(SignedNotification { headers: self.sign_notification(&body), body })
    }

    /// What WeChat Pay would say of an order paid now, known to its ledger or not.
    pub fn paid_transaction(&self, out_trade_no: &str, total: i64) -> Value {
        let merchant = self.keys.merchant();
        json!({
            "mchid": merchant.mchid,
            "appid": merchant.apps.first().map(|app| &app.appid),
            "out_trade_no": out_trade_no,
            "transaction_id": transaction_id(self.clock.now_ms()),
            "trade_type": "NATIVE",
            "trade_state": "SUCCESS",
            "trade_state_desc": "支付成功",
            "bank_type": "OTHERS",
            "success_time": rfc3339(self.clock.now_ms()),
            "payer": {"openid": DEFAULT_PAYER},
            "amount": {
                "total": total,
                "payer_total": total,
                "currency": "CNY",
                "payer_currency": "CNY",
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

/// Who pays when nobody says who.
pub(crate) const DEFAULT_PAYER: &str = "oSimulatedPayer0000000000001";

pub(crate) fn transaction_id(now_ms: i64) -> String {
    let day: String = rfc3339(now_ms).chars().take(10).filter(|c| *c != '-').collect();
    format!("4200{}{day}{}", random_digits(6), random_digits(10))
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
