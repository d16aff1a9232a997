//! What may become of an order.
//!
//! To add a state: add it to [`Status`], answer what the compiler then asks, name it in the
//! migration's CHECK, run the tests and review `lifecycle.txt` as a diff.

use sea_orm::{DeriveActiveEnum, EnumIter};
use serde::{Deserialize, Serialize};

/// The order is …
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    EnumIter,
    DeriveActiveEnum,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
#[schema(as = OrderStatus)]
pub enum Status {
    /// waiting to be paid.
    Pending,
    /// not to be paid any more; WeChat Pay has not yet confirmed that it cannot be.
    Closing,
    /// closed here after it was closed at WeChat Pay, or never existed there.
    Closed,
    /// paid in full.
    Paid,
    /// paid, and a part went back.
    PartiallyRefunded,
    /// paid, and everything went back.
    Refunded,
}

/// It happened that …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// a payment of this order succeeded at WeChat Pay. A fact about money: never refused.
    PaymentSucceeded,
    /// the shop asked to close it.
    CloseRequested,
    /// its time ran out.
    Expired,
    /// no payment of it can be paid any more.
    CloseConfirmed,
    /// a part of it, or the last part, went back to the payer.
    RefundSucceeded { in_full: bool },
}

/// What was asked is not a way this thing can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} cannot happen to an order that is {status:?}")]
pub struct IllegalTransition {
    pub status: Status,
    pub event: Event,
}

impl Status {
    /// What the order is after the event.
    ///
    /// Money first: whatever the order is, a payment that succeeded is taken in. Whether it was late
    /// (the order was closed) or surplus (it was paid already) is for the caller to see from the
    /// status before, and to raise.
    pub fn after(self, event: &Event) -> Result<Self, IllegalTransition> {
        use Event::{CloseConfirmed, CloseRequested, Expired, PaymentSucceeded, RefundSucceeded};
        use Status::{Closed, Closing, Paid, PartiallyRefunded, Pending, Refunded};

        let after = match (self, event) {
            // From birth to rest.
            (Pending, PaymentSucceeded) => Paid,
            (Pending, CloseRequested | Expired) => Closing,
            (Closing, PaymentSucceeded) => Paid,
            (Closing, CloseConfirmed) => Closed,
            (Paid | PartiallyRefunded, RefundSucceeded { in_full: false }) => PartiallyRefunded,
            (Paid | PartiallyRefunded, RefundSucceeded { in_full: true }) => Refunded,
            // Late money.
            (Closed, PaymentSucceeded) => Paid,
            // Repeats and surplus: nothing changes.
            (Closing, CloseRequested | Expired) => Closing,
            (Closed, CloseRequested | Expired | CloseConfirmed) => Closed,
            (Paid, PaymentSucceeded | Expired) => Paid,
            (PartiallyRefunded, PaymentSucceeded | Expired) => PartiallyRefunded,
            (Refunded, PaymentSucceeded | Expired | RefundSucceeded { in_full: true }) => Refunded,
            // Refusals.
            (Pending, CloseConfirmed)
            | (Pending | Closing | Closed, RefundSucceeded { .. })
            | (Paid | PartiallyRefunded | Refunded, CloseRequested | CloseConfirmed)
            | (Refunded, RefundSucceeded { in_full: false }) => {
                return Err(IllegalTransition { status: self, event: *event });
            }
        };
        Ok(after)
    }

    /// Is the money here?
    pub fn is_paid(self) -> bool {
        match self {
            Self::Paid | Self::PartiallyRefunded | Self::Refunded => true,
            Self::Pending | Self::Closing | Self::Closed => false,
        }
    }
}

#[cfg(test)]
mod tests;
