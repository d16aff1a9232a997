//! The signature of Standard Webhooks 1.0.0, scheme `v1`: HMAC-SHA256 over id, time and body.

use std::{fmt, str::FromStr};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use entity::{EventId, Timestamp};

/// What an endpoint knows us by.
#[derive(Clone)]
pub struct Secret(hmac::Key);

/// The text is not a secret of Standard Webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `whsec_` and the base64 of 24 to 64 random bytes")]
pub struct NotASecret;

impl FromStr for Secret {
    type Err = NotASecret;

    fn from_str(text: &str) -> Result<Self, NotASecret> {
        let bytes = text.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
        let bytes = bytes.filter(|bytes| (24..=64).contains(&bytes.len())).ok_or(NotASecret)?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The header `webhook-signature`: one signature for each secret, so that an endpoint may know
/// either while a secret is being replaced.
pub fn signature(secrets: &[Secret], id: &EventId, at: Timestamp, body: &str) -> String {
    let signed = format!("{id}.{}.{body}", at.unix_seconds());
    let signatures = secrets.iter().map(|Secret(key)| {
        let tag = hmac::sign(key, signed.as_bytes());
        format!("v1,{}", STANDARD.encode(tag))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_base64_of_24_to_64_bytes_behind_its_prefix() {
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        for bytes in [24, 32, 64] {
            assert!(of(bytes).parse::<Secret>().is_ok(), "{bytes}");
        }
        let unprefixed = STANDARD.encode([7; 32]);
        for bad in [of(23), of(65), unprefixed, "whsec_".to_owned(), "whsec_not base64!".to_owned()] {
            assert_eq!(bad.parse::<Secret>().unwrap_err(), NotASecret, "{bad}");
        }
        assert_eq!(format!("{:?}", of(24).parse::<Secret>().unwrap()), "Secret(..)");
    }

    /// Against the library that shops verify with.
    #[test]
    fn a_published_library_signs_the_same() {
        let (current, previous) =
            (format!("whsec_{}", STANDARD.encode([1; 24])), "whsec_AgICAgICAgICAgICAgICAgICAgICAgIC");
        let secrets = [current.as_str(), previous].map(|text| text.parse::<Secret>().unwrap());
        let (id, at, body) = (EventId::generate(), Timestamp(1_790_000_000_999), r#"{"id":"evt_…"}"#);
        let theirs = [current.as_str(), previous].map(|text| {
            let webhook = standardwebhooks::Webhook::new(text).unwrap();
            webhook.sign(id.as_str(), 1_790_000_000, body.as_bytes()).unwrap()
        });
        assert_eq!(signature(&secrets, &id, at, body), theirs.join(" "));
        assert_ne!(theirs[0], theirs[1]);
    }
}
