//! Telling a shop what happened, by Standard Webhooks 1.0.0.
//!
//! What it is told is written down by `PushStatus`; here is how one event reaches one endpoint:
//! signed, to an address it may go to, in its turn, and again by a schedule.

pub mod guard;
mod schedule;
mod send;
mod sign;
mod turns;

use std::fmt;

use entity::told_event::Kind;
use reqwest::Url;

pub(crate) use schedule::wait_after;
pub(crate) use send::LIMIT;
pub use send::{Answer, Message, Outcome, Sender};
pub use sign::{NotASecret, Secret, signature};
pub(crate) use turns::Turns;

/// Where a shop wants to be told, and of what.
#[derive(Clone)]
pub struct Endpoint {
    pub name: String,
    pub url: Url,
    /// The current secret first, then the one before it while it is being replaced.
    pub secrets: Vec<Secret>,
    pub events: Vec<Kind>,
    /// It may be on a network of our own. Then plain http will do, too.
    pub allow_private_addresses: bool,
}

impl Endpoint {
    pub(crate) fn wants(&self, kind: Kind) -> bool {
        self.events.contains(&kind)
    }

    /// May it be called at the address in its URL? A name is judged when it is resolved.
    pub fn is_allowed(&self) -> bool {
        self.allow_private_addresses
            || (self.url.scheme() == "https" && guard::literal(&self.url).is_none_or(guard::is_public))
    }
}

impl fmt::Debug for Endpoint {
    /// The address may carry a token in its path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &self.name)
            .field("events", &self.events)
            .field("allow_private_addresses", &self.allow_private_addresses)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
