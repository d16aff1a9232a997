//! What may become of a payment.
//!
//! To add a state: add it to [`Status`], answer what the compiler then asks, name it in the
//! migration's CHECK and, if it can be paid, in [`Status::is_payable`] and the partial unique index;
//! run the tests and review `lifecycle.txt` as a diff.

use sea_orm::{DeriveActiveEnum, EnumIter};
use serde::{Deserialize, Serialize};

/// The payment is …
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
#[schema(as = PaymentStatus)]
pub enum Status {
    /// waiting until its predecessor is closed at WeChat Pay; nothing was sent.
    Queued,
    /// written down with the bytes of its create call; may exist at WeChat Pay.
    Created,
    /// open at WeChat Pay, and the payer can be called up.
    AwaitingPayment,
    /// somewhere we cannot see: a create of ours was not answered.
    Unknown,
    /// being closed at WeChat Pay, and to be closed whatever a call of ours comes to.
    Closing,
    /// closed at WeChat Pay.
    Closed,
    /// refused by WeChat Pay, or never came to exist there.
    Failed,
    /// paid.
    Succeeded,
}

/// It happened that …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// its predecessor was closed, and it may be sent.
    Started,
    /// WeChat Pay answered the create call.
    PrepayIssued,
    /// a create of ours may have reached WeChat Pay, and no answer came back.
    OutcomeLost,
    /// WeChat Pay says it exists and is not paid.
    FoundUnpaid,
    /// WeChat Pay refused the create call, and no earlier call is unanswered.
    CreateRefused,
    /// it is certain that it never came to exist at WeChat Pay.
    NeverExisted,
    /// it is to be closed.
    CloseRequested,
    /// WeChat Pay says it is closed.
    CloseConfirmed,
    /// WeChat Pay says it is paid. A fact about money: never refused.
    PaymentSucceeded,
}

/// What was asked is not a way this thing can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} cannot happen to a payment that is {status:?}")]
pub struct IllegalTransition {
    pub status: Status,
    pub event: Event,
}

impl Status {
    /// Those that something is still to be found out or done about.
    pub const NOT_AT_REST: [Self; 5] =
        [Self::Queued, Self::Created, Self::AwaitingPayment, Self::Unknown, Self::Closing];

    /// What the payment is after the event.
    pub fn after(self, event: &Event) -> Result<Self, IllegalTransition> {
        use Event::{
            CloseConfirmed, CloseRequested, CreateRefused, FoundUnpaid, NeverExisted, OutcomeLost,
            PaymentSucceeded, PrepayIssued, Started,
        };
        use Status::{AwaitingPayment, Closed, Closing, Created, Failed, Queued, Succeeded, Unknown};

        let after = match (self, event) {
            // From birth to rest.
            (Queued, Started) => Created,
            (Created | Unknown, PrepayIssued) => AwaitingPayment,
            (Created, CreateRefused) => Failed,
            (Created | Unknown, NeverExisted) => Failed,
            (Queued, CloseRequested) => Closed,
            (Created | AwaitingPayment | Unknown, CloseRequested) => Closing,
            (Created | AwaitingPayment | Unknown | Closing, CloseConfirmed) => Closed,
            // A create that was on its way when the close was asked for.
            (Closing, CreateRefused | NeverExisted) => Failed,
            // Outcomes that did not come back, and what asking says.
            (Created, OutcomeLost) => Unknown,
            (Unknown, FoundUnpaid) => Created,
            // Money, whatever we believed.
            (
                Queued | Created | AwaitingPayment | Unknown | Closing | Closed | Failed | Succeeded,
                PaymentSucceeded,
            ) => Succeeded,
            // Repeats, and answers that were overtaken: nothing changes.
            (Created, Started | FoundUnpaid) => Created,
            (AwaitingPayment, PrepayIssued | OutcomeLost | FoundUnpaid) => AwaitingPayment,
            (Unknown, OutcomeLost) => Unknown,
            (Closing, PrepayIssued | OutcomeLost | FoundUnpaid | CloseRequested) => Closing,
            (Closed, PrepayIssued | OutcomeLost | FoundUnpaid | CloseRequested | CloseConfirmed) => Closed,
            (Failed, OutcomeLost | CreateRefused | NeverExisted | CloseRequested | CloseConfirmed) => Failed,
            (Succeeded, PrepayIssued | OutcomeLost | FoundUnpaid | CloseConfirmed) => Succeeded,
            // Refusals.
            (
                Queued,
                PrepayIssued | OutcomeLost | FoundUnpaid | CreateRefused | NeverExisted | CloseConfirmed,
            )
            | (AwaitingPayment, Started | CreateRefused | NeverExisted)
            | (Unknown, Started | CreateRefused)
            | (Closing, Started)
            | (Closed, Started | CreateRefused | NeverExisted)
            | (Failed, Started | PrepayIssued | FoundUnpaid)
            | (Succeeded, Started | CreateRefused | NeverExisted | CloseRequested) => {
                return Err(IllegalTransition { status: self, event: *event });
            }
        };
        Ok(after)
    }

    /// Could somebody pay it at WeChat Pay? At most one payment of an order may be so.
    pub fn is_payable(self) -> bool {
        match self {
            Self::Created | Self::AwaitingPayment | Self::Unknown | Self::Closing => true,
            Self::Queued | Self::Closed | Self::Failed | Self::Succeeded => false,
        }
    }

    /// Is there nothing left to find out?
    pub fn is_at_rest(self) -> bool {
        match self {
            Self::Closed | Self::Failed | Self::Succeeded => true,
            Self::Queued | Self::Created | Self::AwaitingPayment | Self::Unknown | Self::Closing => false,
        }
    }
}

#[cfg(test)]
mod tests;
