//! A client of WeChat Pay API v3 (微信支付) for a merchant that is paid directly.
//!
//! It signs requests, verifies what WeChat says, opens the sealed part of a notification, and
//! creates, queries and closes JSAPI, mini-program and Native orders.
//! It knows no database, no job and no configuration file: keys, base URLs, time and chance are
//! handed in, and every refusal is a typed error grouped by what the caller can do about it.
//!
//! It deliberately does not decide anything about an order: an unknown outcome is reported as
//! unknown, and asking again is the caller's business.

#![warn(missing_docs)]

// In reading order; the blank lines keep rustfmt from sorting them.
pub mod merchant;

pub mod environment;

pub mod sign;

pub mod trust;

pub mod notification;

pub mod order;

pub mod transaction;

mod pem;

#[cfg(test)]
mod testing;

pub use environment::Environment;
pub use merchant::{ApiV3Key, KeyError, Merchant, PrivateKey};
pub use sign::{CallUp, SignError};
pub use transaction::{Openid, TradeState, Transaction};
pub use trust::{SignatureHeaders, TrustedKeys, VerifyError};
