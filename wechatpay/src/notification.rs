//! What WeChat Pay posts to us: an envelope whose resource is sealed with the APIv3 key.
//!
//! Verify the raw bytes with [`TrustedKeys`](crate::TrustedKeys) before reading them here: the
//! seal alone does not tell a fresh notification from a replayed one.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::refund::RefundNotification;
use crate::{ApiV3Key, Transaction};

#[cfg(test)]
mod tests;

const ALGORITHM: &str = "AEAD_AES_256_GCM";

/// The body of a notification (WeChat Pay documentation, 支付成功回调通知).
///
/// Unknown fields are ignored: WeChat adds them without notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Unique per notification; likely but not promised to be the same when it is sent again.
    pub id: String,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_time: Option<String>,
    /// For instance `TRANSACTION.SUCCESS`. Profit sharing uses that name too: look at
    /// [`Resource::original_type`] as well.
    pub event_type: String,
    /// `encrypt-resource`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// Free text for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// What it is about, sealed.
    pub resource: Resource,
}

/// Something sealed with the APIv3 key: AES-256-GCM, the tag at the end of the ciphertext
/// (WeChat Pay documentation, 如何解密回调报文和平台证书).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// `AEAD_AES_256_GCM`.
    pub algorithm: String,
    /// `transaction`, `refund`, or something this crate has no type for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_type: Option<String>,
    /// Authenticated but not sealed; empty and absent are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub associated_data: Option<String>,
    /// 12 bytes as text. Not the nonce of the signature.
    pub nonce: String,
    /// Base64.
    pub ciphertext: String,
}

/// What a notification tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// An order was paid.
    Payment(Box<Transaction>),
    /// A refund ended.
    Refund(Box<RefundNotification>),
    /// Something this crate has no type for: keep it, and answer that it was taken.
    Other(Vec<u8>),
}

impl Envelope {
    /// Opens the resource and reads it as what the event is about.
    ///
    /// # Errors
    /// [`OpenError`], for a resource that no key opens, or that is not what the event says.
    pub fn open(&self, keys: &[ApiV3Key]) -> Result<Told, OpenError> {
        let plain = self.resource.decrypt(keys)?;
        let original_type = self.resource.original_type.as_deref();
        // Profit sharing is told as TRANSACTION.SUCCESS too, with another type of resource.
        match (self.event_type.split_once('.'), original_type) {
            (Some(("TRANSACTION", _)), None | Some("transaction")) => {
                Ok(Told::Payment(Box::new(read(&plain)?)))
            }
            (Some(("REFUND", _)), None | Some("refund")) => Ok(Told::Refund(Box::new(read(&plain)?))),
            _ => Ok(Told::Other(plain)),
        }
    }
}

fn read<'a, T: Deserialize<'a>>(plain: &'a [u8]) -> Result<T, OpenError> {
    serde_json::from_slice(plain).map_err(|_| OpenError::Unreadable)
}

impl Resource {
    /// Opens the resource with the first key that fits.
    ///
    /// While the APIv3 key is being replaced give the new key first and the old one after it.
    ///
    /// # Errors
    /// [`DecryptError`]; a tag mismatch most often means that the key was reset in the console.
    pub fn decrypt(&self, keys: &[ApiV3Key]) -> Result<Vec<u8>, DecryptError> {
        if self.algorithm != ALGORITHM {
            return Err(DecryptError::UnsupportedAlgorithm(self.algorithm.clone()));
        }
        let nonce: [u8; 12] =
            self.nonce.as_bytes().try_into().map_err(|_| DecryptError::Malformed("nonce"))?;
        let sealed = STANDARD.decode(&self.ciphertext).map_err(|_| DecryptError::Malformed("ciphertext"))?;
        if sealed.len() < AES_256_GCM.tag_len() {
            return Err(DecryptError::Malformed("ciphertext"));
        }
        let associated_data = self.associated_data.as_deref().unwrap_or_default();
        keys.iter()
            .find_map(|key| open(key, nonce, associated_data, &sealed))
            .ok_or(DecryptError::TagMismatch)
    }
}

/// Works on a copy, because a failed opening leaves its buffer destroyed for the next key.
fn open(key: &ApiV3Key, nonce: [u8; 12], associated_data: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.bytes()).ok()?);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let mut buffer = sealed.to_vec();
    let length = key.open_in_place(nonce, Aad::from(associated_data.as_bytes()), &mut buffer).ok()?.len();
    buffer.truncate(length);
    Some(buffer)
}

/// Why a resource stays closed. Never contains any of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecryptError {
    /// Sealed in a way this crate does not know.
    #[error("cannot decrypt algorithm {0}")]
    UnsupportedAlgorithm(String),
    /// A field that no key could make sense of.
    #[error("field {0} of the sealed resource is malformed")]
    Malformed(&'static str),
    /// No key fits, or something was altered; AES-GCM cannot tell which.
    #[error("no APIv3 key opens the resource")]
    TagMismatch,
}

/// Why a notification is not understood. Never contains any of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The resource stays closed.
    #[error(transparent)]
    Sealed(#[from] DecryptError),
    /// The resource is not the object that its event is about.
    #[error("the resource is not what the event says")]
    Unreadable,
}
