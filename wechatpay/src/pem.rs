//! The text form of keys and certificates (RFC 7468), read without leaving copies of a secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::zeroize::Zeroizing;

use crate::merchant::KeyError;

/// The bytes of the first block labelled `label` in `text`.
///
/// The bytes and the intermediate text are wiped when dropped, because they may be a private key.
pub(crate) fn decode(text: &str, label: &'static str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let body = text
        .split_once(&begin)
        .and_then(|(_, rest)| rest.split_once(&end))
        .map(|(body, _)| body)
        .ok_or(KeyError::NotPem { label })?;
    // Sized up front: a string that grows leaves unwiped copies behind.
    let mut compact = Zeroizing::new(String::with_capacity(body.len()));
    compact.extend(body.chars().filter(|c| !c.is_whitespace()));
    STANDARD.decode(compact.as_bytes()).map(Zeroizing::new).map_err(|_| KeyError::NotPem { label })
}
