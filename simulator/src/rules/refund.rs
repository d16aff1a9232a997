//! What may go back of a paid order, and what becomes of a refund: pure, the time comes in as a
//! value.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DAY, MINUTE, Order};

/// How long after the payment a refund can be asked for.
pub(crate) const WINDOW_MS: i64 = 365 * DAY;
/// The shortest time between two refunds of one order.
pub(crate) const INTERVAL_MS: i64 = MINUTE;
/// Into how many refunds one order can be divided; those that were closed do not count.
pub(crate) const PARTS: usize = 50;
/// How long a refund is PROCESSING when nobody interferes.
pub(crate) const PROCESSING_MS: i64 = 5_000;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refund {
    pub mchid: String,
    pub out_refund_no: String,
    pub out_trade_no: String,
    pub refund_id: String,
    pub source: Source,
    /// The first call's body; a later call must be equal to it.
    pub body: Value,
    pub terms: Terms,
    pub created_at: i64,
    /// What becomes of it by itself, and when; nothing more once it has settled.
    pub due: Option<(Outcome, i64)>,
    pub state: State,
}

/// Who asked for a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Api,
    /// 商户平台
    Console,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Processing,
    Success { at: i64 },
    Closed { at: i64 },
    Abnormal { at: i64 },
}

/// How a refund ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    /// The payer's card is dead and the wallet is closed: it waits for the merchant.
    Abnormal,
    /// It failed; the money is the merchant's again.
    Closed,
}

/// What the rules need to know of a refund's body.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Terms {
    pub transaction_id: Option<String>,
    pub out_trade_no: Option<String>,
    pub out_refund_no: String,
    pub reason: Option<String>,
    pub notify_url: Option<String>,
    pub funds_account: Option<String>,
    pub amount: Amount,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Amount {
    pub refund: i64,
    pub total: i64,
    #[serde(default)]
    pub from: Vec<Drawn>,
}

/// What comes from which of the merchant's accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Drawn {
    pub account: String,
    pub amount: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unrefundable {
    #[error("订单不存在或未支付")]
    NotPaid,
    #[error("订单金额或退款金额与之前请求不一致，请核实后再试")]
    TotalDiffers,
    #[error("订单已超过可退款的最大期限(支付后一年内可退款)")]
    TooLate,
    #[error("申请退款金额大于订单可退金额")]
    TooMuch,
    #[error("部分退款次数超过50次")]
    TooMany,
    #[error("频率过快，同一订单1分钟内只能申请一次退款")]
    TooSoon,
    #[error("基本账户余额不足，请充值后重新发起")]
    BalanceShort,
}

/// A settled refund stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settled;

impl Order {
    /// May this much of the order go back now? `earlier` are its refunds so far, `balance` is what
    /// the merchant has, in fen.
    pub(crate) fn refundable(
        &self,
        asked: &Amount,
        earlier: &[Refund],
        balance: i64,
        now: i64,
    ) -> Result<(), Unrefundable> {
        let paid = self.state.paid().ok_or(Unrefundable::NotPaid)?;
        if asked.total != self.terms.amount.total {
            return Err(Unrefundable::TotalDiffers);
        }
        if now > paid.paid_at.saturating_add(WINDOW_MS) {
            return Err(Unrefundable::TooLate);
        }
        if asked.refund > self.left_to_refund(earlier) {
            return Err(Unrefundable::TooMuch);
        }
        if earlier.iter().filter(|refund| refund.counts()).count() >= PARTS {
            return Err(Unrefundable::TooMany);
        }
        if earlier.iter().any(|refund| now < refund.created_at.saturating_add(INTERVAL_MS)) {
            return Err(Unrefundable::TooSoon);
        }
        if asked.refund > balance {
            return Err(Unrefundable::BalanceShort);
        }
        Ok(())
    }

    /// Fen that no refund has claimed yet.
    pub(crate) fn left_to_refund(&self, earlier: &[Refund]) -> i64 {
        let claimed: i64 =
            earlier.iter().filter(|refund| refund.counts()).map(|refund| refund.terms.amount.refund).sum();
        self.terms.amount.total - claimed
    }
}

impl Refund {
    /// A closed refund gave its money back, and its place.
    fn counts(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    /// The refund after it has ended this way at this time.
    pub(crate) fn settle(&mut self, outcome: Outcome, at: i64) -> Result<(), Settled> {
        self.state = match (self.state, outcome) {
            (State::Processing, Outcome::Success) => State::Success { at },
            (State::Processing, Outcome::Abnormal) => State::Abnormal { at },
            (State::Processing, Outcome::Closed) => State::Closed { at },
            // The merchant has named another account in the console.
            (State::Abnormal { .. }, Outcome::Success) => State::Success { at },
            (State::Abnormal { .. }, Outcome::Abnormal | Outcome::Closed)
            | (State::Success { .. } | State::Closed { .. }, _) => return Err(Settled),
        };
        self.due = None;
        Ok(())
    }
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Processing => "PROCESSING",
            Self::Success { .. } => "SUCCESS",
            Self::Closed { .. } => "CLOSED",
            Self::Abnormal { .. } => "ABNORMAL",
        }
    }

    pub(crate) fn settled_at(self) -> Option<i64> {
        match self {
            Self::Processing => None,
            Self::Success { at } | Self::Closed { at } | Self::Abnormal { at } => Some(at),
        }
    }
}

impl Source {
    pub(crate) fn is_console(self) -> bool {
        self == Self::Console
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Console => "console",
        }
    }
}

impl Outcome {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::Abnormal => "ABNORMAL",
            Self::Closed => "CLOSED",
        }
    }
}

#[cfg(test)]
mod tests;
