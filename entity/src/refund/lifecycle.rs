//! What may become of a refund.
//!
//! To add a state: add it to [`Status`], answer what the compiler then asks, name it in a
//! migration's CHECK, run the tests and review `lifecycle.txt` as a diff.

use sea_orm::{DeriveActiveEnum, EnumIter};
use serde::{Deserialize, Serialize};

/// The refund is …
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
#[schema(as = RefundStatus)]
pub enum Status {
    /// written down; may be known at WeChat Pay.
    Requested,
    /// somewhere we cannot see: a call of ours was not answered.
    Unknown,
    /// taken by WeChat Pay and not finished.
    Processing,
    /// done: the money went back.
    Succeeded,
    /// given up by WeChat Pay; no money moved, and only a new number can be tried.
    Closed,
    /// stuck at WeChat Pay, because the payer's account cannot take it. It can still succeed.
    Abnormal,
    /// refused by WeChat Pay; no money moved.
    Refused,
}

/// It happened that …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// a call of ours may have reached WeChat Pay, and no answer came back.
    OutcomeLost,
    /// WeChat Pay took it, and has not finished it.
    Taken,
    /// WeChat Pay refused it, and no earlier call is unanswered.
    Refused,
    /// WeChat Pay says that the money went back. A fact about money: never refused.
    Succeeded,
    /// WeChat Pay gave it up.
    Closed,
    /// WeChat Pay says that the payer's account cannot take it.
    BecameAbnormal,
}

/// What was asked is not a way this thing can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} cannot happen to a refund that is {status:?}")]
pub struct IllegalTransition {
    pub status: Status,
    pub event: Event,
}

impl Status {
    /// Those that something is still to be found out or done about.
    pub const NOT_AT_REST: [Self; 4] = [Self::Requested, Self::Unknown, Self::Processing, Self::Abnormal];

    /// What the refund is after the event.
    pub fn after(self, event: &Event) -> Result<Self, IllegalTransition> {
        use Event as E;
        use Status::{Abnormal, Closed, Processing, Refused, Requested, Succeeded, Unknown};

        let after = match (self, event) {
            // From birth to rest.
            (Requested | Unknown, E::Taken) => Processing,
            (Requested, E::OutcomeLost) => Unknown,
            (Requested | Unknown, E::Refused) => Refused,
            (Requested | Unknown | Processing, E::Closed) => Closed,
            (Requested | Unknown | Processing, E::BecameAbnormal) => Abnormal,
            // Money, whatever we believed.
            (Requested | Unknown | Processing | Succeeded | Closed | Abnormal | Refused, E::Succeeded) => {
                Succeeded
            }
            // A person at WeChat Pay's console took it up again, or gave it up.
            (Abnormal, E::Taken) => Abnormal,
            (Abnormal, E::Closed) => Closed,
            // Repeats, and answers that were overtaken: nothing changes.
            (Unknown, E::OutcomeLost) => Unknown,
            (Processing, E::Taken | E::OutcomeLost) => Processing,
            (Abnormal, E::BecameAbnormal | E::OutcomeLost) => Abnormal,
            (Succeeded, E::Taken | E::OutcomeLost | E::BecameAbnormal) => Succeeded,
            (Closed, E::Closed | E::Taken | E::OutcomeLost | E::BecameAbnormal) => Closed,
            (Refused, E::Refused | E::OutcomeLost) => Refused,
            // Refusals.
            (Processing | Succeeded | Closed | Abnormal, E::Refused)
            | (Succeeded, E::Closed)
            | (Refused, E::Taken | E::Closed | E::BecameAbnormal) => {
                return Err(IllegalTransition { status: self, event: *event });
            }
        };
        Ok(after)
    }

    /// Is there nothing left to find out?
    pub fn is_at_rest(self) -> bool {
        match self {
            Self::Succeeded | Self::Closed | Self::Refused => true,
            Self::Requested | Self::Unknown | Self::Processing | Self::Abnormal => false,
        }
    }

    /// Has the money gone back, or may it still? Then it cannot be given back once more.
    pub fn holds_money(self) -> bool {
        match self {
            Self::Requested | Self::Unknown | Self::Processing | Self::Succeeded | Self::Abnormal => true,
            Self::Closed | Self::Refused => false,
        }
    }
}

#[cfg(test)]
mod tests;
