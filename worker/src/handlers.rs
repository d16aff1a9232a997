//! One file per job. Each is three paragraphs: load what we know, ask WeChat Pay, apply what follows.

pub(crate) mod request_prepay;
pub(crate) mod apply_notification;
pub(crate) mod confirm_payment;
pub(crate) mod close_payment;
pub(crate) mod close_order;
pub(crate) mod push_status;
pub(crate) mod deliver_webhook;
pub(crate) mod request_refund;
pub(crate) mod confirm_refund;
pub(crate) mod upload_shipping;
pub(crate) mod sweep_overdue;
