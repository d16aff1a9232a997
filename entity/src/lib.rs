//! What is stored, and what is legal.
//!
//! The tables as SeaORM entities, the ids and the money, the pure lifecycles of order and payment,
//! and the one way to the database ([`Db`]).
//! No HTTP, no WeChat Pay and no job is known here.

pub mod order;
pub mod payment;
pub mod money_entry;
pub mod notification;
pub mod order_event;
pub mod job;
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
pub use ids::{EventId, MoneyEntryId, NotificationId, OrderId, PaymentId};
pub use money::{CNY, Fen};
