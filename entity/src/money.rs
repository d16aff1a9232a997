//! Money is whole fen in 64 bits.

use std::fmt;

use sea_orm::DeriveValueType;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The only currency WeChat Pay takes from a merchant on the mainland.
pub const CNY: &str = "CNY";

/// An amount in fen (分, a hundredth of a yuan).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, DeriveValueType, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Fen(pub i64);

impl fmt::Display for Fen {
    /// As a person reads it, in yuan: `¥12.34`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let fen = self.0.unsigned_abs();
        write!(f, "{sign}¥{}.{:02}", fen / 100, fen % 100)
    }
}

/// An amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    /// Whole fen (分), from 1 to 10,000,000,000.
    #[schema(minimum = 1, maximum = 10_000_000_000_i64)]
    pub total: i64,
    pub currency: Currency,
}

/// The one currency there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Currency {
    #[serde(rename = "CNY")]
    Cny,
}

impl From<Fen> for Amount {
    fn from(fen: Fen) -> Self {
        Self { total: fen.0, currency: Currency::Cny }
    }
}

#[cfg(test)]
mod tests {
    use super::Fen;

    #[test]
    fn fen_read_as_yuan() {
        let shown = [0, 1, 10, 99, 100, 123_456, -5, i64::MIN].map(|fen| Fen(fen).to_string());
        assert_eq!(
            shown,
            ["¥0.00", "¥0.01", "¥0.10", "¥0.99", "¥1.00", "¥1234.56", "-¥0.05", "-¥92233720368547758.08"]
        );
    }
}
