//! The wire of API v3 as WeChat Pay's side reads and writes it.

pub(crate) mod answer;
pub(crate) mod authorization;
pub(crate) mod fields;
pub(crate) mod transaction;
