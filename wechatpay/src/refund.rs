//! Giving money back: the request, and what WeChat Pay knows of a refund
//! (WeChat Pay documentation, 退款申请, 查询单笔退款 and 退款结果回调通知).
//!
//! An accepted refund has only begun: it is `PROCESSING`, and ends in one of the other states.
//! Keep the number and the bytes of a request: the same number refunds once, however often it is
//! sent. Only a refund that ended `CLOSED` needs a new number.

use serde::{Deserialize, Serialize};

use crate::text::text;

#[cfg(test)]
mod tests;

/// A refund to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundOrder {
    /// The order that was paid.
    pub of: Paid,
    /// The merchant's number of the refund; see [`out_refund_no_is_acceptable`].
    pub out_refund_no: String,
    /// Shown to the payer: at most 80 bytes of UTF-8.
    pub reason: Option<String>,
    /// Where the notification goes: https, no query, 8 to 256 characters. Without it WeChat uses
    /// the console's address and the XML of API v2, or tells nobody.
    pub notify_url: Option<String>,
    /// How much goes back, in whole fen, at least 1.
    pub refund_fen: i64,
    /// What the order was for, in whole fen.
    pub total_fen: i64,
}

/// Which order a refund is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paid {
    /// By the merchant's number.
    OutTradeNo(String),
    /// By WeChat's number.
    TransactionId(String),
}

impl RefundOrder {
    /// The body for [`Client::refund`](crate::Client::refund): compact JSON in a fixed order.
    pub fn to_body(&self) -> String {
        let (out_trade_no, transaction_id) = match &self.of {
            Paid::OutTradeNo(number) => (Some(number.as_str()), None),
            Paid::TransactionId(id) => (None, Some(id.as_str())),
        };
        let wire = WireRefund {
            transaction_id,
            out_trade_no,
            out_refund_no: &self.out_refund_no,
            reason: self.reason.as_deref(),
            notify_url: self.notify_url.as_deref(),
            amount: WireAmount { refund: self.refund_fen, total: self.total_fen, currency: "CNY" },
        };
        serde_json::to_string(&wire).expect("text and whole numbers always become JSON")
    }
}

/// WeChat refuses unknown fields and chokes on `null`: what is absent is left out.
#[derive(Serialize)]
struct WireRefund<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out_trade_no: Option<&'a str>,
    out_refund_no: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notify_url: Option<&'a str>,
    amount: WireAmount,
}

#[derive(Serialize)]
struct WireAmount {
    refund: i64,
    total: i64,
    currency: &'static str,
}

/// A refund at WeChat: the answer to asking for one and to a query.
///
/// Only the numbers and the status are counted on; whoever books it must insist on the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// Where it stands.
    pub status: RefundStatus,
    /// The merchant's number of the refund.
    pub out_refund_no: String,
    /// WeChat's number of the refund.
    pub refund_id: String,
    /// The merchant's number of the order.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub out_trade_no: Option<String>,
    /// WeChat's number of the order.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
    /// The way back: `ORIGINAL`, `BALANCE`, `OTHER_BALANCE` or `OTHER_BANKCARD`.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// For people, for instance `支付用户零钱`.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub user_received_account: Option<String>,
    /// RFC 3339; when WeChat took it in.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub create_time: Option<String>,
    /// RFC 3339; only when it succeeded. [`succeeded_at`](Self::succeeded_at) reads it.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub success_time: Option<String>,
    /// Where the money was taken from, for instance `AVAILABLE`.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub funds_account: Option<String>,
    /// How much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<RefundAmount>,
    /// Coupons that went back, as WeChat wrote them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion_detail: Option<serde_json::Value>,
}

impl Refund {
    /// When the money went back, in Unix seconds; `None` when absent or not a time.
    pub fn succeeded_at(&self) -> Option<i64> {
        seconds(self.success_time.as_deref())
    }
}

/// How much of what. All in whole fen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundAmount {
    /// What the order was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// What was asked back: the figure to compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund: Option<i64>,
    /// What the payer had paid after coupons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer_total: Option<i64>,
    /// What the payer gets; less than `refund` when coupons were used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer_refund: Option<i64>,
    /// What the merchant pays for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settlement_refund: Option<i64>,
    /// What the merchant had got for the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settlement_total: Option<i64>,
    /// The part of coupons in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount_refund: Option<i64>,
    /// The fee that comes back to the merchant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund_fee: Option<i64>,
    /// `CNY`; notifications leave it out.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
}

/// The opened resource of a refund notification. It calls the status by another name than the
/// answers do, names no app and knows less: query the refund for the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundNotification {
    /// How it ended.
    pub refund_status: RefundStatus,
    /// The merchant.
    pub mchid: String,
    /// The merchant's number of the refund.
    pub out_refund_no: String,
    /// WeChat's number of the refund.
    pub refund_id: String,
    /// The merchant's number of the order.
    pub out_trade_no: String,
    /// WeChat's number of the order.
    pub transaction_id: String,
    /// RFC 3339; only when it succeeded. [`succeeded_at`](Self::succeeded_at) reads it.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub success_time: Option<String>,
    /// For people, for instance `招商银行信用卡0403`.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub user_received_account: Option<String>,
    /// How much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<RefundAmount>,
}

impl RefundNotification {
    /// When the money went back, in Unix seconds; `None` when absent or not a time.
    pub fn succeeded_at(&self) -> Option<i64> {
        seconds(self.success_time.as_deref())
    }
}

fn seconds(time: Option<&str>) -> Option<i64> {
    let time: jiff::Timestamp = time?.parse().ok()?;
    Some(time.as_second())
}

/// Where a refund stands (WeChat Pay documentation, 退款状态流转).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum RefundStatus {
    /// Taken in, not finished.
    Processing,
    /// The money went back.
    Success,
    /// It failed, for instance because the merchant's account stayed short of money: ask again with
    /// a new number.
    Closed,
    /// The payer's account cannot take it: a person must decide where it goes.
    Abnormal,
    /// A word this crate does not know.
    Other(String),
}

impl RefundStatus {
    /// WeChat's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Processing => "PROCESSING",
            Self::Success => "SUCCESS",
            Self::Closed => "CLOSED",
            Self::Abnormal => "ABNORMAL",
            Self::Other(word) => word,
        }
    }
}

impl From<String> for RefundStatus {
    fn from(word: String) -> Self {
        match word.as_str() {
            "PROCESSING" => Self::Processing,
            "SUCCESS" => Self::Success,
            "CLOSED" => Self::Closed,
            "ABNORMAL" => Self::Abnormal,
            _ => Self::Other(word),
        }
    }
}

impl From<RefundStatus> for String {
    fn from(status: RefundStatus) -> Self {
        status.as_str().to_owned()
    }
}

/// Whether WeChat takes the number: 1 to 64 of `[0-9A-Za-z_-|*@]`
/// (WeChat Pay documentation, 退款申请). Keep to letters, digits, `_` and `-`, as with
/// [`out_trade_no_is_acceptable`](crate::order::out_trade_no_is_acceptable).
///
/// # Errors
/// [`OutRefundNoRefusal`] with what is wrong.
pub fn out_refund_no_is_acceptable(number: &str) -> Result<(), OutRefundNoRefusal> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-|*@".contains(c);
    if let Some((position, character)) = number.chars().enumerate().find(|(_, c)| !allowed(*c)) {
        return Err(OutRefundNoRefusal::Character { position, character });
    }
    match number.len() {
        1..=64 => Ok(()),
        length => Err(OutRefundNoRefusal::Length { length }),
    }
}

/// Why WeChat does not take a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutRefundNoRefusal {
    /// Not 1 to 64 characters.
    #[error("an out_refund_no has 1 to 64 characters, this one has {length}")]
    Length {
        /// How many it has.
        length: usize,
    },
    /// A character outside `[0-9A-Za-z_-|*@]`.
    #[error("character {position} of the out_refund_no is {character:?}, not one of 0-9 A-Z a-z _ - | * @")]
    Character {
        /// Counted in characters, the first is 0.
        position: usize,
        /// The character.
        character: char,
    },
}
