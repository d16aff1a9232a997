//! Every job: what it is called, what it is about, and whether a person waits for it.
//!
//! To add a job: a struct and an `impl` here, its word in [`Kind`], its handler in
//! `worker/src/handlers/` and its line in `worker/src/registry.rs`.

use std::time::Duration;

use entity::{NotificationId, OrderId, PaymentId, Timestamp, job::Lane, notification, order, payment};

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
    SweepOverdue,
}

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::RequestPrepay,
        Self::ApplyNotification,
        Self::ConfirmPayment,
        Self::ClosePayment,
        Self::CloseOrder,
        Self::SweepOverdue,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::RequestPrepay => "request_prepay",
            Self::ApplyNotification => "apply_notification",
            Self::ConfirmPayment => "confirm_payment",
            Self::ClosePayment => "close_payment",
            Self::CloseOrder => "close_order",
            Self::SweepOverdue => "sweep_overdue",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The queue it takes unless somebody is waiting.
    pub fn lane(self) -> Lane {
        match self {
            Self::RequestPrepay | Self::ApplyNotification => Lane::Interactive,
            Self::ConfirmPayment | Self::ClosePayment | Self::CloseOrder | Self::SweepOverdue => {
                Lane::Background
            }
        }
    }
}

/// Create the transaction at WeChat Pay and store what calls the payer up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPrepay {
    pub payment: PaymentId,
}

/// Open a notification and act on what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyNotification {
    pub notification: NotificationId,
}

/// Ask WeChat Pay about a payment until a terminal truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmPayment {
    pub payment: PaymentId,
}

/// Close a payment at WeChat Pay, and then here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosePayment {
    pub payment: PaymentId,
}

/// End an order that nobody paid: when its time is over, or when the shop wishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseOrder {
    pub order: OrderId,
}

/// Find what is not over and has nobody who sees to it. There is one for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepOverdue;

impl RequestPrepay {
    /// However often a payer taps, the bytes of one payment go out again at most this often.
    pub const THROTTLE: Duration = Duration::from_secs(1);

    /// The first moment at which the bytes may go out again.
    pub fn earliest(payment: &payment::Model, now: Timestamp) -> Timestamp {
        payment.create_signed_at.map_or(now, |signed| now.max(signed + Self::THROTTLE))
    }

    pub fn for_payment(payment: &payment::Model) -> Self {
        Self { payment: payment.id.clone() }
    }
}

impl ApplyNotification {
    pub fn for_notification(notification: &notification::Model) -> Self {
        Self { notification: notification.id.clone() }
    }
}

impl ConfirmPayment {
    /// WeChat Pay is asked about one payment at most this often, however many people ask us.
    pub const THROTTLE: Duration = Duration::from_secs(2);

    pub fn for_payment(payment: &payment::Model) -> Self {
        Self { payment: payment.id.clone() }
    }

    /// How long after a payment was opened WeChat Pay is first asked about it, if nobody told us.
    pub const FIRST_LOOK: Duration = Duration::from_secs(5);

    /// The first moment at which WeChat Pay may be asked about it again.
    pub fn earliest(payment: &payment::Model, now: Timestamp) -> Timestamp {
        payment.asked_at.map_or(now, |asked| now.max(asked + Self::THROTTLE))
    }
}

impl ClosePayment {
    pub fn for_payment(payment: &payment::Model) -> Self {
        Self { payment: payment.id.clone() }
    }
}

impl CloseOrder {
    pub fn for_order(order: &order::Model) -> Self {
        Self { order: order.id.clone() }
    }
}

impl Job for RequestPrepay {
    const KIND: Kind = Kind::RequestPrepay;

    fn subject(&self) -> &str {
        self.payment.as_str()
    }

    fn from_subject(subject: &str) -> Option<Self> {
        Some(Self { payment: subject.parse().ok()? })
    }
}

impl Job for ApplyNotification {
    const KIND: Kind = Kind::ApplyNotification;

    fn subject(&self) -> &str {
        self.notification.as_str()
    }

    fn from_subject(subject: &str) -> Option<Self> {
        Some(Self { notification: subject.parse().ok()? })
    }
}

impl Job for ConfirmPayment {
    const KIND: Kind = Kind::ConfirmPayment;

    fn subject(&self) -> &str {
        self.payment.as_str()
    }

    fn from_subject(subject: &str) -> Option<Self> {
        Some(Self { payment: subject.parse().ok()? })
    }
}

impl Job for ClosePayment {
    const KIND: Kind = Kind::ClosePayment;

    fn subject(&self) -> &str {
        self.payment.as_str()
    }

    fn from_subject(subject: &str) -> Option<Self> {
        Some(Self { payment: subject.parse().ok()? })
    }
}

impl Job for CloseOrder {
    const KIND: Kind = Kind::CloseOrder;

    fn subject(&self) -> &str {
        self.order.as_str()
    }

    fn from_subject(subject: &str) -> Option<Self> {
        Some(Self { order: subject.parse().ok()? })
    }
}

impl Job for SweepOverdue {
    const KIND: Kind = Kind::SweepOverdue;

    fn subject(&self) -> &str {
        "all"
    }

    fn from_subject(subject: &str) -> Option<Self> {
        (subject == "all").then_some(Self)
    }
}
