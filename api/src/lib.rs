//! The HTTP edge: writes down what was asked or told, and answers.
//!
//! It never changes a status and never holds a merchant's private key.
//! What is to be done about what it wrote down is a job, asked for in the same transaction.

pub mod router;
mod orders;
mod payments;
mod refunds;
mod shipping;
mod payer;
mod events;
mod timeline;
pub mod explain;
mod told;
mod notifications;
mod intake;
mod checkout;
mod notice;
mod origins;
mod health;
mod clocks;
mod views;
mod app;
mod caller;
mod secrets;
mod problem;
mod request;
mod text;
pub mod metrics;

pub use app::{App, AppKind, AppSettings, Ending, Merchant, MerchantApp, notify_url};
pub use clocks::Clocks;
pub use problem::ApiError;
pub use secrets::{ApiKeyHash, LinkKeys};
