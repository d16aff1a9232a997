//! Prefixed, sortable ids. Each kind is a type of its own, so the two cannot be swapped.

use std::{fmt, str::FromStr};

use sea_orm::{DbErr, DeriveValueType, TryFromU64};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, DeriveValueType, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// A new id; ids made later sort later, to the millisecond.
            pub fn generate() -> Self {
                Self(format!(concat!($prefix, "{}"), Ulid::generate()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The id without its prefix: 26 characters of Crockford base32.
            pub fn tail(&self) -> &str {
                &self.0[$prefix.len()..]
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let tail = text.strip_prefix($prefix).ok_or(NotAnId)?;
                let ulid = Ulid::from_string(tail).map_err(|_| NotAnId)?;
                // Crockford reads several spellings of one id; only the one we write is ours.
                if ulid.to_string() == tail { Ok(Self(text.to_owned())) } else { Err(NotAnId) }
            }
        }

        impl TryFromU64 for $name {
            fn try_from_u64(_: u64) -> Result<Self, DbErr> {
                Err(DbErr::ConvertFromU64(stringify!($name)))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// The text is not an id of the kind that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this kind")]
pub struct NotAnId;

id!(
    /// An order: what the payer owes the shop.
    OrderId,
    "ord_"
);
id!(
    /// A payment: one try to pay an order at WeChat Pay.
    PaymentId,
    "pay_"
);
id!(
    /// A notification as it was received.
    NotificationId,
    "ntf_"
);
id!(
    /// Something that happened to an order.
    EventId,
    "evt_"
);
id!(
    /// One line of the money book.
    MoneyEntryId,
    "mny_"
);

id!(
    /// A refund: money on its way back to a payer.
    RefundId,
    "rfd_"
);
id!(
    /// How a paid order reaches its payer, as WeChat is told.
    ShippingId,
    "shp_"
);
id!(
    /// Something a person should know about money.
    CaseId,
    "case_"
);
id!(
    /// One event on its way to one endpoint of a shop.
    DeliveryId,
    "dlv_"
);

impl RefundId {
    /// The merchant's number of this refund at WeChat Pay; see [`PaymentId::out_trade_no`].
    pub fn out_refund_no(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.tail())
    }
}

impl PaymentId {
    /// The merchant's number of this payment at WeChat Pay: the prefix, then the id's 26 characters.
    ///
    /// WeChat takes 6 to 32 characters of `[0-9A-Za-z_\-|*]`; with the 26 of a ULID there is room for
    /// a prefix of six.
    pub fn out_trade_no(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.tail())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_a_foreign_prefix_does_not() {
        let id = OrderId::generate();
        assert_eq!(id.as_str().parse::<OrderId>(), Ok(id.clone()));
        assert_eq!(id.as_str().parse::<PaymentId>(), Err(NotAnId));
        for bad in
            ["", "ord_", "ord_123", "ord_01arz3ndektsv4rrffq69g5fav", "ord_01ARZ3NDEKTSV4RRFFQ69G5FAVX"]
        {
            assert_eq!(bad.parse::<OrderId>(), Err(NotAnId), "{bad}");
        }
    }

    #[test]
    fn an_out_trade_no_fits_wechats_rule() {
        let number = PaymentId::generate().out_trade_no("ep");
        assert!((6..=32).contains(&number.len()), "{number}");
        assert!(number.bytes().all(|b| b.is_ascii_alphanumeric()), "{number}");
    }
}
