//! What shops and payers show us.

use std::fmt;

use aws_lc_rs::{constant_time, hmac};
use entity::OrderId;
use sha2::{Digest, Sha256};

/// A shop's key as we keep it: the SHA-256 of `sk_…`. The key itself has 256 random bits, so no
/// slower hash is needed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ApiKeyHash([u8; 32]);

impl ApiKeyHash {
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// 64 hex digits, as in the configuration.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Reads 64 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        Some(Self(hex::decode(text).ok()?.try_into().ok()?))
    }
}

impl fmt::Debug for ApiKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeyHash(..)")
    }
}

/// The keys that payers' secrets are derived from: the current one first, then the one before it
/// while links made with it are still about.
///
/// A secret is `cs_`, the 26 characters of the order's id, and the base62 of
/// HMAC-SHA256(link key, order id). Nothing of it is stored, so the same create can be answered
/// again in full; the id in it is what the order is found by.
#[derive(Clone)]
pub struct LinkKeys(Vec<hmac::Key>);

/// 256 bits in base62.
const MAC_CHARS: usize = 43;

impl LinkKeys {
    /// `None` without any key, or with one that is shorter than 32 bytes.
    pub fn new(keys: &[impl AsRef<[u8]>]) -> Option<Self> {
        let long_enough = keys.iter().all(|key| key.as_ref().len() >= 32);
        (long_enough && !keys.is_empty())
            .then(|| Self(keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.as_ref())).collect()))
    }

    /// The secret with which a payer sees and pays this order, and nothing else.
    pub fn client_secret(&self, order: &OrderId) -> String {
        format!("cs_{}{}", order.tail(), mac(&self.0[0], order))
    }

    /// The order that the secret opens.
    pub fn order(&self, client_secret: &str) -> Option<OrderId> {
        let rest = client_secret.strip_prefix("cs_").filter(|rest| rest.is_ascii())?;
        let (tail, given) = rest.split_at_checked(rest.len().checked_sub(MAC_CHARS)?)?;
        let order: OrderId = format!("{}{tail}", OrderId::PREFIX).parse().ok()?;
        let opens = |key| {
            constant_time::verify_slices_are_equal(mac(key, &order).as_bytes(), given.as_bytes()).is_ok()
        };
        self.0.iter().any(opens).then_some(order)
    }
}

impl fmt::Debug for LinkKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKeys(..)")
    }
}

fn mac(key: &hmac::Key, order: &OrderId) -> String {
    base62(hmac::sign(key, order.as_str().as_bytes()).as_ref())
}

/// The bytes as one number in base 62, always 43 digits for 32 bytes.
fn base62(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut number = bytes.to_vec();
    let digits = (0..MAC_CHARS).map(|_| {
        let remainder = number.iter_mut().fold(0_u16, |carry, byte| {
            let value = (carry << 8) | u16::from(*byte);
            // Below 256, because the carry is below 62.
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            value % 62
        });
        char::from(DIGITS[usize::from(remainder)])
    });
    digits.collect::<Vec<_>>().into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[[u8; 32]]) -> LinkKeys {
        LinkKeys::new(keys).unwrap()
    }

    #[test]
    fn a_secret_opens_its_order_and_no_other() {
        let (order, keys) = (OrderId::generate(), keys(&[[1; 32]]));
        let secret = keys.client_secret(&order);
        assert_eq!(secret.len(), 3 + 26 + MAC_CHARS);
        assert!(secret.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{secret}");
        assert_eq!(keys.order(&secret), Some(order.clone()));

        let elsewhere = secret.replace(order.tail(), OrderId::generate().tail());
        let mut changed = secret.clone();
        changed.pop();
        for wrong in
            [elsewhere, changed.clone(), changed + "-", "cs_".to_owned(), String::new(), "cs_é".repeat(30)]
        {
            assert_eq!(keys.order(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn while_keys_are_replaced_both_open_and_the_new_one_signs() {
        let order = OrderId::generate();
        let (old, both) = (keys(&[[1; 32]]), keys(&[[2; 32], [1; 32]]));
        assert_eq!(both.order(&old.client_secret(&order)), Some(order.clone()));
        assert_eq!(old.order(&both.client_secret(&order)), None);
        assert!(LinkKeys::new(&[[0_u8; 8]]).is_none());
    }

    #[test]
    fn base62_counts_in_sixty_twos() {
        let mut bytes = [0; 32];
        for (last, shown) in [(0, "00"), (61, "0z"), (62, "10"), (255, "47")] {
            bytes[31] = last;
            assert!(base62(&bytes).ends_with(shown), "{last}");
        }
        assert_eq!(base62(&[255; 32]).len(), MAC_CHARS);
    }
}
