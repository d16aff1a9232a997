//! What an order at WeChat Pay may become: pure, the time comes in as a value.
//!
//! Nothing here reads a clock, a table or a socket.

pub(crate) mod bill;
pub(crate) mod refund;

use serde::{Deserialize, Serialize};
use serde_json::Value;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// An unpaid order closes itself after this long, and no `time_expire` reaches further.
pub(crate) const LONGEST_LIFE_MS: i64 = 7 * DAY;
/// An earlier `time_expire` is raised to this long after the order.
pub(crate) const SHORTEST_LIFE_MS: i64 = MINUTE;
/// How long a `prepay_id` or `code_url` can be used, whatever `time_expire` says.
pub(crate) const CODE_LIFE_MS: i64 = 2 * HOUR;

#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub out_trade_no: String,
    pub endpoint: Endpoint,
    /// The first call's body; a later call must be equal to it.
    pub body: Value,
    pub terms: Terms,
    pub created_at: i64,
    pub payable_until: i64,
    /// The `prepay_id`, or what follows `pr=` in the `code_url`.
    pub code: String,
    pub code_expires_at: i64,
    pub state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    Jsapi,
    Native,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    NotPay,
    Success(Paid),
    /// Paid, and at least one refund was accepted since, however it ended.
    Refund(Paid),
    Closed {
        closed_at: i64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Paid {
    pub transaction_id: String,
    pub paid_at: i64,
    pub openid: String,
    pub payer_total: i64,
}

/// What the rules need to know of an order's body.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Terms {
    pub appid: String,
    pub mchid: String,
    pub out_trade_no: String,
    pub description: String,
    pub notify_url: String,
    pub attach: Option<String>,
    pub time_expire: Option<String>,
    pub amount: Amount,
    pub payer: Option<Payer>,
    pub scene_info: Option<Scene>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Amount {
    pub total: i64,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Payer {
    pub openid: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Scene {
    pub device_id: Option<String>,
}

/// The answer to the same order asked for once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// The code given before still holds.
    Current,
    /// A new code; the one before stops working.
    Fresh,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAgain {
    Paid,
    Closed,
    Differs,
    Expired,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unpayable {
    #[error("the order is paid already (订单已支付)")]
    Paid,
    #[error("the order is closed (订单已关闭)")]
    Closed,
    #[error("time_expire has passed (订单已过期)")]
    Expired,
    #[error("the prepay_id or code_url is older than two hours: create the order again (支付码已失效)")]
    CodeExpired,
    #[error("the paying openid is not the ordering one (下单账号与支付账号不一致)")]
    OtherPayer,
    #[error("another payer scanned this code first (商家订单信息有误)")]
    ScannedByOther,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AlreadyPaid;

impl Endpoint {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Jsapi => "jsapi",
            Self::Native => "native",
        }
    }

    pub(crate) fn trade_type(self) -> &'static str {
        match self {
            Self::Jsapi => "JSAPI",
            Self::Native => "NATIVE",
        }
    }
}

impl Unpayable {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Closed => "closed",
            Self::Expired => "expired",
            Self::CodeExpired => "code_expired",
            Self::OtherPayer => "other_payer",
            Self::ScannedByOther => "scanned_by_other",
        }
    }

    /// What the app says of it.
    pub(crate) fn shown(self) -> &'static str {
        match self {
            Self::Paid => "订单已支付",
            Self::Closed => "订单已关闭",
            Self::Expired => "订单已过期",
            Self::CodeExpired => "支付码已失效",
            Self::OtherPayer => "下单账号与支付账号不一致",
            Self::ScannedByOther => "商家订单信息有误",
        }
    }
}

impl State {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::NotPay => "NOTPAY",
            Self::Success(_) => "SUCCESS",
            Self::Refund(_) => "REFUND",
            Self::Closed { .. } => "CLOSED",
        }
    }

    pub(crate) fn description(&self) -> &'static str {
        match self {
            Self::NotPay => "订单未支付",
            Self::Success(_) => "支付成功",
            Self::Refund(_) => "订单发生过退款，退款详情请查询退款单",
            Self::Closed { .. } => "订单已关闭",
        }
    }

    /// The payment, for whoever does not care whether some of it went back.
    pub(crate) fn paid(&self) -> Option<&Paid> {
        match self {
            Self::Success(paid) | Self::Refund(paid) => Some(paid),
            Self::NotPay | Self::Closed { .. } => None,
        }
    }
}

/// The last moment a user can pay.
pub(crate) fn payable_until(created_at: i64, time_expire: Option<i64>) -> i64 {
    let (earliest, latest) = (created_at + SHORTEST_LIFE_MS, created_at + LONGEST_LIFE_MS);
    time_expire.unwrap_or(latest).clamp(earliest, latest)
}

impl Order {
    /// The order as it stands at `now`: an unpaid one closes itself after seven days.
    pub(crate) fn at(mut self, now: i64) -> Self {
        let closed_at = self.created_at + LONGEST_LIFE_MS;
        if self.state == State::NotPay && now >= closed_at {
            self.state = State::Closed { closed_at };
        }
        self
    }

    /// May the same number be asked for again, and with which code?
    pub(crate) fn ask_again(&self, endpoint: Endpoint, body: &Value, now: i64) -> Result<Again, NotAgain> {
        match self.state {
            State::Success(_) | State::Refund(_) => return Err(NotAgain::Paid),
            State::Closed { .. } => return Err(NotAgain::Closed),
            State::NotPay => {}
        }
        if self.endpoint != endpoint || self.body != *body {
            return Err(NotAgain::Differs);
        }
        if now > self.payable_until {
            return Err(NotAgain::Expired);
        }
        Ok(match endpoint {
            // 基础支付常见问题, Native 4: after a repeated call the older code_url is dead.
            Endpoint::Native => Again::Fresh,
            Endpoint::Jsapi if now < self.code_expires_at => Again::Current,
            Endpoint::Jsapi => Again::Fresh,
        })
    }

    /// May this payer pay now? Nobody in particular is always the right person.
    pub(crate) fn payable(&self, openid: Option<&str>, now: i64) -> Result<(), Unpayable> {
        match self.state {
            State::Success(_) | State::Refund(_) => return Err(Unpayable::Paid),
            State::Closed { .. } => return Err(Unpayable::Closed),
            State::NotPay => {}
        }
        if now > self.payable_until {
            return Err(Unpayable::Expired);
        }
        if now >= self.code_expires_at {
            return Err(Unpayable::CodeExpired);
        }
        match (&self.terms.payer, openid) {
            (Some(payer), Some(openid)) if payer.openid != openid => Err(Unpayable::OtherPayer),
            _ => Ok(()),
        }
    }

    /// The state after a close; closing twice is fine.
    pub(crate) fn close(&self, now: i64) -> Result<State, AlreadyPaid> {
        match &self.state {
            State::NotPay => Ok(State::Closed { closed_at: now }),
            State::Closed { closed_at } => Ok(State::Closed { closed_at: *closed_at }),
            State::Success(_) | State::Refund(_) => Err(AlreadyPaid),
        }
    }
}

#[cfg(test)]
mod tests;
