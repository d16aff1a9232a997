//! The wire of API v3 as WeChat Pay's side reads and writes it.

pub(crate) mod answer;
pub(crate) mod authorization;
pub(crate) mod bill;
pub(crate) mod event;
pub(crate) mod fields;
pub(crate) mod refund;
pub(crate) mod transaction;
pub(crate) mod xml;
