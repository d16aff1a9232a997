//! WeChat Pay's words about a refund.

use entity::{CNY, Timestamp, payment, refund};
use wechatpay::{Refund, RefundNotification, RefundStatus, refund::RefundAmount};

use super::{Mismatch, differs};

/// What WeChat Pay knows about one of our refunds, with its number of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    Processing { refund_id: String },
    Succeeded { refund_id: String, succeeded_at: Timestamp },
    Closed { refund_id: String },
    Abnormal { refund_id: String },
}

impl Word {
    pub fn refund_id(&self) -> &str {
        match self {
            Self::Processing { refund_id }
            | Self::Succeeded { refund_id, .. }
            | Self::Closed { refund_id }
            | Self::Abnormal { refund_id } => refund_id,
        }
    }
}

/// What an answer and a notification have in common, each under its own names.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    pub status: &'a RefundStatus,
    /// Only a notification names it; an answer is that of the merchant who asked.
    pub mchid: Option<&'a str>,
    pub out_refund_no: &'a str,
    pub refund_id: &'a str,
    pub out_trade_no: Option<&'a str>,
    pub transaction_id: Option<&'a str>,
    pub succeeded_at: Option<i64>,
    pub amount: Option<&'a RefundAmount>,
}

impl<'a> From<&'a Refund> for Said<'a> {
    fn from(said: &'a Refund) -> Self {
        Self {
            status: &said.status,
            mchid: None,
            out_refund_no: &said.out_refund_no,
            refund_id: &said.refund_id,
            out_trade_no: said.out_trade_no.as_deref(),
            transaction_id: said.transaction_id.as_deref(),
            succeeded_at: said.succeeded_at(),
            amount: said.amount.as_ref(),
        }
    }
}

impl<'a> From<&'a RefundNotification> for Said<'a> {
    fn from(said: &'a RefundNotification) -> Self {
        Self {
            status: &said.refund_status,
            mchid: Some(&said.mchid),
            out_refund_no: &said.out_refund_no,
            refund_id: &said.refund_id,
            out_trade_no: Some(&said.out_trade_no),
            transaction_id: Some(&said.transaction_id),
            succeeded_at: said.succeeded_at(),
            amount: said.amount.as_ref(),
        }
    }
}

/// Reads what WeChat Pay says about `refund`, and refuses what is not about it.
///
/// What is left out while it is under way is not missed; once money went back, every part of it must
/// be there and must agree.
pub fn read(said: Said<'_>, refund: &refund::Model, payment: &payment::Model) -> Result<Word, Mismatch> {
    differs(said.mchid, &refund.mchid, Mismatch::Mchid)?;
    differs(Some(said.out_refund_no), &refund.out_refund_no, Mismatch::OutRefundNo)?;
    differs(said.out_trade_no, &payment.out_trade_no, Mismatch::OutTradeNo)?;
    let known = payment.transaction_id.as_deref().unwrap_or_default();
    differs(said.transaction_id, known, Mismatch::Transaction)?;
    differs(refund.refund_id.as_deref(), said.refund_id, Mismatch::Refund)?;
    if said.refund_id.is_empty() {
        return Err(Mismatch::RefundIncomplete);
    }
    if let Some(amount) = said.amount {
        let total_differs = amount.total.is_some_and(|total| total != payment.amount.0);
        if total_differs || amount.refund.is_some_and(|fen| fen != refund.amount.0) {
            return Err(Mismatch::Amount);
        }
        differs(amount.currency.as_deref(), CNY, Mismatch::Currency)?;
    }
    let refund_id = said.refund_id.to_owned();
    match said.status {
        RefundStatus::Processing => Ok(Word::Processing { refund_id }),
        RefundStatus::Closed => Ok(Word::Closed { refund_id }),
        RefundStatus::Abnormal => Ok(Word::Abnormal { refund_id }),
        RefundStatus::Success => {
            let amount = said.amount.and_then(|amount| amount.refund.and(amount.total));
            let numbers = said.out_trade_no.and(said.transaction_id);
            let succeeded_at = said.succeeded_at.filter(|_| amount.is_some() && numbers.is_some());
            let succeeded_at = succeeded_at.ok_or(Mismatch::RefundIncomplete)?;
            Ok(Word::Succeeded { refund_id, succeeded_at: Timestamp::from_unix_seconds(succeeded_at) })
        }
        RefundStatus::Other(_) => Err(Mismatch::RefundStatus),
    }
}

#[cfg(test)]
mod tests;
