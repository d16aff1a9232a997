//! The simulator as a client sees it: over HTTP, signed by hand.

mod bills;
mod browser;
mod client;
mod clock;
mod contracts;
mod controls;
mod events;
mod faults;
mod ledger;
mod login;
mod merchant;
mod notifications;
mod orders;
mod pages;
mod phone;
mod proxy;
mod refunds;
mod patience;
mod requests;
mod restart;
mod scenarios;
mod shipping;
mod trust;
