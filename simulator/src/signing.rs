//! WeChat Pay's pen: signs answers and notifications, seals what is secret, and checks the
//! merchant's signatures.
//!
//! Everything here is synchronous and CPU-bound; [`Keys::off_thread`] is the way in from async
//! code.

mod rsa;

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
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

pub(crate) use crate::signing::rsa::Library;
use crate::{
    clock::{SimClock, rfc3339},
    credentials::{
        self, CertificateState, Credentials, MerchantCredentials, ShownPlatformCertificate, base64,
        from_base64, random_digits, random_text,
    },
    payers::Payer,
    signing::rsa::{KeyMaterial, PrivateKey, PublicKey},
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
    /// On the way from the one to the other: an answer is signed by what the request's
    /// `Wechatpay-Serial` names, a notification by either.
    Migrating,
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

/// Who does the arithmetic of all merchants, and how much of it at once.
#[derive(Clone)]
pub(crate) struct Workshop {
    library: Library,
    cores: Arc<Semaphore>,
}

impl Workshop {
    pub(crate) fn new(library: Library) -> Self {
        let cores = thread::available_parallelism().map_or(2, NonZero::get);
        Self { library, cores: Arc::new(Semaphore::new(cores)) }
    }
}

/// One merchant's keys, and WeChat Pay's towards it. Immutable: a change makes new ones.
pub(crate) struct Keys {
    credentials: Credentials,
    merchant: MerchantCredentials,
    /// In the order of the credentials' API certificates.
    api_certificates: Vec<ApiCertificate>,
    public_key: Arc<WechatKey>,
    /// The newest last; never empty.
    platform: Vec<PlatformCertificate>,
    apiv3: Aes256Gcm,
    workshop: Workshop,
}

/// What a merchant's API certificate verifies.
pub(crate) struct ApiCertificate {
    serial: String,
    state: CertificateState,
    expires_at: i64,
    key: PublicKey,
}

/// A key of WeChat Pay and the name it goes by in `Wechatpay-Serial`.
pub(crate) struct WechatKey {
    serial: String,
    key: PrivateKey,
}

pub(crate) struct PlatformCertificate {
    pub pem: String,
    pub effective_at: i64,
    pub expires_at: i64,
    /// By the simulator's clock.
    signs_from: i64,
    key: Arc<WechatKey>,
}

/// A `Wechatpay-Serial` that names none of the keys WeChat Pay has for this merchant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnknownSerial;

/// Why a request is not the merchant's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTheMerchant {
    /// No certificate has this serial, or the key of another one signed.
    Serial,
    Certificate(CertificateState),
    Signature,
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
    /// Parses every key once; CPU-bound.
    pub(crate) fn parse(credentials: Credentials, workshop: &Workshop) -> anyhow::Result<Self> {
        let library = workshop.library;
        let api_certificates: Vec<_> = credentials
            .api_certificates
            .iter()
            .map(|issued| ApiCertificate::parse(issued, library))
            .collect::<anyhow::Result<_>>()?;
        let platform: Vec<_> = credentials
            .platform_certificates
            .iter()
            .map(|issued| PlatformCertificate::parse(issued, library))
            .collect::<anyhow::Result<_>>()?;
        let wechat = KeyMaterial::read(&credentials.wechat_private_key)?;
        let public_key = wechat.public_pem()?;
        let is_live = |one: &&credentials::ApiCertificate| one.state == CertificateState::Live;
        let certificates = &credentials.api_certificates;
        let in_use = certificates.iter().rfind(is_live).or(certificates.last());
        let in_use = &in_use.context("there is no API certificate")?.certified;
        let with_platform = credentials.mode != TrustMode::PublicKey;
        let newest = platform.last().context("there is no platform certificate")?;
        let merchant = MerchantCredentials {
            mchid: credentials.mchid.clone(),
            name: credentials.name.clone(),
            mode: credentials.mode,
            certificate_serial: in_use.serial.clone(),
            private_key: in_use.private_key.clone(),
            certificate: in_use.certificate.clone(),
            api_certificates: certificates.clone(),
            apiv3_key: credentials.apiv3_key.clone(),
            apiv2_key: credentials.apiv2_key.clone(),
            public_key_id: credentials.public_key_id.clone(),
            public_key,
            apps: credentials.apps.clone(),
            platform_certificate: with_platform.then(|| newest.pem.clone()),
            platform_certificate_serial: with_platform.then(|| newest.serial().to_owned()),
            platform_certificates: match with_platform {
                true => platform.iter().map(PlatformCertificate::shown).collect(),
                false => Vec::new(),
            },
        };
        Ok(Self {
            public_key: Arc::new(WechatKey {
                serial: credentials.public_key_id.clone(),
                key: wechat.private(library)?,
            }),
            apiv3: Aes256Gcm::new_from_slice(credentials.apiv3_key.as_bytes())
                .ok()
                .context("the APIv3 key is not 32 bytes long")?,
            workshop: workshop.clone(),
            merchant,
            api_certificates,
            platform,
            credentials,
        })
    }

    /// What these keys were made from.
    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    pub(crate) fn merchant(&self) -> &MerchantCredentials {
        &self.merchant
    }

    pub(crate) fn mchid(&self) -> &str {
        &self.merchant.mchid
    }

    pub(crate) fn mode(&self) -> TrustMode {
        self.merchant.mode
    }

    /// The platform certificates, the newest last.
    pub(crate) fn platform(&self) -> &[PlatformCertificate] {
        &self.platform
    }

    /// Runs RSA work where it holds nobody up: on the blocking pool, no more of it at once than there
    /// are cores. What is fast is done on the spot, for the way there and back takes as long.
    pub(crate) async fn off_thread<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        if self.workshop.library == Library::Fast {
            return Ok(work(self));
        }
        let _core = self.workshop.cores.acquire().await?;
        let keys = Arc::clone(self);
        Ok(tokio::task::spawn_blocking(move || work(&keys)).await?)
    }

    /// Did the merchant sign this message with the key of this certificate, which is good at `now`?
    pub(crate) fn check_merchant(
        &self,
        serial: &str,
        message: &[u8],
        signature: &str,
        now: i64,
    ) -> Result<(), NotTheMerchant> {
        let mut all = self.api_certificates.iter();
        let named = all.find(|one| one.serial == serial).ok_or(NotTheMerchant::Serial)?;
        match named.standing(now) {
            CertificateState::Live => {}
            state => return Err(NotTheMerchant::Certificate(state)),
        }
        let signature = from_base64(signature).ok_or(NotTheMerchant::Signature)?;
        if named.key.verifies(message, &signature) {
            return Ok(());
        }
        let is_anothers = self.api_certificates.iter().any(|one| one.key.verifies(message, &signature));
        Err(if is_anothers { NotTheMerchant::Serial } else { NotTheMerchant::Signature })
    }

    /// Did the merchant sign what it hands to a cashier, which names no certificate?
    pub(crate) fn merchant_signed(&self, message: &[u8], signature: &str, now: i64) -> bool {
        let good = self.api_certificates.iter().filter(|one| one.standing(now) == CertificateState::Live);
        from_base64(signature).is_some_and(|signature| {
            good.into_iter().any(|certificate| certificate.key.verifies(message, &signature))
        })
    }

    /// The key that signs an answer: `asked` is the request's `Wechatpay-Serial`, `now` is by the
    /// simulator's clock.
    pub(crate) fn for_answer(&self, asked: Option<&str>, now: i64) -> Result<&Arc<WechatKey>, UnknownSerial> {
        let wants_public_key = asked.is_some_and(|serial| serial == self.public_key.serial);
        let has_certificates = self.mode() != TrustMode::PublicKey;
        let is_known = |serial| has_certificates && self.platform.iter().any(|one| one.serial() == serial);
        if asked.is_some_and(|serial| !wants_public_key && !is_known(serial)) {
            return Err(UnknownSerial);
        }
        Ok(match self.mode() {
            TrustMode::PublicKey => &self.public_key,
            TrustMode::Migrating if wants_public_key => &self.public_key,
            // Before the migration the name of the public key has no effect.
            TrustMode::Migrating | TrustMode::Certificate => self.signing_platform(now),
        })
    }

    /// The key that signs a notification; `public` decides while migrating.
    pub(crate) fn for_notification(&self, public: impl FnOnce() -> bool, now: i64) -> &Arc<WechatKey> {
        match self.mode() {
            TrustMode::PublicKey => &self.public_key,
            TrustMode::Migrating if public() => &self.public_key,
            TrustMode::Migrating | TrustMode::Certificate => self.signing_platform(now),
        }
    }

    /// The newest whose time has come.
    fn signing_platform(&self, now: i64) -> &Arc<WechatKey> {
        let current = self.platform.iter().rfind(|one| one.signs_from <= now);
        &current.unwrap_or(&self.platform[0]).key
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

impl WechatKey {
    /// The five `Wechatpay-*` headers over a body, dated in Unix milliseconds; CPU-bound.
    pub(crate) fn sign(&self, dated: i64, body: &[u8], kind: Signature) -> HeaderMap {
        let timestamp = dated.div_euclid(1000).to_string();
        let nonce = random_text(32);
        let message = [timestamp.as_bytes(), b"\n", nonce.as_bytes(), b"\n", body, b"\n"].concat();
        let mut signature = self.key.sign(&message);
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
            ("wechatpay-serial", &self.serial),
            ("wechatpay-signature-type", SCHEME),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?)))
        .collect()
    }
}

impl ApiCertificate {
    fn parse(issued: &credentials::ApiCertificate, library: Library) -> anyhow::Result<Self> {
        let [_, expires_at] = validity(&issued.certified.certificate)?;
        Ok(Self {
            serial: issued.certified.serial.clone(),
            state: issued.state,
            expires_at,
            key: KeyMaterial::read(&issued.certified.private_key)?.public(library)?,
        })
    }

    /// What is said of it at `now`: its own state, or that its time is over.
    fn standing(&self, now: i64) -> CertificateState {
        match self.state {
            CertificateState::Live if now >= self.expires_at => CertificateState::Expired,
            state => state,
        }
    }
}

impl PlatformCertificate {
    fn parse(issued: &credentials::PlatformCertificate, library: Library) -> anyhow::Result<Self> {
        let credentials::Certified { serial, private_key, certificate } = &issued.certified;
        let [effective_at, expires_at] = validity(certificate)?;
        let key = KeyMaterial::read(private_key)?.private(library)?;
        Ok(Self {
            pem: certificate.clone(),
            effective_at,
            expires_at,
            signs_from: issued.signs_from_ms,
            key: Arc::new(WechatKey { serial: serial.clone(), key }),
        })
    }

    pub(crate) fn serial(&self) -> &str {
        &self.key.serial
    }

    fn shown(&self) -> ShownPlatformCertificate {
        ShownPlatformCertificate {
            serial: self.serial().to_owned(),
            certificate: self.pem.clone(),
            signs_from: rfc3339(self.signs_from.max(self.effective_at)),
            effective_time: rfc3339(self.effective_at),
            expire_time: rfc3339(self.expires_at),
        }
    }
}

/// From when until when a certificate is good, in Unix milliseconds.
fn validity(pem: &str) -> anyhow::Result<[i64; 2]> {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).context("reading a certificate")?;
    let validity = block.parse_x509().context("reading a certificate")?.validity().clone();
    Ok([validity.not_before, validity.not_after].map(|moment| moment.timestamp() * 1000))
}

/// A notification ready to be posted.
#[derive(Clone, Debug)]
pub struct SignedNotification {
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Makes notifications without sending them: synchronous, cheap to clone, for any thread.
///
/// It keeps the keys of the moment it was made in; while migrating it signs with the 微信支付公钥.
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
        let key = self.keys.for_notification(|| true, self.clock.now_ms());
        key.sign(self.clock.signing_ms(), body, signature)
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

#[cfg(test)]
mod tests;
