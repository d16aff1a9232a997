//! The work that can be asked for.
//!
//! A job is a row in `job`: one per kind and subject, written in the transaction of the fact that
//! causes it, claimed under a lease, and ended in the transaction of its effect.
//! Whoever executes it only looks at rows that are due; how an execution is woken is not known here.

mod kinds;
mod asking;
mod running;
pub mod backoff;
mod looking;
mod clock;
mod crash;

pub use asking::{enqueue, enqueue_all, enqueue_at, enqueue_urgently, revive, revive_dead, withdraw};
pub use clock::ClockWatch;
pub use kinds::{
    ApplyNotification, CloseOrder, ClosePayment, ConfirmPayment, ConfirmRefund, DeliverWebhook, Job, Kind,
    PushStatus, RequestPrepay, RequestRefund, SweepOverdue, UploadShipping,
};
pub use looking::{Overview, died_at, due, is_asked_for, overview, release_leases};
pub use running::{Failure, Finished, LEASE, RUN_LIMIT, Run, UNFINISHED_MAX, claim, claim_all};

#[doc(hidden)]
pub use crash::here as crash_here;
