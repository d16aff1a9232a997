//! What is stored, and what is legal.
//!
//! The tables as SeaORM entities, the ids and the money, the pure lifecycles of order, payment, refund and shipping,
//! and the one way to the database ([`Db`]).
//! No HTTP, no WeChat Pay and no job is known here.

pub mod order;
pub mod payment;
pub mod refund;
pub mod shipping;
pub mod money_entry;
pub mod notification;
pub mod order_event;
pub mod told_event;
pub mod told_position;
pub mod webhook_delivery;
pub mod webhook_endpoint;
pub mod webhook_try;
pub mod case;
pub mod oauth_state;
pub mod code_exchange;
pub mod order_payer;
pub mod job;
pub mod retention;
pub mod durability;
mod ids;
mod money;
#[cfg(test)]
mod golden;
mod bus;
mod clock;
mod db;

pub use bus::{Bus, Hint};
pub use clock::{Clock, ManualClock, Timestamp};
pub use db::{Db, DbOptions, Txn};
pub use ids::{
    CaseId, DeliveryId, EventId, MoneyEntryId, NotificationId, OrderId, PaymentId, RefundId, ShippingId,
};
pub use money::{Amount, CNY, Currency, Fen};
