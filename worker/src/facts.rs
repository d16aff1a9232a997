//! WeChat Pay's words, turned into ours. Nowhere else.

pub mod refund;

use entity::{CNY, Fen, Timestamp, payment};
use wechatpay::{TradeState, Transaction};

/// What WeChat Pay knows about one of our payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    Paid(Paid),
    Unpaid,
    Closed,
}

/// A payment that succeeded, with what WeChat Pay says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paid {
    pub transaction_id: String,
    pub payer_total: Option<Fen>,
    pub bank_type: Option<String>,
    pub succeeded_at: Timestamp,
}

/// What WeChat Pay says does not fit what we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    #[error("mchid_differs")]
    Mchid,
    #[error("out_trade_no_differs")]
    OutTradeNo,
    #[error("appid_differs")]
    Appid,
    #[error("amount_differs")]
    Amount,
    #[error("currency_differs")]
    Currency,
    #[error("transaction_differs")]
    Transaction,
    #[error("transaction_incomplete")]
    Incomplete,
    #[error("trade_state_unexpected")]
    TradeState,
    #[error("out_refund_no_differs")]
    OutRefundNo,
    #[error("refund_differs")]
    Refund,
    #[error("refund_incomplete")]
    RefundIncomplete,
    #[error("refund_status_unexpected")]
    RefundStatus,
    /// More went back than was paid.
    #[error("refunded_too_much")]
    RefundedTooMuch,
}

/// Reads what WeChat Pay says about `payment`, and refuses what is not about it.
///
/// What WeChat Pay leaves out while a payment is unpaid is not missed; once money was taken,
/// every part of it must be there and must agree.
pub fn read(said: &Transaction, payment: &payment::Model) -> Result<Word, Mismatch> {
    differs(said.mchid.as_deref(), &payment.mchid, Mismatch::Mchid)?;
    differs(said.out_trade_no.as_deref(), &payment.out_trade_no, Mismatch::OutTradeNo)?;
    differs(said.appid.as_deref(), &payment.app_id, Mismatch::Appid)?;
    match said.trade_state {
        TradeState::Success | TradeState::Refund => paid(said, payment).map(Word::Paid),
        TradeState::NotPay | TradeState::UserPaying | TradeState::Accept => Ok(Word::Unpaid),
        TradeState::Closed | TradeState::Revoked => Ok(Word::Closed),
        TradeState::PayError | TradeState::PayFail | TradeState::Other(_) => Err(Mismatch::TradeState),
    }
}

fn paid(said: &Transaction, payment: &payment::Model) -> Result<Paid, Mismatch> {
    let amount = said.amount.as_ref().ok_or(Mismatch::Incomplete)?;
    // What the payer paid may be less, by coupons; what the order asked for may not.
    if amount.total.ok_or(Mismatch::Incomplete)? != payment.amount.0 {
        return Err(Mismatch::Amount);
    }
    if amount.currency.as_deref().unwrap_or(CNY) != CNY {
        return Err(Mismatch::Currency);
    }
    let transaction_id = said.transaction_id.clone().ok_or(Mismatch::Incomplete)?;
    if payment.transaction_id.as_ref().is_some_and(|known| *known != transaction_id) {
        return Err(Mismatch::Transaction);
    }
    for required in [&said.mchid, &said.out_trade_no, &said.appid] {
        required.as_ref().ok_or(Mismatch::Incomplete)?;
    }
    Ok(Paid {
        transaction_id,
        payer_total: amount.payer_total.map(Fen),
        bank_type: said.bank_type.clone(),
        succeeded_at: said.paid_at().map(Timestamp::from_unix_seconds).ok_or(Mismatch::Incomplete)?,
    })
}

fn differs(said: Option<&str>, ours: &str, mismatch: Mismatch) -> Result<(), Mismatch> {
    if said.is_none_or(|said| said == ours) { Ok(()) } else { Err(mismatch) }
}

#[cfg(test)]
mod tests;
