//! The proof under faults.
//!
//! `lives` leads many orders through everything that can happen to them, in virtual time; `fire` does it to
//! real processes, in real time, while they are killed, frozen and cut off. In the end WeChat Pay's ledger,
//! our books and what the shop was told must say the same.

pub mod lives;
pub mod fire;
mod oracle;
mod figures;
mod sink;
