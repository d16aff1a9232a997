//! The proof under faults.
//!
//! `lives` leads many orders through everything that can happen to them, in virtual time; in the
//! end WeChat Pay's ledger, our books and what the shop was told must say the same.

pub mod lives;
mod oracle;
mod figures;
mod sink;
