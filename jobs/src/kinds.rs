//! Every job: what it is called, what it is about, and whether a person waits for it.
//!
//! To add a job: a struct and an `impl` here, its word in [`Kind`], its handler in
//! `worker/src/handlers/` and its line in `worker/src/registry.rs`.

use std::time::Duration;

use entity::{
    DeliveryId, NotificationId, OrderId, PaymentId, RefundId, ShippingId, Timestamp, job::Lane, payment,
};

/// An order given: ids and nothing else, so that it cannot be out of date.
pub trait Job: Sized + Send + Sync {
    const KIND: Kind;

    /// The id of the thing it is about.
    fn subject(&self) -> &str;

    /// Reads the subject of a row back; `None` if it is no id of ours.
    fn from_subject(subject: &str) -> Option<Self>;
}

/// The word for each job, as in the column `kind`, in metrics and in logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    RequestPrepay,
    ApplyNotification,
    ConfirmPayment,
    ClosePayment,
    CloseOrder,
    RequestRefund,
    ConfirmRefund,
    UploadShipping,
    PushStatus,
    DeliverWebhook,
    SweepOverdue,
}

impl Kind {
    pub const ALL: [Self; 11] = [
        Self::RequestPrepay,
        Self::ApplyNotification,
        Self::ConfirmPayment,
        Self::ClosePayment,
        Self::CloseOrder,
        Self::RequestRefund,
        Self::ConfirmRefund,
        Self::UploadShipping,
        Self::PushStatus,
        Self::DeliverWebhook,
        Self::SweepOverdue,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::RequestPrepay => "request_prepay",
            Self::ApplyNotification => "apply_notification",
            Self::ConfirmPayment => "confirm_payment",
            Self::ClosePayment => "close_payment",
            Self::CloseOrder => "close_order",
            Self::RequestRefund => "request_refund",
            Self::ConfirmRefund => "confirm_refund",
            Self::UploadShipping => "upload_shipping",
            Self::PushStatus => "push_status",
            Self::DeliverWebhook => "deliver_webhook",
            Self::SweepOverdue => "sweep_overdue",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The queue it takes unless somebody is waiting.
    pub fn lane(self) -> Lane {
        match self {
            Self::RequestPrepay | Self::ApplyNotification | Self::PushStatus => Lane::Interactive,
            Self::ConfirmPayment
            | Self::ClosePayment
            | Self::CloseOrder
            | Self::RequestRefund
            | Self::ConfirmRefund
            | Self::UploadShipping
            | Self::DeliverWebhook
            | Self::SweepOverdue => Lane::Background,
        }
    }
}

/// A job about one thing: its struct, and how it is asked for.
macro_rules! job {
    ($(#[$doc:meta])* $name:ident, $thing:ident: $id:ty) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            pub $thing: $id,
        }

        impl $name {
            pub fn of(id: &$id) -> Self {
                Self { $thing: id.clone() }
            }
        }

        impl Job for $name {
            const KIND: Kind = Kind::$name;

            fn subject(&self) -> &str {
                self.$thing.as_str()
            }

            fn from_subject(subject: &str) -> Option<Self> {
                Some(Self { $thing: subject.parse().ok()? })
            }
        }
    };
}

job!(
    /// Create the transaction at WeChat Pay and store what calls the payer up.
    RequestPrepay,
    payment: PaymentId
);
job!(
    /// Open a notification and act on what it says.
    ApplyNotification,
    notification: NotificationId
);
job!(
    /// Ask WeChat Pay about a payment until a terminal truth.
    ConfirmPayment,
    payment: PaymentId
);
job!(
    /// Close a payment at WeChat Pay, and then here.
    ClosePayment,
    payment: PaymentId
);
job!(
    /// End an order that nobody paid: when its time is over, or when the shop wishes.
    CloseOrder,
    order: OrderId
);
job!(
    /// Ask WeChat Pay to give money back.
    RequestRefund,
    refund: RefundId
);
job!(
    /// Ask WeChat Pay about a refund until a terminal truth.
    ConfirmRefund,
    refund: RefundId
);
job!(
    /// Tell WeChat how a paid order reaches its payer.
    UploadShipping,
    shipping: ShippingId
);
job!(
    /// Write down what the shop is to be told about an order, and for which of its endpoints.
    PushStatus,
    order: OrderId
);
job!(
    /// Tell one endpoint of the shop of one event.
    DeliverWebhook,
    delivery: DeliveryId
);

/// Find what is not over and has nobody who sees to it. There is one for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepOverdue;

impl Job for SweepOverdue {
    const KIND: Kind = Kind::SweepOverdue;

    fn subject(&self) -> &str {
        "all"
    }

    fn from_subject(subject: &str) -> Option<Self> {
        (subject == "all").then_some(Self)
    }
}

impl RequestPrepay {
    /// However often a payer taps, the bytes of one payment go out again at most this often.
    pub const THROTTLE: Duration = Duration::from_secs(1);

    /// The first moment at which the bytes may go out again.
    pub fn earliest(payment: &payment::Model, now: Timestamp) -> Timestamp {
        throttled(payment.create_signed_at, Self::THROTTLE, now)
    }
}

impl ConfirmPayment {
    /// WeChat Pay is asked about one payment at most this often, however many people ask us.
    pub const THROTTLE: Duration = Duration::from_secs(2);

    /// How long after a payment was opened WeChat Pay is first asked about it, if nobody told us.
    pub const FIRST_LOOK: Duration = Duration::from_secs(5);

    /// The first moment at which WeChat Pay may be asked about it again.
    pub fn earliest(payment: &payment::Model, now: Timestamp) -> Timestamp {
        throttled(payment.asked_at, Self::THROTTLE, now)
    }
}

/// When to do again what was last done at `last`. A time that is still to come was told by a clock that was
/// wrong, and holds nobody up: a payer would wait for as long as it was ahead.
fn throttled(last: Option<Timestamp>, throttle: Duration, now: Timestamp) -> Timestamp {
    last.filter(|last| *last <= now).map_or(now, |last| now.max(last + throttle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_a_moment_ago_waits_and_what_was_done_in_the_future_does_not() {
        let (now, second) = (Timestamp(1_000_000), Duration::from_secs(1));
        let ms = Duration::from_millis;
        assert_eq!(throttled(None, second, now), now);
        assert_eq!(throttled(Some(now - ms(1500)), second, now), now);
        assert_eq!(throttled(Some(now - ms(300)), second, now), now + ms(700));
        assert_eq!(throttled(Some(now), second, now), now + second);
        assert_eq!(throttled(Some(now + ms(1)), second, now), now);
        assert_eq!(throttled(Some(now + Duration::from_secs(600)), second, now), now);
    }
}
