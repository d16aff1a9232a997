//! RSA in two implementations: the independent one, and a fast one for load.

mod crt;

use ::rsa::{
    Pkcs1v15Sign, RsaPrivateKey, RsaPublicKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding},
};
use anyhow::Context;
use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeyPair,
    signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256},
};
use sha2::{Digest, Sha256};
use tracing::error;

/// Which implementation signs and verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    /// `rsa`: shares nothing with the clients under test.
    Independent,
    /// aws-lc-rs: several times as fast, and what a client may use itself.
    Fast,
}

/// Signs: RSASSA-PKCS1-v1_5 with SHA-256.
pub(crate) enum PrivateKey {
    Independent(Box<crt::Key>),
    Fast(Box<KeyPair>),
}

/// Verifies what the [`PrivateKey`] signed.
pub(crate) enum PublicKey {
    Independent(RsaPublicKey),
    Fast(Box<ParsedPublicKey>),
}

/// A private key read from its PEM, not yet given to a library.
pub(crate) struct KeyMaterial(RsaPrivateKey);

impl KeyMaterial {
    pub(crate) fn read(pem: &str) -> anyhow::Result<Self> {
        Ok(Self(RsaPrivateKey::from_pkcs8_pem(pem).context("reading a private key")?))
    }

    pub(crate) fn public_pem(&self) -> anyhow::Result<String> {
        Ok(self.0.to_public_key().to_public_key_pem(LineEnding::LF)?)
    }

    pub(crate) fn public(&self, library: Library) -> anyhow::Result<PublicKey> {
        let key = self.0.to_public_key();
        Ok(match library {
            Library::Independent => PublicKey::Independent(key),
            Library::Fast => {
                let der = key.to_public_key_der()?;
                PublicKey::Fast(Box::new(ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der.as_bytes())?))
            }
        })
    }

    pub(crate) fn private(self, library: Library) -> anyhow::Result<PrivateKey> {
        Ok(match library {
            Library::Independent => PrivateKey::Independent(Box::new(crt::Key::of(&self.0)?)),
            Library::Fast => {
                let der = self.0.to_pkcs8_der()?;
                PrivateKey::Fast(Box::new(KeyPair::from_pkcs8(der.as_bytes())?))
            }
        })
    }
}

impl PrivateKey {
    /// As long as the modulus. Should aws-lc-rs fail, which it does for broken keys only, it is all
    /// zeros, which nobody takes.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Independent(key) => key.sign(message),
            Self::Fast(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                if key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).is_err() {
                    error!("signing failed");
                }
                signature
            }
        }
    }
}

impl PublicKey {
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Independent(key) => {
                key.verify(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message), signature).is_ok()
            }
            Self::Fast(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::new_private_key;

    #[test]
    fn each_library_takes_what_the_other_signed_and_nothing_else() {
        let pem = new_private_key().unwrap();
        let read = || KeyMaterial::read(&pem).unwrap();
        let both = [Library::Independent, Library::Fast];
        let mut signatures = Vec::new();
        for signer in both {
            let signature = read().private(signer).unwrap().sign(b"message");
            for verifier in both {
                let key = read().public(verifier).unwrap();
                assert!(key.verifies(b"message", &signature), "{signer:?} for {verifier:?}");
                assert!(!key.verifies(b"massage", &signature));
                assert!(!key.verifies(b"message", &signature[1..]));
                assert!(!key.verifies(b"message", &[0; 256]));
            }
            signatures.push(signature);
        }
        // PKCS#1 v1.5 leaves nothing to chance.
        assert_eq!(signatures[0], signatures[1]);
    }
}
