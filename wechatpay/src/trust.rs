//! Whether WeChat Pay said it: verification of responses and notifications.
//!
//! The signed message is three lines, each ended by LF: timestamp, nonce, raw body
//! (WeChat Pay documentation, 签名与验签规则). The key is chosen by `Wechatpay-Serial`: a
//! WeChat Pay public key 微信支付公钥 by its `PUB_KEY_ID_…`, a platform certificate 平台证书 by its
//! serial number. During the migration from one to the other WeChat uses both at random.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::merchant::KeyError;
use crate::pem;

#[cfg(test)]
mod tests;

/// How far a signature's time may be from ours, in seconds and in both directions
/// (WeChat Pay documentation, 签名与验签规则).
pub const FRESHNESS_WINDOW_SECONDS: u64 = 300;

const PUBLIC_KEY_ID: &str = "PUB_KEY_ID_";
const SIGNATURE_TYPE: &str = "WECHATPAY2-SHA256-RSA2048";
/// A deliberately wrong signature starts with this: WeChat's test that we verify at all
/// (WeChat Pay documentation, 签名探测).
const PROBE: &str = "WECHATPAY/SIGNTEST/";

/// The keys whose signature is WeChat's word.
///
/// Clones share one set, so that a certificate downloaded by one part of a program is at once
/// known to all of it.
#[derive(Clone, Default)]
pub struct TrustedKeys(Arc<RwLock<Keys>>);

#[derive(Default)]
struct Keys {
    public_key: Option<(String, ParsedPublicKey)>,
    certificates: HashMap<String, Certificate>,
}

struct Certificate {
    key: ParsedPublicKey,
    not_after: i64,
}

/// Which kinds of keys are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Only a WeChat Pay public key.
    PublicKey,
    /// Only platform certificates; also when none has been downloaded yet.
    Certificate,
    /// Both: the merchant is moving from certificates to the public key.
    Migrating,
}

/// A platform certificate that is known, for those who watch it expire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownCertificate {
    /// Upper-case hex.
    pub serial: String,
    /// Unix seconds; after this it is not believed any more.
    pub not_after: i64,
}

impl TrustedKeys {
    /// No key yet: the first certificate comes from [`Client::certificates`](crate::Client::certificates).
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts with the WeChat Pay public key that the console shows (`pub_key.pem` and its id).
    ///
    /// # Errors
    /// [`KeyError`] when the id does not start with `PUB_KEY_ID_` or the PEM is not an RSA
    /// public key.
    pub fn with_public_key(id: &str, pem: &str) -> Result<Self, KeyError> {
        if !id.starts_with(PUBLIC_KEY_ID) {
            return Err(KeyError::PublicKeyId);
        }
        let key = parse_key(&pem::decode(pem, "PUBLIC KEY")?)?;
        let keys = Keys { public_key: Some((id.to_owned(), key)), ..Keys::default() };
        Ok(Self(Arc::new(RwLock::new(keys))))
    }

    /// Adds a platform certificate and answers its serial number.
    ///
    /// # Errors
    /// [`KeyError`] when the PEM is not an X.509 certificate with an RSA key.
    pub fn add_certificate(&self, pem: &str) -> Result<String, KeyError> {
        let (serial, certificate) = parse_certificate(pem)?;
        self.write().certificates.insert(serial.clone(), certificate);
        Ok(serial)
    }

    /// Puts these platform certificates in the place of all known ones; a public key stays.
    ///
    /// # Errors
    /// [`KeyError`] for the first one that cannot be used; then nothing has changed.
    pub fn replace_certificates<P: AsRef<str>>(
        &self,
        pems: impl IntoIterator<Item = P>,
    ) -> Result<(), KeyError> {
        let certificates =
            pems.into_iter().map(|pem| parse_certificate(pem.as_ref())).collect::<Result<_, _>>()?;
        self.write().certificates = certificates;
        Ok(())
    }

    /// Which kinds of keys are known.
    pub fn mode(&self) -> Mode {
        let keys = self.read();
        match (&keys.public_key, keys.certificates.is_empty()) {
            (Some(_), true) => Mode::PublicKey,
            (Some(_), false) => Mode::Migrating,
            (None, _) => Mode::Certificate,
        }
    }

    /// What to send as `Wechatpay-Serial` with a request: the id of the public key, if there is
    /// one. Without the header WeChat signs its answer with a platform certificate.
    pub fn preferred_serial(&self) -> Option<String> {
        self.read().public_key.as_ref().map(|(id, _)| id.clone())
    }

    /// The platform certificates that are known, soonest to expire first.
    pub fn certificates(&self) -> Vec<KnownCertificate> {
        let mut known: Vec<_> = self
            .read()
            .certificates
            .iter()
            .map(|(serial, certificate)| KnownCertificate {
                serial: serial.clone(),
                not_after: certificate.not_after,
            })
            .collect();
        known.sort_by(|a, b| (a.not_after, &a.serial).cmp(&(b.not_after, &b.serial)));
        known
    }

    /// Whether WeChat Pay signed `body` with these headers, within five minutes of `now` (Unix
    /// seconds). `body` is the bytes as received.
    ///
    /// The cheap checks come first, so that a stranger cannot make us compute.
    ///
    /// # Errors
    /// [`VerifyError`] with the first check that failed. `UnknownSerial` in certificate mode may
    /// mean that WeChat has a new certificate; an expired certificate is unknown too.
    pub fn verify(&self, headers: &SignatureHeaders, body: &[u8], now: i64) -> Result<(), VerifyError> {
        let skew_seconds = now.saturating_sub(headers.timestamp);
        if skew_seconds.unsigned_abs() > FRESHNESS_WINDOW_SECONDS {
            return Err(VerifyError::Stale { skew_seconds });
        }
        let key = self.key(&headers.serial, now)?;
        if headers.signature.starts_with(PROBE) {
            return Err(VerifyError::Probe);
        }
        let signature = STANDARD.decode(&headers.signature).map_err(|_| VerifyError::BadSignature)?;
        key.verify_sig(&headers.message(body), &signature).map_err(|_| VerifyError::BadSignature)
    }

    fn key(&self, serial: &str, now: i64) -> Result<ParsedPublicKey, VerifyError> {
        let keys = self.read();
        let found = match &keys.public_key {
            // Compared as it stands: the ids of public keys are case-sensitive, serials are not.
            Some((id, key)) if id == serial => Some(key),
            _ => keys
                .certificates
                .get(&serial.to_ascii_uppercase())
                .filter(|certificate| now <= certificate.not_after)
                .map(|certificate| &certificate.key),
        };
        found.cloned().ok_or_else(|| VerifyError::UnknownSerial(serial.to_owned()))
    }

    // A panic elsewhere leaves the set whole, because it is only ever replaced as a whole.
    fn read(&self) -> RwLockReadGuard<'_, Keys> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Keys> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TrustedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedKeys")
            .field("public_key", &self.preferred_serial())
            .field("certificates", &self.certificates())
            .finish()
    }
}

/// The headers of a response or notification that carry its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureHeaders {
    timestamp: i64,
    nonce: String,
    signature: String,
    serial: String,
}

impl SignatureHeaders {
    /// Names of the headers, as they are spelt in errors.
    const TIMESTAMP: &'static str = "Wechatpay-Timestamp";
    const NONCE: &'static str = "Wechatpay-Nonce";
    const SIGNATURE: &'static str = "Wechatpay-Signature";
    const SERIAL: &'static str = "Wechatpay-Serial";
    const TYPE: &'static str = "Wechatpay-Signature-Type";

    /// Takes the headers out of a request or response.
    ///
    /// # Errors
    /// [`VerifyError::Missing`], [`VerifyError::Duplicate`] or [`VerifyError::Malformed`] with
    /// the name of the header.
    pub fn from_map(map: &HeaderMap) -> Result<Self, VerifyError> {
        let timestamp = required(map, Self::TIMESTAMP)?;
        let nonce = required(map, Self::NONCE)?;
        let signature = required(map, Self::SIGNATURE)?;
        let serial = required(map, Self::SERIAL)?;
        if single(map, Self::TYPE)?.is_some_and(|kind| kind != SIGNATURE_TYPE) {
            return Err(VerifyError::Malformed(Self::TYPE));
        }
        Ok(Self {
            timestamp: seconds(timestamp).ok_or(VerifyError::Malformed(Self::TIMESTAMP))?,
            nonce: nonce.to_owned(),
            signature: signature.to_owned(),
            serial: serial.to_owned(),
        })
    }

    /// Whether any of the four is there: an answer without all of them does not claim to be
    /// signed, as WeChat's refusals often do not.
    pub fn any_in(map: &HeaderMap) -> bool {
        [Self::TIMESTAMP, Self::NONCE, Self::SIGNATURE, Self::SERIAL]
            .iter()
            .any(|name| map.contains_key(*name))
    }

    /// The serial number or key id that the sender names.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// Three lines, each ended by LF: timestamp, nonce, body.
    fn message(&self, body: &[u8]) -> Vec<u8> {
        let mut message = format!("{}\n{}\n", self.timestamp, self.nonce).into_bytes();
        message.extend_from_slice(body);
        message.push(b'\n');
        message
    }
}

fn required<'a>(map: &'a HeaderMap, name: &'static str) -> Result<&'a str, VerifyError> {
    match single(map, name)? {
        None => Err(VerifyError::Missing(name)),
        Some("") => Err(VerifyError::Malformed(name)),
        Some(value) => Ok(value),
    }
}

fn single<'a>(map: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, VerifyError> {
    let mut values = map.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| VerifyError::Malformed(name)),
        (Some(_), Some(_)) => Err(VerifyError::Duplicate(name)),
    }
}

/// Digits only, and as they will be printed into the message: no sign and no leading zero.
fn seconds(text: &str) -> Option<i64> {
    let canonical = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| canonical)
}

fn parse_certificate(pem: &str) -> Result<(String, Certificate), KeyError> {
    let der = pem::decode(pem, "CERTIFICATE")?;
    let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| KeyError::NotCertificate)?;
    let key = parse_key(certificate.public_key().raw)?;
    let not_after = certificate.validity().not_after.timestamp();
    // DER puts a zero before a number whose first bit is set; consoles and headers do not.
    let raw = certificate.raw_serial();
    let digits = &raw[raw.iter().take_while(|byte| **byte == 0).count()..];
    Ok((hex::encode_upper(digits), Certificate { key, not_after }))
}

fn parse_key(spki: &[u8]) -> Result<ParsedPublicKey, KeyError> {
    ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, spki).map_err(|_| KeyError::NotRsa)
}

/// Why something is not WeChat's word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The header is absent.
    #[error("header {0} is missing")]
    Missing(&'static str),
    /// The header is there more than once.
    #[error("header {0} is repeated")]
    Duplicate(&'static str),
    /// The header has a value that no signature has.
    #[error("header {0} is malformed")]
    Malformed(&'static str),
    /// Signed more than five minutes from now.
    #[error("signed {skew_seconds} s ago, outside the window of {FRESHNESS_WINDOW_SECONDS} s")]
    Stale {
        /// Our time minus theirs; negative for the future.
        skew_seconds: i64,
    },
    /// No key of that name is known, or its certificate has expired.
    #[error("no key is known for serial {0}")]
    UnknownSerial(String),
    /// WeChat's own test that we verify: not an alarm, and the repetition is signed properly.
    #[error("a signature probe")]
    Probe,
    /// The signature is not of this key over this message.
    #[error("the signature does not match")]
    BadSignature,
}

impl VerifyError {
    /// One word for a metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing(_) => "missing",
            Self::Duplicate(_) => "duplicate",
            Self::Malformed(_) => "malformed",
            Self::Stale { .. } => "stale",
            Self::UnknownSerial(_) => "unknown_serial",
            Self::Probe => "probe",
            Self::BadSignature => "bad_signature",
        }
    }
}
