//! The keys of both sides, made once and thrown away with the simulator's file.
//!
//! They protect nothing; they only have to be of the right kind, so that real clients work.

use std::{num::NonZero, thread, time::Duration};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use rand::RngExt;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_RSA_SHA256, SerialNumber};
use rsa::{
    RsaPrivateKey,
    pkcs8::{EncodePrivateKey, LineEnding},
};
use serde::{Deserialize, Serialize};

use crate::{
    config::{AppConfig, MerchantConfig},
    signing::TrustMode,
};

const MCHID: &str = "1900000001";
const KEY_BITS: usize = 2048;
const CERTIFICATE_LIFE: Duration = Duration::from_secs(5 * 365 * 24 * 60 * 60);

/// Everything both sides of one merchant need; serialise it to reuse the keys, which take a second
/// to make.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    pub mchid: String,
    /// What the payer reads.
    pub name: String,
    pub mode: TrustMode,
    pub apiv3_key: String,
    /// What v2 still encrypts its refund notifications with.
    pub apiv2_key: String,
    pub apps: Vec<App>,
    /// The merchant's API certificates with their keys, the newest last. All that are live are taken.
    pub api_certificates: Vec<ApiCertificate>,
    pub public_key_id: String,
    /// The private half of the 微信支付公钥.
    pub wechat_private_key: String,
    /// With their keys, the newest last: two while one replaces the other.
    pub platform_certificates: Vec<PlatformCertificate>,
}

/// A private key (PKCS#8 PEM) and the certificate over it (PEM).
#[derive(Clone, Serialize, Deserialize)]
pub struct Certified {
    pub serial: String,
    pub private_key: String,
    pub certificate: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct ApiCertificate {
    #[serde(flatten)]
    pub certified: Certified,
    pub state: CertificateState,
}

/// What the merchant's console says of an API certificate; all but a live one are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateState {
    #[default]
    Live,
    /// 已过期, before its date.
    Expired,
    /// 已作废.
    Revoked,
    /// 已更换证书.
    Replaced,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct PlatformCertificate {
    #[serde(flatten)]
    pub certified: Certified,
    /// When it takes over from the one before, in Unix milliseconds of the simulator's clock.
    pub signs_from_ms: i64,
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
    pub name: String,
    pub mode: TrustMode,
    /// Of the newest live API certificate, as the next two.
    pub certificate_serial: String,
    pub private_key: String,
    /// The merchant's API certificate, which some SDKs read the serial from.
    pub certificate: String,
    /// Every API certificate there was, with its state, the newest last.
    pub api_certificates: Vec<ApiCertificate>,
    pub apiv3_key: String,
    pub apiv2_key: String,
    pub public_key_id: String,
    pub public_key: String,
    pub apps: Vec<App>,
    /// The newest one; absent in mode `public_key`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub platform_certificate: Option<String>,
    /// The newest one's; absent in mode `public_key`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub platform_certificate_serial: Option<String>,
    /// All that `/v3/certificates` lists, the newest last; none in mode `public_key`.
    pub platform_certificates: Vec<ShownPlatformCertificate>,
}

/// A platform certificate as a merchant may see it: without its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownPlatformCertificate {
    pub serial: String,
    pub certificate: String,
    /// RFC 3339, as the next two; this one by the simulator's clock.
    pub signs_from: String,
    pub effective_time: String,
    pub expire_time: String,
}

impl Credentials {
    /// Those of merchant 1900000001, who has a service account and a mini-program. Makes three
    /// RSA-2048 keys side by side; call it off the async threads.
    pub fn generate() -> anyhow::Result<Self> {
        let made = Self::generate_for(&[MerchantConfig {
            mchid: MCHID.to_owned(),
            name: Some("山茶小铺".to_owned()),
            mode: None,
            certificate_serial: None,
            public_key_id: None,
            apps: vec![
                AppConfig::new("wx0000000000000001", AppKind::ServiceAccount),
                AppConfig::new("wx0000000000000002", AppKind::MiniProgram),
            ],
        }]);
        made?.pop().context("no credentials were made")
    }

    /// Those of new merchants, in their order, made on all cores; call it off the async threads.
    pub fn generate_for(merchants: &[MerchantConfig]) -> anyhow::Result<Vec<Self>> {
        let mut keys = new_private_keys(merchants.len() * 3)?.into_iter();
        let mut next = || keys.next().context("a key is missing");
        let year = jiff::Zoned::now().date().year();
        let from = jiff::civil::date(year, 1, 1).to_zoned(jiff::tz::TimeZone::UTC)?;
        let from_ms = from.timestamp().as_millisecond();
        let of = |merchant: &MerchantConfig| {
            let MerchantConfig { mchid, name, mode, certificate_serial, public_key_id, apps } = merchant;
            let new_id = || format!("PUB_KEY_ID_01{mchid}{}", random_digits(16));
            let serial = certificate_serial.as_deref().map(read_serial).transpose()?;
            let serial = serial.unwrap_or_else(new_serial);
            let mut credentials = Self {
                mchid: mchid.clone(),
                name: name.clone().unwrap_or_else(|| format!("商户 {mchid}")),
                mode: mode.unwrap_or_default(),
                apiv3_key: random_text(32),
                apiv2_key: random_text(32),
                apps: Vec::new(),
                api_certificates: vec![ApiCertificate::issue_as(serial, next()?, from_ms)?],
                public_key_id: public_key_id.clone().unwrap_or_else(new_id),
                wechat_private_key: next()?,
                platform_certificates: vec![PlatformCertificate::issue(next()?, from_ms, 0)?],
            };
            credentials.bind(apps);
            Ok(credentials)
        };
        merchants.iter().map(of).collect()
    }

    /// Takes the name and the apps from a configuration; keys and secrets stay where they are known.
    pub(crate) fn follow(&mut self, merchant: &MerchantConfig) {
        if let Some(name) = &merchant.name {
            self.name.clone_from(name);
        }
        self.bind(&merchant.apps);
    }

    fn bind(&mut self, apps: &[AppConfig]) {
        let known = std::mem::take(&mut self.apps);
        let secret = |app: &AppConfig| {
            let kept = || known.iter().find(|one| one.appid == app.appid).map(|one| one.secret.clone());
            let new = || hex::encode(rand::random::<[u8; 16]>());
            app.secret.clone().or_else(kept).unwrap_or_else(new)
        };
        self.apps = apps
            .iter()
            .map(|app| App { appid: app.appid.clone(), kind: app.kind, secret: secret(app) })
            .collect();
    }
}

impl ApiCertificate {
    pub(crate) fn issue(private_key: String, from_ms: i64) -> anyhow::Result<Self> {
        Self::issue_as(new_serial(), private_key, from_ms)
    }

    fn issue_as(serial: Serial, private_key: String, from_ms: i64) -> anyhow::Result<Self> {
        let certified = Certified::issue(serial, private_key, "Simulated Merchant", from_ms)?;
        Ok(Self { certified, state: CertificateState::Live })
    }
}

impl PlatformCertificate {
    pub(crate) fn issue(private_key: String, from_ms: i64, signs_from_ms: i64) -> anyhow::Result<Self> {
        let certified =
            Certified::issue(new_serial(), private_key, "Simulated WeChat Pay Platform", from_ms)?;
        Ok(Self { certified, signs_from_ms })
    }
}

impl Certified {
    /// A certificate for five years from a moment in Unix milliseconds.
    fn issue(serial: Serial, private_key: String, name: &str, from_ms: i64) -> anyhow::Result<Self> {
        let key = KeyPair::from_pkcs8_pem_and_sign_algo(&private_key, &PKCS_RSA_SHA256)
            .context("reading a key just made")?;
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.not_before = epoch + Duration::from_millis(u64::try_from(from_ms).unwrap_or(0));
        params.not_after = params.not_before + CERTIFICATE_LIFE;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, "everpaid simulator");
        let certificate = params.self_signed(&key).context("issuing a certificate")?.pem();
        Ok(Self { serial: hex::encode_upper(serial), private_key, certificate })
    }
}

/// A positive number of exactly 20 bytes, so that its hex has 40 digits.
type Serial = [u8; 20];

fn new_serial() -> Serial {
    let mut serial: Serial = rand::random();
    serial[0] = serial[0] & 0x3f | 0x40;
    serial
}

fn read_serial(hex: &str) -> anyhow::Result<Serial> {
    let mut serial = Serial::default();
    hex::decode_to_slice(hex, &mut serial).context("reading a certificate's serial number")?;
    Ok(serial)
}

impl AppConfig {
    fn new(appid: &str, kind: AppKind) -> Self {
        Self { appid: appid.to_owned(), kind, secret: None }
    }
}

/// So many, made on all cores.
fn new_private_keys(count: usize) -> anyhow::Result<Vec<String>> {
    let cores = thread::available_parallelism().map_or(2, NonZero::get);
    let share = count.div_ceil(cores).max(1);
    thread::scope(|scope| {
        let shares: Vec<_> = (0..count)
            .step_by(share)
            .map(|start| {
                scope.spawn(move || {
                    (start..count.min(start + share))
                        .map(|_| new_private_key())
                        .collect::<anyhow::Result<Vec<_>>>()
                })
            })
            .collect();
        let mut all = Vec::with_capacity(count);
        for made in shares {
            all.extend(made.join().unwrap_or_else(|_| anyhow::bail!("making a key panicked"))?);
        }
        Ok(all)
    })
}

pub(crate) fn new_private_key() -> anyhow::Result<String> {
    let key = RsaPrivateKey::new(&mut rand::rng(), KEY_BITS).context("making an RSA key")?;
    Ok(key.to_pkcs8_pem(LineEnding::LF)?.to_string())
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
