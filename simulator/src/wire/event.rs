//! What a notification is about, and the words around its content.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    TransactionSuccess,
    RefundSuccess,
    RefundAbnormal,
    RefundClosed,
    /// 退款结果通知 of API v2, in XML: what a refund without a `notify_url` is told with, at the
    /// address in the merchant's console.
    RefundV2,
    /// A type that no client has heard of; there are many on the same envelope.
    Unknown,
}

impl Event {
    const ALL: [Self; 6] = [
        Self::TransactionSuccess,
        Self::RefundSuccess,
        Self::RefundAbnormal,
        Self::RefundClosed,
        Self::RefundV2,
        Self::Unknown,
    ];

    /// The `event_type`; XML has none, its name is ours.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TransactionSuccess => "TRANSACTION.SUCCESS",
            Self::RefundSuccess => "REFUND.SUCCESS",
            Self::RefundAbnormal => "REFUND.ABNORMAL",
            Self::RefundClosed => "REFUND.CLOSED",
            Self::RefundV2 => "V2.REFUND",
            Self::Unknown => "SIMULATOR.UNKNOWN",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.name() == name)
    }

    pub(crate) fn summary(self) -> &'static str {
        match self {
            Self::TransactionSuccess => "支付成功",
            Self::RefundSuccess | Self::RefundV2 => "退款成功",
            Self::RefundAbnormal => "退款异常",
            Self::RefundClosed => "退款关闭",
            Self::Unknown => "模拟器的未知通知",
        }
    }

    /// The `original_type` of the resource, which is also its usual `associated_data`.
    pub(crate) fn original_type(self) -> &'static str {
        match self {
            Self::TransactionSuccess => "transaction",
            Self::RefundSuccess | Self::RefundAbnormal | Self::RefundClosed | Self::RefundV2 => "refund",
            Self::Unknown => "simulator",
        }
    }
}
