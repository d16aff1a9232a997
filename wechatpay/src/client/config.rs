//! What a client is told, and what it tells back.

use std::sync::Arc;
use std::time::Duration;

use super::ANSWER_TIME_OUT;
use crate::{Environment, Merchant, TrustedKeys};

/// What a client needs to know.
#[derive(Clone)]
pub struct Config {
    /// Scheme and host, `https://api.mch.weixin.qq.com` in earnest. http is for simulators.
    pub base_url: String,
    /// Another region with the same paths and keys, `https://api2.mch.weixin.qq.com`; tried
    /// after a network failure, and instead of a first host that has not answered lately.
    pub backup_url: Option<String>,
    /// Who asks.
    pub merchant: Merchant,
    /// Whom to believe.
    pub trusted_keys: TrustedKeys,
    /// Time and chance.
    pub environment: Environment,
    /// `User-Agent`; WeChat refuses some calls without one.
    pub user_agent: String,
    /// Told of every try; [`unobserved`] when nobody cares. It runs on the caller's task and
    /// must not block.
    pub observer: Observer,
}

/// Told of every try.
pub type Observer = Arc<dyn Fn(&Call) + Send + Sync>;

/// An observer that does nothing.
pub fn unobserved() -> Observer {
    Arc::new(|_| ())
}

/// One try of one call, for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `create_jsapi`, `create_native`, `query_by_out_trade_no`, `query_by_transaction_id`,
    /// `close`, `refund`, `query_refund`, `trade_bill`, `download_bill` or `certificates`.
    pub operation: &'static str,
    /// Where it went.
    pub host: Host,
    /// `ok`, or [`Error::reason`](crate::Error::reason).
    pub outcome: &'static str,
    /// The HTTP status, if there was one.
    pub status: Option<u16>,
    /// When it was for whoever answered: the `Date` of the answer, in Unix seconds.
    pub date: Option<i64>,
    /// From before the signature until the answer was read.
    pub duration: Duration,
    /// What this try did to the circuit breaker of its host, if it did anything.
    pub switched: Option<Switched>,
}

/// A circuit breaker was switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switched {
    /// The host has not answered five tries in a row: calls go elsewhere, or fail at once, except
    /// for one now and then that finds out whether it is back.
    Open,
    /// It has answered, and is used again.
    Closed,
}

/// One of the two base URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// [`Config::base_url`].
    Primary,
    /// [`Config::backup_url`].
    Backup,
}

impl Host {
    /// One word for a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Backup => "backup",
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::Primary => Self::Backup,
            Self::Backup => Self::Primary,
        }
    }
}

/// How the payer pays, which chooses the path of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// Inside WeChat, mini-programs too.
    Jsapi,
    /// By scanning a QR code.
    Native,
}

/// What WeChat hands out for a new order. Valid for two hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// For [`Merchant::call_up`].
    PrepayId(String),
    /// The text of the QR code.
    CodeUrl(String),
}

/// How long a new order may take while somebody waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// The first try, connecting included.
    pub first: Duration,
    /// The second, which sends the same bytes at once.
    pub again: Duration,
}

impl Default for Patience {
    /// 1.2 s and 5 s.
    fn default() -> Self {
        Self { first: Duration::from_millis(1200), again: ANSWER_TIME_OUT }
    }
}

/// A client that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A base URL is http or https, a host, perhaps a port, and nothing else: the path is signed
    /// and belongs to WeChat.
    #[error("base URL {url:?} is not just a scheme and a host")]
    BaseUrl {
        /// As configured.
        url: String,
    },
    /// The HTTP client did not start.
    #[error("the HTTP client cannot start: {0}")]
    Http(String),
}
