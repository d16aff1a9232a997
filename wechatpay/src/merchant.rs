//! The merchant's own secrets: who signs, and what opens sealed notifications.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::RsaKeyPair;
use secrecy::{ExposeSecret as _, SecretBox};

use crate::pem;

#[cfg(test)]
mod tests;

/// The merchant that requests are made for, and signs them.
///
/// The serial and the private key are a pair: WeChat answers 401 `SIGN_ERROR` when only one of
/// them was changed.
#[derive(Clone, Debug)]
pub struct Merchant {
    /// Merchant number 商户号: digits.
    pub mchid: String,
    /// Serial number of the merchant API certificate 商户API证书: hex as the console shows it.
    pub certificate_serial: String,
    /// The private key of that certificate.
    pub private_key: PrivateKey,
}

/// The private key of the merchant API certificate (`apiclient_key.pem`).
///
/// Cheap to clone; never printed; its memory is wiped when the last clone is dropped.
#[derive(Clone)]
pub struct PrivateKey(Arc<RsaKeyPair>);

impl PrivateKey {
    /// Reads a PKCS#8 RSA key (`-----BEGIN PRIVATE KEY-----`).
    ///
    /// # Errors
    /// [`KeyError::NotPem`] when there is no such block, [`KeyError::NotRsa`] when the block is
    /// not an RSA key of 2048 to 8192 bits.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = pem::decode(text, "PRIVATE KEY")?;
        let pair = RsaKeyPair::from_pkcs8(&der).map_err(|_| KeyError::NotRsa)?;
        Ok(Self(Arc::new(pair)))
    }

    pub(crate) fn pair(&self) -> &RsaKeyPair {
        &self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// The APIv3 key: 32 bytes set in the merchant console, which open notifications and
/// downloaded certificates.
///
/// Cheap to clone; never printed; wiped when the last clone is dropped.
/// While a key is being replaced hand over the new one and the old one: notifications sealed
/// before the change are re-sent for a day.
#[derive(Clone)]
pub struct ApiV3Key(Arc<SecretBox<[u8; 32]>>);

impl ApiV3Key {
    /// Takes the key as the console's text; its bytes are the key, nothing is decoded.
    ///
    /// # Errors
    /// [`KeyError::ApiV3KeyLength`] unless it is exactly 32 bytes long.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        let bytes: [u8; 32] =
            text.as_bytes().try_into().map_err(|_| KeyError::ApiV3KeyLength { length: text.len() })?;
        Ok(Self(Arc::new(SecretBox::new(Box::new(bytes)))))
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        self.0.expose_secret()
    }
}

impl fmt::Debug for ApiV3Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiV3Key(..)")
    }
}

/// A key or certificate that cannot be used. Never contains any of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no well-formed PEM block of the kind that is needed.
    #[error("expected a PEM block labelled {label}")]
    NotPem {
        /// The label that was looked for.
        label: &'static str,
    },
    /// The block is not an RSA key of 2048 to 8192 bits.
    #[error("not an RSA key of 2048 to 8192 bits")]
    NotRsa,
    /// The block is not an X.509 certificate.
    #[error("not an X.509 certificate")]
    NotCertificate,
    /// The id of a WeChat Pay public key starts with `PUB_KEY_ID_`.
    #[error("the id of a WeChat Pay public key starts with PUB_KEY_ID_")]
    PublicKeyId,
    /// An APIv3 key has 32 bytes.
    #[error("an APIv3 key has 32 bytes, this one has {length}")]
    ApiV3KeyLength {
        /// How many bytes it has.
        length: usize,
    },
}
