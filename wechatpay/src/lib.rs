//! A client of WeChat Pay API v3 (微信支付) for a merchant that is paid directly.
//!
//! It signs requests, verifies what WeChat says, opens the sealed part of a notification, creates,
//! queries and closes JSAPI, mini-program and Native orders, refunds them, reads the trade bill,
//! and learns a payer's openid.
//! It knows no database, no job and no configuration file: keys, base URLs, time and chance are
//! handed in, and every refusal is a typed error grouped by what the caller can do about it.
//!
//! It deliberately does not decide anything about an order: an unknown outcome is reported as
//! unknown, and asking again is the caller's business.
//!
//! ```no_run
//! use std::sync::Arc;
//! use wechatpay::{Client, Config, Environment, Merchant, Patience, PrivateKey, Product, TrustedKeys};
//!
//! # async fn pay(key_pem: &str, wechat_pem: &str, body: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new(Config {
//!     base_url: "https://api.mch.weixin.qq.com".to_owned(),
//!     backup_url: Some("https://api2.mch.weixin.qq.com".to_owned()),
//!     merchant: Merchant {
//!         mchid: "1900000001".to_owned(),
//!         certificate_serial: "3775B6A45ACD588826D15E583A95F5DD00000000".to_owned(),
//!         private_key: PrivateKey::from_pem(key_pem)?,
//!     },
//!     trusted_keys: TrustedKeys::with_public_key("PUB_KEY_ID_0119000000012024010100000000", wechat_pem)?,
//!     environment: Environment::system(),
//!     user_agent: "my-shop/1.0".to_owned(),
//!     observer: Arc::new(|call| println!("{} {}", call.operation, call.outcome)),
//! })?;
//! let created = client.create(Product::Native, "ORDER-0001", body, Patience::default()).await?;
//! # drop(created);
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

pub mod merchant;
pub mod environment;
pub mod sign;
pub mod trust;
pub mod notification;
pub mod order;
pub mod transaction;
pub mod refund;
pub mod bill;
pub mod openid;
pub mod shipping;
pub mod client;
pub mod error;
mod api_host;
mod pem;
mod text;
#[cfg(test)]
mod testing;

pub use bill::{BillFile, BillKind, BillRequest, TradeBill};
pub use client::{
    Call, Client, Config, ConfigError, Created, Host, Observer, Patience, Product, Switched, unobserved,
};
pub use environment::Environment;
pub use error::{ApiError, Cause, Error};
pub use merchant::{ApiV3Key, KeyError, Merchant, PrivateKey};
pub use openid::OpenidClient;
pub use refund::{Refund, RefundNotification, RefundOrder, RefundStatus};
pub use shipping::{Shipping, ShippingClient, ShippingError};
pub use sign::{CallUp, SignError};
pub use transaction::{Openid, TradeState, Transaction};
pub use trust::{SignatureHeaders, TrustedKeys, VerifyError};
