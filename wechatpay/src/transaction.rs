//! What WeChat Pay knows of an order: the answer to a query, and the opened resource of a
//! payment notification (WeChat Pay documentation, 微信支付订单号查询订单 and 支付成功回调通知).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::text;

#[cfg(test)]
mod tests;

/// An order at WeChat.
///
/// Only the state is always there. While it is unpaid WeChat may leave out nearly everything
/// else, so whoever books a payment must insist on what it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Where the order stands.
    pub trade_state: TradeState,
    /// Free text for people.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub trade_state_desc: Option<String>,
    /// The app the order was made for.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub appid: Option<String>,
    /// The merchant.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub mchid: Option<String>,
    /// The merchant's number.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub out_trade_no: Option<String>,
    /// WeChat's number; absent while unpaid.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
    /// `JSAPI` (mini-programs too), `NATIVE`, `APP`, `MWEB`, …
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub trade_type: Option<String>,
    /// For instance `CMB_DEBIT`; `OTHERS` for the wallet's balance.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub bank_type: Option<String>,
    /// As sent with the order.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub attach: Option<String>,
    /// RFC 3339; [`paid_at`](Self::paid_at) reads it.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub success_time: Option<String>,
    /// Who paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<Payer>,
    /// How much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// Coupons that were used, as WeChat wrote them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion_detail: Option<serde_json::Value>,
}

impl Transaction {
    /// Whether money was taken for this order; see [`TradeState::is_paid`].
    pub fn is_paid(&self) -> bool {
        self.trade_state.is_paid()
    }

    /// When it was paid, in Unix seconds; `None` when absent or not a time.
    pub fn paid_at(&self) -> Option<i64> {
        let time: jiff::Timestamp = self.success_time.as_deref()?.parse().ok()?;
        Some(time.as_second())
    }
}

/// Who paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payer {
    /// The payer as the order's app knows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openid: Option<Openid>,
}

/// How much. All in whole fen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// What the order asks for: the figure to compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// What the payer paid after coupons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer_total: Option<i64>,
    /// `CNY`.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// `CNY`.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub payer_currency: Option<String>,
}

/// A person as one app knows them. Not printed, because logs are read by many.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Openid(pub String);

impl fmt::Debug for Openid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Openid(..)")
    }
}

/// Where an order stands at WeChat (WeChat Pay documentation, 订单状态流转).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum TradeState {
    /// Created and unpaid; failed attempts to pay stay here.
    NotPay,
    /// Paid.
    Success,
    /// Paid, and at least one refund was asked for, be it a partial one.
    Refund,
    /// Closed by the merchant, or by WeChat after seven days.
    Closed,
    /// Cancelled; payment codes 付款码 only.
    Revoked,
    /// The payer is typing; payment codes only.
    UserPaying,
    /// Failed; payment codes only.
    PayError,
    /// Accepted; entrusted deductions only.
    Accept,
    /// Failed; entrusted deductions only.
    PayFail,
    /// A word this crate does not know.
    Other(String),
}

impl TradeState {
    /// Whether money was taken: a refund comes only after a payment.
    pub fn is_paid(&self) -> bool {
        matches!(self, Self::Success | Self::Refund)
    }

    /// WeChat's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::NotPay => "NOTPAY",
            Self::Success => "SUCCESS",
            Self::Refund => "REFUND",
            Self::Closed => "CLOSED",
            Self::Revoked => "REVOKED",
            Self::UserPaying => "USERPAYING",
            Self::PayError => "PAYERROR",
            Self::Accept => "ACCEPT",
            Self::PayFail => "PAY_FAIL",
            Self::Other(word) => word,
        }
    }
}

impl From<String> for TradeState {
    fn from(word: String) -> Self {
        match word.as_str() {
            "NOTPAY" => Self::NotPay,
            "SUCCESS" => Self::Success,
            "REFUND" => Self::Refund,
            "CLOSED" => Self::Closed,
            "REVOKED" => Self::Revoked,
            "USERPAYING" => Self::UserPaying,
            "PAYERROR" => Self::PayError,
            "ACCEPT" => Self::Accept,
            "PAY_FAIL" => Self::PayFail,
            _ => Self::Other(word),
        }
    }
}

impl From<TradeState> for String {
    fn from(state: TradeState) -> Self {
        state.as_str().to_owned()
    }
}
