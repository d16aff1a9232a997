//! Makes true what was written down.
//!
//! A job is one row ([`jobs`]). The `pump` takes due rows and hands their ids to apalis over a
//! `transport` (in memory, or in Redis for many processes); apalis calls `execution`, which claims the row and runs its handler.
//! Handlers are listed in [`registry`]; the one place where a status changes is [`transition`].

pub mod registry;
mod handlers;
pub mod facts;
mod answers;
mod policies;
pub mod cases;
mod refunding;
mod budget;
pub mod ladder;
pub mod transition;
pub mod webhooks;
mod execution;
mod claims;
mod pump;
mod transport;
mod context;
mod worker;

pub use budget::Budget;
pub use context::{Context, Merchant};
pub use policies::{Policies, Policy};
pub use refunding::Identity;
pub use transport::RedisAt;
pub use worker::Worker;
