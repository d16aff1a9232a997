//! The private half of RSA-2048 by the Chinese remainder theorem (RFC 8017, 5.1.2 and 8.2.1).
//!
//! `rsa` does the same for keys of any size and in constant time. Ours are of one size and are here
//! for all to see, so that it can be done in two thirds of the time.

use ::rsa::{BoxedUint, RsaPrivateKey, traits::PrivateKeyParts};
use anyhow::{Context, ensure};
use crypto_bigint::{
    NonZero, Odd, U1024, U2048,
    modular::{FixedMontyForm, FixedMontyParams},
};
use sha2::{Digest, Sha256};

const MODULUS: usize = 256;
const PRIME: usize = MODULUS / 2;
/// The DER that says "SHA-256" before the hash (RFC 8017, 9.2, note 1).
const DIGEST_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];

pub(crate) struct Key {
    p: Half,
    q: Half,
    /// The inverse of `q` modulo `p`.
    q_inverse: FixedMontyForm<{ U1024::LIMBS }>,
}

/// One prime and what belongs to it.
struct Half {
    prime: NonZero<U1024>,
    params: FixedMontyParams<{ U1024::LIMBS }>,
    exponent: U1024,
}

impl Key {
    pub(crate) fn of(key: &RsaPrivateKey) -> anyhow::Result<Self> {
        const INCOMPLETE: &str = "the private key is incomplete";
        let p = Half::of(key.p().context(INCOMPLETE)?.modulus(), key.dp().context(INCOMPLETE)?)?;
        let q = Half::of(key.q().context(INCOMPLETE)?.modulus(), key.dq().context(INCOMPLETE)?)?;
        let q_inverse = fixed(&key.qinv().context(INCOMPLETE)?.retrieve())?;
        Ok(Self { q_inverse: FixedMontyForm::new(&q_inverse, &p.params), p, q })
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let encoded = U2048::from_be_slice(&encode(message));
        let by_p = self.p.power(&encoded);
        let by_q = self.q.power(&encoded).retrieve();
        let difference = by_p - FixedMontyForm::new(&by_q, &self.p.params);
        let factor = (self.q_inverse * difference).retrieve();
        let product: U2048 = factor.concatenating_mul(self.q.prime.as_ref());
        product.wrapping_add(&by_q.resize()).to_be_bytes().as_ref().to_vec()
    }
}

impl Half {
    fn of(prime: &BoxedUint, exponent: &BoxedUint) -> anyhow::Result<Self> {
        let odd = Option::<Odd<U1024>>::from(Odd::new(fixed(prime)?)).context("a prime is even")?;
        Ok(Self {
            prime: *odd.as_nz_ref(),
            params: FixedMontyParams::new_vartime(odd),
            exponent: fixed(exponent)?,
        })
    }

    fn power(&self, base: &U2048) -> FixedMontyForm<{ U1024::LIMBS }> {
        FixedMontyForm::new(&base.rem_vartime(&self.prime), &self.params).pow_vartime(&self.exponent)
    }
}

fn fixed(number: &BoxedUint) -> anyhow::Result<U1024> {
    let bytes = number.to_be_bytes();
    let (rest, bytes) = bytes.split_at(bytes.len().saturating_sub(PRIME));
    ensure!(bytes.len() == PRIME && rest.iter().all(|byte| *byte == 0), "the private key is not RSA-2048");
    Ok(U1024::from_be_slice(bytes))
}

/// EMSA-PKCS1-v1_5.
fn encode(message: &[u8]) -> [u8; MODULUS] {
    const HASH_AT: usize = MODULUS - 32;
    const INFO_AT: usize = HASH_AT - DIGEST_INFO.len();
    let mut encoded = [0xff; MODULUS];
    encoded[0] = 0;
    encoded[1] = 1;
    encoded[INFO_AT - 1] = 0;
    encoded[INFO_AT..HASH_AT].copy_from_slice(&DIGEST_INFO);
    encoded[HASH_AT..].copy_from_slice(&Sha256::digest(message));
    encoded
}
