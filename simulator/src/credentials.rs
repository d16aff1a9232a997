//! The keys of both sides, made once and thrown away with the simulator's file.
//!
//! They protect nothing; they only have to be of the right kind, so that real clients work.

use std::thread;

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use rand::RngExt;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_RSA_SHA256, SerialNumber};
use rsa::{
    RsaPrivateKey,
    pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding},
};
use serde::{Deserialize, Serialize};

const MCHID: &str = "1900000001";
const KEY_BITS: usize = 2048;
const CERTIFICATE_YEARS: i32 = 5;

/// Everything both sides need; serialise it to reuse the keys, which take a second to make.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    pub mchid: String,
    pub apiv3_key: String,
    /// What v2 still encrypts its refund notifications with.
    pub apiv2_key: String,
    pub apps: Vec<App>,
    /// The merchant's API certificate and its key.
    pub merchant: Certified,
    pub public_key_id: String,
    /// The private half of the 微信支付公钥.
    pub wechat_private_key: String,
    /// The platform certificate and its key.
    pub platform: Certified,
}

/// A private key (PKCS#8 PEM) and the certificate over it (PEM).
#[derive(Clone, Serialize, Deserialize)]
pub struct Certified {
    pub serial: String,
    pub private_key: String,
    pub certificate: String,
}

/// An application bound to the merchant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    pub appid: String,
    pub kind: AppKind,
    pub secret: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppKind {
    ServiceAccount,
    MiniProgram,
}

/// What a merchant finds in its console: the answer of `GET /_sim/merchant`.
#[derive(Clone, Serialize, Deserialize)]
pub struct MerchantCredentials {
    pub mchid: String,
    pub certificate_serial: String,
    pub private_key: String,
    /// The merchant's API certificate, which some SDKs read the serial from.
    pub certificate: String,
    pub apiv3_key: String,
    pub apiv2_key: String,
    pub public_key_id: String,
    pub public_key: String,
    pub apps: Vec<App>,
    /// Only in certificate mode.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub platform_certificate: Option<String>,
    /// Only in certificate mode.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub platform_certificate_serial: Option<String>,
}

impl Credentials {
    /// Makes three RSA-2048 keys side by side; call it off the async threads.
    pub fn generate() -> anyhow::Result<Self> {
        let [merchant, wechat, platform] = thread::scope(|scope| {
            [(); 3]
                .map(|()| scope.spawn(new_private_key))
                .map(|made| made.join().unwrap_or_else(|_| anyhow::bail!("making a key panicked")))
        });
        Ok(Self {
            mchid: MCHID.to_owned(),
            apiv3_key: random_text(32),
            apiv2_key: random_text(32),
            apps: vec![
                App::new("wx0000000000000001", AppKind::ServiceAccount),
                App::new("wx0000000000000002", AppKind::MiniProgram),
            ],
            merchant: Certified::issue(merchant?, "Simulated Merchant")?,
            public_key_id: format!("PUB_KEY_ID_01{MCHID}{}", random_digits(16)),
            wechat_private_key: wechat?,
            platform: Certified::issue(platform?, "Simulated WeChat Pay Platform")?,
        })
    }
}

impl Certified {
    fn issue(private_key: String, name: &str) -> anyhow::Result<Self> {
        let key = KeyPair::from_pkcs8_pem_and_sign_algo(&private_key, &PKCS_RSA_SHA256)
            .context("reading a key just made")?;
        let mut serial: [u8; 20] = rand::random();
        // A positive number of exactly 20 bytes, so that its hex has 40 digits.
        serial[0] = serial[0] & 0x3f | 0x40;
        let today = jiff::Zoned::now().date();
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.not_before = rcgen::date_time_ymd(today.year().into(), 1, 1);
        params.not_after = rcgen::date_time_ymd(i32::from(today.year()) + CERTIFICATE_YEARS, 12, 31);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, "everpaid simulator");
        let certificate = params.self_signed(&key).context("issuing a certificate")?.pem();
        Ok(Self { serial: hex::encode_upper(serial), private_key, certificate })
    }
}

impl App {
    fn new(appid: &str, kind: AppKind) -> Self {
        Self { appid: appid.to_owned(), kind, secret: hex::encode(rand::random::<[u8; 16]>()) }
    }
}

fn new_private_key() -> anyhow::Result<String> {
    let key = RsaPrivateKey::new(&mut rand::rng(), KEY_BITS).context("making an RSA key")?;
    Ok(key.to_pkcs8_pem(LineEnding::LF)?.to_string())
}

pub(crate) fn public_pem(key: &RsaPrivateKey) -> anyhow::Result<String> {
    Ok(key.to_public_key().to_public_key_pem(LineEnding::LF)?)
}

/// Random `[0-9A-Za-z]`.
pub(crate) fn random_text(length: usize) -> String {
    const LETTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    pick(LETTERS, length)
}

pub(crate) fn random_digits(length: usize) -> String {
    pick(b"0123456789", length)
}

fn pick(letters: &[u8], length: usize) -> String {
    let mut rng = rand::rng();
    (0..length).map(|_| char::from(letters[rng.random_range(0..letters.len())])).collect()
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
